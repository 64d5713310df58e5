import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { EOL, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { parseFileCommands } from '../mock/runner.mts';
import { mainStep } from '../src/main-step';
import { postStep } from '../src/post-step';
import { fingerprintOf } from '../src/runner/inputs';
import { load, type State, save } from '../src/runner/state';
import type { Cancellation } from '../src/shared/types';
import { type Behaviour, type ScriptedServer, startServer } from './support/scripted-server';

// The steps in this process, so that a test can look at what is saved at each moment, and break it.

const SECRET = 'the-secret';
const DAY_MS = 86_400_000;

let folder: string;
let server: ScriptedServer;
let queues: Record<'token' | 'revoke', Behaviour[]>;
let printed: string;

beforeEach(async () => {
  queues = { token: [], revoke: [] };
  const next = (kind: 'token' | 'revoke'): Behaviour[] => [(...exchange) => queues[kind].shift()?.(...exchange)];
  server = await startServer({ token: next('token'), revoke: next('revoke') });
  folder = mkdtempSync(join(tmpdir(), 'steps-'));
  for (const name of ['STATE', 'OUTPUT']) {
    process.env[`GITHUB_${name}`] = join(folder, name);
    writeFileSync(join(folder, name), '');
  }
  setInputs({ 'client-id': 'id', 'client-secret': SECRET, 'timeout-seconds': '60', 'api-url': server.url });
  printed = '';
  jest.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    printed += String(chunk);
    return true;
  });
  jest.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(() => {
  jest.restoreAllMocks();
  rmSync(folder, { recursive: true, maxRetries: 5 });
  for (const name of Object.keys(process.env)) if (/^(INPUT|STATE|GITHUB)_/.test(name)) delete process.env[name];
});

function setInputs(inputs: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(inputs)) process.env[`INPUT_${name.toUpperCase()}`] = value;
}

const stateFile = (): State =>
  JSON.parse(parseFileCommands(readFileSync(join(folder, 'STATE'), 'utf8'))['state'] ?? 'null');
const outputFile = () => parseFileCommands(readFileSync(join(folder, 'OUTPUT'), 'utf8'));
const handOver = (state: unknown) => {
  process.env['STATE_state'] = typeof state === 'string' ? state : JSON.stringify(state);
};

/** What main saves of where it has asked: where nothing is to be asked, unless told otherwise. */
function originOf(apiUrl = 'https://host.test') {
  const settings = { clientId: 'id', apiUrl, timeoutSeconds: 60 };
  return { ...settings, proxyUrl: null, fingerprint: fingerprintOf(settings, SECRET) };
}

/** What the server answers next, and what the test looks at, or breaks, at that moment. */
function answers(kind: 'token' | 'revoke', status: number, body: object | '' = '', meanwhile = () => {}): void {
  queues[kind].push((response) => {
    meanwhile();
    response.writeHead(status).end(body && JSON.stringify(body));
  });
}

/** A process that goes on, unless it finds a signal when it looks for one. */
function newRun(onLook = () => {}): Cancellation {
  const stop = new AbortController();
  return {
    stop: stop.signal,
    over: () => Number(process.hrtime.bigint()) / 1e6 + 6_000,
    throwIfCancelled: async () => {
      onLook();
      stop.signal.throwIfAborted();
    },
  };
}

const main = (run = newRun()) => mainStep(run).catch((error: Error) => error.message);
const post = () => postStep(newRun()).catch((error: Error) => error.message);

