import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { createDashboardClient } from '../src/dashboard/client';
import { now, turns } from '../src/shared/clock';
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
async function connect(script: Script) {
  const server = await startServer(script);
  const stop = new AbortController();
  let over = Number.POSITIVE_INFINITY;
  const lines: string[] = [];
  const dashboard = createDashboardClient(
    { apiUrl: server.url, clientId: 'id', timeoutSeconds: 120 },
    SECRET,
    undefined,
    { stop: stop.signal, over: () => over, throwIfCancelled: async () => undefined },
    { ...loggerWith(), info: (line) => lines.push(line) },
  );
  const cancel = () => {
    over = now() + 6_000;
    stop.abort(new Error('told to stop'));
  };
  return { ...dashboard, server, cancel, lines };
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
    expect(onToken.mock.calls).toEqual([['abc', new Date(61_000).toISOString()]]);
    const form = { grant_type: 'client_credentials', client_id: 'id', client_secret: SECRET };
    expect(server.requests).toMatchObject([{ path: '/developer/v1/o/token/', form }]);
  });

  test.each<[status: number, body: object, tokens: string[], error: RegExp | undefined]>([
    [200, { access_token: 'abc' }, ['abc'], undefined],
    [503, { access_token: 'abc' }, ['abc'], /503 \(service unavailable\); an access token came/],
    [401, { access_token: 'abc' }, ['abc'], /accept the credentials \(401\); an access token came/],
    [200, { access_token: 'abc', token_type: 'mac' }, ['abc'], /a token_type other than Bearer/],
    [200, { data: { access_token: 'abc' } }, ['abc'], /holds no access_token/],
    [200, {}, [], /holds no access_token/],
  ])('ends the asking, whatever the answer: %d %j', async (status, body, tokens, error) => {
    const onToken = jest.fn();
    const { requestToken, server } = await connect({ token: [json(status, body)] });
    const asked = requestToken(onToken);
    await (error === undefined ? asked : expect(asked).rejects.toThrow(error));
    expect(onToken.mock.calls.map(([token]) => token)).toEqual(tokens);
    expect(server.requests).toHaveLength(1);
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
  test('nothing is asked for, and in a wait nothing more', async () => {
    fakeTime();
    const before = await connect({});
    before.cancel();
    await expect(before.requestToken(() => undefined)).rejects.toThrow('told to stop');
    expect(before.server.requests).toEqual([]);
    const meanwhile = await connect({ token: [answer(429, '', { 'retry-after': '60' })] });
    const request = meanwhile.requestToken(() => undefined);
    await meanwhile.server.received(1);
    meanwhile.cancel();
    await expect(request).rejects.toThrow('told to stop');
    expect(meanwhile.server.requests).toHaveLength(1);
  });

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
    await turns(100);
    expect(request.isSettled).toBe(false);
    jest.advanceTimersByTime(1);
    await expect(request.promise).rejects.toThrow(kind === 'token' ? 'told to stop' : 'the runner told this step to');
    expect(server.requests).toHaveLength(1);
  });
});

describe('a revocation', () => {
  test.each([
    [202, '', /answered with 202 \(accepted\), but not confirmed/],
    [200, '<p>', /answered with 200 \(ok\), but not confirmed/],
    [404, '', /^There is nothing at .*\/developer\/v1\/o\/revoke_token\/ \(404\)/],
  ])('that is answered with %d %s has not worked, and is not tried again', async (status, body, error) => {
    const { revoke, server } = await connect({ revoke: [answer(status, body)] });
    await expect(revoke('a')).rejects.toThrow(error);
    expect(server.requests).toHaveLength(1);
  });

  test.each<[seconds: number, moreMs: number | undefined]>([
    [120, undefined],
    [3, 3_000],
  ])('has %d s, which are those of the step, or %s ms', async (seconds, moreMs) => {
    const { revoke, server, lines } = await connect({ revoke: [answer(503), answer(200)] });
    await revoke('a+b', moreMs && now() + moreMs);
    expect(lines).toEqual([expect.any(String), expect.stringContaining(` of ${seconds} s left).`)]);
    expect(server.requests[1]?.form).toEqual({ token: 'a+b', client_id: 'id', client_secret: SECRET });
  });

  test('has 0.7 s at least where the runner has told the step to stop', async () => {
    fakeTime();
    const { revoke, server, cancel } = await connect({ revoke: [hang()] });
    cancel();
    jest.advanceTimersByTime(60_000);
    const revocation = watch(revoke('a'));
    await server.received(1);
    jest.advanceTimersByTime(700);
    await expect(revocation.promise).rejects.toThrow(/no complete answer within 0\.7 s; the runner told this step/);
  });
});
