import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { ACTION_DIR, type StepResult } from '../mock/runner.mts';
import { HIDDEN_HOST, makeCertificate, trust } from './support/certificate';
import { inputsFor, newJob, type RunOptions, runMain, runPost } from './support/job';
import { slugOf } from './support/markdown';
import { type OnConnect, refusal, startProxy } from './support/proxy';
import {
  answer,
  type Behaviour,
  cutShort,
  hang,
  issue,
  json,
  page,
  reset,
  startServer,
} from './support/scripted-server';
import { startTcpServer, startTextServer } from './support/tcp-server';

const LINES = 'lines-in-the-log';
/** With these, an annotation has a link. */
const FROM_GITHUB = {
  GITHUB_SERVER_URL: 'https://github.com',
  GITHUB_ACTION_REPOSITORY: 'owner/name',
  GITHUB_ACTION_REF: 'v1',
};
const SOON = { 'timeout-seconds': '1' };
const NOWHERE = { url: 'http://127.0.0.1:1' };
const HIDDEN = { url: `https://${HIDDEN_HOST}` };

/** The patterns of the messages below a heading, by how a link spells the heading: `…` stands for anything. */
const patterns = readPatterns(readFileSync(join(ACTION_DIR, 'docs/troubleshooting.md'), 'utf8'));

