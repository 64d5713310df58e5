import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ACTION_DIR, type StepResult } from '../sandbox/runner.mts';
import { HIDDEN_HOST, makeCertificate } from './support/certificate';
import { inputsFor, NO_JITTER, newJob, runMain, runPost } from './support/job';
import { startProxy } from './support/proxy';
import {
  answer,
  type Behaviour,
  cutShort,
  flood,
  hang,
  issue,
  json,
  page,
  startServer,
  tokenBody,
} from './support/scripted-server';

const SUPPORT = join(import.meta.dirname, 'support');

const text = readFileSync(join(ACTION_DIR, 'docs/troubleshooting.md'), 'utf8');
const headings = [...text.matchAll(/^### `(.+)`$/gm)].map(([, heading = '']) => heading);

const printed = new Set<string>();

/** Whether a message is one that a heading stands for: `…` stands for anything. */
function isMeant(heading: string, message: string): boolean {
  const parts = heading.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(message);
}

/** Takes down what a step said, without what it says when all goes well. */
function takeDown(result: StepResult): void {
  const usual =
    /issued an access token|is the output token|^Revoked the access token|no access token to revoke|^(Error|Warning): /;
  for (const { message } of result.annotations) printed.add(message);
  for (const line of result.log.filter((entry) => !usual.test(entry))) printed.add(line);
}

type Scenario = () => Promise<StepResult | StepResult[]>;

function mainWith(inputs: Readonly<Record<string, string>>): Scenario {
  return async () => runMain(await startServer(), { inputs });
}

function tokenAnswer(...token: Behaviour[]): Scenario {
  return async () => runMain(await startServer({ token }), { inputs: { 'timeout-seconds': '2' } });
}

function preload(name: string, env: Record<string, string> = {}): Scenario {
  return async () =>
    runMain(await startServer({ token: [hang()] }), {
      nodeArgs: [...NO_JITTER, '--require', join(SUPPORT, `${name}.cjs`)],
      env,
      ...(env['TEST_DNS_ERROR'] ? { inputs: { 'api-url': 'https://dashboard.invalid' } } : {}),
    });
}

function throughProxy(options: { refuse?: number; credentials?: string; tls?: boolean }): Scenario {
  return async () => {
    const certificate = await makeCertificate();
    const target = await startServer({}, { tls: certificate });
    const { tls, ...rest } = options;
    const proxy = await startProxy({ target, ...rest, ...(tls ? { tls: certificate } : {}) });
    const env = { https_proxy: `${tls ? 'https' : 'http'}://${proxy.host}` };
    return runMain(target, { env, inputs: { 'api-url': `https://${HIDDEN_HOST}` } });
  };
}

/** Main, cancelled when the server has its request, which it then answers or not. */
function cancelled(behaviour: Behaviour): Scenario {
  return async () => {
    const server = await startServer({
      token: [(...request) => void setTimeout(behaviour, 100, ...request)],
    });
    const { child, done } = newJob().start('main', { inputs: inputsFor(server) });
    await server.received(1);
    child.kill('SIGINT');
    return done;
  };
}

/** The state file is gone when the token arrives, which can't be revoked. */
const tokenThatIsLost: Scenario = async () => {
  const job = newJob();
  const GITHUB_STATE = join(job.tempDir, 'state');
  writeFileSync(GITHUB_STATE, '');
  const token: Behaviour = (...request) => {
    rmSync(GITHUB_STATE);
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

/** Post of a job whose main step went well. */
function post(inputs: Record<string, string>, ...revoke: Behaviour[]): Scenario {
  return async () => {
    const server = await startServer(revoke.length > 0 ? { revoke } : {});
    const job = newJob();
    await runMain(server, { job });
    return runPost(server, job, { inputs });
  };
}

function cancelledPost(behaviour: Behaviour): Scenario {
  return async () => {
    const server = await startServer({
      revoke: [(...request) => void setTimeout(behaviour, 100, ...request)],
    });
    const job = newJob();
    await runMain(server, { job });
    const { child, done } = job.start('post', { inputs: inputsFor(server) });
    await server.received(2);
    child.kill('SIGINT');
    return done;
  };
}

const scenarios: Record<string, Scenario> = {
  'an empty input': mainWith({ 'client-secret': '' }),
  'an input that can not be seen': mainWith({ 'client-id': 'a\nb' }),
  'no URL': mainWith({ 'api-url': 'x' }),
  'a URL with a user': mainWith({ 'api-url': 'https://user@host.test' }),
  'a URL with a query': mainWith({ 'api-url': 'https://host.test/?q' }),
  'a URL in the clear': mainWith({ 'api-url': 'http://host.test' }),
  'no boolean': mainWith({ 'skip-token-revoke': 'x' }),
  'no number': mainWith({ 'timeout-seconds': 'x' }),
  '401': tokenAnswer(json(401, { error: 'invalid_client' })),
  '403': tokenAnswer(page(403)),
  '404': tokenAnswer(page(404)),
  '418': tokenAnswer(page(418)),
  '302': tokenAnswer(answer(302, '', { location: '/login' })),
  'a page': tokenAnswer(page(200)),
  'no JSON': tokenAnswer(answer(200, 'x')),
  'an endless body': tokenAnswer(flood()),
  'no token': tokenAnswer(json(200, {})),
  'another type': tokenAnswer(issue({ token_type: 'mac' })),
  'a wait that is too long': tokenAnswer(answer(429, '', { 'retry-after': '86' })),
  'an outage': async () =>
    runMain(await startServer({ token: [page(503)] }), {
      inputs: { 'timeout-seconds': '1' },
      nodeArgs: [],
    }),
  'an answer that breaks off': tokenAnswer(cutShort(tokenBody()), issue()),
  'no answer': async () =>
    runMain(await startServer({ token: [hang()] }), { inputs: { 'timeout-seconds': '1' } }),
  'an unknown host': preload('unknown-host', { TEST_DNS_ERROR: 'ENOTFOUND' }),
  'no TLS': async () => runMain({ url: (await startServer()).url.replace('http:', 'https:') }),
  'a proxy that refuses': throughProxy({ refuse: 403 }),
  'a proxy that wants a password': throughProxy({ credentials: 'user:password' }),
  'a proxy that is not trusted': throughProxy({ tls: true }),
  'a certificate that is not trusted': async () => {
    const certificate = await makeCertificate();
    return runMain(await startServer({}, { tls: certificate }));
  },
  'a file that can not be written': outputThatCanNotBeWritten,
  'a token that is lost': tokenThatIsLost,
  'too many tokens': tokenAnswer(
    ...[1, 2, 3, 4].map((n) =>
      answer(503, JSON.stringify({ access_token: `${n}${'x'.repeat(8_000)}` })),
    ),
  ),
  'a refused token that is left to the post step': async () =>
    runMain(await startServer({ token: [issue({ token_type: 'mac' })], revoke: [answer(404)] })),
  'a defect': preload('defect'),
  'a proxy that cannot be read': async () =>
    runMain({ url: 'https://dashboard.invalid' }, { env: { https_proxy: 'proxy:3128' } }),
  'a failure of an action from another repository': async () =>
    runMain(await startServer(), {
      inputs: { 'client-id': '' },
      env: {
        GITHUB_SERVER_URL: 'https://github.com',
        GITHUB_ACTION_REPOSITORY: 'owner/name',
        GITHUB_ACTION_REF: 'v1',
      },
    }),
  'post without a secret': post({ 'client-secret': '' }),
  'post that is refused': post({}, json(401, { error: 'invalid_client' })),
  ...(process.platform === 'win32'
    ? {}
    : {
        'cancelled without a token': cancelled(page(503)),
        'cancelled with a token': cancelled(issue()),
        'post, cancelled in vain': cancelledPost(page(503)),
        'post, cancelled when done': cancelledPost(answer(200)),
      }),
};

describe('what the steps print is explained in the troubleshooting', () => {
  test.each(Object.keys(scenarios))('%s', async (name) => {
    const result = await scenarios[name]?.();
    for (const step of [result ?? []].flat()) {
      takeDown(step);
      const messages = [...step.annotations.map(({ message }) => message)];
      expect(messages.length + step.log.length).toBeGreaterThan(0);
      for (const message of messages) {
        expect({
          message,
          headings: headings.filter((heading) => isMeant(heading, message)),
        }).toEqual({
          message,
          headings: expect.arrayContaining([expect.any(String)]),
        });
      }
    }
  });
});

// The signals of a cancellation can't be sent on Windows, so some messages are missing there.
const onUnix = process.platform === 'win32' ? test.skip : test;

onUnix('every heading of the troubleshooting is printed, and nothing else is', () => {
  const messages = [...printed];
  const neverPrinted = headings.filter(
    (heading) => !messages.some((message) => isMeant(heading, message)),
  );
  const notExplained = messages.filter(
    (message) => !headings.some((heading) => isMeant(heading, message)),
  );
  expect({ neverPrinted, notExplained }).toEqual({ neverPrinted: [], notExplained: [] });
});
