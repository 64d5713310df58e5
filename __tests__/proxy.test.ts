import type { RequestOptions } from 'node:https';
import { Socket } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { TunnelError, type TunnelProxy, takeProxy, withoutBrackets } from '../src/dashboard/proxy';
import { type Certificate, makeCertificate } from './support/certificate';
import { cleanup } from './support/cleanup';
import { type OnConnect, refusal, startProxy } from './support/proxy';
import { startServer } from './support/scripted-server';
import { startTcpServer } from './support/tcp-server';

const API = 'https://api.formlabs.com';
const VARIABLES = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY', 'all_proxy', 'no_proxy', 'NO_PROXY'];

function forgetProxies(): void {
  for (const name of VARIABLES) delete process.env[name];
}

beforeEach(forgetProxies);
afterEach(forgetProxies);

function taken(value: string, url = API): TunnelProxy {
  process.env['https_proxy'] = value;
  const proxy = takeProxy(url);
  if (proxy === undefined) throw new Error('no proxy was found');
  return proxy;
}

describe('which variable counts', () => {
  test('there is no proxy without one, nor with one for other protocols', () => {
    expect(takeProxy(API)).toBeUndefined();
    Object.assign(process.env, {
      http_proxy: 'http://a.test',
      HTTP_PROXY: 'http://b.test',
      all_proxy: 'http://c.test',
    });
    expect(takeProxy(API)).toBeUndefined();
    process.env['https_proxy'] = 'http://d.test';
    expect(takeProxy('http://api.formlabs.com')).toBeUndefined();
  });

  test('https_proxy comes before HTTPS_PROXY, unless it is empty', () => {
    process.env['HTTPS_PROXY'] = 'http://upper.test:3128';
    process.env['https_proxy'] = '';
    // On Windows both are the same variable.
    if (process.env['HTTPS_PROXY'] !== '') expect(takeProxy(API)?.host).toBe('upper.test:3128');
    process.env['HTTPS_PROXY'] = 'http://upper.test:3128';
    process.env['https_proxy'] = 'http://lower.test:3128';
    expect(takeProxy(API)?.host).toBe('lower.test:3128');
  });

  test('it is taken, so that nothing else in the process finds it', () => {
    Object.assign(process.env, { HTTPS_PROXY: 'http://upper.test', https_proxy: 'http://lower.test' });
    takeProxy(API);
    expect(process.env).not.toHaveProperty('https_proxy');
    expect(process.env).not.toHaveProperty('HTTPS_PROXY');
  });

  test.each([
    ['no_proxy', 'api.formlabs.com', API],
    ['NO_PROXY', 'other.test, .formlabs.com', API],
    ['no_proxy', 'formlabs.com', API],
    ['no_proxy', 'api.formlabs.com:8443', `${API}:8443`],
    ['no_proxy', '*', API],
    ['no_proxy', '', 'https://localhost'],
    ['no_proxy', '', 'https://127.0.0.1:8443'],
    ['no_proxy', '', 'https://[::1]'],
    ['no_proxy', '', 'http://localhost'],
  ])('none counts, readable or not, with %s=%j for %s', (name, value, url) => {
    for (const proxy of ['http://proxy.test:3128', 'http://[']) {
      Object.assign(process.env, { https_proxy: proxy, [name]: value });
      expect(takeProxy(url)).toBeUndefined();
    }
  });

  test.each(['other.test', 'labs.com', 'api.formlabs.com:8443', '*.formlabs.com'])(
    'no_proxy=%j does not name %s',
    (value) => {
      process.env['no_proxy'] = value;
      expect(taken('http://proxy.test:3128').host).toBe('proxy.test:3128');
    },
  );
});

test('a blank variable is none, and hides none', () => {
  Object.assign(process.env, { https_proxy: '  ', HTTPS_PROXY: 'http://proxy.test:3128' });
  expect(takeProxy(API)?.host).toBe('proxy.test:3128');
  process.env['https_proxy'] = ' ';
  expect(takeProxy(API)).toBeUndefined();
  // The client would stumble over it.
  expect(process.env['https_proxy']).toBeUndefined();
});

