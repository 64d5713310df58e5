import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { checkProxy, postForm, proxyHost, proxyPasswords } from '../src/dashboard/http';
import { makeCertificate } from './support/certificate';
import { cleanup } from './support/cleanup';
import { startProxy } from './support/proxy';
import { answer, cutShort, empty, flood, hang, startServer } from './support/scripted-server';

const API = 'https://api.formlabs.com';

/** Where Node tells that the head of an answer has arrived. */
const HEAD_ARRIVED = 'http.client.response.finish';

afterEach(() => {
  delete process.env['https_proxy'];
});

function post(url: string, signal = new AbortController().signal) {
  return postForm(`${url}/o/token/`, { a: 'b&c' }, signal);
}

test('gives status, headers and body', async () => {
  const server = await startServer({ token: [answer(418, 'short', { 'x-more': 'yes' })] });
  expect(await post(server.url)).toMatchObject({
    status: 418,
    headers: { 'x-more': 'yes' },
    body: 'short',
    bodyTooLong: false,
  });
  expect(server.requests[0]?.form).toEqual({ a: 'b&c' });
});

test('reads an answer without a body', async () => {
  const server = await startServer({ token: [empty()] });
  expect(await post(server.url)).toMatchObject({ complete: true, body: '', bodyTooLong: false });
});

test('reads a body that is sent when its head has arrived', async () => {
  const server = await startServer({
    token: [
      (response) => {
        const onHead = () => {
          unsubscribe(HEAD_ARRIVED, onHead);
          response.end('behind');
        };
        subscribe(HEAD_ARRIVED, onHead);
        response.writeHead(200).flushHeaders();
      },
    ],
  });
  expect(await post(server.url)).toMatchObject({ complete: true, body: 'behind' });
});

test('reads 64 KiB of a body and no more', async () => {
  const server = await startServer({ token: [flood()] });
  const answer = await post(server.url);
  expect(answer.body).toHaveLength(64 * 1024);
  expect(answer).toMatchObject({ bodyTooLong: true });
});

test('gives what had come of a body that broke off', async () => {
  const server = await startServer({ token: [cutShort('a part')] });
  expect(await post(server.url)).toMatchObject({
    complete: false,
    body: 'a part',
    cause: { code: 'ECONNRESET' },
  });
});

test('ends with the reason of the signal', async () => {
  const server = await startServer({ token: [hang()] });
  const controller = new AbortController();
  const answer = post(server.url, controller.signal);
  await server.received(1);
  const reason = new Error('enough');
  controller.abort(reason);
  expect(await answer).toEqual({ complete: false, body: '', cause: reason });
});

test('requests nothing when the signal has come before', async () => {
  const server = await startServer();
  const reason = new Error('enough');
  expect(await post(server.url, AbortSignal.abort(reason))).toMatchObject({ cause: reason });
  expect(server.requests).toEqual([]);
});

test('closes the connection with the signal, so that no answer comes in unseen', async () => {
  const closed = Promise.withResolvers<void>();
  const server = await startServer({
    token: [(response) => response.once('close', () => closed.resolve())],
  });
  const controller = new AbortController();
  const answer = post(server.url, controller.signal);
  await server.received(1);
  controller.abort();
  await answer;
  await closed.promise;
});

test('goes through the proxy of the environment', async () => {
  const certificate = await makeCertificate();
  const server = await startServer({}, { tls: certificate });
  const proxy = await startProxy({ target: server });
  process.env['https_proxy'] = `http://${proxy.host}`;
  expect(await post('https://dashboard.test')).toMatchObject({
    cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
  });
  expect(proxy.connects).toEqual(['dashboard.test:443']);
});

test.each([
  ['a proxy that is silent', true],
  ['a proxy with a silent host behind it', false],
])('closes the connection to %s with the signal', async (_name, silent) => {
  const host = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(host, 'listening');
  cleanup(() => host.close());
  const proxy = await startProxy({ target: host.address() as AddressInfo, silent });
  process.env['https_proxy'] = `http://${proxy.host}`;
  const controller = new AbortController();
  const answer = post('https://dashboard.test', controller.signal);
  await (silent ? proxy.asked : once(host, 'connection'));
  controller.abort();
  await answer;
  await proxy.left;
});

test('knows the proxy, and keeps its password apart', () => {
  expect(proxyHost(API)).toBeUndefined();
  expect(proxyPasswords(API)).toEqual([]);
  process.env['https_proxy'] = 'http://proxy.test:3128';
  expect(proxyPasswords(API)).toEqual([]);
  process.env['https_proxy'] = 'http://user:p%40ss@proxy.test:3128';
  expect(proxyHost(API)).toBe('proxy.test:3128');
  expect(proxyPasswords(API)).toEqual(['p%40ss', 'p@ss']);
});

test.each(['', 'http://proxy.test', 'https://user:p%40ss@proxy.test:3128/', '192.0.2.1:3128'])(
  'the proxy variable %j can be read',
  (proxy) => {
    process.env['https_proxy'] = proxy;
    expect(() => checkProxy(API)).not.toThrow();
  },
);

test.each(['proxy.test:3128', 'http://[', 'http://a:%zz@b', 'two words', 'socks5://proxy.test'])(
  'the proxy variable %j cannot be read',
  (proxy) => {
    process.env['https_proxy'] = proxy;
    expect(() => checkProxy(API)).toThrow('https_proxy is not the address of a proxy');
    expect(() => checkProxy('http://localhost')).not.toThrow();
  },
);

test('authentication challenges are left to the caller', async () => {
  const server = await startServer({
    token: [answer(401, '', { 'www-authenticate': 'Basic realm="x"' })],
  });
  expect(await post(server.url)).toMatchObject({ status: 401 });
  expect(server.requests).toHaveLength(1);
});
