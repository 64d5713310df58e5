// Runs both steps of dist/ under the Node that runs this, and fails unless the token that main hands out
// is accepted before post and refused after it. It needs nothing installed, and any Node from 20 on:
// node .ci/smoke.js
// With FORMLABS_CLIENT_ID and FORMLABS_CLIENT_SECRET in the environment it asks the real Dashboard, and
// a server on loopback otherwise.
const { spawn } = require('node:child_process');
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { createServer } = require('node:http');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';
const PRINTERS_PATH = '/developer/v1/printers/';

/** Answers as the Dashboard does, for one token. */
function startDashboard() {
  let live;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const form = new URLSearchParams(body);
      if (request.url === TOKEN_PATH) {
        live = 'smoke-token';
        response.setHeader('content-type', 'application/json');
        response.write(`{"access_token": "${live}", "token_type": "Bearer", "expires_in": 86400}`);
      } else if (request.url === REVOKE_PATH) {
        if (form.get('token') === live) live = undefined;
      } else if (live === undefined || request.headers.authorization !== `Bearer ${live}`) {
        response.statusCode = 401;
      }
      response.end();
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** What a step left for the runner: `name=value`, or `name<<delimiter`, the value, the delimiter. */
function readFileCommands(file) {
  const text = readFileSync(file, 'utf8').replaceAll('\r\n', '\n');
  const pattern = /^(?:([^=<\n]+)<<(.+)\n([\s\S]*?)\n\2|([^=<\n]+)=(.*))$/gm;
  return Object.fromEntries(
    [...text.matchAll(pattern)].map(([, name, , value, shortName, shortValue]) => [
      name ?? shortName,
      value ?? shortValue,
    ]),
  );
}

async function runStep(step, env) {
  const child = spawn(process.execPath, [join(__dirname, '..', 'dist', step, 'index.js')], {
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  if (code !== 0) throw new Error(`The ${step} step ended with ${code}.`);
}

async function useToken(apiUrl, token, expected) {
  const { status } = await fetch(`${apiUrl}${PRINTERS_PATH}`, {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(30_000),
  });
  console.log(`GET ${PRINTERS_PATH} with the token: ${status}`);
  if (!expected.includes(status)) throw new Error(`Expected ${expected.join(' or ')}.`);
}

async function runJob(apiUrl, clientId, clientSecret) {
  const folder = mkdtempSync(join(tmpdir(), 'formlabs-dashboard-token-smoke-'));
  const [stateFile, outputFile] = ['state', 'output'].map((name) => join(folder, name));
  try {
    for (const file of [stateFile, outputFile]) writeFileSync(file, '');
    const env = {
      ...process.env,
      RUNNER_TEMP: folder,
      GITHUB_STATE: stateFile,
      GITHUB_OUTPUT: outputFile,
      'INPUT_CLIENT-ID': clientId,
      'INPUT_CLIENT-SECRET': clientSecret,
      'INPUT_API-URL': apiUrl,
      'INPUT_SKIP-TOKEN-REVOKE': 'false',
      'INPUT_TIMEOUT-SECONDS': '60',
    };
    await runStep('main', env);
    const { token } = readFileCommands(outputFile);
    await useToken(apiUrl, token, [200]);

    const state = Object.entries(readFileCommands(stateFile));
    await runStep('post', {
      ...env,
      ...Object.fromEntries(state.map(([key, value]) => [`STATE_${key}`, value])),
    });
    await useToken(apiUrl, token, [401, 403]);
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function main() {
  const { FORMLABS_CLIENT_ID: clientId, FORMLABS_CLIENT_SECRET: clientSecret } = process.env;
  if (clientId && clientSecret) {
    await runJob('https://api.formlabs.com', clientId, clientSecret);
  } else {
    const server = await startDashboard();
    try {
      await runJob(`http://127.0.0.1:${server.address().port}`, 'smoke-client', 'smoke-secret');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }
  console.log(`Issued, accepted, revoked and refused, on Node ${process.version}.`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
