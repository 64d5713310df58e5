import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import nock from 'nock';
import { parseFileCommands } from '../sandbox/runner.mts';
import { mainStep } from '../src/main-step';
import { postStep } from '../src/post-step';
import { watchCancellation } from '../src/runner/cancellation';
import { runStep } from '../src/runner/lifecycle';
import { CancelledError, StepError } from '../src/step-error';

// The steps in this process, with everything around them in the test's hands. What users see of them
// is tested on the bundle, in the other files.

const API_URL = 'https://api.formlabs.com';
const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';

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
  setInputs({ 'client-id': 'id', 'client-secret': 'the-secret', 'timeout-seconds': '60' });
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
  rmSync(folder, { recursive: true });
  for (const name of Object.keys(process.env)) {
    if (/^(INPUT|STATE|GITHUB)_/.test(name) || name === 'RUNNER_DEBUG') delete process.env[name];
  }
  process.exitCode = undefined;
});

function setInputs(inputs: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(inputs)) {
    process.env[`INPUT_${name.toUpperCase()}`] = value;
  }
}

function stateFile(): Record<string, string> {
  return parseFileCommands(readFileSync(join(folder, 'STATE'), 'utf8'));
}

function outputFile(): Record<string, string> {
  return parseFileCommands(readFileSync(join(folder, 'OUTPUT'), 'utf8'));
}

/** Hands the state over from the main step to the post step. */
function handOver(): void {
  for (const [name, value] of Object.entries(stateFile())) process.env[`STATE_${name}`] = value;
}

function cancellation() {
  const requested = new AbortController();
  const abandoned = new AbortController();
  return {
    signals: { requested: requested.signal, abandoned: abandoned.signal },
    request: () => requested.abort(),
  };
}

describe('mainStep', () => {
  test('asks the Dashboard of Formlabs unless told otherwise', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'abc', expires_in: 60 });
    await mainStep(cancellation().signals);
    expect(outputFile()['token']).toBe('abc');
    expect(JSON.parse(stateFile()['settings'] ?? '')).toEqual({
      clientId: 'id',
      apiUrl: API_URL,
      timeoutSeconds: 60,
    });
  });

  test('names the reason of a file that can not be written', async () => {
    rmSync(join(folder, 'STATE'));
    await expect(mainStep(cancellation().signals)).rejects.toThrow(
      /state file can't be written \(no file in GITHUB_STATE\):/,
    );
    process.env['GITHUB_STATE'] = folder;
    await expect(mainStep(cancellation().signals)).rejects.toThrow(/written \(E[A-Z]+\):/);
  });

  test.each([
    ['skip-token-revoke', 'perhaps'],
    ['client-id', ''],
    ['client-secret', ''],
    ['client-secret', 'a\u200bb'],
  ])('refuses %s %j', async (input, value) => {
    setInputs({ [input]: value });
    await expect(mainStep(cancellation().signals)).rejects.toThrow(`Input ${input} `);
  });

  test('masks, saves and hands out in this order', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'abc' });
    process.env['GITHUB_OUTPUT'] = join(folder, 'missing');
    await expect(mainStep(cancellation().signals)).rejects.toThrow(StepError);
    expect(printed).toBe('::add-mask::the-secret\n::add-mask::abc\n');
    expect(JSON.parse(stateFile()['tokens'] ?? '')).toEqual(['abc']);
  });

  test('notes last that the token is to be left alive, when all else has worked', async () => {
    setInputs({ 'skip-token-revoke': 'true' });
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'abc', expires_in: 60 });
    await mainStep(cancellation().signals);
    expect(Object.keys(stateFile()).at(-1)).toBe('leave-alive');
    handOver();
    await postStep(cancellation().signals);
    expect(printed).toMatch(/left alive.*until/);
  });

  test('hands nothing out when the job was cancelled while the token was on its way', async () => {
    const { signals, request } = cancellation();
    nock(API_URL)
      .post(TOKEN_PATH)
      .reply(() => {
        request();
        return [200, { access_token: 'abc' }];
      });
    await expect(mainStep(signals)).rejects.toThrow(CancelledError);
    expect(outputFile()).toEqual({});
    expect(JSON.parse(stateFile()['tokens'] ?? '')).toEqual(['abc']);
  });

  test('revokes at once what can not be saved, even when the job was cancelled', async () => {
    const { signals, request } = cancellation();
    nock(API_URL)
      .post(TOKEN_PATH)
      .reply(() => {
        request();
        rmSync(join(folder, 'STATE'));
        return [200, { access_token: 'abc' }];
      });
    const revocation = nock(API_URL)
      .post(REVOKE_PATH, /token=abc/)
      .reply(200);
    await expect(mainStep(signals)).rejects.toThrow(CancelledError);
    expect(revocation.isDone()).toBe(true);
  });
});

