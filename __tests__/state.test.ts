import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type Job, parseFileCommands } from '../mock/runner.mts';
import { fingerprintOf } from '../src/runner/inputs';
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
  hang,
  issue,
  json,
  reset,
  type ScriptedServer,
  startServer,
  TOKEN,
  tokenBody,
} from './support/scripted-server';

/** The one key that the main step saves. */
const KEY = 'state';
const NOTHING = 'There is no access token to revoke.';
const ANOTHER_SECRET =
  /until \d{4}-.*not what the main step was given, so nothing was sent.*env.*client-secret in every one around it\.$/;

/** What the main step saves of where it asked for a token. */
function originOf({ url }: { url: string }) {
  const settings = { clientId: CLIENT_ID, apiUrl: url, timeoutSeconds: 60 };
  return { ...settings, proxyUrl: null, fingerprint: fingerprintOf(settings, CLIENT_SECRET) };
}

/** Runs post as after a step that writes to GITHUB_ENV: what main has saved counts more (actions/runner). */
function runForged(server: ScriptedServer, job: Job, forged: Record<string, string>) {
  const left = Object.entries(forged).filter(([key]) => !(key in job.state));
  return runPost(server, job, { env: Object.fromEntries(left.map(([key, value]) => [`STATE_${key}`, value])) });
}

test('the main step saves one value, one write after the other, the first before anything is asked for', async () => {
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
  const { outputs } = await runMain(server, { job });
  expect(before.match(/^state<</gm)).toHaveLength(1);
  expect(Object.keys(JSON.parse(parseFileCommands(before)[KEY] ?? ''))).toEqual(['doubtUntil']);
  expect(stateFile().startsWith(before)).toBe(true);
  expect(Object.keys(job.state)).toEqual([KEY]);
  const all = { token: TOKEN, origin: originOf(server), expiresAt: outputs['expires-at'] };
  expect(JSON.parse(job.state[KEY] ?? '')).toEqual(all);
});

describe('where a token may have been issued that nobody knows', () => {
  const UNTIL = /An access token that nobody knows may have been issued; it is valid until about \d{4}-.*Z\.$/;
  const SAID =
    /The answer to a request did not arrive in full, so an access token that nobody knows may have been issued; .* up to a day\.$/;

  test('main was killed while it asked: post warns, since nobody has said so', async () => {
    const server = await startServer({ token: [hang()] });
    const job = newJob();
    const { child, done } = job.start('main', { inputs: inputsFor(server) });
    await server.received(1);
    child.kill('SIGKILL');
    await done;
    const post = await runPost(server, job);
    expectWarning(post, /^The main step was killed while it requested an access token\. An access token that nobody/);
    expectWarning(post, UNTIL);
    const until = /until about (\S+Z)\./.exec(post.annotations[0]?.message ?? '')?.[1];
    expect(Date.parse(until ?? '') / 60_000).toBeCloseTo(Date.now() / 60_000 + 24 * 60, 0);
    expect(server.requests).toHaveLength(1);
  });

  test('main is red and says so, and post has a line', async () => {
    const { main, post } = await runSteps(await startServer({ token: [reset(), json(401, {})] }));
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
    expect(post.log[0]).toMatch(UNTIL);
    expect(server.revoked).toEqual([TOKEN]);
  });
});

describe('no later step can give post a state', () => {
  test('where main has failed: nothing is sent, not even to a server that looks right', async () => {
    const [server, thief] = await Promise.all([startServer(), startServer()]);
    const job = newJob();
    expectRed(await runMain(server, { job, inputs: { 'client-id': '' } }), /^Input client-id/);
    expect(job.state).toEqual({ [KEY]: '{}' });

    const origin = originOf(thief);
    const state = JSON.stringify({ token: 'forged', origin });
    const forged = { [KEY]: state, origin: JSON.stringify(origin), token: 'forged', tokens: '["x"]' };
    const post = await runForged(server, job, forged);
    expectGreen(post);
    expect(post.log).toEqual([NOTHING]);
    expect([server.requests, thief.requests]).toEqual([[], []]);
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
    const origin = { ...originOf(thief), fingerprint: '000000' };
    const forged = { [KEY]: JSON.stringify({ token: 'forged', origin, expiresAt: '2030-01-01T00:00:00.000Z' }) };
    expectWarning(await runForged(thief, newJob(), forged), /nothing was sent/);
    expect(thief.requests).toEqual([]);
  });
});

