import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import nock from 'nock';
import { createDashboardClient } from '../src/dashboard/client';
import { Failure } from '../src/shared/errors';
import type { Journal, Settings } from '../src/shared/types';
import { answer, type Behaviour, hang, issue, startServer, TOKEN } from './support/scripted-server';

const API_URL = 'https://api.formlabs.com';
const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';

// Else it stays in the way of the next file in the same process.
afterAll(() => nock.restore());
beforeEach(() => {
  nock.disableNetConnect();
  nock.enableNetConnect('127.0.0.1');
  jest.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(() => {
  nock.cleanAll();
  nock.enableNetConnect();
  jest.restoreAllMocks();
  jest.useRealTimers();
  delete process.env['https_proxy'];
});

/** The moments at which the runner tells the step to stop, in the test's hands. */
function shutdown() {
  const [begun, lastAnswer, over] = [new AbortController(), new AbortController(), new AbortController()];
  const reason = new Error('told to stop');
  return {
    signals: { begun: begun.signal, lastAnswer: lastAnswer.signal, over: over.signal },
    begin: () => begun.abort(reason),
    endAnswers: () => lastAnswer.abort(reason),
    end: () => over.abort(reason),
  };
}

function connect(settings: Partial<Settings> = {}, signals = shutdown().signals, changes: Partial<Journal> = {}) {
  const journal = { info: () => undefined, hide: () => undefined, words: String, host: String, ...changes };
  const whole = { apiUrl: API_URL, clientId: 'id', timeoutSeconds: 60, ...settings };
  return createDashboardClient(whole, 'secret', signals, journal);
}

describe('a request for a token', () => {
  test('posts the credentials as a form, and gives the token with its expiry', async () => {
    const scope = nock(API_URL, { reqheaders: { accept: 'application/json' } })
      .post(TOKEN_PATH, 'grant_type=client_credentials&client_id=id&client_secret=secret')
      .reply(200, { access_token: 'abc', token_type: 'Bearer', expires_in: 60 });
    const before = Date.now();
    const { token, expiry } = await connect().requestToken(() => undefined);
    expect(token).toBe('abc');
    expect(expiry?.hereMs).toBeGreaterThanOrEqual(before + 60_000);
    expect(expiry?.hereMs).toBeLessThanOrEqual(Date.now() + 60_000);
    expect(expiry?.at).toBe(new Date(expiry?.hereMs ?? 0).toISOString());
    expect(scope.isDone()).toBe(true);
  });

  test('counts the time of validity from before the request, so that it never says too long', async () => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'], now: 1_000 });
    nock(API_URL)
      .post(TOKEN_PATH)
      .reply(() => {
        jest.setSystemTime(9_000);
        return [200, { access_token: 'abc', expires_in: 60 }];
      });
    const { expiry } = await connect().requestToken(() => undefined);
    expect(expiry).toEqual({ at: new Date(61_000).toISOString(), hereMs: 61_000 });
  });

  test('tells of every token received, before it is known whether it can be used', async () => {
    const onReceived = jest.fn();
    nock(API_URL).post(TOKEN_PATH).reply(503, { access_token: 'first' });
    nock(API_URL).post(TOKEN_PATH).reply(200, '{"access_token":"second","access_token":"third","token_type":"mac"}');
    await expect(connect().requestToken(onReceived)).rejects.toThrow('token_type');
    expect(onReceived.mock.calls).toEqual([
      [['first'], undefined],
      [['second', 'third'], undefined],
    ]);
  });

  test('does not tell of answers without one, and does not take the client secret for one', async () => {
    const onReceived = jest.fn();
    nock(API_URL).post(TOKEN_PATH).reply(503, {}).post(TOKEN_PATH).reply(200, { access_token: 'secret' });
    await expect(connect().requestToken(onReceived)).rejects.toThrow('the client secret in');
    expect(onReceived).not.toHaveBeenCalled();
  });

  test('ends with what the listener throws', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'abc' });
    const onReceived = () => {
      throw new Error('no room');
    };
    await expect(connect().requestToken(onReceived)).rejects.toThrow('no room');
  });

  test('tells of every attempt that is followed by another', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(502);
    nock(API_URL)
      .post(TOKEN_PATH)
      .replyWithError(Object.assign(new Error('x'), { code: 'ECONNRESET' }));
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'abc' });
    const info = jest.fn();
    await connect({}, undefined, { info }).requestToken(() => undefined);
    expect(info.mock.calls).toEqual([
      [expect.stringContaining('Attempt 1 failed: the Dashboard answered 502 (bad gateway).')],
      [expect.stringMatching(/^Attempt 2 failed: no answer from api\.formlabs\.com: .*\(ECONNRESET\)\./)],
    ]);
  });

  test('passes a defect on the way on as it is', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(401, { error: 'x' });
    const words = () => {
      throw new TypeError('a defect');
    };
    await expect(connect({}, undefined, { words }).requestToken(() => undefined)).rejects.toThrow(TypeError);
  });

  test('is not made once the step has been told to stop', async () => {
    const { signals, begin } = shutdown();
    begin();
    await expect(connect({}, signals).requestToken(() => undefined)).rejects.toThrow('told to stop');
  });

  test('that is under way when the step is told to stop brings its token in', async () => {
    const { signals, begin } = shutdown();
    const server = await startServer({
      token: [
        (response) => {
          begin();
          response.end('{"access_token":"abc"}');
        },
      ],
    });
    const onReceived = jest.fn();
    const request = connect({ apiUrl: server.url }, signals).requestToken(onReceived);
    await expect(request).resolves.toMatchObject({ token: 'abc' });
    expect(onReceived.mock.calls).toEqual([[['abc'], undefined]]);
  });

  test('that has no connection yet when the step is told to stop ends at once', async () => {
    const { signals, begin } = shutdown();
    // Behind nock there is no connection.
    nock(API_URL)
      .post(TOKEN_PATH)
      .reply(() => {
        begin();
        return [200, { access_token: 'abc' }];
      });
    const onReceived = jest.fn();
    await expect(connect({}, signals).requestToken(onReceived)).rejects.toThrow('told to stop');
    expect(onReceived).not.toHaveBeenCalled();
    expect(signals.lastAnswer.aborted).toBe(false);
  });

  test('is given up when the step can wait for no answer any more, and not before', async () => {
    const { signals, begin, endAnswers } = shutdown();
    const server = await startServer({ token: [hang()] });
    const ended = jest.fn();
    const request = connect({ apiUrl: server.url }, signals).requestToken(() => undefined);
    const rejected = expect(request.finally(ended)).rejects.toThrow('told to stop');
    await server.received(1);
    begin();
    await turns();
    expect(ended).not.toHaveBeenCalled();
    endAnswers();
    await rejected;
  });
});

