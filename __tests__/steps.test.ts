import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { EOL, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import nock from 'nock';
import { parseFileCommands } from '../mock/runner.mts';
import { mainStep } from '../src/main-step';
import { postStep } from '../src/post-step';
import { fingerprintOf } from '../src/runner/inputs';
import type { Life } from '../src/runner/lifecycle';
import { loadState, openState } from '../src/runner/state';
import { Failure, StepError } from '../src/shared/errors';

// The steps in this process, with everything around them in the test's hands. What users see of them
// is tested on the bundle, in the other files.

const API_URL = 'https://api.formlabs.com';
const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';
const SETTINGS = { clientId: 'id', apiUrl: API_URL, timeoutSeconds: 60 };
const SECRET = 'the-secret';

let folder: string;
let printed: string;

// Else it stays in the way of the next file in the same process.
afterAll(() => nock.restore());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steps-'));
  for (const name of ['STATE', 'OUTPUT']) {
    process.env[`GITHUB_${name}`] = join(folder, name);
    writeFileSync(join(folder, name), '');
  }
  setInputs({ 'client-id': 'id', 'client-secret': SECRET, 'timeout-seconds': '60' });
  nock.disableNetConnect();
  printed = '';
  jest.spyOn(process.stdout, 'write').mockImplementation((chunk, ...rest: unknown[]) => {
    printed += String(chunk);
    const done = rest.at(-1);
    if (typeof done === 'function') done();
    return true;
  });
  jest.spyOn(Math, 'random').mockReturnValue(0);
});

afterEach(() => {
  jest.restoreAllMocks();
  nock.cleanAll();
  nock.enableNetConnect();
  rmSync(folder, { recursive: true, maxRetries: 5 });
  for (const name of Object.keys(process.env)) {
    if (/^(INPUT|STATE|GITHUB)_/.test(name) || name === 'RUNNER_DEBUG') delete process.env[name];
  }
});

function setInputs(inputs: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(inputs)) {
    process.env[`INPUT_${name.toUpperCase()}`] = value;
  }
}

function stateFile(): unknown {
  return JSON.parse(parseFileCommands(readFileSync(join(folder, 'STATE'), 'utf8'))['state'] ?? 'null');
}

function outputFile(): Record<string, string> {
  return parseFileCommands(readFileSync(join(folder, 'OUTPUT'), 'utf8'));
}

/** Gives the post step a state. */
function handOver(state: unknown): void {
  process.env['STATE_state'] = typeof state === 'string' ? state : JSON.stringify(state);
}

/** What main saves with one token, or with others. */
function savedState(fields: Readonly<Record<string, unknown>> = {}) {
  return { tokens: ['tok-post'], settings: SETTINGS, fingerprint: fingerprintOf(SETTINGS, SECRET), ...fields };
}

/** A process that goes on until it is told to stop. */
function newLife(onCatchUp = () => {}) {
  const [begun, lastAnswer, over] = [new AbortController(), new AbortController(), new AbortController()];
  const life: Life = {
    begun: begun.signal,
    lastAnswer: lastAnswer.signal,
    over: over.signal,
    catchUp: async () => {
      onCatchUp();
      begun.signal.throwIfAborted();
    },
  };
  const reason = new StepError('Told to stop.');
  return {
    life,
    stop: () => begun.abort(reason),
    stopListening: () => lastAnswer.abort(reason),
  };
}

function runMainStep(): Promise<string> {
  return mainStep(newLife().life);
}

function runPostStep(): Promise<string> {
  return postStep(newLife().life);
}

/** The Dashboard confirms the revocation of a token. */
function revocationOf(token: string) {
  return nock(API_URL)
    .post(REVOKE_PATH, ({ token: sent, client_id: id, client_secret: secret }) => {
      return sent === token && id === 'id' && secret === SECRET;
    })
    .reply(200);
}

