import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { ACTION_DIR, type StepResult } from '../mock/runner.mts';
import type { Stage } from '../src/dashboard/connection';
import { explain } from '../src/dashboard/explain';
import { parseProxy } from '../src/dashboard/proxy';
import { errorOf } from '../src/shared/errors';
import { inputsFor, newJob, preload, type RunOptions, runMain, runPost } from './support/job';
import { slugOf } from './support/markdown';
import { contextWith, responseOf } from './support/response';
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

const LINES = 'lines-in-the-log';
/** With these, an annotation has a link. */
const FROM_GITHUB = {
  GITHUB_SERVER_URL: 'https://github.com',
  GITHUB_ACTION_REPOSITORY: 'owner/name',
  GITHUB_ACTION_REF: 'v1',
};
const NOWHERE = { url: 'https://dashboard.invalid' };

const PAGE = 'https://github.com/owner/name/blob/v1/docs/troubleshooting.md';

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
  const links = log.filter((line) => line.startsWith(`What this means: ${PAGE}#`));
  const lines = log.filter((line) => !/^(?:Error|Warning): /.test(line));
  return [
    ...annotations.map(({ message }, index): [string, string] => [message, links[index]?.split('#')[1] ?? 'no link']),
    ...lines.map((line): [string, string] => [line, LINES]),
  ];
}

type Scenario = () => Promise<StepResult | StepResult[]>;

async function main(server: { url: string }, { env, nodeArgs = [], ...options }: RunOptions = {}): Promise<StepResult> {
  return runMain(server, {
    inputs: { 'timeout-seconds': '5' },
    nodeArgs: [...preload('no-jitter', 'fast-time'), ...nodeArgs],
    env: { ...FROM_GITHUB, ...env },
    ...options,
  });
}

/** Main with these answers to its requests for a token. */
function answered(...token: Behaviour[]): Scenario {
  return async () => main(await startServer({ token }));
}

function loaded(name: string, behaviour: Behaviour): Scenario {
  return async () => main(await startServer({ token: [behaviour] }), { nodeArgs: preload(name) });
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

/** Post, again and again, of one job, with these answers, another secret, and other states. */
async function posts(): Promise<StepResult[]> {
  const server = await startServer({ revoke: [answer(200), json(401, { error: 'invalid_client' }), answer(202)] });
  const job = newJob();
  await main(server, { job });
  const post = (inputs = {}) => runPost(server, job, { inputs, env: FROM_GITHUB });
  const steps = [await post(), await post(), await post(), await post({ 'client-secret': 'another' })];
  const doubtUntil = new Date().toISOString();
  const states = [{}, { isLeftAlive: true }, { doubtUntil }, { doubtUntil, isDoubtSaid: true }];
  for (const state of ['{', ...states.map((state) => JSON.stringify(state))]) {
    Object.assign(job.state, { state });
    steps.push(await post());
  }
  return steps;
}

const action = parse(readFileSync(join(ACTION_DIR, 'action.yml'), 'utf8')) as { inputs: Record<string, unknown> };

const scenarios: Scenario[] = [
  // A character that no input takes.
  ...Object.keys(action.inputs).map((name) => () => main(NOWHERE, { inputs: { [name]: '\u0001' } })),

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
  answered(issue({ token_type: 'mac' })),
  answered(issue({ access_token: 'x'.repeat(31_000) })),
  answered(issue({ expires_in: 'soon' })),
  answered(json(429, {}, { 'retry-after': '86' })),
  answered(page(503)),
  answered(answer(504), issue()),

  answered(reset()),
  answered(cutShort('{')),
  () => main(NOWHERE, { nodeArgs: preload('unknown-host') }),
  () => main(NOWHERE, { env: { https_proxy: 'socks5://proxy:1080' } }),

  withoutOutput,
  losing,
  loaded('lost-output', issue()),
  // It asks for nothing.
  loaded('old-node', hang()),
  loaded('defect', hang()),
  async () => main(await startServer({ token: [issue({ token_type: 'mac' })], revoke: [answer(404)] })),
  async () => main(await startServer(), { debug: true }),

  posts,
];

/** Signals can't be sent on Windows. */
const ofUnix = { scenario: stopped, pattern: 'The runner told this step to stop: …' };
const isWindows = process.platform === 'win32';

/** How many scenarios run at once. */
const AT_ONCE = 4;

/** The messages that network.test.ts, proxies.test.ts and retries.test.ts provoke on the bundle, less their links. */
function failed(stage: Stage, cause?: unknown, proxy = '', answer = {}): [message: string, heading: string] {
  const problem = cause === undefined ? { stage, timeoutMs: 1_000 } : { stage, cause };
  const context = contextWith({ proxy: parseProxy(proxy) });
  const { message, help } = errorOf(explain(responseOf({ status: 0, problem, ...answer }), context));
  return [message, help];
}

function coded(code: string, more = {}): Error {
  return Object.assign(new Error('x'), { code, ...more });
}

function tunnelRefused(status: number, userInfo = '', headers = {}): [message: string, heading: string] {
  return failed('proxy answer', new Error('refused'), `${userInfo}proxy.test:3128`, { status, headers });
}

const [refused] = [...getSystemErrorMap()].find(([, [name]]) => name === 'ECONNREFUSED') ?? [];
const CERTIFICATES = ['DEPTH_ZERO_SELF_SIGNED_CERT', 'CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'INVALID_PURPOSE'];

const said: [message: string, heading: string][] = [
  failed('lookup', coded('ENOTFOUND')),
  failed('lookup', coded('EAI_AGAIN', { syscall: 'getaddrinfo' })),
  failed('connection'),
  failed('connection', coded('ECONNREFUSED', { errno: refused })),
  failed('handshake'),
  failed('handshake', coded('ECONNRESET')),
  failed('handshake', coded('ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE')),
  failed('handshake', coded('ERR_SSL_WRONG_VERSION_NUMBER')),
  failed('answer'),
  failed('answer', coded('HPE_INVALID_CONSTANT')),
  ...[...CERTIFICATES, 'ERR_TLS_CERT_ALTNAME_INVALID'].map((code) => failed('handshake', coded(code))),
  tunnelRefused(407),
  tunnelRefused(407, 'user:wrong@'),
  tunnelRefused(407, '', { 'proxy-authenticate': 'NTLM' }),
  tunnelRefused(403),
  ...[undefined, coded('ECONNRESET')].map((cause) => failed('proxy answer', cause, 'proxy.test')),
];

beforeAll(async () => {
  const waiting = isWindows ? scenarios : [ofUnix.scenario, ...scenarios];
  const work = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      said.push(...[await next()].flat().flatMap(messagesOf));
    }
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