/** Lets all happen that follows without a wait. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe('by the default of 60 s, and a clock in the hands of the test,', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'] });
  });

  /** Keeps every answer until it is told to give it. */
  async function lateServer(
    script: (late: Behaviour) => Parameters<typeof startServer>[0] = (late) => ({ token: [late] }),
  ) {
    const open: ServerResponse[] = [];
    const server = await startServer(script((response) => void open.push(response)));
    return { server, open, apiUrl: server.url };
  }

  async function pass(seconds: number): Promise<void> {
    for (let tenth = 0; tenth < seconds * 10; tenth += 1) {
      jest.advanceTimersByTime(100);
      await turns();
    }
  }

  test.each([11, 14, 25])('an answer after %d s is taken, at the first attempt', async (seconds) => {
    const { server, open, apiUrl } = await lateServer();
    const request = connect({ apiUrl }).requestToken(() => undefined);
    await server.received(1);
    await pass(seconds);
    for (const response of open) issue()(response, { method: '', path: '', headers: {}, form: {} });
    await expect(request).resolves.toMatchObject({ token: TOKEN });
    expect(server.requests).toHaveLength(1);
  });

  test('a request that hangs once leaves time for another', async () => {
    const { server, apiUrl } = await lateServer((late) => ({ token: [late, issue()] }));
    const request = connect({ apiUrl }).requestToken(() => undefined);
    await server.received(1);
    await pass(30.1);
    await expect(request).resolves.toMatchObject({ token: TOKEN });
    expect(server.requests).toHaveLength(2);
  });

  test('silence for ever ends in time, after two requests', async () => {
    const { server, apiUrl } = await lateServer();
    const request = connect({ apiUrl }).requestToken(() => undefined);
    const rejected = expect(request).rejects.toThrow(
      /no complete answer within 30\.0 s; gave up after 2 attempts within 60 s/,
    );
    await server.received(1);
    await pass(30.1);
    await server.received(2);
    await pass(30);
    await rejected;
    expect(server.requests).toHaveLength(2);
  });

  test('an attempt that times out closes its connection', async () => {
    const { server, open, apiUrl } = await lateServer((late) => ({ token: [late, issue()] }));
    const request = connect({ apiUrl }).requestToken(() => undefined);
    await server.received(1);
    const closed = Promise.all(open.map((response) => once(response, 'close')));
    await pass(30.1);
    await expect(closed).resolves.toHaveLength(1);
    await request;
  });

  test('raising timeout-seconds raises what one attempt may take', async () => {
    const { server, open, apiUrl } = await lateServer();
    const request = connect({ apiUrl, timeoutSeconds: 120 }).requestToken(() => undefined);
    await server.received(1);
    await pass(45);
    for (const response of open) issue()(response, { method: '', path: '', headers: {}, form: {} });
    await expect(request).resolves.toMatchObject({ token: TOKEN });
    expect(server.requests).toHaveLength(1);
  });

  test('each token to revoke gets a first try before any gets a second', async () => {
    const { server, apiUrl } = await lateServer((late) => ({ revoke: [late] }));
    const revocation = connect({ apiUrl }).revoke(['one', 'two', 'three']);
    await server.received(3);
    expect(server.requests.map(({ form }) => form['token']).sort()).toEqual(['one', 'three', 'two']);
    await pass(60.1);
    expect(await revocation).toMatchObject({ revoked: [], failure: { name: 'Failure' } });
  });
});