describe('mainStep', () => {
  test('asks the Dashboard of Formlabs unless told otherwise, and hands out what it gives', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'tok-1', expires_in: 60 });
    expect(await runMainStep()).toBe(
      'Available as output `token`, masked in the log. It will be revoked when this job ends.',
    );
    expect(outputFile()).toEqual({ token: 'tok-1', 'expires-at': expect.stringMatching(/^20.*Z$/) });
    expect(printed).toContain(`\n${API_URL} issued an access token, valid until ${outputFile()['expires-at']}.\n`);
    expect(stateFile()).toMatchObject({
      ...savedState({ tokens: ['tok-1'] }),
      expiry: { at: outputFile()['expires-at'] },
    });
  });

  test('says so when it is not known how long a token is valid', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'tok-2' });
    await runMainStep();
    expect(outputFile()).toEqual({ token: 'tok-2', 'expires-at': '' });
    expect(printed).toContain('issued an access token, and did not say how long it is valid.\n');
  });

  test('lets a token live that is to stay alive, and notes it when all else has worked', async () => {
    setInputs({ 'skip-token-revoke': 'true' });
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'tok-3' });
    expect(await runMainStep()).toMatch(/It stays alive: skip-token-revoke is true\.$/);
    expect(outputFile()['token']).toBe('tok-3');
    expect(stateFile()).toEqual(savedState({ tokens: [], leftAlive: true }));
  });

  test('saves first, masks the client secret next, and requests nothing with a wrong input', async () => {
    setInputs({ 'timeout-seconds': 'x' });
    await expect(runMainStep()).rejects.toThrow(/^Input timeout-seconds /);
    expect(stateFile()).toEqual({ tokens: [] });
    expect(printed).toBe(`::add-mask::${SECRET}${EOL}`);
  });

  test('masks and saves a token before the process catches up, and hands it out only then', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'tok-4' });
    const { life } = newLife(() => {
      expect(printed).toBe(`::add-mask::${SECRET}${EOL}::add-mask::tok-4${EOL}`);
      expect(stateFile()).toMatchObject({ tokens: ['tok-4'] });
      expect(outputFile()).toEqual({});
    });
    await mainStep(life);
    expect(outputFile()).toMatchObject({ token: 'tok-4' });
    expect.assertions(4);
  });

  test.each<[name: string, error: Error]>([
    ['a process that is told to stop', new StepError('Told to stop.')],
    ['a defect', new TypeError('defect')],
  ])('hands nothing out and revokes after %s', async (_name, error) => {
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'tok-5' });
    const revocation = revocationOf('tok-5');
    const { life } = newLife(() => {
      throw error;
    });
    await expect(mainStep(life)).rejects.toBe(error);
    expect(revocation.isDone()).toBe(true);
    expect(outputFile()).toEqual({});
    expect(stateFile()).toMatchObject({ tokens: [] });
    expect(printed).toContain('Revoked an access token that was received but not handed out.\n');
  });

  test('gives up an answer that does not come in the time that a signal leaves for it', async () => {
    const { life, stop, stopListening } = newLife();
    const request = nock(API_URL).post(TOKEN_PATH).delay(60_000).reply(200);
    request.once('request', () => setImmediate(() => [stop(), stopListening()]));
    await expect(mainStep(life)).rejects.toThrow('Told to stop.');
    expect(life.over.aborted).toBe(false);
    nock.abortPendingRequests();
  });

  test('leaves no token where none came', async () => {
    const { life, stop } = newLife();
    nock(API_URL)
      .post(TOKEN_PATH)
      .reply(() => {
        stop();
        return [503, ''];
      });
    await expect(mainStep(life)).rejects.toThrow('Told to stop.');
    expect(stateFile()).toEqual({ tokens: [] });
    expect(printed).not.toContain('Revoked');
  });

  test('revokes what it does not hand out, and goes on with what it does', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(503, { access_token: 'stray-1' });
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'tok-7' });
    const revocation = revocationOf('stray-1');
    await runMainStep();
    expect(revocation.isDone()).toBe(true);
    expect(stateFile()).toMatchObject({ tokens: ['tok-7'] });
    expect(outputFile()['token']).toBe('tok-7');
  });

  test('is not held up by a stray token that can not be revoked: post is told of it', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(503, { access_token: 'stray-2' });
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'tok-8' });
    nock(API_URL).post(REVOKE_PATH).delay(60_000).reply(200);
    await runMainStep();
    expect(outputFile()['token']).toBe('tok-8');
    expect(stateFile()).toMatchObject({ tokens: ['stray-2', 'tok-8'] });
    expect(printed).toMatch(
      /\nThe post step will revoke an access token that could not be revoked now: no answer from .*\.\n/,
    );
    expect(printed).not.toContain('Revoked');
    nock.abortPendingRequests();
  });

  test('revokes what it can not save for as long as timeout-seconds lasts', async () => {
    nock(API_URL)
      .post(TOKEN_PATH)
      .reply(() => {
        rmSync(join(folder, 'STATE'));
        return [200, { access_token: 'tok-9' }];
      });
    nock(API_URL).post(REVOKE_PATH).times(4).reply(503);
    const revocation = revocationOf('tok-9');
    await expect(runMainStep()).rejects.toThrow(/^The runner's state file can't be written/);
    expect(revocation.isDone()).toBe(true);
  });

  test('says that a token lives on which it can neither save nor revoke, and why', async () => {
    nock(API_URL)
      .post(TOKEN_PATH)
      .reply(() => {
        rmSync(join(folder, 'STATE'));
        return [200, { access_token: 'tok-10' }];
      });
    nock(API_URL).post(REVOKE_PATH).reply(404);
    const error = await runMainStep().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StepError);
    expect(error).toMatchObject({
      message: expect.stringMatching(/neither be saved .* nor revoked.* up to a day.*: there is nothing at/),
      cause: expect.any(Failure),
    });
  });

  test.each(['STATE', 'OUTPUT'])('names the reason of a %s file that can not be written', async (file) => {
    nock(API_URL).post(TOKEN_PATH).times(3).reply(200, { access_token: 'tok-11' });
    nock(API_URL).post(REVOKE_PATH).times(3).reply(200);
    const noFile = `${file.toLowerCase()} file can't be written (no file in GITHUB_${file})`;
    rmSync(join(folder, file));
    await expect(runMainStep()).rejects.toThrow(noFile);
    delete process.env[`GITHUB_${file}`];
    await expect(runMainStep()).rejects.toThrow(noFile);
    process.env[`GITHUB_${file}`] = folder;
    await expect(runMainStep()).rejects.toThrow(/written \(E[A-Z]+\):/);
  });
});

