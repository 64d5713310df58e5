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
  newJob,
  runMain,
  runPost,
} from './support/job';
import {
  answer,
  empty,
  issue,
  json,
  type ScriptedServer,
  startServer,
  TOKEN,
  tokenBody,
} from './support/scripted-server';

/** The one key that the main step saves. */
const KEY = 'state';
const DAMAGED =
  /^The state that the main step saved (is empty|can't be read), so an access token may be alive .*credentials/;
const ANOTHER_SECRET =
  /until \d{4}-.*not what the main step was given, so nothing was sent.*env.*name the input client-secret in every one/;

interface Saved {
  tokens: string[];
  settings: Record<string, unknown>;
  fingerprint: string;
  expiry?: { at: string; hereMs: number };
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
  test.each<[name: string, inputs: Record<string, string>]>([
    ['no client-secret', { 'client-secret': '' }],
    ['a client-id that can not be seen', { 'client-id': '\u200b' }],
    ['an api-url in the clear', { 'api-url': 'http://host.test' }],
    ['a skip-token-revoke that is no boolean', { 'skip-token-revoke': 'perhaps' }],
    ['a timeout-seconds that is no number', { 'timeout-seconds': '1 s' }],
  ])('also where an input is wrong: %s', async (_name, inputs) => {
    const job = newJob();
    expectRed(await runMain({ url: 'http://127.0.0.1:1' }, { job, inputs }), /^Input /);
    expect(job.state).toEqual({ [KEY]: '{"tokens":[]}' });
  });

  test('under one key, however often', async () => {
    const server = await startServer({ token: [json(503, { access_token: 'stray' }), issue()] });
    const job = newJob();
    expectGreen(await runMain(server, { job, inputs: { 'skip-token-revoke': 'true' } }));
    expect(Object.keys(job.state)).toEqual([KEY]);
  });

  const NOON = 'Tue, 24 Nov 2026 12:00:00 GMT';
  const ONE_O_CLOCK = '2026-11-24T13:00:00.000Z';

  test.each<[name: string, stray: number | undefined, good: number | undefined, at: string | undefined]>([
    ['the later one, where the first token lives longer', 3_600, 60, ONE_O_CLOCK],
    ['the later one, where the second token lives longer', 60, 3_600, ONE_O_CLOCK],
    ['none, where the first answer did not say', undefined, 3_600, undefined],
    ['none, where the second answer did not say', 3_600, undefined, undefined],
  ])('with one expiry for the tokens of all answers: %s', async (_name, stray, good, at) => {
    const bodies = [{ access_token: 'stray', expires_in: stray }, { expires_in: good }].map(tokenBody);
    const [first, second] = bodies.map((body, index) => answer(index === 0 ? 503 : 200, body, { date: NOON }));
    const server = await startServer({
      token: [first, second].filter((one) => one !== undefined),
      revoke: [answer(404)],
    });
    const job = newJob();
    const main = await runMain(server, { job });
    expectGreen(main);
    expect(savedBy(job).tokens).toEqual(['stray', TOKEN]);
    expect(savedBy(job).expiry?.at).toBe(at);
    expect(main.outputs['expires-at']).toBe(
      good === undefined ? '' : new Date(Date.parse(NOON) + good * 1_000).toISOString(),
    );
  });

  test('with all that post needs once a token has come', async () => {
    const server = await startServer();
    const job = newJob();
    await runMain(server, { job });
    expect(savedBy(job)).toEqual({
      tokens: [TOKEN],
      settings: { clientId: CLIENT_ID, apiUrl: server.url, timeoutSeconds: 60 },
      fingerprint: expect.stringMatching(/^[0-9a-f]{6}$/),
      expiry: { at: expect.stringMatching(/^20.*Z$/), hereMs: expect.any(Number) },
    });
  });
});

