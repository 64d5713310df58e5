import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import nock from 'nock';
import { type Limits, postForm, type Response } from '../src/dashboard/http';
import { parseProxy } from '../src/dashboard/proxy';
import { now, turns } from '../src/shared/clock';
import { cleanup } from './support/cleanup';
import { type OnConnect, refusal, startProxy } from './support/proxy';
import { responseOf } from './support/response';
import { type Behaviour, flood, startServer } from './support/scripted-server';

const MEBIBYTE = 1_024 * 1_024;
const URL_OF_API = 'https://api.formlabs.com';

// No other file uses nock: in a second one in the same process it would not work.
afterAll(() => nock.restore());
beforeEach(() => {
  nock.disableNetConnect();
  nock.enableNetConnect(/^(127\.0\.0\.1|\[?::1\]?|192\.0\.2\.1|\w+\.test)(:|$)/);
});
afterEach(() => nock.cleanAll());

function post(url = URL_OF_API, limits: Partial<Limits> = {}): Promise<Response> {
  const never = { proxy: undefined, endsAt: Number.POSITIVE_INFINITY, endsAtStop: () => now() };
  const all = { ...never, stop: new AbortController().signal, endsAt: now() + 60_000, ...limits };
  return postForm(`${url}/o/token/`, { a: 'b&c', d: 'é=' }, all);
}

test('posts a form, as the API wants it', async () => {
  const headers = {
    accept: 'application/json',
    'accept-encoding': 'identity',
    'content-type': 'application/x-www-form-urlencoded',
    'user-agent': /^formlabs-dashboard-token\/\d/,
  };
  nock(URL_OF_API, { reqheaders: headers, badheaders: ['authorization'] })
    .post('/o/token/', 'a=b%26c&d=%C3%A9%3D')
    .reply(418, 'höt', { 'x-more': 'yes' });
  expect(await post()).toEqual(responseOf({ status: 418, headers: { 'x-more': 'yes' }, body: 'höt' }));
});

test.each([301, 302, 307, 308, 401, 503])('asks once, and leaves %d to the caller', async (status) => {
  // Nothing else is to be asked: nock has no other answer.
  nock(URL_OF_API).post('/o/token/').reply(status, '', { location: '/elsewhere/', 'www-authenticate': 'Basic' });
  expect(await post()).toMatchObject({ status, problem: undefined });
});

test.each<[name: string, sent: Buffer | string, body: string]>([
  ['nothing', '', ''],
  ['a mebibyte', Buffer.alloc(MEBIBYTE, 'x'), 'x'.repeat(MEBIBYTE)],
  ['what is compressed, unasked', gzipSync('höt'), 'höt'],
  ['as much as is read, compressed', gzipSync(Buffer.alloc(MEBIBYTE, 'x')), 'x'.repeat(MEBIBYTE)],
  ['what only begins as if', Buffer.from('1f8b7800000000000000', 'hex'), `\x1f\ufffdx${'\0'.repeat(7)}`],
])('reads a body: %s', async (_name, sent, body) => {
  nock(URL_OF_API).post('/o/token/').reply(200, sent);
  const response = await post();
  // Not in one: what differs would be printed.
  expect([response.status, response.problem]).toEqual([200, undefined]);
  expect(response.body === body).toBe(true);
});

test('reads little more than a mebibyte of a body without end', async () => {
  const server = await startServer({ token: [flood()] });
  const { body, problem } = await post(server.url);
  expect(problem).toBeUndefined();
  expect(body.length).toBeGreaterThan(MEBIBYTE);
  expect(body.length).toBeLessThan(2 * MEBIBYTE);
});

test('a compressed body that broke off gives what it can, and one that only ends there is taken as it is', async () => {
  const cut = gzipSync('a'.repeat(99)).subarray(0, -9);
  const [length, body] = [{ 'content-length': '99' }, 'a'.repeat(99)];
  const server = await startServer({
    token: [
      (response) => response.writeHead(200, length).write(cut, () => response.socket?.destroy()),
      (response) => response.end(cut),
    ],
  });
  expect(await post(server.url)).toMatchObject({ body, problem: { stage: 'answer', cause: { code: 'ECONNRESET' } } });
  expect(await post(server.url)).toMatchObject({ body: cut.toString(), problem: undefined });
});