describe('a revocation', () => {
  test('posts token and credentials as a form', async () => {
    const scope = nock(API_URL)
      .post(REVOKE_PATH, 'token=a%2Bb&client_id=id&client_secret=secret')
      .reply(200, '', { 'content-type': 'text/html' });
    expect(await connect().revoke(['a+b'])).toEqual({ revoked: ['a+b'], failure: undefined });
    expect(scope.isDone()).toBe(true);
  });

  test.each([200, 201, 202, 204])('is done with %d', async (status) => {
    nock(API_URL).post(REVOKE_PATH).reply(status);
    expect(await connect().revoke(['a'])).toMatchObject({ revoked: ['a'] });
  });

  test('that is answered with something else is a failure, for good', async () => {
    for (const body of ['\n<html>', '{"message":"Forbidden"}', '{"revoked":false}']) {
      nock(API_URL).post(REVOKE_PATH).reply(200, body);
      const { revoked, failure } = await connect().revoke(['a']);
      expect([revoked, String(failure)]).toEqual([[], expect.stringContaining('not confirmed')]);
      expect(failure).toMatchObject({ explanation: { transient: false } });
    }
  });

  test('is tried again like a request for a token', async () => {
    const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED' });
    nock(API_URL).post(REVOKE_PATH).replyWithError(refused);
    nock(API_URL).post(REVOKE_PATH).reply(500).post(REVOKE_PATH).reply(200);
    expect(await connect().revoke(['a'])).toMatchObject({ revoked: ['a'], failure: undefined });
    nock(API_URL).post(REVOKE_PATH).reply(400, { error: 'unsupported_token_type' });
    expect((await connect().revoke(['a'])).failure).toBeInstanceOf(Failure);
  });

  test('of several tokens tells which are revoked, and a failure, whatever became of the others', async () => {
    nock(API_URL)
      .post(REVOKE_PATH, /token=one/)
      .reply(404);
    nock(API_URL)
      .post(REVOKE_PATH, /token=two/)
      .reply(200);
    nock(API_URL)
      .post(REVOKE_PATH, /token=three/)
      .reply(200);
    const { revoked, failure } = await connect().revoke(['one', 'two', 'three']);
    expect([revoked, String(failure)]).toEqual([['two', 'three'], expect.stringContaining('There is nothing at')]);
  });

  test('of nothing is nothing', async () => {
    expect(await connect().revoke([])).toEqual({ revoked: [], failure: undefined });
  });

  test('never rejects, not even for a defect', async () => {
    nock(API_URL).post(REVOKE_PATH).reply(401, { error: 'x' });
    const words = () => {
      throw new TypeError('a defect');
    };
    expect(await connect({}, undefined, { words }).revoke(['a'])).toEqual({
      revoked: [],
      failure: expect.any(TypeError),
    });
  });

  test('advises more time where it was too short, and never to run the job again', async () => {
    nock(API_URL).post(REVOKE_PATH).reply(503, '', { 'retry-after': '120' });
    const { failure } = await connect().revoke(['a']);
    expect(String(failure)).toMatch(/has an outage\. Raise timeout-seconds to keep trying for longer\.$/);
    expect(String(failure)).not.toMatch(/again/);
  });

  test('that is given less than the budget adds no advice of its own where that was too short', async () => {
    nock(API_URL).post(REVOKE_PATH).reply(503, '', { 'retry-after': '5' });
    const { failure } = await connect().revoke(['a'], 1_000);
    expect(String(failure)).toMatch(/asks to wait 5 s, .* another attempt\. The Dashboard, .* has an outage\.$/);
  });

  test('goes on after the step was told to stop, and ends when its time is over', async () => {
    const { signals, begin, end } = shutdown();
    const server = await startServer({ revoke: [answer(503), hang()] });
    const { revoke } = connect({ apiUrl: server.url }, signals);
    begin();
    const revocation = revoke(['a']);
    await server.received(2);
    end();
    expect(await revocation).toEqual({ revoked: [], failure: signals.over.reason });
  });
});

