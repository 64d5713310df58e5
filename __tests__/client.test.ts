import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { createDashboardClient } from '../src/dashboard/client';
import { now } from '../src/shared/clock';
import { loggerWith } from './support/response';
import { answer, hang, json, type Script, startServer } from './support/scripted-server';

// What needs a clock in the hands of the test, or an answer that no server gives. The rest is tested on the bundle.

const SECRET = '8-letter';

beforeEach(() => {
  jest.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
});

/** What a server is asked, and answers. */
async function connect(script: Script, { timeoutSeconds = 120, clientSecret = SECRET } = {}) {
  const server = await startServer(script);
  const stop = new AbortController();
  let over = Number.POSITIVE_INFINITY;
  const lines: string[] = [];
  const dashboard = createDashboardClient(
    { apiUrl: server.url, clientId: 'id', timeoutSeconds },
    clientSecret,
    undefined,
    { stop: stop.signal, over: () => over },
    { ...loggerWith(), info: (line) => lines.push(line) },
  );
  const cancel = () => {
    over = now() + 6_000;
    stop.abort(new Error('told to stop'));
  };
  return { ...dashboard, server, cancel, lines };
}

/** Lets all happen that follows without a wait. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

function fakeTime(): void {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'], now: 1_000 });
}

/** Passes on a promise, and says whether it has been settled. */
function watch<T>(promise: Promise<T>) {
  const watched = { isSettled: false, promise };
  const settle = () => {
    watched.isSettled = true;
  };
  promise.then(settle, settle);
  return watched;
}

describe('the token', () => {
  test('is told of, with its expiry as from before the request, so that it is never too late', async () => {
    fakeTime();
    const onToken = jest.fn();
    const late = (response: ServerResponse) => {
      jest.setSystemTime(9_000);
      response.sendDate = false;
      response.end('{"access_token":"abc","expires_in":60}');
    };
    const { requestToken, server } = await connect({ token: [late] });
    await requestToken(onToken);
    expect(onToken.mock.calls).toEqual([['abc', new Date(61_000).toISOString(), true]]);
    const form = { grant_type: 'client_credentials', client_id: 'id', client_secret: SECRET };
    expect(server.requests).toMatchObject([{ path: '/developer/v1/o/token/', form }]);
  });

  test.each<[status: number, body: object, tokens: [string, boolean][], error: RegExp | undefined]>([
    [200, { access_token: 'abc' }, [['abc', true]], undefined],
    [503, { access_token: 'abc' }, [['abc', true]], /503 \(service unavailable\); an access token came/],
    [401, { access_token: 'abc' }, [['abc', true]], /accept the credentials \(401\); an access token came/],
    [200, { access_token: 'abc', token_type: 'mac' }, [['abc', true]], /a token_type other than Bearer/],
    [200, { data: { access_token: 'abc' } }, [['abc', true]], /holds no access_token/],
    [200, {}, [], /holds no access_token/],
    // It may not be saved then.
    [200, { access_token: SECRET }, [[SECRET, false]], /the client secret in its access_token/],
    [200, { access_token: `x${SECRET}x` }, [[`x${SECRET}x`, false]], /the client secret in its access_token/],
    [200, { access_token: SECRET.slice(1) }, [[SECRET.slice(1), true]], undefined],
  ])('ends the asking, whatever the answer: %d %j', async (status, body, tokens, error) => {
    const onToken = jest.fn();
    const { requestToken, server } = await connect({ token: [json(status, body)] });
    const asked = requestToken(onToken);
    await (error === undefined ? asked : expect(asked).rejects.toThrow(error));
    expect(onToken.mock.calls.map(([token, , maySave]) => [token, maySave])).toEqual(tokens);
    expect(server.requests).toHaveLength(1);
  });

  test('may have a short client secret in it by chance, but not be it', async () => {
    const token = ['x7-lettrx', ' 7-lettr '].map((access_token) => json(200, { access_token }));
    const { requestToken } = await connect({ token }, { clientSecret: '7-lettr' });
    await requestToken(() => undefined);
    await expect(requestToken(() => undefined)).rejects.toThrow('client secret');
  });

  test.each([
    ['', true],
    ['{"access_token":"a"}', false],
  ])('may have been issued unseen where a gateway answered %j: %s', async (body, isInDoubt) => {
    const dashboard = await connect({ token: [answer(504, body), json(401, {})] });
    await expect(dashboard.requestToken(() => undefined)).rejects.toThrow();
    expect(dashboard.isInDoubt()).toBe(isInDoubt);
  });
});

describe('when the runner tells the step to stop', () => {
  test.each([
    ['a request that waits for its answer', 'token', 4_000],
    ['a revocation', 'revoke', 6_000],
  ] as const)('%s has %s: %d ms', async (_name, kind, ms) => {
    fakeTime();
    const { requestToken, revoke, cancel, server } = await connect({ [kind]: [hang()] });
    const request = watch(kind === 'token' ? requestToken(() => undefined) : revoke('a'));
    await server.received(1);
    cancel();
    jest.advanceTimersByTime(ms - 1);
    await turns();
    expect(request.isSettled).toBe(false);
    jest.advanceTimersByTime(1);
    await expect(request.promise).rejects.toThrow(kind === 'token' ? 'told to stop' : 'the runner told this step to');
    expect(server.requests).toHaveLength(1);
  });
});

describe('a revocation', () => {
  test.each([
    [202, '', /answered with 202 \(accepted\), but not confirmed/],
    [200, '<p>', /answered, but not confirmed/],
    [404, '', /^There is nothing at .*\/developer\/v1\/o\/revoke_token\/ \(404\)/],
  ])('that is answered with %d %s has not worked, and is not tried again', async (status, body, error) => {
    const { revoke, server } = await connect({ revoke: [answer(status, body)] });
    await expect(revoke('a')).rejects.toThrow(error);
    expect(server.requests).toHaveLength(1);
  });

  test.each<[seconds: number, atLeastMs: number | undefined, atMostMs: number | undefined]>([
    [120, undefined, undefined],
    [3, undefined, 3_000],
    [120, undefined, 300_000],
    [300, 300_000, undefined],
  ])('has %d s, of the 120 s of the step, at least %s ms and at most %s', async (seconds, atLeastMs, atMostMs) => {
    const { revoke, server, lines } = await connect({ revoke: [answer(503), answer(200)] });
    await revoke('a+b', atLeastMs, atMostMs);
    expect(lines).toEqual([expect.stringContaining(` of ${seconds} s left).`)]);
    expect(server.requests[1]?.form).toEqual({ token: 'a+b', client_id: 'id', client_secret: SECRET });
  });

  test('has 0.7 s where the time of the step is over, for nothing else will be tried', async () => {
    fakeTime();
    const { revoke, server } = await connect({ revoke: [hang()] }, { timeoutSeconds: 1 });
    jest.advanceTimersByTime(60_000);
    const revocation = watch(revoke('a'));
    await server.received(1);
    jest.advanceTimersByTime(700);
    await expect(revocation.promise).rejects.toThrow(/no complete answer within 0\.7 s; gave up after 1 attempt/);
  });
});