test('a compressed body that would be larger than what is read is taken as it is', async () => {
  nock(URL_OF_API)
    .post('/o/token/')
    .reply(200, gzipSync(Buffer.alloc(MEBIBYTE + 1, 'x')));
  expect((await post()).body.length).toBeLessThan(2_000);
});

test.each([
  ['ECONNRESET', 'connection'],
  // In TLS 1.3, a server refuses a client after the handshake.
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'handshake'],
])('an error is what came of it, and no exception: %s', async (code, stage) => {
  const cause = Object.assign(new Error('x'), { code });
  nock(URL_OF_API).post('/o/token/').replyWithError(cause);
  expect(await post()).toEqual(responseOf({ status: 0, problem: { stage, cause } as Response['problem'] }));
});

test('turns of the event loop end, however many are asked for', () => turns(1e9), 10_000);

/** A server that says nothing of itself. */
async function startSilent(onConnection: (socket: Socket) => void = () => undefined): Promise<number> {
  const server: Server = createServer((socket) => {
    cleanup(() => socket.destroy());
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanup(() => server.close());
  return (server.address() as AddressInfo).port;
}

function connectNever(): void {
  const connect = jest.spyOn(Socket.prototype, 'connect').mockImplementation(function (this: Socket) {
    return Object.assign(this, { connecting: true });
  });
  cleanup(() => connect.mockRestore());
}

describe('a request that is told to stop ends where it is, and is not sent before it waits for the answer', () => {
  /** Stops it at an event, and gives how far it had come, and whether it took itself for sent. */
  async function stopped(url: string, at: Promise<unknown>, proxy?: string) {
    const stop = new AbortController();
    const endsAtStop = jest.fn((_isSent: boolean) => now());
    const response = post(url, { stop: stop.signal, endsAtStop, proxy: parseProxy(proxy ?? '') });
    await at;
    // What has come by then is taken note of first.
    await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    expect((await response).problem?.timeoutMs).toBeLessThan(60_000);
    return [(await response).problem?.stage, ...endsAtStop.mock.calls.flat()];
  }
  /** A server, the moment at which it has been sent something, and the one at which the connection was closed. */
  async function listening(answers?: string) {
    const [asked, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const port = await startSilent((socket) => {
      socket.once('close', left.resolve).once('data', () => {
        if (answers === undefined) return asked.resolve();
        socket.write(answers);
        socket.once('data', () => asked.resolve());
      });
    });
    return { host: `127.0.0.1:${port}`, asked: asked.promise, left: left.promise };
  }
  const at = new Promise((resolve) => setImmediate(resolve));

  test.each<[stage: string, url: string, proxy?: string]>([
    ['lookup', 'https://name.test', ''],
    ['connection', 'https://192.0.2.1', ''],
    ['proxy lookup', 'https://name.test', 'proxy.test'],
    ['proxy connection', 'https://name.test', '192.0.2.1'],
  ])('%s', async (stage, url, proxy) => {
    connectNever();
    expect(await stopped(url, at, proxy)).toEqual([stage, false]);
  });

  test.each<[stage: string, scheme: string, proxy: string, opens: string | undefined, isSent: boolean]>([
    ['handshake', 'https:', '', undefined, false],
    ['answer', 'http:', '', undefined, true],
    ['proxy answer', 'https:', 'http://', undefined, false],
    ['proxy handshake', 'https:', 'https://', undefined, false],
    ['handshake', 'https:', 'http://', 'HTTP/1.1 200 OK\r\n\r\n', false],
  ])('%s: %s %s, and the connection is closed', async (stage, scheme, proxy, opens, isSent) => {
    const { host, asked, left } = await listening(opens);
    const url = `${scheme}//${proxy === '' ? host : 'name.test'}`;
    expect(await stopped(url, asked, proxy && proxy + host)).toEqual([stage, isSent]);
    await left;
  });
});

describe('a proxy', () => {
  const startRefusing = (onConnect: OnConnect) => startProxy({ target: { port: 1 }, script: [onConnect] });
  const through = (url: string, proxy: string) => post(url, { proxy: parseProxy(proxy), endsAt: now() + 5_000 });

  test.each(['dashboard.test:8443', '[2001:db8::1]:443'])('is asked for %s as curl asks', async (authority) => {
    const proxy = await startRefusing(refusal(403));
    await through(`https://${authority}`, `http://us%20er:p%C3%A4ss%3A@${proxy.host}`);
    await through(`https://${authority}`, proxy.host);
    expect(proxy.connects).toEqual([authority, authority]);
    const asked = {
      host: authority,
      'user-agent': expect.stringMatching(/^formlabs-dashboard-token\/\d/),
      'proxy-connection': 'keep-alive',
    };
    const authorization = `Basic ${Buffer.from('us er:päss:').toString('base64')}`;
    expect(proxy.headers).toEqual([{ ...asked, 'proxy-authorization': authorization }, asked]);
  });

  const hasFailed = 'proxy answer';
  const cause = { code: expect.stringMatching(/^(?:EPROTO|ERR_SSL_\w+)$/) };

  test.each<[name: string, onConnect: OnConnect, came: object]>([
    ['a tunnel, with 299', { says: 'HTTP/1.1 299 x\r\n\r\n' }, { status: 0, problem: { stage: 'handshake' } }],
    ['403 with a large head', refusal(403, { x: 'x'.repeat(20_000) }), { status: 403, problem: { stage: hasFailed } }],
    ['300', refusal(300, { 'x-y': '7' }), { status: 300, headers: { 'x-y': '7' }, problem: { stage: hasFailed } }],
    ['nothing', 'close', { status: 0, problem: { stage: hasFailed, cause: { code: 'ECONNRESET' } } }],
    ['no HTTP', { says: 'SSH-2.0\r\n' }, { status: 0, problem: { cause: { code: 'HPE_INVALID_CONSTANT' } } }],
    // What comes behind the answer is the tunnel's.
    ['a page down the tunnel', { says: 'HTTP/1.1 200 x\r\n\r\n<html>' }, { problem: { stage: 'handshake', cause } }],
  ])('gives %s', async (_name, onConnect, came) => {
    const { host } = await startRefusing(onConnect);
    expect(await through('https://dashboard.test', host)).toMatchObject(came);
  });
});

describe('time', () => {
  const fakeTime = () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
    cleanup(() => jest.useRealTimers());
  };

  test('is over at its moment, and not before; what has come by then is given', async () => {
    fakeTime();
    const begun = Promise.withResolvers<void>();
    const server = await startServer({
      token: [(response) => response.writeHead(200).write('a part', () => begun.resolve())],
    });
    const settled = jest.fn();
    const response = post(server.url, { endsAt: now() + 60_000 }).finally(settled);
    await begun.promise;
    jest.advanceTimersByTime(59_999);
    await turns(100);
    expect(settled).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(await response).toMatchObject({
      status: 200,
      body: 'a part',
      problem: { stage: 'answer', timeoutMs: 60_000 },
    });
  });

  test('that was over before it began is none, and no time is below zero', async () => {
    connectNever();
    expect((await post('https://192.0.2.1', { endsAt: now() - 5_000 })).problem).toEqual({
      stage: 'connection',
      timeoutMs: 0,
    });
  });

  // A machine that was paused finds the timer and the answer at once, the timer first.
  test.each<[name: string, behaviour: Behaviour, body: string]>([
    [
      'an answer that lies in the socket',
      (response) => response.end('just in time', () => setImmediate(() => jest.advanceTimersByTime(60_000))),
      'just in time',
    ],
    [
      'one of which more comes with every turn of the event loop',
      (response) => {
        const timeIsOver = () => {
          jest.advanceTimersByTime(60_000);
          setImmediate(() => response.end('rest'));
        };
        response.write('first part and ', () => setImmediate(timeIsOver));
      },
      'first part and rest',
    ],
  ])('that is over does not lose %s', async (_name, behaviour, body) => {
    fakeTime();
    const server = await startServer({ token: [behaviour] });
    expect(await post(server.url)).toMatchObject({ status: 200, body, problem: undefined });
  });
});