function readPatterns(document: string): Map<string, string[]> {
  const sections = document.split(/^##+ /m).slice(1);
  return new Map(
    sections.map((section) => {
      const rows = section.matchAll(/^(?:- |\| )(`+)(.+?)\1(?:$| \|)/gm);
      return [slugOf(section.split('\n')[0] ?? ''), [...rows].map(([, , pattern = '']) => pattern)];
    }),
  );
}

function isMeant(pattern: string, message: string): boolean {
  const parts = pattern.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(message);
}

/** All that a step said, each with the heading that explains it: that of its link, or that of the lines. */
function messagesOf({ annotations, log }: StepResult): [message: string, heading: string][] {
  const links = log.filter((line) => line.startsWith('What this means: '));
  const lines = log.filter((line) => !/^(?:Error|Warning): /.test(line));
  return [
    ...annotations.map(({ message }, index): [string, string] => [message, links[index]?.split('#')[1] ?? 'no link']),
    ...lines.map((line): [string, string] => [line, LINES]),
  ];
}

type Scenario = () => Promise<StepResult>;

function preload(name: string): string[] {
  return ['--require', join(import.meta.dirname, 'support', `${name}.cjs`)];
}

async function main(server: { url: string }, { env, ...options }: RunOptions = {}): Promise<StepResult> {
  return runMain(server, { inputs: SOON, nodeArgs: [], ...options, env: { ...FROM_GITHUB, ...env } });
}

/** Main with these answers to its requests for a token. */
function answered(...token: Behaviour[]): Scenario {
  return async () => main(await startServer({ token }), { inputs: { 'timeout-seconds': '2' } });
}

function loaded(name: string, behaviour: Behaviour): Scenario {
  return async () => main(await startServer({ token: [behaviour] }), { nodeArgs: preload(name) });
}

/** Main with addresses or name servers that don't work. */
function unreachable(name: string, env: Readonly<Record<string, string>>): Scenario {
  return () => main(HIDDEN, { nodeArgs: preload(name), env });
}

/** Main with a server that answers the handshake of TLS like this. */
function shaking(onHello: (socket: Socket) => void): Scenario {
  return async () => {
    const { port } = await startTcpServer((socket) => socket.once('data', () => onHello(socket)));
    return main({ url: `https://127.0.0.1:${port}` });
  };
}

function certified(...options: Parameters<typeof makeCertificate>): Scenario {
  return async () => {
    const certificate = await makeCertificate(...options);
    const server = await startServer({}, { tls: { ...certificate, ciphers: 'DEFAULT:@SECLEVEL=0' } });
    return main(server, { env: trust(certificate) });
  };
}

function proxied(what: OnConnect, userInfo = ''): Scenario {
  return async () => {
    const proxy = await startProxy({ target: { port: 1 }, script: [what] });
    return main(HIDDEN, { env: { https_proxy: `http://${userInfo}${proxy.host}` } });
  };
}

/** Main, told to stop when the server has its request, which it then answers. */
async function stopped(): Promise<StepResult> {
  const { promise: signalled, resolve } = Promise.withResolvers<void>();
  const server = await startServer({ token: [(...request) => void signalled.then(() => issue()(...request))] });
  const { child, done } = newJob().start('main', { inputs: inputsFor(server), env: FROM_GITHUB });
  await server.received(1);
  child.kill('SIGINT');
  resolve();
  return done;
}

/** The state file is gone when the token arrives, which can't be revoked. */
async function losing(): Promise<StepResult> {
  const job = newJob();
  const GITHUB_STATE = join(job.tempDir, 'its-state');
  writeFileSync(GITHUB_STATE, '');
  const token: Behaviour = (...request) => {
    rmSync(GITHUB_STATE, { maxRetries: 5 });
    issue()(...request);
  };
  return main(await startServer({ token: [token], revoke: [answer(404)] }), { job, env: { GITHUB_STATE } });
}

async function withoutOutput(): Promise<StepResult> {
  const job = newJob();
  const GITHUB_OUTPUT = join(job.tempDir, 'folder');
  mkdirSync(GITHUB_OUTPUT);
  return main(await startServer(), { job, env: { GITHUB_OUTPUT } });
}

/** Post of a job whose main step had these inputs and went well, with this answer, inputs or state. */
function post(revoke: Behaviour, inputs = {}, mainInputs = {}, state: Record<string, string> = {}): Scenario {
  return async () => {
    const server = await startServer({ revoke: [revoke] });
    const job = newJob();
    await main(server, { job, inputs: mainInputs });
    Object.assign(job.state, state);
    return runPost(server, job, { inputs, env: FROM_GITHUB });
  };
}

function postWith(state: string): Scenario {
  return post(hang(), {}, {}, { state });
}

const action = parse(readFileSync(join(ACTION_DIR, 'action.yml'), 'utf8')) as { inputs: Record<string, unknown> };
const DAY_MS = 86_400_000;
const doubtUntil = new Date().toISOString();

const scenarios: Scenario[] = [
  // A character that no input takes.
  ...Object.keys(action.inputs).map(
    (name): Scenario =>
      () =>
        main(NOWHERE, { inputs: { [name]: '\u0001' } }),
  ),

  answered(json(401, { error: 'invalid_client' })),
  answered(json(400, { error: 'unsupported_grant_type' })),
  answered(page(403)),
  answered(page(404)),
  answered(page(401)),
  answered(answer(302, '', { location: '/login' })),
  answered(answer(202)),
  answered(page(200)),
  answered(answer(200, 'x')),
  answered(json(200, {})),
  answered(json(200, { error: 'x' })),
  answered(issue({ access_token: 'a b' })),
  answered(issue({ token_type: 'mac' })),
  answered(issue({ access_token: 'x'.repeat(31_000) })),
  answered(issue({ expires_in: 'soon' })),
  answered(json(429, {}, { 'retry-after': '86' })),
  answered(page(503)),
  answered(answer(504), issue()),

  unreachable('unknown-host', { TEST_DNS_ERROR: 'ENOTFOUND' }),
  unreachable('unknown-host', { TEST_DNS_ERROR: 'EAI_AGAIN' }),
  unreachable('unknown-host', {}),
  unreachable('unknown-host', { https_proxy: 'proxy.test:3128' }),
  unreachable('addresses', { TEST_ADDRESSES: '192.0.2.1' }),
  unreachable('addresses', { TEST_ADDRESSES: '192.0.2.1', https_proxy: 'proxy.test:3128' }),
  // Windows takes two seconds to see that a connection is refused.
  () => main(NOWHERE, { inputs: { 'timeout-seconds': '5' } }),
  shaking(() => undefined),
  shaking((socket) => socket.resetAndDestroy()),
  answered(hang()),
  answered(reset()),
  answered(cutShort('{')),
  async () => main(await startTextServer('x')),

  async () => main(await startServer({}, { tls: await makeCertificate() })),
  certified([], { validFrom: new Date(Date.now() - 2 * DAY_MS), validTo: new Date(Date.now() - DAY_MS) }),
  certified([], { validFrom: new Date(Date.now() + DAY_MS) }),
  certified(['elsewhere.test'], { addresses: [] }),
  certified([], { forClients: true }),
  // An alert: handshake_failure.
  shaking((socket) => socket.end(Buffer.from('15030300020228', 'hex'))),
  shaking((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),

  () => main(HIDDEN, { env: { https_proxy: 'socks5://proxy:1080' } }),
  proxied(refusal(407)),
  proxied(refusal(407), 'user:wrong@'),
  proxied(refusal(407, { 'proxy-authenticate': 'NTLM' })),
  proxied(refusal(403)),
  proxied('hang'),
  proxied('close'),

  withoutOutput,
  losing,
  loaded('lost-output', issue()),
  loaded('old-node', issue()),
  loaded('defect', hang()),
  async () => main(await startServer({ token: [issue({ token_type: 'mac' })], revoke: [answer(404)] })),
  async () => main(await startServer(), { debug: true }),

  post(answer(200)),
  post(json(401, { error: 'invalid_client' })),
  post(answer(202)),
  post(hang(), { 'client-secret': 'another' }),
  post(hang(), {}, { 'skip-token-revoke': 'true' }),
  postWith('{}'),
  postWith('{'),
  postWith(JSON.stringify({ doubtUntil })),
  postWith(JSON.stringify({ doubtUntil, isDoubtSaid: true })),
];

/** Signals can't be sent on Windows. */
const ofUnix = { scenario: stopped, pattern: 'The runner told this step to stop: …' };
const isWindows = process.platform === 'win32';

/** How many scenarios run at once. */
const AT_ONCE = 4;

const said: [message: string, heading: string][] = [];

beforeAll(async () => {
  const waiting = isWindows ? scenarios : [ofUnix.scenario, ...scenarios];
  const work = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) said.push(...messagesOf(await next()));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}, 120_000);

test('every message is explained below the heading that its link leads to', () => {
  const unexplained = said.filter(
    ([message, heading]) => !patterns.get(heading)?.some((pattern) => isMeant(pattern, message)),
  );
  expect(said.length).toBeGreaterThan(scenarios.length);
  expect(unexplained).toEqual([]);
});

test('no message is explained that nothing says', () => {
  const explained = [...patterns].flatMap(([heading, texts]) => texts.map((pattern) => ({ heading, pattern })));
  const unsaid = explained.filter(
    ({ heading, pattern }) => !said.some(([message, where]) => where === heading && isMeant(pattern, message)),
  );
  expect(explained.length).toBeGreaterThan(60);
  expect(unsaid.map(({ pattern }) => pattern)).toEqual(isWindows ? [ofUnix.pattern] : []);
});