describe('no later step can give post a state', () => {
  test('where main has failed: nothing is sent, not even to a server that looks right', async () => {
    const [server, thief] = await Promise.all([startServer(), startServer()]);
    const honest = newJob();
    await runMain(thief, { job: honest });
    const job = newJob();
    expectRed(await runMain(server, { job, inputs: { 'client-id': '' } }), /^Input client-id/);

    const settings = JSON.stringify({ clientId: CLIENT_ID, apiUrl: thief.url, timeoutSeconds: 60 });
    const forged = { ...honest.state, settings, tokens: '["forged"]', 'leave-alive': 'true', 'expires-at': '2030' };
    const post = await runForged(server, job, forged);
    expectGreen(post);
    expect(post.log).toEqual(['There is no access token to revoke.']);
    expect(thief.requests).toHaveLength(1);
    expect(server.requests).toEqual([]);
  });

  test('nor talk post out of revoking', async () => {
    const server = await startServer();
    const job = newJob();
    await runMain(server, { job });
    const forged = { 'leave-alive': 'true', leftAlive: 'true', tokens: '[]', [KEY]: '{"tokens":[]}' };
    expectGreen(await runForged(server, job, forged));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('not even where main died before it saved anything, without knowing the client secret', async () => {
    const thief = await startServer();
    const settings = { clientId: CLIENT_ID, apiUrl: thief.url, timeoutSeconds: 60 };
    const forged = { [KEY]: JSON.stringify({ tokens: ['forged'], settings, fingerprint: '000000' }) };
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
    expect(job.state).toEqual({ [KEY]: '{"tokens":[]}' });
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
    expect(job.state).toEqual({ [KEY]: '{"tokens":[]}' });
  });
});

describe('a state that comes back damaged is one warning, and nothing is sent', () => {
  test.each<[name: string, change: (text: string) => string]>([
    ['empty', () => ''],
    ['cut', (text) => text.slice(0, -1)],
    ['without its quotes', (text) => text.replaceAll('"', '')],
    ['with \\= for =', (text) => text.replaceAll('=', '\\=')],
    ['twice', (text) => text + text],
    ['another value', () => 'null'],
    ['without fingerprint', (text) => text.replace('fingerprint', 'footprint')],
    ['with another API in the clear', (text) => text.replace(/"apiUrl":"[^"]+"/, '"apiUrl":"http://thief.test"')],
  ])('%s', async (_name, change) => {
    const server = await startServer();
    const job = await jobWithState(server, change);
    const post = await runPost(server, job, { debug: true });
    expectWarning(post, DAMAGED);
    expectUnseen(post, TOKEN, CLIENT_SECRET);
    expect(server.requests).toHaveLength(1);
  });

  test('and an empty one is told from one that can not be read', async () => {
    const server = await startServer();
    const [empty, cut] = [await jobWithState(server, () => ''), await jobWithState(server, () => '{')];
    expectWarning(await runPost(server, empty), /saved is empty,/);
    expectWarning(await runPost(server, cut), /saved can't be read,/);
  });
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
    expectWarning(post, /name the input client-secret in every one/);
    expect(post.annotations[0]?.message).toContain(main.outputs['expires-at']);
    if (secret !== '') expectUnseen(post, secret);
    expect(server.requests).toHaveLength(1);
  });

  test('nor the same one for another client ID', async () => {
    const server = await startServer();
    const job = await jobWithState(server, (text) => text.replace(CLIENT_ID, 'client-2'));
    expectWarning(await runPost(server, job), /nothing was sent/);
    expect(server.requests).toHaveLength(1);
  });

  test('nor the same one to another API', async () => {
    const [server, thief] = await Promise.all([startServer(), startServer()]);
    const job = await jobWithState(server, (text) => text.replace(server.url, thief.url));
    expect(savedBy(job).settings['apiUrl']).toBe(thief.url);
    expectWarning(await runPost(server, job), ANOTHER_SECRET);
    expect([server.requests.length, thief.requests.length]).toEqual([1, 0]);
  });

  test('but takes another timeout-seconds for no other one', async () => {
    const server = await startServer();
    const job = await jobWithState(server, (text) => text.replace('"timeoutSeconds":60', '"timeoutSeconds":61'));
    expect(savedBy(job).settings['timeoutSeconds']).toBe(61);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('and white space around it makes no other one of it', async () => {
    const server = await startServer();
    const job = newJob();
    await runMain(server, { job, inputs: { 'client-secret': ` ${CLIENT_SECRET}\n` } });
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });
});

describe('what post finds in the state it revokes', () => {
  test('every token of it', async () => {
    const server = await startServer();
    const job = await jobWithState(server, (text) => text.replace('"tokens":[', '"tokens":["another",'));
    expectGreen(await runPost(server, job));
    expect([...server.revoked].sort()).toEqual(['another', TOKEN]);
  });

  test('also next to a token that is left alive', async () => {
    const stray = json(503, { access_token: 'stray', expires_in: 60 });
    const server = await startServer({ token: [stray, issue()], revoke: [answer(404), empty()] });
    const job = newJob();
    expectGreen(await runMain(server, { job, inputs: { 'skip-token-revoke': 'true' } }));
    expect(savedBy(job).tokens).toEqual(['stray']);
    const post = await runPost(server, job);
    expectGreen(post);
    expect(post.log[0]).toMatch(/^The access token is left alive, .* valid until 20/);
    expect(server.revoked).toEqual(['stray']);
  });

  test('and one that has expired by then is no warning', async () => {
    const server = await startServer({ token: [issue({ expires_in: 0.001 })], revoke: [answer(404)] });
    const job = newJob();
    await runMain(server, { job });
    const post = await runPost(server, job);
    expectGreen(post);
    expect(post.log).toEqual([expect.stringMatching(/^The access token expired at 20.*Z\.$/)]);
  });

  test.each<[name: string, expiresIn: number, aheadMs: number]>([
    ['the Dashboard', 0.001, 3_600_000],
    ['this machine', 60, -3_600_000],
  ])('and one that has not expired by the clock of %s is a warning', async (_name, expiresIn, aheadMs) => {
    const date = new Date(Date.now() + aheadMs).toUTCString();
    const server = await startServer({
      token: [answer(200, tokenBody({ expires_in: expiresIn }), { date })],
      revoke: [answer(404)],
    });
    const job = newJob();
    const main = await runMain(server, { job });
    expectWarning(await runPost(server, job), `stays valid until ${main.outputs['expires-at']}: there is nothing at`);
  });

  test('as the files hold it, one write after the other', async () => {
    const server = await startServer();
    const job = newJob();
    await runMain(server, { job });
    const text = readFileSync(join(job.tempDir, '0', 'state'), 'utf8');
    expect(text.match(/^state<</gm)).toHaveLength(2);
    expect(parseFileCommands(text)).toEqual(job.state);
  });
});