describe('how a variable is read', () => {
  test.each<[value: string, host: string, hasCredentials: boolean, secrets: string[]]>([
    ['http://proxy.test', 'proxy.test', false, ['', '']],
    [' http://proxy.test:3128/ ', 'proxy.test:3128', false, ['', '']],
    ['HTTP://PROXY.TEST:3128', 'proxy.test:3128', false, ['', '']],
    ['https://proxy.test:3128/path', 'proxy.test:3128', false, ['', '']],
    ['proxy.test:3128', 'proxy.test:3128', false, ['', '']],
    ['localhost:3128', 'localhost:3128', false, ['', '']],
    ['proxy.test', 'proxy.test', false, ['', '']],
    ['192.0.2.1:3128', '192.0.2.1:3128', false, ['', '']],
    ['192.0.2.1:3128/http://a.test', '192.0.2.1:3128', false, ['', '']],
    ['[2001:db8::1]:3128', '[2001:db8::1]:3128', false, ['', '']],
    ['user:password@proxy.test:3128', 'proxy.test:3128', true, ['password', 'password']],
    ['http://user:p%40ss@proxy.test:3128', 'proxy.test:3128', true, ['p%40ss', 'p@ss']],
    ['http://user:p@ss@proxy.test:3128', 'proxy.test:3128', true, ['p%40ss', 'p@ss']],
    ['http://k%65y@proxy.test:3128', 'proxy.test:3128', true, ['k%65y', 'key']],
    ['http://:password@proxy.test:3128', 'proxy.test:3128', true, ['password', 'password']],
  ])('%j', (value, host, hasCredentials, secrets) => {
    expect(taken(value)).toMatchObject({ host, hasCredentials, secrets });
  });

  test.each([
    'http://user:hidden-pass@[nowhere',
    'http://user:hidden#pass@proxy.test:3128',
    'http://user:hidden-pass%zz@proxy.test:3128',
    'hidden host:3128',
    'http://hidden:port',
    'socks5://hidden:3128',
    'socks5h://user:hidden@proxy.test:3128',
    'file:///hidden',
    'xhttp://hidden:3128',
  ])('%j can not be, and the error does not show it', (value) => {
    process.env['https_proxy'] = value;
    expect(() => takeProxy(API)).toThrow(
      /^https_proxy is not the address of an HTTP proxy: give http:\/\/user:password@host/,
    );
    expect(() => takeProxy(API)).not.toThrow(/hidden/);
  });

  test('the error names the variable as it is spelled', () => {
    process.env['HTTPS_PROXY'] = 'http://[';
    expect(() => takeProxy(API)).toThrow(process.platform === 'win32' ? /^https_proxy/i : /^HTTPS_PROXY is not/);
  });
});