test('a job that is cancelled before a token came leaves nothing to revoke', async () => {
  const { signals, request } = cancellation();
  nock(API_URL)
    .post(TOKEN_PATH)
    .reply(() => {
      request();
      return [503, ''];
    });
  await expect(mainStep(signals)).rejects.toThrow(CancelledError);
  expect(stateFile()).not.toHaveProperty('tokens');
});

describe('a token that can not be handed out', () => {
  const refused = { access_token: 'abc', token_type: 'mac' };

  test('is revoked at once where there are too many to be kept', async () => {
    for (const n of [1, 2, 3, 4]) {
      nock(API_URL)
        .post(TOKEN_PATH)
        .reply(503, { access_token: `${n}${'x'.repeat(8_000)}` });
    }
    const revocations = nock(API_URL).post(REVOKE_PATH).times(4).reply(200);
    await expect(mainStep(cancellation().signals)).rejects.toThrow('more tokens than the state');
    expect(revocations.isDone()).toBe(true);
  });

  test('is revoked at once', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(200, refused);
    const revocation = nock(API_URL)
      .post(REVOKE_PATH, /token=abc/)
      .reply(200);
    await expect(mainStep(cancellation().signals)).rejects.toThrow('token_type');
    expect(revocation.isDone()).toBe(true);
    expect(stateFile()['tokens']).toBe('[]');
  });

  test('is left to the post step where that does not work', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(200, refused).post(REVOKE_PATH).reply(404);
    await expect(mainStep(cancellation().signals)).rejects.toThrow('token_type');
    expect(stateFile()['tokens']).toBe('["abc"]');
    expect(printed).toContain('left to the post step to revoke: there is nothing at');
  });

  test('is reported as alive where the post step does not know of it either', async () => {
    nock(API_URL)
      .post(TOKEN_PATH)
      .reply(() => {
        rmSync(join(folder, 'STATE'));
        return [200, refused];
      })
      .post(REVOKE_PATH)
      .reply(404);
    await expect(mainStep(cancellation().signals)).rejects.toThrow(/stays valid for up to a day/);
  });
});

describe('postStep', () => {
  async function withToken(): Promise<void> {
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'abc' });
    await mainStep(cancellation().signals);
    handOver();
    printed = '';
  }

  test('revokes the token', async () => {
    await withToken();
    const revocation = nock(API_URL)
      .post(REVOKE_PATH, /token=abc/)
      .reply(200);
    await postStep(cancellation().signals);
    expect(revocation.isDone()).toBe(true);
    expect(printed).toMatch(/\nRevoked the access token at https:\/\/api\.formlabs\.com\.\n$/);
  });

  test('revokes every token, whatever becomes of the others', async () => {
    await withToken();
    process.env['STATE_tokens'] = '["one","two",3]';
    nock(API_URL)
      .post(REVOKE_PATH, /token=one/)
      .reply(404);
    const second = nock(API_URL)
      .post(REVOKE_PATH, /token=two/)
      .reply(200);
    await postStep(cancellation().signals);
    expect(second.isDone()).toBe(true);
    expect(printed).toMatch(/::warning::.*could not be revoked/);
  });

  test('warns of a defect, and does not fail for it', async () => {
    await withToken();
    jest.spyOn(process.hrtime, 'bigint').mockImplementation(() => {
      throw new TypeError('defect');
    });
    await postStep(cancellation().signals);
    expect(printed).toMatch(
      /::warning::.*stays valid for up to a day: this is a defect of the action.*: defect\.\n/,
    );
  });

  test('warns without a client secret, and says for how long the token lives', async () => {
    await withToken();
    process.env['STATE_expires-at'] = '2026-11-25T00:00:00.000Z';
    delete process.env['INPUT_CLIENT-SECRET'];
    await postStep(cancellation().signals);
    expect(printed).toMatch(/::warning::.*until 2026-11-25T00:00:00.000Z: .*no client-secret/);
  });

  test('warns when the state of the main step is lost', async () => {
    await withToken();
    process.env['STATE_settings'] = '';
    await postStep(cancellation().signals);
    expect(printed).toMatch(/::warning::.*up to a day: the state of the main step is lost\.\n/);
  });

  test('has nothing to do without a token', async () => {
    await postStep(cancellation().signals);
    expect(printed).toBe('There is no access token to revoke.\n');
  });

  test('is not done when the job is cancelled before', async () => {
    await withToken();
    const { signals, request } = cancellation();
    request();
    await expect(postStep(signals)).rejects.toThrow(
      /cancelled before .* stays valid for up to a day/,
    );
  });
});