describe('postStep', () => {
  test('revokes the token', async () => {
    handOver(savedState());
    const revocation = revocationOf('tok-post');
    expect(await runPostStep()).toBe(`Revoked the access token at ${API_URL}.`);
    expect(revocation.isDone()).toBe(true);
    expect(printed).toBe(`::add-mask::${SECRET}${EOL}`);
  });

  test('revokes every token, whatever becomes of the others', async () => {
    handOver(savedState({ tokens: ['tok-a', 'tok-b'] }));
    nock(API_URL)
      .post(REVOKE_PATH, /token=tok-a/)
      .reply(404);
    const second = revocationOf('tok-b');
    await expect(runPostStep()).rejects.toThrow(
      /could not be revoked and stays valid for up to a day: there is nothing/,
    );
    expect(second.isDone()).toBe(true);
  });

  test('shows no token that a server sends back', async () => {
    handOver(savedState({ tokens: ['plainword'] }));
    nock(API_URL).post(REVOKE_PATH).reply(400, { error: 'invalid_request', error_description: 'No plainword here.' });
    await expect(runPostStep()).rejects.toThrow(/invalid_request: No … here/);
  });

  test.each([
    ['another', 'another-secret'],
    ['no', ''],
  ])('sends nothing with %s client secret, and says for how long the token lives', async (_name, clientSecret) => {
    const expiry = { at: '2126-11-25T00:00:00.000Z', hereMs: Date.parse('2126-11-25') };
    handOver(savedState({ expiry }));
    setInputs({ 'client-secret': clientSecret });
    await expect(runPostStep()).rejects.toThrow(
      /valid until 2126-11-25T00:00:00.000Z: client-secret is not .*nothing was/,
    );
  });

  test.each<[name: string, at: number, hereMs: number, result: RegExp]>([
    ['has expired by now', 1_000, 1_000, /^The access token expired at 1970-01-01T00:00:01\.000Z\.$/],
    ['expires in the next moment', 1_001, 1_001, /^The access token could not be revoked/],
    ['has expired by the clock of main alone', 1_000, 1_001, /^The access token could not be revoked/],
    ['has expired by the clock of the Dashboard alone', 1_001, 1_000, /^The access token could not be revoked/],
  ])('warns of a token only if it is alive: it %s', async (_name, at, hereMs, result) => {
    jest.spyOn(Date, 'now').mockReturnValue(1_001);
    handOver(savedState({ expiry: { at: new Date(at).toISOString(), hereMs } }));
    setInputs({ 'client-secret': 'another-secret' });
    const said = await runPostStep().catch((error: StepError) => error.message);
    expect(said).toMatch(result);
  });

  test('takes no token for expired because another one has', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(503, { access_token: 'stray-day', expires_in: 86_400 });
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'tok-moment', expires_in: 0.001 });
    nock(API_URL).post(REVOKE_PATH).times(3).reply(404);
    await runMainStep();
    handOver(stateFile());
    await expect(runPostStep()).rejects.toThrow(/could not be revoked/);
  });

  test('says of a token that is left alive until when it is valid, as far as that is known', async () => {
    handOver(savedState({ tokens: [], leftAlive: true }));
    expect(await runPostStep()).toMatch(/^The access token is left alive, .* stays valid for up to a day\.$/);
    handOver(savedState({ tokens: [], leftAlive: true, expiry: { at: '2026-01-01T00:00:00.000Z', hereMs: 0 } }));
    expect(await runPostStep()).toMatch(/^The access token is left alive, .* until 2026-01-01T00:00:00\.000Z\.$/);
    expect(printed).toBe('');
  });

  test('says so also where another token is revoked', async () => {
    handOver(savedState({ leftAlive: true }));
    revocationOf('tok-post');
    expect(await runPostStep()).toMatch(/^Revoked the access token/);
    expect(printed).toMatch(/^The access token is left alive, .*\.\n/);
  });

  test.each([
    ['without a state', undefined],
    ['of a main step that failed', { tokens: [] }],
    ['of a main step that revoked', savedState({ tokens: [] })],
  ])('has nothing to do %s, and asks for no secret', async (_name, state) => {
    if (state !== undefined) handOver(state);
    expect(await runPostStep()).toBe('There is no access token to revoke.');
    expect(printed).toBe('');
  });

  test('finishes after a signal, and has time for that', async () => {
    handOver(savedState());
    const { life, stop } = newLife();
    stop();
    nock(API_URL).post(REVOKE_PATH).reply(503);
    revocationOf('tok-post');
    expect(await postStep(life)).toMatch(/^Revoked/);
  });

  test('tells of a defect as of any other reason', async () => {
    handOver(savedState());
    jest.spyOn(process.hrtime, 'bigint').mockImplementation(() => {
      throw new TypeError('it broke');
    });
    const error = await runPostStep().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StepError);
    expect(error).toMatchObject({
      message: expect.stringMatching(/for up to a day: This is a bug in the action.*: it broke\.$/),
      cause: expect.any(TypeError),
    });
  });
});