describe('a tunnel', () => {
  /** Asks a proxy for one, as Node's agent does, and gives what the agent would get. */
  function open(proxy: TunnelProxy, target: ConnectionOptions = {}, own: RequestOptions = {}) {
    const { promise, resolve } = Promise.withResolvers<{ error: Error | null; socket: Socket | undefined }>();
    const options = { host: 'dashboard.test', port: 443, servername: 'dashboard.test', ...target };
    proxy.connect(options, own, (error, socket: Socket | undefined) => {
      socket?.on('error', () => undefined);
      resolve({ error, socket });
    });
    return promise;
  }

  async function refused(onConnect: OnConnect): Promise<TunnelError> {
    const proxy = await startProxy({ target: { port: 1 }, script: [onConnect] });
    const { error } = await open(taken(`http://${proxy.host}`));
    if (!(error instanceof TunnelError)) throw new Error('the proxy opened a tunnel');
    return error;
  }

  test.each<[host: string, port: number, authority: string]>([
    ['dashboard.test', 443, 'dashboard.test:443'],
    ['dashboard.test', 8443, 'dashboard.test:8443'],
    ['2001:db8::1', 443, '[2001:db8::1]:443'],
  ])('to %s, port %d, is asked for as %s', async (host, port, authority) => {
    const proxy = await startProxy({ target: { port: 1 }, script: [refusal(403)] });
    await open(taken(`http://us%20er:p%C3%A4ss%3A@${proxy.host}`), { host, port });
    expect(proxy.connects).toEqual([authority]);
    expect(proxy.headers[0]).toMatchObject({
      host: authority,
      'proxy-authorization': `Basic ${Buffer.from('us er:päss:').toString('base64')}`,
    });
  });

  test('is asked for without an authorization where there are no credentials', async () => {
    const proxy = await startProxy({ target: { port: 1 }, script: [refusal(403)] });
    await open(taken(proxy.host));
    expect(proxy.headers[0]).not.toHaveProperty('proxy-authorization');
  });

  test.each([
    ['http://proxy.test', 80],
    ['proxy.test', 80],
    ['https://proxy.test', 443],
    ['https://proxy.test:80', 80],
  ])('from %s is asked for on port %d', (value, port) => {
    const connect = jest.spyOn(Socket.prototype, 'connect').mockReturnThis();
    cleanup(() => connect.mockRestore());
    void open(taken(value));
    expect(JSON.stringify(connect.mock.calls[0])).toMatch(new RegExp(`"port":"?${port}"?,`));
  });

  test('is open with 200, and TLS is spoken in it, with the name of the host', async () => {
    const certificate = await makeCertificate(['dashboard.test'], { addresses: [] });
    const proxy = await startProxy({ target: await startServer({}, { tls: certificate }) });
    const { error, socket } = await open(taken(`http://${proxy.host}`), { ca: certificate.cert });
    expect(error).toBeNull();
    if (socket === undefined) throw new Error('there is no socket');
    cleanup(() => socket.destroy());
    const seen = await new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        const { authorized, servername } = socket as TLSSocket;
        resolve({ authorized, servername });
      });
    });
    expect(seen).toEqual({ authorized: true, servername: 'dashboard.test' });
  });

  test.each([300, 302, 400, 407, 503])('is not open with %d, and the error holds the answer', async (status) => {
    const { answer, cause } = await refused(refusal(status, { 'retry-after': '7' }));
    expect(answer).toMatchObject({ status, headers: { 'retry-after': '7' } });
    expect(cause).toBeUndefined();
  });

  test.each<[name: string, onConnect: OnConnect, code: RegExp]>([
    ['a proxy that hangs up', 'close', /^ECONNRESET$/],
    ['a proxy that speaks no HTTP', { says: 'SSH-2.0\r\n' }, /^HPE_/],
  ])('is not open with %s, and the error holds the cause', async (_name, onConnect, code) => {
    const { answer, cause } = await refused(onConnect);
    expect(answer).toBeUndefined();
    expect(cause).toMatchObject({ code: expect.stringMatching(code) });
  });

  test('that is refused leaves no connection behind, though the proxy would keep it', async () => {
    const { promise: left, resolve } = Promise.withResolvers<void>();
    const { port } = await startTcpServer((socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 403 Forbidden\r\n\r\n')).once('close', () => resolve());
    });
    expect((await open(taken(`http://127.0.0.1:${port}`))).error).toBeInstanceOf(TunnelError);
    await left;
  });

  test('is given up with the signal, and the connection with it', async () => {
    const proxy = await startProxy({ target: { port: 1 }, script: ['hang'] });
    const controller = new AbortController();
    const opening = open(taken(`http://${proxy.host}`), {}, { signal: controller.signal });
    await proxy.asked;
    controller.abort();
    expect((await opening).error).toBeInstanceOf(TunnelError);
    await proxy.left;
  });

  test.each<[name: string, host: string, names: string[], addresses: string[]]>([
    ['a name', 'localhost', ['localhost'], []],
    ['an address', '127.0.0.1', [], ['127.0.0.1']],
  ])(
    'over TLS to %s is opened only where the certificate is for it, and not for the host',
    async (_name, host, names, addresses) => {
      const own = await makeCertificate(names, { addresses });
      const forTheHost = await makeCertificate(['dashboard.test'], { addresses: [] });
      const ask = async (tls: Certificate) => {
        const proxy = await startProxy({ target: { port: 1 }, script: [refusal(403)], tls });
        const { error } = await open(taken(`https://${host}:${proxy.port}`), {}, { ca: tls.cert } as RequestOptions);
        return error as TunnelError;
      };
      expect((await ask(own)).answer?.status).toBe(403);
      expect((await ask(forTheHost)).cause).toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    },
  );
});

test('an address of IPv6 loses its brackets, and nothing else does', () => {
  expect(['[::1]', '[2001:db8::1]', '127.0.0.1', 'host.test', '[x', 'x[y]', '[y]x'].map(withoutBrackets)).toEqual([
    '::1',
    '2001:db8::1',
    '127.0.0.1',
    'host.test',
    '[x',
    'x[y]',
    '[y]x',
  ]);
});
