import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { wholeNumber } from '../tools/options.mts';
import { startDashboard } from './dashboard.mts';
import { API, RESOURCES } from './web-api.mts';

/**
 * `npm run sandbox`: the mock Dashboard alone, until it is stopped. With `--background`, for a
 * workflow, the command ends as soon as the Dashboard answers, and prints what the next steps need in
 * the form of GITHUB_OUTPUT.
 */
const USAGE =
  'Usage: npm run sandbox -- [--port 4010] [--client-id ID] [--client-secret SECRET] ' +
  '[--requests-per-second N] [--background]';

interface Started {
  url: string;
  clientId: string;
  clientSecret: string;
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      'client-id': { type: 'string' },
      'client-secret': { type: 'string' },
      'requests-per-second': { type: 'string' },
      background: { type: 'boolean', default: false },
    },
  });
  return {
    background: values.background,
    port: wholeNumber(values.port, 'port', 0),
    ...(values['client-id'] ? { clientId: values['client-id'] } : {}),
    ...(values['client-secret'] ? { clientSecret: values['client-secret'] } : {}),
    ...(values['requests-per-second']
      ? { requestsPerSecond: wholeNumber(values['requests-per-second'], 'requests-per-second', 1) }
      : {}),
  };
}

/**
 * Starts the Dashboard in a process of its own and waits until it listens. In a session of its own, it
 * lives on when a runner closes the terminal of a step, and it holds none of the step's streams, which
 * the step would wait for.
 */
async function startInBackground(): Promise<void> {
  const args = process.argv.slice(2).filter((arg) => arg !== '--background');
  const child = spawn(process.execPath, [import.meta.filename, ...args], {
    detached: true,
    windowsHide: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const [answer] = await Promise.race([once(child, 'message'), once(child, 'exit')]);
  if (typeof answer !== 'object' || answer === null) {
    throw new Error(`The sandbox ended (${answer}) before it listened.`);
  }
  const { error, url, clientId, clientSecret } = answer as Partial<Started> & { error?: string };
  if (error !== undefined) throw new Error(error);
  child.unref();
  // On stderr: stdout goes to the file of outputs, where the runner would not see it.
  if (process.env['GITHUB_ACTIONS']) console.error(`::add-mask::${clientSecret}`);
  console.log(`url=${url}\nclient-id=${clientId}\nclient-secret=${clientSecret}\npid=${child.pid}`);
}

async function startHere(options: ReturnType<typeof readOptions>): Promise<void> {
  const { url, clientId, clientSecret } = await startDashboard(options);
  if (process.send !== undefined) {
    process.send({ url, clientId, clientSecret } satisfies Started);
    process.disconnect();
    return;
  }
  console.log(`Dashboard at ${url}, until Ctrl-C

  client-id:      ${clientId}
  client-secret:  ${clientSecret}
  api-url:        ${url}

With a token, GET ${url}${API} plus

${listReads()}

How each parameter is read: mock/README.md. What writes is not there and answers 501.`);
}

/** One line for each path that can be read, with its query parameters. */
function listReads(): string {
  const reads = RESOURCES.filter(({ read }) => read);
  const width = Math.max(...reads.map(({ path }) => path.length));
  return reads.map(({ path, parameters }) => `  ${path.padEnd(width)}  ${parameters.join(', ')}`.trimEnd()).join('\n');
}

try {
  const options = readOptions();
  await (options.background ? startInBackground() : startHere(options));
} catch (cause) {
  const error = cause instanceof Error ? cause.message : String(cause);
  if (process.send === undefined) console.error(`${error}\n${USAGE}`);
  else process.send({ error }, () => process.disconnect());
  process.exitCode = 1;
}