describe('the state', () => {
  const expiry = { at: '2026-01-01T00:00:00.000Z', hereMs: 1_767_225_600_000 };
  const whole = savedState({ tokens: ['tok-1', 'tok="2\\'], expiry, leftAlive: true });
  const of = { settings: SETTINGS, fingerprint: fingerprintOf(SETTINGS, SECRET), expiry };

  test('comes back as it was saved', () => {
    for (const saved of [{ tokens: [] }, savedState(), savedState({ tokens: [] }), whole]) {
      handOver(saved);
      expect(loadState()).toEqual(saved);
    }
  });

  test('is damaged wherever it is cut', () => {
    const text = JSON.stringify(whole);
    for (let length = 0; length < text.length; length += 1) {
      handOver(text.slice(0, length));
      expect(loadState).toThrow(
        /^The state that the main step saved (?:is empty|can't be read), so an access token may/,
      );
    }
  });

  test.each<[name: string, fields: Readonly<Record<string, unknown>>]>([
    ['no tokens', { tokens: undefined }],
    ['tokens that are no list', { tokens: 'tok-1' }],
    ['a token that is empty', { tokens: [''] }],
    ['a token that is no text', { tokens: ['tok-1', 3] }],
    ['no settings', { settings: undefined }],
    ['settings without a client ID', { settings: { ...SETTINGS, clientId: undefined } }],
    ['a client ID that is empty', { settings: { ...SETTINGS, clientId: '' } }],
    ['another scheme of the URL', { settings: { ...SETTINGS, apiUrl: 'http://host.test' } }],
    ['a timeout of 0', { settings: { ...SETTINGS, timeoutSeconds: 0 } }],
    ['settings of nothing, even without tokens', { tokens: [], settings: {} }],
    ['no fingerprint', { fingerprint: undefined }],
    ['a fingerprint that is a number', { fingerprint: 123_456 }],
    ['an expiry that is a text', { expiry: expiry.at }],
    ['an expiry that is null', { expiry: null }],
    ['an expiry that is no date', { expiry: { ...expiry, at: '2026-13-01T00:00:00.000Z' } }],
    ['text before the expiry', { expiry: { ...expiry, at: `x\n${expiry.at}` } }],
    ['text behind the expiry', { expiry: { ...expiry, at: `${expiry.at}\n::error::y` } }],
    ['a date of another form', { expiry: { ...expiry, at: '2026' } }],
    ['an expiry without a time here', { expiry: { at: expiry.at } }],
    ['a time here that is text', { expiry: { ...expiry, hereMs: '0' } }],
    ['leftAlive that is not true', { leftAlive: 'true' }],
    ['leftAlive that is false', { leftAlive: false }],
  ])('is damaged with %s', (_name, fields) => {
    handOver({ ...whole, ...fields });
    expect(loadState).toThrow(StepError);
    expect(loadState).toThrow(/can't be read/);
  });

  test.each(['null', 'true', '1', '"text"', '[]', '{}', ' ', 'undefined'])('is damaged as %j', (text) => {
    handOver(text);
    expect(loadState).toThrow(/can't be read/);
  });

  test('holds each token once, until the last of them has expired', () => {
    const state = openState();
    const later = { at: '2026-01-02T00:00:00.000Z', hereMs: expiry.hereMs + 86_400_000 };
    state.hold(['tok-1'], { ...of, expiry: later });
    state.hold(['tok-2', 'tok-1'], of);
    expect(state.tokens()).toEqual(['tok-2', 'tok-1']);
    expect(stateFile()).toEqual({ ...of, expiry: later, tokens: ['tok-2', 'tok-1'] });
    state.hold(['tok-3'], { ...of, expiry: undefined });
    expect(stateFile()).not.toHaveProperty('expiry');
    expect(state.isSaved()).toBe(true);
  });

  test('forgets when tokens that have been revoked would have expired', () => {
    const state = openState();
    state.hold(['tok-1'], { ...of, expiry: undefined });
    state.drop(['tok-1']);
    state.hold(['tok-2'], of);
    expect(stateFile()).toEqual({ ...of, tokens: ['tok-2'] });
  });

  test('knows which tokens post does not know of', () => {
    const state = openState();
    state.hold(['tok-1'], of);
    const file = join(folder, 'STATE');
    const before = readFileSync(file);
    rmSync(file);
    expect(() => state.hold(['tok-2'], of)).toThrow(StepError);
    expect(state.isSaved()).toBe(false);
    expect(state.tokens()).toEqual(['tok-1', 'tok-2']);
    state.drop(['tok-2']);
    expect(state.isSaved()).toBe(true);
    expect(() => state.letGo('tok-1')).toThrow(StepError);
    expect(state.tokens()).toEqual(['tok-1']);
    writeFileSync(file, before);
    state.drop(['tok-1']);
    expect(stateFile()).toEqual({ ...of, tokens: [] });
  });

  test('holds a token no longer that is let go, and the others still', () => {
    const state = openState();
    state.hold(['tok-1', 'tok-2'], of);
    state.letGo('tok-1');
    expect(state.tokens()).toEqual(['tok-2']);
    expect(stateFile()).toEqual({ ...of, tokens: ['tok-2'], leftAlive: true });
  });

  test('has room for 30,000 characters, and not for one more', () => {
    const state = openState();
    const room = 30_000 - JSON.stringify({ ...of, tokens: [''] }).length;
    state.hold(['x'.repeat(room)], of);
    expect(JSON.stringify(stateFile())).toHaveLength(30_000);
    const full = openState();
    expect(() => full.hold(['y'.repeat(room + 1)], of)).toThrow(/more tokens, or longer ones, than fit/);
    expect(full.isSaved()).toBe(false);
  });
});

describe('the fingerprint', () => {
  test('is short, and another one for another ID or secret', () => {
    const prints = [
      fingerprintOf(SETTINGS, SECRET),
      fingerprintOf(SETTINGS, `${SECRET}x`),
      fingerprintOf({ ...SETTINGS, clientId: 'idx' }, SECRET),
      fingerprintOf({ ...SETTINGS, clientId: 'i' }, `d${SECRET}`),
      fingerprintOf({ ...SETTINGS, apiUrl: 'https://elsewhere.test' }, SECRET),
      fingerprintOf(SETTINGS, ''),
    ];
    expect(new Set(prints).size).toBe(prints.length);
    for (const print of prints) expect(print).toMatch(/^[0-9a-f]{6}$/);
    expect(fingerprintOf(SETTINGS, SECRET)).toBe(prints[0]);
  });
});

describe('the entry files', () => {
  const events = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK', 'beforeExit', 'uncaughtException'] as const;
  let before: Map<string, unknown[]>;
  beforeEach(() => {
    before = new Map(events.map((event) => [event, process.rawListeners(event)]));
  });
  afterEach(() => {
    for (const event of events) {
      for (const listener of process.rawListeners(event)) {
        if (!before.get(event)?.includes(listener)) process.removeListener(event, listener as () => void);
      }
    }
    process.stdout.removeAllListeners('error');
  });

  test.each([
    ['main', 'error', 1],
    ['post', 'warning', 0],
  ])('%s starts its step, which ends with at most a %s', async (step, level, exitCode) => {
    const ended = Promise.withResolvers<unknown>();
    jest.spyOn(process, 'exit').mockImplementation((code) => ended.resolve(code) as never);
    setInputs({ 'client-id': '' });
    handOver('damaged');
    await import(`../src/${step}`);
    expect(await ended.promise).toBe(exitCode);
    expect(printed).toMatch(
      new RegExp(`^::${level}::(Input client-id is empty|The state that the main step saved)`, 'm'),
    );
  });
});