describe('the main step', () => {
  test('saves before it asks, masks and saves the token before it looks for a signal, and then hands it out', async () => {
    answers('token', 200, { access_token: 'tok-1', expires_in: 60 }, () => {
      expect(Object.keys(stateFile())).toEqual(['doubtUntil']);
      expect(Date.parse(stateFile().doubtUntil ?? '') - Date.now()).toBeGreaterThan(DAY_MS - 60_000);
      expect(printed).toContain(`::add-mask::${SECRET}${EOL}Requesting an access token from ${server.url}.${EOL}`);
    });
    const look = jest.fn(() => {
      expect(stateFile()).toEqual({
        token: 'tok-1',
        origin: originOf(server.url),
        expiresAt: expect.stringMatching(/^20.*Z$/),
      });
      expect(printed.endsWith(`::add-mask::tok-1${EOL}`)).toBe(true);
      expect(outputFile()).toEqual({});
    });
    expect(await main(newRun(look))).toMatch(/masked in the log\. It will be revoked when this job ends\.$/);
    expect(look).toHaveBeenCalledTimes(1);
    const { expiresAt } = stateFile();
    expect(outputFile()).toEqual({ token: 'tok-1', 'expires-at': expiresAt });
    expect(printed).toContain(`${server.url} issued an access token, valid until ${expiresAt}.${EOL}`);
  });

  test('keeps no token for post that is to stay alive, and says so where another one may have been issued', async () => {
    setInputs({ 'skip-token-revoke': 'true' });
    answers('token', 504);
    answers('token', 200, { access_token: 'tok-2' });
    expect(await main()).toMatch(/skip-token-revoke is true\.$/);
    expect(outputFile()).toEqual({ token: 'tok-2', 'expires-at': '' });
    expect(stateFile()).toEqual({ isLeftAlive: true, doubtUntil: expect.any(String), isDoubtSaid: true });
    expect(printed).toMatch(
      /issued an access token, but did not say how long.*\.\r?\n.* nobody knows may have been issued/,
    );
  });

  test('says where it ends red that a token may have been issued, and saves that it has', async () => {
    answers('token', 502);
    answers('token', 401, { error: 'invalid_client' });
    expect(await main()).toMatch(/did not accept the credentials \(401\).* nobody knows may have been issued/);
    expect(stateFile()).toEqual({ doubtUntil: expect.any(String), isDoubtSaid: true });
  });

  test('saves no token that holds the client secret, and revokes it', async () => {
    answers('token', 200, { access_token: `x${SECRET}` });
    answers('revoke', 200);
    expect(await main()).toMatch(/the client secret in its access_token/);
    expect(readFileSync(join(folder, 'STATE'), 'utf8')).not.toContain(SECRET);
    expect([stateFile(), outputFile()]).toEqual([{}, {}]);
  });

  /** What main says in the end, and what the state is then, on its way from an answer. */
  const revoked = 'Revoked an access token that was received but not handed out.';
  const left = 'The post step will revoke an access token that could not be revoked now. There is nothing at';

  test.each<[name: string, token: object, status: number, revocation: number | undefined, line: string, says: RegExp]>([
    ['revokes one that it can not use', { access_token: 'tok-0', token_type: 'mac' }, 200, 200, revoked, /^The answer/],
    ['leaves one to post that it can not revoke', { access_token: 'tok 0' }, 200, 404, left, /^The answer to the/],
    ['revokes one in an answer of 503', { access_token: 'tok-0' }, 503, 200, revoked, /^The Dashboard answered 503/],
    ['has none to revoke where none came', { error: 'invalid_client' }, 401, undefined, '', /^The Dashboard did not/],
  ])('%s', async (_name, token, status, revocation, line, says) => {
    answers('token', status, token);
    if (revocation !== undefined) answers('revoke', revocation);
    expect(await main()).toMatch(says);
    expect(printed).toContain(line);
    expect(stateFile()).toEqual(line === left ? { origin: originOf(server.url), token: 'tok 0' } : {});
    expect(outputFile()).toEqual({});
  });

  test('tries for a second to revoke a token that post can revoke, too', async () => {
    answers('token', 200, { access_token: 'tok-3', token_type: 'mac' });
    answers('revoke', 503);
    expect(await main()).toMatch(/Bearer/);
    expect(printed).toMatch(/The post step will revoke .* gave up after 1 attempt within 1 s\./);
  });

  const noState = () => rmSync(join(folder, 'STATE'));

  test('revokes a token that it can not save, for as long as its time lasts', async () => {
    answers('token', 200, { access_token: 'tok-4' }, noState);
    answers('revoke', 503);
    answers('revoke', 200);
    expect(await main()).toMatch(/^The runner's state file can't be written \(no file in GITHUB_STATE\)/);
    expect(printed).toContain(revoked);
  });

  test('says that a token lives on which it can neither save nor revoke', async () => {
    answers('token', 200, { access_token: 'x'.repeat(31_000) });
    answers('revoke', 404);
    expect(await main()).toMatch(/neither be saved nor revoked: delete .* for a day\. There is nothing at/);
    // Post has nothing to add to that.
    expect(stateFile()).toEqual({ doubtUntil: expect.any(String), isDoubtSaid: true });
  });
});