describe('runStep', () => {
  const exit = () => jest.spyOn(process, 'exit').mockImplementation(() => undefined as never);

  test('ends the process when the step has ended', async () => {
    const ended = exit();
    await runStep(async () => undefined);
    expect(ended).toHaveBeenCalledTimes(1);
    expect(process.exitCode).toBeUndefined();
    expect(printed).toBe('');
  });

  test.each<[name: string, error: unknown, message: string]>([
    ['a StepError', new StepError('Do this.'), 'Do this.'],
    [
      'any other error',
      new TypeError('oops'),
      'This is a defect of the action, please report it with the log of this job: oops.',
    ],
    [
      'what is no error',
      'text',
      'This is a defect of the action, please report it with the log of this job: text.',
    ],
  ])('reports %s as one error', async (_name, error, message) => {
    exit();
    await runStep(() => Promise.reject(error));
    expect(process.exitCode).toBe(1);
    expect(printed).toBe(`::error::${message}\n`);
  });

  test('is red after a cancellation, even when the step ended well', async () => {
    exit();
    await runStep(async () => void process.emit('SIGINT'));
    expect(process.exitCode).toBe(1);
    expect(printed).toMatch(/::error::The job was cancelled/);
  });

  test.each(['beforeExit', 'uncaughtException'] as const)('is red after %s', async (event) => {
    exit();
    const listeners = process.listeners(event as 'beforeExit');
    await runStep(async () => {
      const added = process.listeners(event as 'beforeExit').filter((l) => !listeners.includes(l));
      for (const listener of added) Reflect.apply(listener, process, [new Error('oops')]);
    });
    expect(process.exitCode).toBe(1);
    expect(printed).toMatch(/^::error::This is a defect of the action/);
  });

  test('ends the hard way only where it has failed and a name lookup would hold it', async () => {
    const exited = exit();
    const killed = jest.spyOn(process, 'kill').mockImplementation(() => true);
    jest.spyOn(process, 'getActiveResourcesInfo').mockReturnValue(['GetAddrInfoReqWrap']);
    await runStep(async () => undefined);
    expect([exited.mock.calls.length, killed.mock.calls.length]).toEqual([1, 0]);
    await runStep(() => Promise.reject(new StepError('Do this.')));
    expect(killed.mock.calls).toEqual([[process.pid, 'SIGKILL']]);
    expect(exited).toHaveBeenCalledTimes(1);
  });

  test('says where the message is explained, if the runner says where the action came from', async () => {
    exit();
    process.env['GITHUB_SERVER_URL'] = 'https://github.com';
    process.env['GITHUB_ACTION_REPOSITORY'] = 'owner/name';
    process.env['GITHUB_ACTION_REF'] = 'v1';
    await runStep(() => Promise.reject(new StepError('Top.')));
    expect(printed).toBe(
      '::error::Top.\nWhat this means: https://github.com/owner/name/blob/v1/docs/troubleshooting.md\n',
    );
  });

  test('tells the causes with debug logging on', async () => {
    exit();
    process.env['RUNNER_DEBUG'] = '1';
    const root = Object.assign(new Error('root\n::error::x'), { code: 'ECODE' });
    const cause = new Error('middle', { cause: root });
    await runStep(() => Promise.reject(new StepError('Top.', { cause })));
    expect(printed).toBe(
      '::error::Top.\n::debug::StepError: Top.\n::debug::Error: middle\n::debug::Error: ECODE: root ::error::x\n',
    );
  });
});

describe('watchCancellation', () => {
  test('gives a request six seconds from the first signal', () => {
    jest.useFakeTimers();
    const watch = watchCancellation();
    process.emit('SIGINT');
    expect(watch.requested.aborted).toBe(true);
    jest.advanceTimersByTime(5_000);
    process.emit('SIGTERM');
    jest.advanceTimersByTime(999);
    expect(watch.abandoned.aborted).toBe(false);
    jest.advanceTimersByTime(1);
    expect(watch.abandoned.aborted).toBe(true);
    watch.stop();
    expect(process.listenerCount('SIGINT')).toBe(0);
    jest.useRealTimers();
  });
});

describe('the entry files', () => {
  test.each(['main', 'post'])('%s starts its step', async (step) => {
    const ended = Promise.withResolvers<void>();
    jest.spyOn(process, 'exit').mockImplementation(() => ended.resolve() as never);
    setInputs({ 'client-id': '' });
    await import(`../src/${step}`);
    await ended.promise;
    expect(printed).toMatch(step === 'main' ? /Input client-id is empty/ : /no access token/);
  });
});
