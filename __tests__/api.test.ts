import { afterAll, afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import nock from 'nock';
import { type Connection, requestToken, revokeToken } from '../src/dashboard/api';
import { Failure } from '../src/dashboard/failure';
import { startBudget } from '../src/dashboard/retry';

const API_URL = 'https://api.formlabs.com';
const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';

// Else it stays in the way of the next file in the same process.
afterAll(() => nock.restore());
beforeEach(() => {
  nock.disableNetConnect();
  jest.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(() => {
  nock.cleanAll();
  nock.enableNetConnect();
  jest.restoreAllMocks();
});

function connection(changes: Partial<Connection> = {}): Connection {
  const never = new AbortController().signal;
  return {
    apiUrl: API_URL,
    clientId: 'id',
    clientSecret: 'secret',
    budget: startBudget(60),
    cancellation: { requested: never, abandoned: never },
    onFailedAttempt: () => undefined,
    redact: (text) => text,
    ...changes,
  };
}

describe('requestToken', () => {
  test('posts the credentials as a form, and gives the token with its expiry', async () => {
    const scope = nock(API_URL, { reqheaders: { accept: 'application/json' } })
      .post(TOKEN_PATH, 'grant_type=client_credentials&client_id=id&client_secret=secret')
      .reply(200, { access_token: 'abc', token_type: 'Bearer', expires_in: 60 });
    const before = Date.now();
    const { token, expiresAt } = await requestToken(connection(), () => undefined);
    expect(token).toBe('abc');
    expect(Date.parse(expiresAt ?? '')).toBeGreaterThanOrEqual(before + 60_000);
    expect(scope.isDone()).toBe(true);
  });

  test('counts the time of validity from before the request, so that it never says too long', async () => {
    nock(API_URL).post(TOKEN_PATH).delay(200).reply(200, { access_token: 'abc', expires_in: 60 });
    const before = Date.now();
    const { expiresAt } = await requestToken(connection(), () => undefined);
    expect(Date.parse(expiresAt ?? '')).toBeLessThan(before + 60_000 + 150);
  });

  test('tells of every token received, before it is known whether it can be accepted', async () => {
    const onReceived = jest.fn();
    nock(API_URL).post(TOKEN_PATH).reply(503, { access_token: 'first' });
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'second', token_type: 'mac' });
    await expect(requestToken(connection(), onReceived)).rejects.toThrow('token_type');
    expect(onReceived.mock.calls).toEqual([[['first']], [['second']]]);
  });

  test('does not take the client secret for a token', async () => {
    const onReceived = jest.fn();
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'secret' });
    await expect(requestToken(connection(), onReceived)).rejects.toThrow('the client secret as');
    expect(onReceived).not.toHaveBeenCalled();
  });

  test('ends with what the listener throws', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'abc' });
    const onReceived = () => {
      throw new Error('no room');
    };
    await expect(requestToken(connection(), onReceived)).rejects.toThrow('no room');
  });

  test('tells of every attempt that is followed by another', async () => {
    const onFailedAttempt = jest.fn();
    nock(API_URL).post(TOKEN_PATH).reply(502);
    nock(API_URL)
      .post(TOKEN_PATH)
      .replyWithError(Object.assign(new Error('x'), { code: 'EHOSTUNREACH' }));
    nock(API_URL).post(TOKEN_PATH).reply(200, { access_token: 'abc' });
    await requestToken(connection({ onFailedAttempt }), () => undefined);
    expect(onFailedAttempt.mock.calls).toEqual([
      [expect.stringContaining('Attempt 1 failed: the Dashboard answered 502 (bad gateway).')],
      [
        expect.stringContaining(
          'Attempt 2 failed: no answer from api.formlabs.com: the host is unreachable (EHOSTUNREACH).',
        ),
      ],
    ]);
  });

  test.each(['EPERM', 'HPE_INVALID_CONSTANT', undefined])(
    'does not try again after %s',
    async (code) => {
      nock(API_URL)
        .post(TOKEN_PATH)
        .replyWithError(Object.assign(new Error('x'), { code }));
      await expect(requestToken(connection(), () => undefined)).rejects.toThrow(
        `No answer from api.formlabs.com: the request failed (${code ?? 'no error code'}). Check api-url`,
      );
    },
  );

  test('a defect on the way is passed on as it is', async () => {
    nock(API_URL).post(TOKEN_PATH).reply(401, { error: 'x' });
    const redact = () => {
      throw new TypeError('a defect');
    };
    await expect(requestToken(connection({ redact }), () => undefined)).rejects.toThrow(TypeError);
  });
});

describe('revokeToken', () => {
  test('posts token and credentials as a form', async () => {
    const scope = nock(API_URL)
      .post(REVOKE_PATH, 'token=a%2Bb&client_id=id&client_secret=secret')
      .reply(200, '', { 'content-type': 'text/html' });
    await revokeToken(connection(), 'a+b');
    expect(scope.isDone()).toBe(true);
  });

  test('takes a 200 for done, unless its body says something else', async () => {
    nock(API_URL).post(REVOKE_PATH).reply(200, {});
    await revokeToken(connection(), 'abc');
    for (const body of ['\n<html>', 'Sign in', '{"error":"x"}', '{"detail":"x"}', '[]']) {
      nock(API_URL).post(REVOKE_PATH).reply(200, body);
      await expect(revokeToken(connection(), 'abc')).rejects.toThrow('other than a confirmation');
    }
  });

  test('is tried again like a request for a token', async () => {
    const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED' });
    nock(API_URL).post(REVOKE_PATH).replyWithError(refused);
    nock(API_URL).post(REVOKE_PATH).reply(500).post(REVOKE_PATH).reply(200);
    await revokeToken(connection(), 'abc');
    nock(API_URL).post(REVOKE_PATH).reply(400, { error: 'unsupported_token_type' });
    await expect(revokeToken(connection(), 'abc')).rejects.toThrow(Failure);
  });
});
