import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, jest, test } from '@jest/globals';
import { isSuccess, type Limits, type Outcome, postForm } from '../src/dashboard/http';
import { takeProxy } from '../src/dashboard/proxy';
import { cleanup } from './support/cleanup';
import { startProxy } from './support/proxy';
import { answer, type Behaviour, cutShort, empty, flood, hang, startServer } from './support/scripted-server';
import { startTcpServer, startTextServer } from './support/tcp-server';

const MEBIBYTE = 1_024 * 1_024;

/** Where Node tells that the head of an answer has arrived. */
const HEAD_ARRIVED = 'http.client.response.finish';

function post(url: string, limits: Partial<Limits> = {}): Promise<Outcome> {
  const { signal } = new AbortController();
  const all = { proxy: undefined, limitMs: 60_000, stop: signal, signal, ...limits };
  return postForm(`${url}/o/token/`, { a: 'b&c', d: 'é=' }, all);
}

async function answerOf(behaviour: Behaviour): Promise<Outcome> {
  return post((await startServer({ token: [behaviour] })).url);
}

test('posts a form, as the API wants it', async () => {
  const server = await startServer();
  await post(server.url);
  expect(server.requests).toMatchObject([
    {
      method: 'POST',
      path: '/o/token/',
      form: { a: 'b&c', d: 'é=' },
      headers: {
        accept: 'application/json',
        'accept-encoding': 'identity',
        'content-type': 'application/x-www-form-urlencoded',
        'user-agent': expect.stringMatching(/^formlabs-dashboard-token\/\d/),
      },
    },
  ]);
});

test('gives status, headers and body of an answer', async () => {
  expect(await answerOf(answer(418, 'höt', { 'x-more': 'yes' }))).toMatchObject({
    status: 418,
    headers: { 'x-more': 'yes' },
    body: 'höt',
    cause: undefined,
    timedOut: undefined,
  });
});

test('reaches an IPv6 address', async () => {
  const server = await startServer({}, { host: '::1' });
  expect(await post(server.url)).toMatchObject({ status: 200, cause: undefined });
});

test('gives an answer without a body', async () => {
  expect(await answerOf(empty())).toMatchObject({ status: 200, body: '', cause: undefined });
});

test('gives a body that is sent when its head has arrived, in pieces that part a character', async () => {
  const [one, other] = [Buffer.from('behiné').subarray(0, -1), Buffer.from('é').subarray(1)];
  const outcome = await answerOf((response) => {
    const onHead = () => {
      unsubscribe(HEAD_ARRIVED, onHead);
      response.write(one, () => setImmediate(() => response.end(other)));
    };
    subscribe(HEAD_ARRIVED, onHead);
    response.writeHead(200).flushHeaders();
  });
  expect(outcome).toMatchObject({ status: 200, body: 'behiné', cause: undefined });
});

test.each<[name: string, outcome: Partial<Outcome>, success: boolean]>([
  ['200', { status: 200 }, true],
  ['204', { status: 204 }, true],
  ['299', { status: 299 }, true],
  ['300', { status: 300 }, false],
  ['199', { status: 199 }, false],
  ['nothing', { status: 0, cause: new Error('x') }, false],
  ['200 that broke off', { status: 200, cause: new Error('x') }, false],
])('whether %s is a success', (_name, outcome, success) => {
  expect(isSuccess({ status: 0, headers: {}, body: '', cause: undefined, timedOut: undefined, ...outcome })).toBe(
    success,
  );
});

describe('follows nothing and asks once', () => {
  test.each([301, 302, 303, 307, 308])('a redirect with %d is left to the caller', async (status) => {
    const elsewhere = await startServer();
    expect(await answerOf(answer(status, '', { location: elsewhere.url }))).toMatchObject({
      status,
      headers: { location: elsewhere.url },
    });
    expect(elsewhere.requests).toEqual([]);
  });

  test.each([401, 503])('%d is left to the caller', async (status) => {
    const server = await startServer({ token: [answer(status, '', { 'www-authenticate': 'Basic realm="x"' })] });
    expect(await post(server.url)).toMatchObject({ status });
    expect(server.requests).toHaveLength(1);
  });
});

