import { describe, expect, test } from '@jest/globals';
import { type Certificate, CHECKS_IPV6, HIDDEN_HOST, makeCertificate, trust } from './support/certificate';
import {
  attemptsIn,
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  newJob,
  preload,
  runMain,
  runPost,
  runSteps,
} from './support/job';
import { type ProxyOptions, refusal, startProxy, type TestProxy } from './support/proxy';
import { hang, json, type Script, type ScriptedServer, startServer, TOKEN } from './support/scripted-server';
import { startTextServer } from './support/tcp-server';

/** Only the proxy can resolve it. */
const API = `https://${HIDDEN_HOST}`;

interface Behind {
  readonly server: ScriptedServer;
  readonly proxy: TestProxy;
  readonly certificate: Certificate;
}

/** A Dashboard that only a proxy can reach. */
async function dashboardBehind(options: Omit<ProxyOptions, 'target'> = {}, script: Script = {}): Promise<Behind> {
  const certificate = await makeCertificate([HIDDEN_HOST], { addresses: [] });
  const server = await startServer(script, { tls: certificate });
  return { server, certificate, proxy: await startProxy({ target: server, ...options }) };
}

/** Runs main through the proxy. */
function runMainThrough({ server, proxy, certificate }: Behind, userInfo = '', inputs = {}, job = newJob()) {
  return runMain(server, {
    job,
    inputs: { 'api-url': API, ...inputs },
    env: { ...trust(certificate), https_proxy: `http://${userInfo}${proxy.host}` },
    debug: true,
  });
}

/** Runs a job with a variable that names the proxy. */
async function expectToServe(
  { server, proxy }: Behind,
  env: Readonly<Record<string, string>>,
  ...unseen: readonly string[]
): Promise<void> {
  const { main, post } = await runSteps(server, { inputs: { 'api-url': `${API}:8443/base` }, env, debug: true });
  for (const step of [main, post]) {
    expectGreen(step);
    expectUnseen(step, CLIENT_SECRET, TOKEN, ...unseen);
    expect(step.stderr).toBe('');
    expect(step.log[0]).toMatch(new RegExp(`^Re.* through the proxy (localhost|[\\d.]+|\\[::1\\]):${proxy.port}\\.$`));
  }
  expect(proxy.connects).toEqual([`${HIDDEN_HOST}:8443`, `${HIDDEN_HOST}:8443`]);
  expect(server.requests[0]?.path).toBe('/base/developer/v1/o/token/');
  expect(server.revoked).toEqual([TOKEN]);
}

describe('a proxy serves both steps', () => {
  test('in HTTPS_PROXY, with percent-encoded credentials that nobody sees', async () => {
    const password = 'pr0xy p@ss/wörd:%';
    const behind = await dashboardBehind({ credentials: `build er:${password}` });
    const encoded = encodeURIComponent(password);
    const HTTPS_PROXY = `http://build%20er:${encoded}@${behind.proxy.host}`;
    await expectToServe(behind, { ...trust(behind.certificate), HTTPS_PROXY }, password, encoded);
    expect(behind.server.requests[0]?.headers).not.toHaveProperty('proxy-authorization');
  });

  test.each<[name: string, host: string, names: string[], addresses: string[]]>([
    ['by name', 'localhost', ['localhost'], []],
    ['by address', '127.0.0.1', [], ['127.0.0.1']],
  ])('over TLS, %s, with a certificate of its own that names no Dashboard', async (_name, host, names, addresses) => {
    const own = await makeCertificate(names, { addresses });
    const behind = await dashboardBehind({ tls: own });
    const env = { ...trust(behind.certificate, own), https_proxy: `https://${host}:${behind.proxy.port}` };
    await expectToServe(behind, env);
  });

  test('which sees a request for a tunnel like that of curl', async () => {
    const behind = await dashboardBehind();
    await expectToServe(behind, { ...trust(behind.certificate), https_proxy: behind.proxy.host });
    for (const headers of behind.proxy.headers) {
      expect(headers).toEqual({
        host: `${HIDDEN_HOST}:8443`,
        'user-agent': expect.stringMatching(/^formlabs-dashboard-token\/\d/),
        'proxy-connection': 'keep-alive',
      });
    }
  });

  test('with an IPv6 address', async () => {
    const behind = await dashboardBehind({ address: '::1' });
    await expectToServe(behind, { ...trust(behind.certificate), https_proxy: `http://${behind.proxy.host}` });
  });

  (CHECKS_IPV6 ? test : test.skip)('with an IPv6 address, over TLS', async () => {
    const own = await makeCertificate([], { addresses: ['::1'] });
    const behind = await dashboardBehind({ address: '::1', tls: own });
    await expectToServe(behind, { ...trust(behind.certificate, own), https_proxy: `https://${behind.proxy.host}` });
  });
});