test('the client secret gets into no file where it is given as the client ID, and that as the secret', async () => {
  const server = await startServer({ token: [json(401, { error: 'invalid_client' })] });
  const job = newJob();
  const inputs = { 'client-id': CLIENT_SECRET, 'client-secret': CLIENT_ID };
  expectRed(await runMain(server, { job, inputs }), /did not accept the credentials/);
  expect(filesOf(job)).not.toContain(JSON.stringify(CLIENT_SECRET).slice(1, -1));
  expect(job.state).toEqual({ [KEY]: '{}' });
});

describe('a state that comes back damaged', () => {
  const expiresAt = '2030-01-01T00:00:00.000Z';
  const stateFor = (server: ScriptedServer) => ({ token: TOKEN, origin: originOf(server), expiresAt });

  test.each<[name: string, change: (text: string) => string, says: RegExp]>([
    ['empty', () => '', /saved is empty, so an access token may be alive for .* delete its credentials/],
    ['cut', (text) => text.slice(0, -1), /saved can't be read, so an access token may be alive for .* credentials/],
  ])('is one warning, and nothing is sent: %s', async (_name, change, says) => {
    const server = await startServer();
    const job = newJob();
    Object.assign(job.state, { [KEY]: change(JSON.stringify(stateFor(server))) });
    const post = await runPost(server, job, { debug: true });
    expectWarning(post, new RegExp(`^The state that the main step ${says.source}`));
    expectUnseen(post, TOKEN, CLIENT_SECRET);
    expect(server.requests).toEqual([]);
  });
});

test('post sends the client secret only where, and for whom, main had the same one', async () => {
  const [server, thief] = await Promise.all([startServer(), startServer()]);
  const job = newJob();
  const main = await runMain(server, { job, inputs: { 'client-secret': ` ${CLIENT_SECRET}\n` } });
  const { [KEY]: saved = '' } = job.state;
  const other = 'the-secret-of\nsomething-else';
  const wrong: [name: string, state: string, secret: string][] = [
    ['an env has changed, or a composite action around it has its own', saved, other],
    ['the same secret for another client ID', saved.replace(`"${CLIENT_ID}"`, '"client-2"'), CLIENT_SECRET],
    ['the same secret to another API', saved.replace(server.url, thief.url), CLIENT_SECRET],
  ];
  for (const [name, state, secret] of wrong) {
    Object.assign(job.state, { [KEY]: state });
    const post = await runPost(server, job, { inputs: { 'client-secret': secret } });
    expectWarning(post, ANOTHER_SECRET);
    expect([name, post.annotations[0]?.message]).toEqual([
      name,
      expect.stringContaining(main.outputs['expires-at'] ?? ''),
    ]);
    expectUnseen(post, secret);
  }
  expect([server.requests.length, thief.requests.length]).toEqual([1, 0]);

  // Neither another time nor white space makes another one of it.
  Object.assign(job.state, { [KEY]: saved.replace('"timeoutSeconds":60', '"timeoutSeconds":61') });
  expect(job.state[KEY]).not.toBe(saved);
  expectGreen(await runPost(server, job));
  expect(server.revoked).toEqual([TOKEN]);
});

test('a token that has expired by the clock of this machine is said to have, unless it is revoked all the same', async () => {
  const date = new Date(Date.now() - 2_000).toUTCString();
  const token = [answer(200, tokenBody({ expires_in: 0.001 }), { date })];
  const server = await startServer({ token, revoke: [answer(404), answer(200)] });
  const job = newJob();
  const { outputs } = await runMain(server, { job });
  expectWarning(
    await runPost(server, job),
    `could not be revoked and stays valid until ${outputs['expires-at']}\\. There is nothing at .* it has expired\\.$`,
  );
  expectGreen(await runPost(server, job));
  expect(server.revoked).toEqual([TOKEN]);
});