describe('takes a body that came compressed, though it asked for none', () => {
  const TEXT = `{"access_token":"${'t'.repeat(9_000)}"}`;
  const compressed = (coding: string, body: Buffer): Behaviour =>
    answer(200, body as unknown as string, { 'content-encoding': coding });

  test.each<[coding: string, body: Buffer]>([
    ['gzip', gzipSync(TEXT)],
    [' GZip ', gzipSync(TEXT)],
    ['deflate', deflateSync(TEXT)],
    ['br', brotliCompressSync(TEXT)],
    ['BR', brotliCompressSync(TEXT)],
    ['identity', Buffer.from(TEXT)],
  ])('%j', async (coding, body) => {
    expect(await answerOf(compressed(coding, body))).toMatchObject({ status: 200, body: TEXT, cause: undefined });
  });

  test('without a word about it', async () => {
    expect(await answerOf(answer(200, gzipSync(TEXT) as unknown as string))).toMatchObject({ body: TEXT });
  });

  test('and broke off', async () => {
    const body = gzipSync(`${TEXT}${'more'.repeat(9_000)}`).subarray(0, -30);
    const outcome = await answerOf((response) => {
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': `${body.length + 30}` });
      response.write(body, () => response.socket?.destroy());
    });
    expect(outcome.body.startsWith(TEXT)).toBe(true);
    expect(outcome.cause).toMatchObject({ code: 'ECONNRESET' });
  });

  test.each<[name: string, body: Buffer]>([
    ['is not what it says to be', Buffer.from('plain')],
    ['would be larger than what is read', gzipSync(Buffer.alloc(MEBIBYTE + 1, 'x'))],
  ])('and %s, as it is', async (_name, body) => {
    expect(await answerOf(compressed('gzip', body))).toMatchObject({ body: body.toString(), cause: undefined });
  });

  test('and is just as large as what is read', async () => {
    const { body } = await answerOf(compressed('gzip', gzipSync(Buffer.alloc(MEBIBYTE, 'x'))));
    expect(body).toHaveLength(MEBIBYTE);
  });
});

describe('reads a mebibyte of a body and no more', () => {
  test.each([MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1])('%d bytes', async (size) => {
    const { status, body } = await answerOf(answer(200, 'x'.repeat(size)));
    expect(status).toBe(200);
    expect(body).toHaveLength(Math.min(size, MEBIBYTE));
  });

  test('of one that never ends', async () => {
    const outcome = await answerOf(flood());
    expect(outcome.body).toHaveLength(MEBIBYTE);
    expect(outcome.cause).toBeUndefined();
  });

  test('and a head of nearly as much', async () => {
    const server = await startTextServer(
      `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(MEBIBYTE - 100)}\r\ncontent-length: 1\r\n\r\ny`,
    );
    expect(await post(server.url)).toMatchObject({ status: 200, body: 'y' });
  });
});

describe('gives what had come', () => {
  test('of a body that broke off', async () => {
    expect(await answerOf(cutShort('a part'))).toMatchObject({
      status: 200,
      body: 'a part',
      cause: { code: 'ECONNRESET' },
    });
  });

  test('of a connection that broke off', async () => {
    const server = await startTcpServer((socket) => socket.once('data', () => socket.resetAndDestroy()));
    expect(await post(server.url)).toMatchObject({ status: 0, headers: {}, body: '', cause: { code: 'ECONNRESET' } });
  });

  test('until the signal, whose reason it gives', async () => {
    const server = await startServer({ token: [(response) => void response.writeHead(200).write('a part')] });
    const controller = new AbortController();
    const outcome = post(server.url, { signal: controller.signal });
    await new Promise<void>((resolve) => {
      const onHead = () => {
        unsubscribe(HEAD_ARRIVED, onHead);
        resolve();
      };
      subscribe(HEAD_ARRIVED, onHead);
    });
    await new Promise((resolve) => setImmediate(resolve));
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await outcome).toMatchObject({ status: 200, body: 'a part', cause: reason, timedOut: undefined });
  });
});

