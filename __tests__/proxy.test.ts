import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { chooseProxy, parseProxy, recallProxy, through } from '../src/dashboard/proxy';

const API = 'https://api.formlabs.com';
const VARIABLES = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY', 'all_proxy', 'no_proxy', 'NO_PROXY'];

function setVariables(variables: Readonly<Record<string, string>> = {}): void {
  for (const name of VARIABLES) delete process.env[name];
  Object.assign(process.env, variables);
}
beforeEach(() => setVariables());
afterEach(() => setVariables());

describe('a proxy is read whole', () => {
  const basic = (credentials: string) => `Basic ${Buffer.from(credentials).toString('base64')}`;

  test.each<[text: string, url: string, credentials?: string | undefined, secret?: string | undefined]>([
    ['http://proxy.test', 'http://proxy.test:80', undefined, undefined],
    ['HTTPS://PROXY.TEST/', 'https://proxy.test:443', undefined, undefined],
    ['proxy_1.test:3128', 'http://proxy_1.test:3128', undefined, undefined],
    ['localhost:65535', 'http://localhost:65535', undefined, undefined],
    ['proxy', 'http://proxy:80', undefined, undefined],
    ['192.0.2.1:3128', 'http://192.0.2.1:3128', undefined, undefined],
    ['[2001:DB8:0::1]:3128/', 'http://[2001:db8::1]:3128', undefined, undefined],
    ['http://@proxy.test', 'http://proxy.test:80', undefined, undefined],
    ['user:password@proxy.test:3128', 'http://proxy.test:3128', 'user:password', 'password'],
    ['http://user:p%40ss%3A@proxy.test', 'http://proxy.test:80', 'user:p@ss:', 'p%40ss%3A'],
    // A password may hold anything, and the credentials end at the last @.
    ['http://user:p@ss:w#r/d?x@proxy.test:3128', 'http://proxy.test:3128', 'user:p@ss:w#r/d?x', 'p@ss:w#r/d?x'],
    ['DOMAIN\\user:pass@proxy.test', 'http://proxy.test:80', 'DOMAIN\\user:pass', 'pass'],
    ['http://us%20er:pä@proxy.test', 'http://proxy.test:80', 'us er:pä', 'pä'],
    // A user without a password may be a token.
    ['http://t%6Fken@proxy.test', 'http://proxy.test:80', 'token:', 't%6Fken'],
    ['http://:password@proxy.test', 'http://proxy.test:80', ':password', 'password'],
  ])('%s', (text, url, credentials, secret) => {
    expect(parseProxy(text)).toEqual({
      url,
      name: url.replace(/.*\//, ''),
      authorization: credentials ? basic(credentials) : '',
      secrets: secret === undefined ? [] : [secret, decodeURIComponent(secret), basic(credentials ?? '').slice(6)],
    });
  });

  test.each([
    ...[
      '',
      ' ',
      '3128',
      '0x7f.1',
      'proxy.test:0',
      'proxy.test:65536',
      'proxy.test:port',
      'proxy.test:080',
      '1.2.3.256',
    ],
    ...['"http://proxy.test:3128"', "'proxy.test'", 'proxy test', '-proxy.test', '[::1', '[nowhere]', '::1'],
    ...['http://', 'http:proxy.test', '//proxy.test', 'proxy.test/path', 'http://proxy.test:3128?x', 'proxy.test#x'],
    ...['socks5://proxy.test', 'socks5h://u:p@proxy.test', 'file:///proxy', 'xhttp://proxy.test', 'http://a://b'],
    ...['http://user:name#pass', 'http://user:%zz@proxy.test', 'http://user:p@ss@', 'user@proxy.test:31 28'],
    ...['[1.2.3.4]', 'proxy.0x1', `${'x'.repeat(254)}.test`],
  ])('or not at all: %s', (text) => {
    expect(parseProxy(text)).toBeUndefined();
  });
});

describe('the proxy of the main step', () => {
  const chosen = (variables: Readonly<Record<string, string>>, url = API) => {
    setVariables(variables);
    return chooseProxy(url)?.url;
  };

  test.each<[variables: Record<string, string>, url: string | undefined]>([
    [{}, undefined],
    [{ http_proxy: 'a.test', HTTP_PROXY: 'b.test', all_proxy: 'c.test' }, undefined],
    [{ HTTPS_PROXY: 'http://upper.test' }, 'http://upper.test:80'],
    [{ HTTPS_PROXY: 'http://upper.test', https_proxy: ' http://lower.test ' }, 'http://lower.test:80'],
    [{ https_proxy: ' ' }, undefined],
    ...['other.test', 'labs.com', 'api.formlabs.com:8443', '*.formlabs.com', ''].map(
      (no_proxy): [Record<string, string>, string] => [{ https_proxy: 'lower.test', no_proxy }, 'http://lower.test:80'],
    ),
    // It need not be readable where nothing goes through it.
    ...['api.formlabs.com', 'other.test, .formlabs.com', 'formlabs.com', 'api.formlabs.com:443', '*'].map(
      (NO_PROXY): [Record<string, string>, undefined] => [{ https_proxy: '"', NO_PROXY }, undefined],
    ),
  ])('of %j is %s', (variables, url) => {
    expect(chosen(variables)).toBe(url);
  });

  test('is none for this machine, and none for http', () => {
    for (const url of ['https://localhost', 'https://127.0.0.1:8443', 'https://[::1]', 'http://api.formlabs.com']) {
      expect(chosen({ https_proxy: 'lower.test' }, url)).toBeUndefined();
    }
    // On Windows both are the same variable.
    if (process.platform === 'win32') return;
    expect(chosen({ https_proxy: ' ', HTTPS_PROXY: 'upper.test' })).toBe('http://upper.test:80');
  });

  test('is refused with nothing of it shown, and its variable named', () => {
    const message = /^HTTPS_PROXY is not the address of an HTTP proxy: give http:\/\/user:password@host:port/i;
    const read = () => chosen({ HTTPS_PROXY: 'http://user:hidden#pass' });
    expect(read).toThrow(message);
    expect(read).not.toThrow(/hidden|pass#|#pass/);
  });

  test.each<[main: string | null, variable: string, url: string | undefined, hasCredentials: boolean]>([
    [null, 'http://evil.test', undefined, false],
    ['http://proxy.test:80', '', 'http://proxy.test:80', false],
    ['http://proxy.test:80', 'http://evil.test', 'http://proxy.test:80', false],
    ['http://proxy.test:80', 'http://user:pass@evil.test', 'http://proxy.test:80', false],
    ['http://proxy.test:80', '"', 'http://proxy.test:80', false],
    ['http://proxy.test:80', 'http://user:pass@proxy.test', 'http://proxy.test:80', true],
    ['http://proxy.test:80', 'http://user:pass@proxy.test:81', 'http://proxy.test:80', false],
  ])('%s is that of the post step, though https_proxy is then %j', (main, variable, url, hasCredentials) => {
    setVariables({ https_proxy: variable, no_proxy: '*' });
    const proxy = recallProxy(main);
    expect([proxy?.url, Boolean(proxy?.authorization)]).toEqual([url, hasCredentials]);
  });

  test('is named in messages by host and port', () => {
    expect(through(undefined)).toBe('');
    expect(through(parseProxy('https://user:pass@[::1]'))).toBe(' through the proxy [::1]:443');
  });
});