/** For a step that goes to the Dashboard itself. */
function direct({ server, certificate }: Behind) {
  return {
    inputs: { 'api-url': `${API}:${server.port}` },
    env: { ...trust(certificate), TEST_ADDRESSES: '10.0.0.1/0' },
    nodeArgs: preload('no-jitter', 'addresses'),
  };
}

describe('past the proxy', () => {
  test.each(['no_proxy', 'NO_PROXY'])('goes a host that %s names', async (name) => {
    const behind = await dashboardBehind();
    const { env, ...options } = direct(behind);
    const https_proxy = `http://${behind.proxy.host}`;
    const main = await runMain(behind.server, {
      ...options,
      env: { ...env, https_proxy, [name]: 'other.test, .test' },
    });
    expectGreen(main);
    expect(behind.proxy.connects).toEqual([]);
  });

  test('nothing is said of a variable that is no proxy where it is not used', async () => {
    const behind = await dashboardBehind();
    const { env, ...options } = direct(behind);
    const https_proxy = 'socks5://[nowhere';
    const [one, other] = await Promise.all([
      runMain(await startServer(), { env: { https_proxy, http_proxy: https_proxy } }),
      runMain(behind.server, { ...options, env: { ...env, https_proxy, no_proxy: HIDDEN_HOST } }),
    ]);
    expectGreen(one);
    expectGreen(other);
  });
});