test('a revocation that has no connection yet when the step is told to stop goes on, too', async () => {
  const { signals, begin } = shutdown();
  nock(API_URL)
    .post(REVOKE_PATH)
    .reply(() => {
      begin();
      return [200];
    });
  expect(await connect({}, signals).revoke(['a'])).toEqual({ revoked: ['a'], failure: undefined });
  expect(signals.begun.aborted).toBe(true);
});

test('a revocation under way when the step is told to stop goes on until its time is over', async () => {
  const { signals, begin, endAnswers, end } = shutdown();
  const server = await startServer({ revoke: [hang()] });
  const ended = jest.fn();
  const revocation = connect({ apiUrl: server.url }, signals).revoke(['a']).finally(ended);
  await server.received(1);
  begin();
  endAnswers();
  await turns();
  expect(ended).not.toHaveBeenCalled();
  end();
  expect(await revocation).toEqual({ revoked: [], failure: signals.over.reason });
});

test('the password of the proxy is kept out of the log, as it stands in the variable and as it is sent', () => {
  process.env['https_proxy'] = 'http://user:p%40ss@127.0.0.1:9';
  const hide = jest.fn();
  connect({}, undefined, { hide });
  expect(hide.mock.calls).toEqual([['p%40ss'], ['p@ss']]);
});

describe('the time that a revocation may take', () => {
  type Revocation = ReturnType<ReturnType<typeof connect>['revoke']>;

  /** As the line says that announces another attempt. */
  async function secondsFor(
    revoke: (dashboard: ReturnType<typeof connect>) => Revocation,
    signals = shutdown().signals,
  ) {
    nock(API_URL).post(REVOKE_PATH).reply(503).post(REVOKE_PATH).reply(200);
    const lines: string[] = [];
    const dashboard = connect({ timeoutSeconds: 10 }, signals, { info: (line) => void lines.push(line) });
    expect(await revoke(dashboard)).toMatchObject({ revoked: ['a'] });
    expect(lines).toHaveLength(1);
    return Number(/ of (\d+) s left\)\.$/.exec(String(lines[0]))?.[1]);
  }

  test('is what is left of timeout-seconds', async () => {
    expect(await secondsFor(({ revoke }) => revoke(['a']))).toBe(10);
  });

  test('is at most what it is given', async () => {
    expect(await secondsFor(({ revoke }) => revoke(['a'], 3_000))).toBe(3);
    expect(await secondsFor(({ revoke }) => revoke(['a'], 60_000))).toBe(10);
  });

  test('is six seconds after a signal, in which the runner leaves it alone', async () => {
    const { signals, begin } = shutdown();
    begin();
    expect(await secondsFor(({ revoke }) => revoke(['a']), signals)).toBe(6);
    expect(await secondsFor(({ revoke }) => revoke(['a'], 1_000), signals)).toBe(6);
  });

  test('is 0.7 s where timeout-seconds are used up, for one try that nothing else will make', async () => {
    const server = await startServer({ revoke: [hang()] });
    const { revoke } = connect({ apiUrl: server.url, timeoutSeconds: 1 });
    const { bigint } = process.hrtime;
    jest.spyOn(process.hrtime, 'bigint').mockImplementation(() => bigint() + 60_000_000_000n);
    const { failure } = await revoke(['a']);
    expect(String(failure)).toMatch(/no complete answer within 0\.7 s; gave up after 1 attempt/);
    expect(server.requests).toHaveLength(1);
  });
});
