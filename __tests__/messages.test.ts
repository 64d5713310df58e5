import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { ACTION_DIR, type StepResult } from '../mock/runner.mts';
import { HIDDEN_HOST, makeCertificate } from './support/certificate';
import { cleanup } from './support/cleanup';
import { inputsFor, newJob, runMain, runPost } from './support/job';
import { startProxy } from './support/proxy';
import {
  answer,
  type Behaviour,
  cutShort,
  hang,
  issue,
  json,
  page,
  startServer,
  tokenBody,
} from './support/scripted-server';

const text = readFileSync(join(ACTION_DIR, 'docs/troubleshooting.md'), 'utf8');
const headings = [...text.matchAll(/^### `(.+)`$/gm)].map(([, heading = '']) => heading);

/** What is said when all goes well, and needs no explanation. */
const USUAL = [
  /^\S+ issued an access token, valid until /,
  /^Available as output `token`, masked in the log\./,
  /^Revoked the access token at /,
];

/** Whether a message is one that a heading stands for: `…` stands for anything. */
function isMeant(heading: string, message: string): boolean {
  const parts = heading.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(message);
}

/** All that a step said, less what needs no explanation. */
function messagesOf({ annotations, log }: StepResult): string[] {
  const lines = log.filter((line) => !/^(Error|Warning): /.test(line));
  return [...annotations.map(({ message }) => message), ...lines].filter(
    (message) => !USUAL.some((usual) => usual.test(message)),
  );
}

type Scenario = () => Promise<StepResult>;

function preload(...names: readonly string[]): string[] {
  return ['no-jitter', ...names].flatMap((name) => ['--require', join(import.meta.dirname, 'support', `${name}.cjs`)]);
}

function mainWith(inputs: Readonly<Record<string, string>>): Scenario {
  return () => runMain({ url: 'http://127.0.0.1:1' }, { inputs });
}

function tokenAnswer(...token: Behaviour[]): Scenario {
  return async () => runMain(await startServer({ token }), { inputs: { 'timeout-seconds': '2' } });
}

function failing(code: string): Scenario {
  const env = { TEST_ERROR_CODE: code };
  const options = { nodeArgs: preload('failing-request'), env, inputs: { 'timeout-seconds': '1' } };
  return () => runMain({ url: 'https://dashboard.invalid' }, options);
}

function loaded(name: string, ...token: Behaviour[]): Scenario {
  return async () => runMain(await startServer({ token }), { nodeArgs: preload(name) });
}

function throughProxy(options: { refuse?: number; credentials?: string }, userInfo = ''): Scenario {
  return async () => {
    const proxy = await startProxy({ target: { port: 1 }, ...options });
    const env = { https_proxy: `http://${userInfo}${proxy.host}` };
    const inputs = { 'timeout-seconds': '1' };
    return runMain({ url: `https://${HIDDEN_HOST}` }, { env, inputs });
  };
}

/** Main, told to stop when the server has its request, which it then answers. */
function stopped(behaviour: Behaviour): Scenario {
  return async () => {
    const { promise: signalled, resolve } = Promise.withResolvers<void>();
    const server = await startServer({ token: [(...request) => void signalled.then(() => behaviour(...request))] });
    const { child, done } = newJob().start('main', { inputs: inputsFor(server) });
    await server.received(1);
    child.kill('SIGINT');
    resolve();
    return done;
  };
}

/** The state file is gone when the token arrives, which can't be revoked. */
const tokenThatIsLost: Scenario = async () => {
  const job = newJob();
  const GITHUB_STATE = join(job.tempDir, 'its-state');
  writeFileSync(GITHUB_STATE, '');
  const token: Behaviour = (...request) => {
    rmSync(GITHUB_STATE, { maxRetries: 5 });
    issue()(...request);
  };
  const server = await startServer({ token: [token], revoke: [answer(404)] });
  return runMain(server, { job, env: { GITHUB_STATE } });
};

const outputThatCanNotBeWritten: Scenario = async () => {
  const job = newJob();
  const GITHUB_OUTPUT = join(job.tempDir, 'folder');
  mkdirSync(GITHUB_OUTPUT);
  return runMain(await startServer(), { job, env: { GITHUB_OUTPUT } });
};

interface PostOptions {
  inputs?: Record<string, string>;
  token?: Record<string, unknown>;
  mainInputs?: Record<string, string>;
  state?: string;
}

/** Post of a job whose main step went well. */
function post({ inputs = {}, token, mainInputs = {}, state }: PostOptions, ...revoke: Behaviour[]): Scenario {
  return async () => {
    const server = await startServer({ token: [issue(token)], revoke: revoke.length > 0 ? revoke : [answer(200)] });
    const job = newJob();
    await runMain(server, { job, inputs: mainInputs });
    if (state !== undefined) Object.assign(job.state, { state });
    return runPost(server, job, { inputs });
  };
}

const scenarios: Record<string, Scenario> = {
  'an empty input': mainWith({ 'client-secret': '' }),
  'an input that can not be seen': mainWith({ 'client-id': 'a\nb' }),
  'the same for both': mainWith({ 'client-id': 'one-for-both', 'client-secret': 'one-for-both' }),
  'no URL': mainWith({ 'api-url': 'x' }),
  'a URL with a user': mainWith({ 'api-url': 'https://user@host.test' }),
  'a URL with a query': mainWith({ 'api-url': 'https://host.test/?q' }),
  'a URL in the clear': mainWith({ 'api-url': 'http://host.test' }),
  'no boolean': mainWith({ 'skip-token-revoke': 'x' }),
  'no number': mainWith({ 'timeout-seconds': 'x' }),
  '400': tokenAnswer(json(400, { error: 'invalid_grant', error_description: 'Invalid credentials given.' })),
  '401': tokenAnswer(json(401, { error: 'invalid_client' })),
  '401 in a page': tokenAnswer(page(401)),
  '403': tokenAnswer(page(403)),
  '404': tokenAnswer(page(404)),
  '404 that asks to wait': tokenAnswer(answer(404, '', { 'retry-after': '86' })),
  '407': tokenAnswer(page(407)),
  '418': tokenAnswer(page(418)),
  '302': tokenAnswer(answer(302, '', { location: '/login' })),
  'a page': tokenAnswer(page(200)),
  'no JSON': tokenAnswer(answer(200, 'x')),
  'no token': tokenAnswer(json(200, {})),
  'another type': tokenAnswer(issue({ token_type: 'mac' })),
  'a token with a space': tokenAnswer(issue({ access_token: 'a b' })),
  'no expiry': tokenAnswer(issue({ expires_in: 'soon' })),
  'a wait that is too long': tokenAnswer(json(429, { detail: 'Request was throttled.' }, { 'retry-after': '86' })),
  'an outage': async () => runMain(await startServer({ token: [page(503)] }), { inputs: { 'timeout-seconds': '1' } }),
  'an answer that breaks off': tokenAnswer(cutShort(tokenBody()), issue()),
  'no answer': async () => runMain(await startServer({ token: [hang()] }), { inputs: { 'timeout-seconds': '1' } }),
  'an unknown host': async () =>
    runMain(
      { url: 'https://dashboard.invalid' },
      {
        nodeArgs: preload('unknown-host'),
        env: { TEST_DNS_ERROR: 'ENOTFOUND' },
        inputs: { 'timeout-seconds': '1' },
      },
    ),
  'no TLS': async () => runMain({ url: (await startServer()).url.replace('http:', 'https:') }),
  'a handshake that is refused': failing('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'),
  'no HTTP': failing('HPE_INVALID_CONSTANT'),
  'a certificate that is not trusted': async () => runMain(await startServer({}, { tls: await makeCertificate() })),
  'a certificate that has expired': failing('CERT_HAS_EXPIRED'),
  'a certificate that is not valid yet': failing('CERT_NOT_YET_VALID'),
  'a certificate for another name': failing('ERR_TLS_CERT_ALTNAME_INVALID'),
  'a certificate that is too weak': failing('UNSPECIFIED'),
  'a connection that is refused': failing('ECONNREFUSED'),
  'a proxy that refuses': throughProxy({ refuse: 403 }),
  'a proxy that is out of order': throughProxy({ refuse: 503 }),
  'a proxy that wants a password': throughProxy({ credentials: 'user:password' }),
  'a proxy that wants another password': throughProxy({ credentials: 'user:password' }, 'user:wrong@'),
  'a proxy that answers nothing': async () => {
    const proxy = await startProxy({ target: { port: 1 }, script: ['hang'] });
    const env = { https_proxy: `http://${proxy.host}` };
    return runMain({ url: `https://${HIDDEN_HOST}` }, { env, inputs: { 'timeout-seconds': '1' } });
  },
  'a proxy that wants another kind of credentials': async () => {
    const proxy = createServer().on('connect', (_request, socket) => {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\n\r\n');
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    cleanup(() => proxy.close());
    const env = { https_proxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` };
    return runMain({ url: `https://${HIDDEN_HOST}` }, { env });
  },
  'a proxy that can not be read': async () =>
    runMain({ url: 'https://dashboard.invalid' }, { env: { https_proxy: 'socks5://proxy:1080' } }),
  'a file that can not be written': outputThatCanNotBeWritten,
  'a token that is lost': tokenThatIsLost,
  'an output that is lost': loaded('lost-output', issue()),
  'an old Node': loaded('old-node', issue()),
  'too many tokens': tokenAnswer(...[1, 2, 3, 4].map((n) => json(503, { access_token: `${n}${'x'.repeat(8_000)}` }))),
  'a token that is left to the post step': async () =>
    runMain(await startServer({ token: [issue({ token_type: 'mac' })], revoke: [answer(404)] })),
  'a defect': loaded('defect', hang()),
  'a failure of an action from github.com': async () =>
    runMain(await startServer(), {
      inputs: { 'client-id': '' },
      env: {
        GITHUB_SERVER_URL: 'https://github.com',
        GITHUB_ACTION_REPOSITORY: 'owner/name',
        GITHUB_ACTION_REF: 'v1',
      },
    }),
  'post without a secret': post({ inputs: { 'client-secret': '' } }),
  'post that is refused': post({}, json(401, { error: 'invalid_client' })),
  'post that is not confirmed': post({}, json(200, { revoked: false })),
  'post of a token that has expired': post({ token: { expires_in: 0.001 } }, answer(404)),
  'post of a token that is left alive': post({ mainInputs: { 'skip-token-revoke': 'true' } }),
  'post of a main step without a token': () => runPost({ url: 'http://127.0.0.1:1' }, newJob()),
  'post with an empty state': post({ state: '' }),
  'post with a damaged state': post({ state: '{' }),
};

const ofSignals: Record<string, Scenario> = {
  'told to stop, without a token': stopped(page(503)),
  'told to stop, with a token': stopped(issue()),
};

/** How many scenarios run at once. */
const AT_ONCE = 4;

const said = new Map<string, string[]>();
// Signals can't be sent on Windows.
const all = Object.entries({ ...scenarios, ...(process.platform === 'win32' ? {} : ofSignals) });

beforeAll(async () => {
  const waiting = [...all];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [name, scenario] = next;
      said.set(name, messagesOf(await scenario()));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}, 120_000);

describe('what the steps print is explained in the troubleshooting', () => {
  test.each(all.map(([name]) => name))('%s', (name) => {
    const messages = said.get(name) ?? [];
    expect(messages).not.toEqual([]);
    expect(messages.filter((message) => !headings.some((heading) => isMeant(heading, message)))).toEqual([]);
  });

  test('and nothing else is', () => {
    const messages = [...said.values()].flat();
    const ofUnix = process.platform === 'win32' ? ['The runner told this step to stop: …'] : [];
    const neverPrinted = headings.filter((heading) => !messages.some((message) => isMeant(heading, message)));
    expect(headings.length).toBeGreaterThan(40);
    expect(neverPrinted).toEqual(ofUnix);
  });
});

test('no message stands there twice, and none hides one that stands further down', () => {
  const hidden = headings.filter((heading, index) =>
    headings.slice(0, index).some((earlier) => isMeant(earlier, heading.replaceAll('…', 'x'))),
  );
  expect(hidden).toEqual([]);
});

test('each section is in the list at the top, in this order', () => {
  const sections = [...text.matchAll(/^## (.+)$/gm)].map(([, title]) => title);
  const listed = [...text.matchAll(/^- \[(.+)\]\(#.+\)$/gm)].map(([, title]) => title);
  expect(sections.length).toBeGreaterThan(5);
  expect(listed).toEqual(sections);
});