describe('time', () => {
  const fakeTime = () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask', 'performance', 'Date', 'hrtime'] });
    cleanup(() => jest.useRealTimers());
  };
  const isSettled = async (outcome: Promise<Outcome>) => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    return Promise.race([outcome.then(() => true), new Promise((resolve) => setImmediate(resolve, false))]);
  };

  const connectNever = () => {
    const connect = jest.spyOn(Socket.prototype, 'connect').mockImplementation(function (this: Socket) {
      return Object.assign(this, { connecting: true });
    });
    cleanup(() => connect.mockRestore());
  };
  const expectNoConnection = async (outcome: Promise<Outcome>, limitMs: number) => {
    jest.advanceTimersByTime(limitMs - 1);
    expect(await isSettled(outcome)).toBe(false);
    jest.advanceTimersByTime(1);
    expect(await outcome).toMatchObject({
      status: 0,
      timedOut: 'connection',
      cause: { message: `no connection within ${(limitMs / 1_000).toFixed(1)} s` },
    });
  };

  test.each([
    [300_000, 150_000],
    [60_000, 30_000],
    [20_000, 15_000],
    [15_000, 15_000],
    [1_250, 1_250],
  ])('of an attempt of %d ms, a connection gets %d', async (limitMs, connectionMs) => {
    fakeTime();
    connectNever();
    await expectNoConnection(post('http://192.0.2.1', { limitMs }), connectionMs);
  });

  test('of an attempt of 60 s, a tunnel gets half, and the connection to the proxy is closed', async () => {
    fakeTime();
    const proxy = await startProxy({ target: { port: 1 }, script: ['hang'] });
    process.env['https_proxy'] = `http://${proxy.host}`;
    const outcome = post('https://dashboard.test', { proxy: takeProxy('https://dashboard.test') });
    await proxy.asked;
    await expectNoConnection(outcome, 30_000);
    await proxy.left;
  });

  test('an answer gets all of it, from the moment that the attempt began', async () => {
    fakeTime();
    const server = await startServer({ token: [hang()] });
    const outcome = post(server.url, { limitMs: 60_000 });
    await server.received(1);
    jest.advanceTimersByTime(59_999);
    expect(await isSettled(outcome)).toBe(false);
    jest.advanceTimersByTime(1);
    expect(await outcome).toMatchObject({
      timedOut: 'answer',
      cause: { message: 'no complete answer within 60.0 s' },
    });
  });

  test('a stop ends what has no connection yet, and leaves the rest to the signal', async () => {
    const server = await startServer({ token: [hang()] });
    const stop = new AbortController();
    const connected = post(server.url, { stop: stop.signal });
    await server.received(1);
    connectNever();
    const unconnected = post('http://192.0.2.1', { stop: stop.signal });
    await new Promise((resolve) => setImmediate(resolve));
    stop.abort(new Error('stop'));
    expect(await unconnected).toMatchObject({ status: 0, cause: stop.signal.reason, timedOut: undefined });
    expect(await isSettled(connected)).toBe(false);
  });

  test('nothing is waited for when an answer has come', async () => {
    fakeTime();
    const server = await startServer();
    expect(isSuccess(await post(server.url))).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(jest.getTimerCount()).toBe(0);
  });

  test('an answer of which more comes with every turn of the event loop is taken', async () => {
    fakeTime();
    const server = await startServer({
      token: [
        (response) => {
          const timeIsOver = () => {
            jest.advanceTimersByTime(60_000);
            setImmediate(() => response.end('rest'));
          };
          response.write('first part and ', () => setImmediate(timeIsOver));
        },
      ],
    });
    const outcome = await post(server.url, { limitMs: 60_000 });
    expect(outcome).toMatchObject({ status: 200, body: 'first part and rest', cause: undefined });
  });

  test('an answer that lies in the socket when the time is over is taken', async () => {
    fakeTime();
    let timers = 0;
    const server = await startServer({
      token: [
        (response) => {
          // The timers come in the turn of the event loop before the one that finds the answer.
          const timeIsOver = () => {
            timers = jest.getTimerCount();
            jest.advanceTimersByTime(60_000);
          };
          response.end('just in time', () => setImmediate(timeIsOver));
        },
      ],
    });
    const outcome = await post(server.url, { limitMs: 60_000 });
    expect(timers).toBe(2);
    expect(outcome).toMatchObject({ status: 200, body: 'just in time', cause: undefined, timedOut: undefined });
  });
});

describe('closes the connection', () => {
  test.each([503, 401, 302])('of an answer of %d, when it has been read', async (status) => {
    const closed = Promise.withResolvers<void>();
    const server = await startServer({
      token: [
        (response, request) => {
          response.socket?.once('close', () => closed.resolve());
          answer(status, 'x')(response, request);
        },
      ],
    });
    expect((await post(server.url)).body).toBe('x');
    await expect(closed.promise).resolves.toBeUndefined();
  });

  test('with the signal, so that no answer comes in unseen', async () => {
    const closed = Promise.withResolvers<void>();
    const server = await startServer({ token: [(response) => response.once('close', () => closed.resolve())] });
    const controller = new AbortController();
    const outcome = post(server.url, { signal: controller.signal });
    await server.received(1);
    controller.abort();
    expect((await outcome).cause).toBe(controller.signal.reason);
    await expect(closed.promise).resolves.toBeUndefined();
  });

  test.each([
    ['to a proxy that is silent', 'hang'],
    ['to a proxy with a silent host behind it', 'open'],
  ] as const)('%s, with the signal', async (_name, onConnect) => {
    const host = createServer((socket) => cleanup(() => socket.destroy())).listen(0, '127.0.0.1');
    await once(host, 'listening');
    cleanup(() => host.close());
    const proxy = await startProxy({ target: host.address() as AddressInfo, script: [onConnect] });
    process.env['https_proxy'] = `http://${proxy.host}`;
    const controller = new AbortController();
    const limits = { proxy: takeProxy('https://dashboard.test'), signal: controller.signal };
    const outcome = post('https://dashboard.test', limits);
    await (onConnect === 'hang' ? proxy.asked : once(host, 'connection'));
    controller.abort();
    expect((await outcome).cause).toBe(controller.signal.reason);
    await expect(proxy.left).resolves.toBeUndefined();
  });
});