describe('the post step', () => {
  const [PAST, TO_COME] = ['2020-01-01T00:00:00.000Z', '2126-01-01T00:00:00.000Z'];
  const held = { token: 'tok-0', origin: originOf() };

  test('revokes the token where main asked for it', async () => {
    handOver({ token: 'tok-1', origin: originOf(server.url) });
    answers('revoke', 200);
    setInputs({ 'client-id': '', 'api-url': 'https://evil.test', 'timeout-seconds': '' });
    expect(await post()).toBe(`Revoked the access token at ${server.url}.`);
    expect(server.requests).toMatchObject([{ form: { token: 'tok-1', client_id: 'id', client_secret: SECRET } }]);
    expect(printed).toBe(`::add-mask::${SECRET}${EOL}Revoking the access token at ${server.url}.${EOL}`);
  });

  test.each<[name: string, state: State | undefined, says: RegExp]>([
    ['no token', {}, /^There is no access token to revoke\.$/],
    ['nothing saved', undefined, /^There is no access token to revoke\.$/],
    ['a token that is left alive', { isLeftAlive: true, expiresAt: TO_COME }, / valid until 2126-/],
    ['a token whose end is not known', { isLeftAlive: true }, / for up to a day\.$/],
    ['a main step that was killed', { doubtUntil: TO_COME }, /^The main step was .* valid until about 2126-/],
    ['a main step that has said so', { doubtUntil: TO_COME, isDoubtSaid: true }, /^There is no access token/],
    ['another secret', { ...held, expiresAt: TO_COME }, /until 2126-.*Z\. Input client-secret is not /],
    ['a token that has expired, by a clock that may be wrong', { ...held, expiresAt: PAST }, /2020-.* has expired\.$/],
  ])('sends nothing with %s', async (_name, state, says) => {
    if (state !== undefined) handOver(state);
    setInputs({ 'client-secret': 'another' });
    expect(await post()).toMatch(says);
  });
});

describe('the state', () => {
  test.each<[proxyUrl: unknown, isRight: boolean]>([
    ...[null, 'http://proxy.test:80', 'https://[::1]:443'].map((url): [unknown, boolean] => [url, true]),
    ...[
      'http://u:p@proxy.test:80',
      'proxy.test:80',
      'http://proxy.test',
      'http://proxy.test:80/x',
      'http://x.test:99999',
      '',
      7,
    ].map((url): [unknown, boolean] => [url, false]),
  ])('comes back with %j as the URL of the proxy: %s', (proxyUrl, isRight) => {
    const state = { token: 'tok="2\\', origin: { ...originOf(), proxyUrl }, isDoubtSaid: true };
    handOver(state);
    if (isRight) expect(load()).toEqual(state);
    else expect(load).toThrow(/^The state that the main step saved can't be read/);
  });

  test('is damaged where a part of it is missing, or another', () => {
    const whole = { token: 'tok-1', origin: originOf(), expiresAt: '2026-01-01T00:00:00.000Z' };
    const parts = ['token', 'origin', 'expiresAt', 'isLeftAlive', 'doubtUntil', 'isDoubtSaid'];
    const others = parts.flatMap((part) => [null, 5, 'x', [], {}].map((other) => ({ [part]: other })));
    const settings = ['clientId', 'apiUrl', 'timeoutSeconds', 'proxyUrl', 'fingerprint'];
    const origins = settings.flatMap((part) => [undefined, 0, {}].map((other) => ({ [part]: other })));
    const changes = [
      ...others.filter((change) => change['token'] !== 'x'),
      ...[{ token: '' }, { token: undefined }, { origin: undefined }, { expiresAt: '2026' }, { isLeftAlive: false }],
      ...[...origins, { apiUrl: 'http://host.test' }, { clientId: '' }].map((change) => ({
        origin: { ...originOf(), ...change },
      })),
    ].map((change) => JSON.stringify({ ...whole, ...change }));
    for (const text of [...changes, 'null', '[]', '"text"', ' ', JSON.stringify(whole).slice(0, -1)]) {
      handOver(text);
      expect(load).toThrow(/^The state that the main step saved can't be read/);
    }
  });

  test('has room for 30,000 characters, and not for one more', () => {
    const room = 30_000 - JSON.stringify({ token: '' }).length;
    save({ token: 'x'.repeat(room) });
    expect(() => save({ token: 'x'.repeat(room + 1) })).toThrow(/access token does not fit/);
    expect(stateFile().token).toHaveLength(room);
  });
});
