import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type Job, parseFileCommands, type StepResult } from '../mock/runner.mts';
import {
  CLIENT_ID,
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  filesOf,
  inputsFor,
  newJob,
  runMain,
  runPost,
  runSteps,
} from './support/job';
import {
  answer,
  type Behaviour,
  cutShort,
  hang,
  issue,
  json,
  page,
  reset,
  type ScriptedServer,
  startServer,
  TOKEN,
  tokenBody,
} from './support/scripted-server';

/** The one key that the main step saves. */
const KEY = 'state';
const NOTHING = 'There is no access token to revoke.';
const DAMAGED =
  /^The state that the main step saved (is empty|can't be read), so an access token may be alive .*credentials/;
const ANOTHER_SECRET =
  /until \d{4}-.*not what the main step was given, so nothing was sent.*env.*name the input client-secret in every one/;

interface Saved {
  token: string;
  origin: Record<string, unknown>;
  expiresAt?: string;
}

function savedBy(job: Job): Saved {
  return JSON.parse(job.state[KEY] ?? '') as Saved;
}

/** Runs post as after a step that writes to GITHUB_ENV: what main has saved counts more (actions/runner). */
function runForged(server: ScriptedServer, job: Job, forged: Record<string, string>): Promise<StepResult> {
  const left = Object.entries(forged).filter(([key]) => !(key in job.state));
  return runPost(server, job, { env: Object.fromEntries(left.map(([key, value]) => [`STATE_${key}`, value])) });
}

/** A job whose main step went well, with the state as it then comes back. */
async function jobWithState(server: ScriptedServer, change: (text: string, job: Job) => string): Promise<Job> {
  const job = newJob();
  expectGreen(await runMain(server, { job }));
  Object.assign(job.state, { [KEY]: change(job.state[KEY] ?? '', job) });
  return job;
}

describe('the main step saves one value, before anything else', () => {
  const SKIP = { 'skip-token-revoke': 'true' };
  const fingerprint = expect.stringMatching(/^[0-9a-f]{6}$/);
  const ORIGIN = { clientId: CLIENT_ID, apiUrl: 'URL', timeoutSeconds: 60, proxyUrl: null, fingerprint };

  test.each<[name: string, inputs: Record<string, string>]>([
    ['no client-secret', { 'client-secret': '' }],
    ['a client-id that can not be seen', { 'client-id': '\u200b' }],
    ['an api-url in the clear', { 'api-url': 'http://host.test' }],
    ['a skip-token-revoke that is no boolean', { 'skip-token-revoke': 'perhaps' }],
    ['a timeout-seconds that is no number', { 'timeout-seconds': '1 s' }],
  ])('also where an input is wrong: %s', async (_name, inputs) => {
    const job = newJob();
    expectRed(await runMain({ url: 'http://127.0.0.1:1' }, { job, inputs }), /^Input /);
    expect(job.state).toEqual({ [KEY]: '{}' });
  });

  test.each<[name: string, inputs: Record<string, string>, behaviour: Behaviour, state: object]>([
    ['no token, where the credentials are refused', {}, json(401, {}), {}],
    ['no token, where it is revoked', {}, issue({ token_type: 'mac' }), {}],
    ['that the token is left alive', SKIP, issue(), { isLeftAlive: true, expiresAt: 'TIME' }],
    ['all that post needs once a token has come', {}, issue(), { token: TOKEN, origin: ORIGIN, expiresAt: 'TIME' }],
  ])('under one key: %s', async (_name, inputs, behaviour, state) => {
    const server = await startServer({ token: [behaviour] });
    const job = newJob();
    await runMain(server, { job, inputs });
    expect(Object.keys(job.state)).toEqual([KEY]);
    const text = job.state[KEY]?.replace(server.url, 'URL').replace(/"20[^"]+Z"/, '"TIME"');
    expect(JSON.parse(text ?? '')).toEqual(state);
  });

  test('as the file holds it, one write after the other, the first before anything is asked for', async () => {
    const job = newJob();
    let before = '';
    const stateFile = () => readFileSync(join(job.tempDir, '0', 'state'), 'utf8');
    const server = await startServer({
      token: [
        (...request) => {
          before = stateFile();
          issue()(...request);
        },
      ],
    });
    await runMain(server, { job });
    expect(before.match(/^state<</gm)).toHaveLength(1);
    expect(Object.keys(JSON.parse(parseFileCommands(before)[KEY] ?? ''))).toEqual(['doubtUntil']);
    expect(stateFile().startsWith(before)).toBe(true);
    expect(parseFileCommands(stateFile())).toEqual(job.state);
  });
});

describe('where a token may have been issued that nobody knows', () => {
  const UNTIL = 'An access token that nobody knows may have been issued; it is valid until about \\d{4}-.*Z\\.$';
  const SAID =
    /The answer to a request did not arrive in full, so an access token that nobody knows may have been issued; .* up to a day\.$/;
  const second = { 'timeout-seconds': '1' };

  test('main was killed while it asked: post warns, since nobody has said so', async () => {
    const server = await startServer({ token: [hang()] });
    const job = newJob();
    const { child, done } = job.start('main', { inputs: inputsFor(server) });
    await server.received(1);
    child.kill('SIGKILL');
    await done;
    const post = await runPost(server, job);
    expectWarning(post, `^The main step was killed while it requested an access token\\. ${UNTIL}`);
    const until = /until about (\S+Z)\./.exec(post.annotations[0]?.message ?? '')?.[1];
    expect(Date.parse(until ?? '') / 60_000).toBeCloseTo(Date.now() / 60_000 + 24 * 60, 0);
    expect(server.requests).toHaveLength(1);
  });

  test.each<[name: string, behaviours: Behaviour[]]>([
    ['no answer came in time', [hang()]],
    ['the connection was cut', [reset()]],
    ['the answer was cut', [cutShort('{"access_token": "half')]],
    ['a gateway gave up waiting', [page(504)]],
    ['what came is no HTTP', [(response) => void response.socket?.end('SSH-2.0-x\r\n\r\n')]],
    ['one of two attempts got no answer', [reset(), json(401, {})]],
  ])('main is red and says so, and post has a line: %s', async (_name, token) => {
    const { main, post } = await runSteps(await startServer({ token }), { inputs: second });
    expectRed(main, SAID);
    expectGreen(post);
    expect(post.log).toEqual([expect.stringMatching(UNTIL), NOTHING]);
  });

  test('main is green with the token of a later attempt, and says so; and post, too', async () => {
    const server = await startServer({ token: [reset(), issue()] });
    const { main, post } = await runSteps(server);
    expectGreen(main);
    expect(main.log.at(-2)).toMatch(SAID);
    expectGreen(post);
    expect(post.log[0]).toMatch(new RegExp(UNTIL));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test.each<[name: string, behaviour: Behaviour]>([
    ['401', json(401, { error: 'invalid_client' })],
    ['403', page(403)],
    ['503', page(503)],
    ['a page', page(200)],
    ['a token that is revoked', issue({ token_type: 'mac' })],
  ])('but no answer raises a doubt: %s', async (_name, behaviour) => {
    const { main, post } = await runSteps(await startServer({ token: [behaviour] }), { inputs: second });
    expectRed(main, /./);
    expect(main.raw).not.toMatch(/may have been issued/);
    expectGreen(post);
    expect(post.log).toEqual([NOTHING]);
  });

  test('nor does a connection that never came about', async () => {
    const { main, post } = await runSteps({ url: 'http://127.0.0.1:1' }, { inputs: second });
    expectRed(main, /^No answer from/);
    expect(main.raw).not.toMatch(/may have been issued/);
    expect(post.log).toEqual([NOTHING]);
  });
});

describe('no later step can give post a state', () => {
  test('where main has failed: nothing is sent, not even to a server that looks right', async () => {
    const [server, thief] = await Promise.all([startServer(), startServer()]);
    const honest = newJob();
    await runMain(thief, { job: honest });
    const job = newJob();
    expectRed(await runMain(server, { job, inputs: { 'client-id': '' } }), /^Input client-id/);

    const forged = {
      ...honest.state,
      origin: JSON.stringify(savedBy(honest).origin),
      token: 'forged',
      tokens: '["x"]',
    };
    const post = await runForged(server, job, forged);
    expectGreen(post);
    expect(post.log).toEqual([NOTHING]);
    expect(thief.requests).toHaveLength(1);
    expect(server.requests).toEqual([]);
  });

  test('nor talk post out of revoking', async () => {
    const server = await startServer();
    const job = newJob();
    await runMain(server, { job });
    const forged = { isLeftAlive: 'true', leftAlive: 'true', token: '', [KEY]: '{}' };
    expectGreen(await runForged(server, job, forged));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('not even where main died before it saved anything, without knowing the client secret', async () => {
    const thief = await startServer();
    const settings = { clientId: CLIENT_ID, apiUrl: thief.url, timeoutSeconds: 60 };
    const origin = { ...settings, proxyUrl: null, fingerprint: '000000' };
    const forged = { [KEY]: JSON.stringify({ token: 'forged', origin, expiresAt: '2030-01-01T00:00:00.000Z' }) };
    expectWarning(await runForged(thief, newJob(), forged), /nothing was sent/);
    expect(thief.requests).toEqual([]);
  });
});

describe('the client secret gets into no file', () => {
  test('with client-id and client-secret swapped', async () => {
    const server = await startServer({ token: [json(401, { error: 'invalid_client' })] });
    const job = newJob();
    const inputs = { 'client-id': CLIENT_SECRET, 'client-secret': CLIENT_ID };
    expectRed(await runMain(server, { job, inputs }), /did not accept the credentials/);
    expect(filesOf(job)).not.toContain(JSON.stringify(CLIENT_SECRET).slice(1, -1));
    expect(job.state).toEqual({ [KEY]: '{}' });
  });

  test('with a client-id that equals the secret, which is refused', async () => {
    const server = await startServer();
    const job = newJob();
    const inputs = { 'client-id': 'twice-the-same', 'client-secret': 'twice-the-same' };
    expectRed(await runMain(server, { job, inputs }), /^Input client-id is the same as client-secret/);
    expect(filesOf(job)).not.toContain('twice-the-same');
    expect(server.requests).toEqual([]);
  });

  test('with a token in the answer that is the secret', async () => {
    const server = await startServer({ token: [issue({ access_token: CLIENT_SECRET })] });
    const job = newJob();
    expectRed(await runMain(server, { job }), /holds the client secret/);
    expect(job.state).toEqual({ [KEY]: '{}' });
  });
});

describe('a state that comes back damaged is one warning, and nothing is sent', () => {
  test.each<[name: string, change: (text: string) => string, says?: RegExp]>([
    ['empty', () => '', /saved is empty,/],
    ['cut', (text) => text.slice(0, -1), /saved can't be read,/],
    ['without its quotes', (text) => text.replaceAll('"', '')],
    ['with \\= for =', (text) => text.replaceAll('=', '\\=')],
    ['twice', (text) => text + text],
    ['null', () => 'null'],
    ['a list', (text) => `[${text}]`],
    ['a number', () => '5'],
    ['without fingerprint', (text) => text.replace('fingerprint', 'footprint')],
    ['without an origin', (text) => text.replace('origin', 'place')],
    ['with another API in the clear', (text) => text.replace(/"apiUrl":"[^"]+"/, '"apiUrl":"http://thief.test"')],
    ['with a flag that is none', (text) => text.replace('{', '{"isLeftAlive":"x",')],
    ['with a time that is none', (text) => text.replace('{', '{"doubtUntil":"soon","isDoubtSaid":true,')],
    ['with a proxy that is none', (text) => text.replace('"proxyUrl":null', '"proxyUrl":"http://u:p@thief.test:1"')],
  ])('%s', async (_name, change, says = /./) => {
    const server = await startServer();
    const job = await jobWithState(server, change);
    const post = await runPost(server, job, { debug: true });
    expectWarning(post, DAMAGED);
    expectWarning(post, says);
    expectUnseen(post, TOKEN, CLIENT_SECRET);
    expect(server.requests).toHaveLength(1);
  });

  /** Each value of the state, replaced or left out. */
  function damage(value: Record<string, unknown>): Record<string, unknown>[] {
    return Object.keys(value).flatMap((key) => {
      const { [key]: old, ...rest } = value;
      const others = [null, 5, 'x'].map((other) => ({ ...value, [key]: other }));
      const inside = typeof old === 'object' && old !== null ? damage(old as Record<string, unknown>) : [];
      return [rest, ...others, ...inside.map((part) => ({ ...value, [key]: part }))];
    });
  }

  test('whichever value is another one, or missing: one warning, or none, and no defect', async () => {
    const server = await startServer();
    const sound = await jobWithState(server, String);
    const thief = await startServer();
    const states = damage({ ...savedBy(sound), doubtUntil: '2030-01-01T00:00:00.000Z', isDoubtSaid: true }).map(
      (state) => JSON.stringify(state),
    );
    expect(states.length).toBeGreaterThan(35);
    const work = async () => {
      for (let state = states.pop(); state !== undefined; state = states.pop()) {
        const job = newJob();
        Object.assign(job.state, { [KEY]: state });
        const post = await runPost(thief, job);
        expect([state, post.exitCode, post.stderr, post.annotations.length < 2]).toEqual([state, 0, '', true]);
        expect(post.raw).not.toMatch(/bug in the action|TypeError|RangeError|undefined/);
        expectUnseen(post, CLIENT_SECRET);
      }
    };
    await Promise.all([work(), work(), work()]);
    expect(thief.requests).toEqual([]);
  }, 60_000);
});

describe('post sends no other client secret than the one that main had', () => {
  test.each<[name: string, secret: string]>([
    ['another one: an env has changed, or a composite action around it has its own', 'the-secret-of-something-else'],
    ['none: the names differ in nested composite actions', ''],
    ['one that can not even be a secret', 'a\nb'],
  ])('%s', async (_name, secret) => {
    const server = await startServer();
    const job = newJob();
    const main = await runMain(server, { job });
    const post = await runPost(server, job, { inputs: { 'client-secret': secret } });
    expectWarning(post, ANOTHER_SECRET);
    expect(post.annotations[0]?.message).toContain(main.outputs['expires-at']);
    if (secret !== '') expectUnseen(post, secret);
    expect(server.requests).toHaveLength(1);
  });

  test.each<[name: string, part: (server: ScriptedServer) => string, other: (thief: ScriptedServer) => string]>([
    ['for another client ID', () => `"clientId":"${CLIENT_ID}"`, () => '"clientId":"client-2"'],
    ['to another API', ({ url }) => url, ({ url }) => url],
  ])('nor the same one %s', async (_name, part, other) => {
    const [server, thief] = await Promise.all([startServer(), startServer()]);
    const job = await jobWithState(server, (text) => text.replace(part(server), other(thief)));
    expect(job.state[KEY]).toContain(other(thief));
    expectWarning(await runPost(server, job), ANOTHER_SECRET);
    expect([server.requests.length, thief.requests.length]).toEqual([1, 0]);
  });

  test('but neither another timeout-seconds nor white space around it makes another one of it', async () => {
    const server = await startServer();
    const job = newJob();
    await runMain(server, { job, inputs: { 'client-secret': ` ${CLIENT_SECRET}\n` } });
    Object.assign(job.state, { [KEY]: job.state[KEY]?.replace('"timeoutSeconds":60', '"timeoutSeconds":61') });
    expect(savedBy(job).origin['timeoutSeconds']).toBe(61);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });
});

describe('a token that could not be revoked is a warning, also where it has expired by the clock of this machine', () => {
  test.each<[name: string, expiresIn: number, aheadMs: number, isOver: boolean]>([
    ['by both clocks', 0.001, 0, true],
    ['by this clock, and not by that of the Dashboard', 60, -3_600_000, true],
    ['by that of the Dashboard, and not by this clock', 0.001, 3_600_000, false],
  ])('%s', async (_name, expiresIn, aheadMs, isOver) => {
    const date = new Date(Date.now() + aheadMs - 2_000).toUTCString();
    const token = [answer(200, tokenBody({ expires_in: expiresIn }), { date })];
    const server = await startServer({ token, revoke: [answer(404)] });
    const { main, post } = await runSteps(server);
    expectWarning(
      post,
      `could not be revoked and stays valid until ${main.outputs['expires-at']}: there is nothing at`,
    );
    const message = post.annotations[0]?.message ?? '';
    expect(message.endsWith(' By the clock of this machine it has expired.')).toBe(isOver);
  });

  test('and one that is revoked is none', async () => {
    const server = await startServer({ token: [issue({ expires_in: 0.001 })] });
    expectGreen((await runSteps(server)).post);
    expect(server.revoked).toEqual([TOKEN]);
  });
});