describe('post goes the way that main went, whatever a later step has set', () => {
  const NOBODY = 'http://127.0.0.1:1';
  const basic = (credentials: string) => `Basic ${Buffer.from(credentials).toString('base64')}`;

  test.each(['https_proxy', 'HTTPS_PROXY'])('main went directly, and %s names a proxy that is gone', async (name) => {
    const behind = await dashboardBehind();
    const { env, ...options } = direct(behind);
    const job = newJob();
    expectGreen(await runMain(behind.server, { job, env, ...options }));
    expectGreen(await runPost(behind.server, job, { ...options, env: { ...env, [name]: NOBODY } }));
    expect(behind.server.revoked).toEqual([TOKEN]);
  });

  test.each<[name: string, env: (proxy: TestProxy) => Record<string, string>]>([
    ['the variable is gone', () => ({})],
    ['it names another proxy', () => ({ https_proxy: NOBODY })],
    ['it is no proxy any more', () => ({ https_proxy: 'socks5://user:hidden@[nowhere' })],
    ['the host is excluded from it', ({ host }) => ({ https_proxy: `http://${host}`, no_proxy: '*' })],
    ['it has credentials now', ({ host }) => ({ https_proxy: `http://user:hidden@${host}` })],
  ])('main went through a proxy, and %s', async (_name, change) => {
    const behind = await dashboardBehind();
    const { server, proxy, certificate } = behind;
    const job = newJob();
    expectGreen(await runMainThrough(behind, '', {}, job));
    const env = { ...trust(certificate), ...change(proxy) };
    const post = await runPost(server, job, { env, debug: true });
    expectGreen(post);
    expectUnseen(post, 'hidden');
    expect(proxy.connects).toHaveLength(2);
    expect(proxy.headers[1]?.['proxy-authorization']).toBe(
      change(proxy)['https_proxy']?.endsWith(`@${proxy.host}`) ? basic('user:hidden') : undefined,
    );
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('with the credentials that the variable has by then, and none that belong to another proxy', async () => {
    const behind = await dashboardBehind();
    const { server, proxy, certificate } = behind;
    const job = newJob();
    expectGreen(await runMainThrough(behind, 'user:old-one@', {}, job));
    expect(JSON.stringify(job.state)).not.toContain('old-one');
    for (const https_proxy of [`http://user:new@${proxy.host}`, 'http://user:other@127.0.0.1:1', '']) {
      expectGreen(await runPost(server, job, { env: { ...trust(certificate), https_proxy } }));
    }
    expect(proxy.headers.map((headers) => headers['proxy-authorization'])).toEqual([
      basic('user:old-one'),
      basic('user:new'),
      undefined,
      undefined,
    ]);
  });

  test('and what the proxy then wants is a warning', async () => {
    const behind = await dashboardBehind({ credentials: 'user:password' });
    const job = newJob();
    expectGreen(await runMainThrough(behind, 'user:password@', {}, job));
    expectWarning(await runPost(behind.server, job), /stays valid until .*: the proxy .* requires credentials \(407\)/);
  });
});

describe('a variable is understood, or refused; nothing of it is seen', () => {
  test.each<[value: string, credentials: string]>([
    ['PROXY', ''],
    ['localhost:PORT', ''],
    ['http://svc-print:52173#Winter@PROXY', 'svc-print:52173#Winter'],
    ['http://svc-print:52173/Winter@PROXY', 'svc-print:52173/Winter'],
    ['http://svc-print:52173?Winter@PROXY/', 'svc-print:52173?Winter'],
    ['http://svc:Tr0ub@dor/9@PROXY', 'svc:Tr0ub@dor/9'],
    ['svc-print:52173#Winter@PROXY', 'svc-print:52173#Winter'],
    ['HTTP://DOMAIN\\svc-print:Winter9@PROXY', 'DOMAIN\\svc-print:Winter9'],
    ['DOMAIN\\svc-print:Winter9@PROXY', 'DOMAIN\\svc-print:Winter9'],
    ['http://svc-print:5217%23Winter%40x@PROXY', 'svc-print:5217#Winter@x'],
    ['http://tok3n-alone@PROXY', 'tok3n-alone:'],
    ['  http://svc-print:Winter9@PROXY ', 'svc-print:Winter9'],
  ])('%s', async (value, credentials) => {
    const behind = await dashboardBehind({ credentials });
    const https_proxy = value.replace('PROXY', behind.proxy.host).replace('PORT', String(behind.proxy.port));
    const parts = [credentials, ...credentials.split(/[:#/?@]/)].filter((part) => /[a-z]{3}/i.test(part));
    await expectToServe(behind, { ...trust(behind.certificate), https_proxy }, ...parts);
  });

  test.each([
    '"http://PROXY"',
    "'http://PROXY'",
    '3128',
    'http://3128',
    'http://svc:Winter9@3128',
    'http://PROXY/hidden.pac',
    'http://svc:Winter9@PROXY/hidden?x',
    'socks5://svc:Winter9@PROXY',
    'http://svc:Winter9%zz@PROXY',
    'http://svc:Winter9@PROXY:70000',
    'http://svc:Winter9@',
    'http://svc:Winter9@exa mple:3128',
    'DOMAIN\\svc:Winter9',
  ])('%s is refused', async (value) => {
    const { server, proxy } = await dashboardBehind();
    const https_proxy = value.replace('PROXY', proxy.host);
    const main = await runMain(server, { inputs: { 'api-url': API }, env: { https_proxy }, debug: true });
    expectRed(main, /^https_proxy is not the address of an HTTP proxy: give http:\/\/user:password@host:port, with/);
    expectUnseen(main, 'svc', 'Winter9', 'hidden', 'DOMAIN', `${proxy.port}`);
    expect(proxy.connects).toEqual([]);
  });

  test.each([
    'https://svc:Winter9#x@host.test',
    'https://svc:52173/Winter9@host.test',
    'https://svc:Winter9?x@host.test/',
    'https://DOMAIN\\svc:Winter9@host.test',
    'https:///svc:Winter9@host.test',
  ])('and of an api-url with a password: %s', async (url) => {
    const main = await runMain({ url });
    expectRed(main, /^Input api-url (holds a user or a password|is not an absolute URL)/);
    expectUnseen(main, 'svc', 'Win', 'ter9', 'DOMAIN', 'host.test');
  });
});

describe('a proxy that says no is asked once, and the error says why', () => {
  const BASIC = { 'proxy-authenticate': 'Basic realm="never-shown"' };

  test.each<[name: string, status: number, headers: Record<string, string>, userInfo: string, message: RegExp]>([
    ['407 without credentials', 407, BASIC, '', /requires credentials \(407\)\. Put user and password into https_pr/],
    ['407 with wrong credentials', 407, BASIC, 'user:pass-w@', /rejected the credentials \(407\)\. .*https_proxy/],
    ['407 that knows no Basic', 407, { 'proxy-authenticate': 'NTLM' }, '', /offers no Basic authentication \(407\)/],
    ['401', 401, {}, '', /requires credentials \(401\)/],
    ['403', 403, {}, '', /answered 403 \(forbidden\) instead of opening a tunnel\. Ask .*no_proxy/],
    ['302', 302, { location: 'http://sign-in.test' }, '', /answered 302 \(found\) instead of opening a tunnel/],
  ])('%s', async (_name, status, headers, userInfo, message) => {
    const behind = await dashboardBehind({ script: [refusal(status, headers)] });
    const main = await runMainThrough(behind, userInfo);
    expectRed(main, new RegExp(`^The proxy ${behind.proxy.host} ${message.source}`));
    expectUnseen(main, 'never-shown', 'pass-w', 'sign-in');
    expect(behind.proxy.connects).toHaveLength(1);
    expect(behind.server.requests).toEqual([]);
  });

  test.each(['the', 'proxy', 'a', 'credentials', 'p'])(
    'to a user named %s, with no hole in the sentence',
    async (user) => {
      const behind = await dashboardBehind({ script: [refusal(407, BASIC)] });
      const main = await runMainThrough(behind, `${user}@`);
      const printed = main.raw.replaceAll('\r\n', '\n');
      expect(printed).toContain(
        `\n::error::The proxy ${behind.proxy.host} rejected the credentials (407). This is the proxy of the runner, not the ` +
          'Dashboard: check user and password in https_proxy.\n',
      );
      expect(printed).toContain(`\nRequesting an access token from ${API} through the proxy ${behind.proxy.host}.\n`);
    },
  );

  const PAGE = 'HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\n\r\n<html>';
  const OF_ITS_OWN =
    /^No TLS connection to dashboard\.test through the proxy .* The proxy may have sent a page of its own/;

  test.each([PAGE, '<html>'])('with a page down the tunnel that it opened: %j', async (page) => {
    const behind = await dashboardBehind();
    const main = await runMainThrough({ ...behind, proxy: await startProxy({ target: await startTextServer(page) }) });
    expectRed(main, OF_ITS_OWN);
    expectUnseen(main, 'Forbidden', 'html');
    expect(attemptsIn(main)).toEqual([]);
  });

  // What comes together with the answer that opens the tunnel is dropped, and the step tries until its time is over.
  test('with a page in the packet of the answer that opened the tunnel', async () => {
    const behind = await dashboardBehind({ script: [{ says: `HTTP/1.1 200 OK\r\n\r\n${PAGE}` }] });
    expectRed(await runMainThrough(behind, '', { 'timeout-seconds': '1' }), OF_ITS_OWN);
  });

  test('by hanging up where it opened a tunnel, until the time is over', async () => {
    const behind = await dashboardBehind({ script: [{ says: 'HTTP/1.1 200 OK\r\n\r\n' }] });
    const main = await runMainThrough(behind, '', { 'timeout-seconds': '1' });
    expectRed(main, /^No answer from dashboard\.test through the proxy .*: .* during the TLS handshake \(ECONNRESET\)/);
    expect(main.raw).not.toMatch(/may have been issued/);
  });

  test('one that speaks no HTTP, or no TLS, or is not trusted', async () => {
    const own = await makeCertificate(['localhost']);
    const [garbage, plain, untrusted] = await Promise.all([
      dashboardBehind({ script: [{ says: 'SSH-2.0-never-shown\r\n' }] }),
      dashboardBehind(),
      dashboardBehind({ tls: own }),
    ]);
    const run = ({ server, certificate, proxy }: Behind, scheme: string, env = {}) =>
      runMain(server, {
        inputs: { 'api-url': API },
        env: { ...trust(certificate), https_proxy: `${scheme}://${proxy.host}`, ...env },
        debug: true,
      });
    const [noHttp, noTls, noTrust, noChecks] = await Promise.all([
      run(garbage, 'http'),
      run(plain, 'https'),
      run(untrusted, 'https'),
      run(untrusted, 'https', { NODE_TLS_REJECT_UNAUTHORIZED: '0' }),
    ]);
    expectRed(noHttp, new RegExp(`^What came from the proxy ${garbage.proxy.host} is not valid HTTP \\(HPE_`));
    expectUnseen(noHttp, 'never-shown');
    expect(garbage.proxy.connects).toHaveLength(1);
    expectRed(noTls, new RegExp(`^No TLS connection to the proxy ${plain.proxy.host} .*\\((EPROTO|ERR_SSL_[A-Z_]+)`));
    for (const main of [noTrust, noChecks]) {
      expectRed(main, new RegExp(`^The certificate of the proxy ${untrusted.proxy.host} is not trusted`));
    }
    expect(untrusted.proxy.connects).toEqual([]);
  });

  test('one that opens TLS on the way is not trusted with the client secret', async () => {
    const behind = await dashboardBehind();
    const stranger = await makeCertificate();
    const main = await runMainThrough({ ...behind, certificate: stranger });
    expectRed(main, /^The certificate of dashboard\.test is not trusted .*NODE_EXTRA_CA_CERTS/);
    expect(behind.server.requests).toEqual([]);
  });
});

describe('a proxy that may open a tunnel later is asked again', () => {
  test('when it answers 503, 429 or 502, asks to wait, or hangs up', async () => {
    const asksToWait = (status: number) => refusal(status, { 'retry-after': '0' });
    const behind = await dashboardBehind({
      script: [refusal(503), asksToWait(429), asksToWait(403), refusal(502), 'close', 'open'],
    });
    expectGreen(await runMainThrough(behind));
    expect(behind.proxy.connects).toHaveLength(6);
  });

  test('until the time is over, and the error names it', async () => {
    const [busy, silent, silentBehind] = await Promise.all([
      dashboardBehind({ script: [refusal(503)] }),
      dashboardBehind({ script: ['hang'] }),
      dashboardBehind({}, { token: [hang()] }),
    ]);
    const second = { 'timeout-seconds': '1' };
    const nobody = { ...busy, proxy: { ...busy.proxy, host: '127.0.0.1:1' } };
    const [refused, notThere, hung, hungBehind] = await Promise.all(
      ([busy, nobody, silent, silentBehind] as const).map((behind) => runMainThrough(behind, '', second)),
    );
    if (!(refused && notThere && hung && hungBehind)) throw new Error('four steps were run');
    expectRed(refused, /^The proxy 127\.0\.0\.1:\d+ answered 503 .*; gave up after \d+ attempt/);
    expectRed(notThere, /^No answer from dashboard\.test through the proxy 127\.0\.0\.1:1: connection refused/);
    expectRed(hung, /through the proxy .*: the proxy did not open a tunnel within [01]\.\d s/);
    expect(hung.raw).not.toMatch(/may have been issued/);
    expectRed(hungBehind, /through the proxy .*: no complete answer within [01]\.\d s/);
  });

  test('when it took the connection and never said a word', async () => {
    const behind = await dashboardBehind({ script: ['hang', 'open'] });
    expectGreen(await runMainThrough(behind, '', { 'timeout-seconds': '4' }));
    await behind.proxy.left;
    expect(behind.proxy.connects).toHaveLength(2);
  });
});

describe('the password of the proxy is seen nowhere', () => {
  const PASSWORD = 'swordfish';
  const BASE64 = Buffer.from(`user:${PASSWORD}`).toString('base64');
  const ODD = 'sword fish';
  const SPELLINGS = [PASSWORD, BASE64, ODD, 'sword%20fish', Buffer.from(`user:${ODD}`).toString('base64')];

  test('not when the Dashboard, or what poses as it, sends it back', async () => {
    const echo = (text: string) => json(400, { error: 'invalid_grant', error_description: text });
    const [plain, odd] = await Promise.all([
      dashboardBehind({}, { token: [echo(`it came with ${PASSWORD} and ${BASE64} yes`)] }),
      dashboardBehind({}, { token: [echo(`it came with ${ODD} and sword%20fish yes`)] }),
    ]);
    const [one, other] = await Promise.all([
      runMainThrough(plain, `user:${PASSWORD}@`),
      runMainThrough(odd, 'user:sword%20fish@'),
    ]);
    for (const main of [one, other]) {
      expectRed(main, /invalid_grant: it came with (…|\*\*\*) and … yes/);
      expectUnseen(main, ...SPELLINGS);
    }
  });

  test('not when the proxy sends it back, in a status, a header, or no HTTP at all', async () => {
    const echoes = [
      { says: `HTTP/1.1 407 ${PASSWORD} ${BASE64}\r\nproxy-authenticate: ${PASSWORD} ${BASE64}\r\n\r\n` },
      { says: `HTTP/1.1 403 ${PASSWORD}\r\nlocation: https://user:${PASSWORD}@${PASSWORD}.test\r\n\r\n` },
      { says: `${PASSWORD} ${BASE64}\r\n\r\n` },
    ];
    const all = await Promise.all(echoes.map((echo) => dashboardBehind({ script: [echo] })));
    const mains = await Promise.all(all.map((behind) => runMainThrough(behind, `user:${PASSWORD}@`)));
    for (const main of mains) {
      expectRed(main, /the proxy/i);
      expectUnseen(main, ...SPELLINGS);
    }
  });
});
