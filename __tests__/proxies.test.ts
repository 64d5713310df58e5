import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type Certificate, CHECKS_IPV6, HIDDEN_HOST, makeCertificate, trust } from './support/certificate';
import {
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  newJob,
  runMain,
  runPost,
} from './support/job';
import { type ProxyOptions, refusal, startProxy, type TestProxy } from './support/proxy';
import { hang, json, type Script, type ScriptedServer, startServer, TOKEN } from './support/scripted-server';

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

/** Runs main through the proxy, for two seconds at most. */
function runMainThrough({ server, proxy, certificate }: Behind, userInfo = '', inputs = {}, job = newJob()) {
  return runMain(server, {
    job,
    inputs: { 'api-url': API, 'timeout-seconds': '2', ...inputs },
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
  const job = newJob();
  const inputs = { 'api-url': `${API}:8443/base` };
  for (const step of [await runMain(server, { job, inputs, env }), await runPost(server, job, { inputs, env })]) {
    expectGreen(step);
    expectUnseen(step, CLIENT_SECRET, TOKEN, ...unseen);
    expect(step.stderr).toBe('');
  }
  expect(proxy.connects).toEqual([`${HIDDEN_HOST}:8443`, `${HIDDEN_HOST}:8443`]);
  expect(server.requests[0]?.path).toBe('/base/developer/v1/o/token/');
  expect(server.revoked).toEqual([TOKEN]);
}

describe('a proxy serves both steps', () => {
  const PASSWORD = 'pr0xy p@ss/wörd:%';
  const ENCODED = encodeURIComponent(PASSWORD);

  test.each(['https_proxy', 'HTTPS_PROXY'])(
    'in %s, with percent-encoded credentials that nobody sees',
    async (name) => {
      const behind = await dashboardBehind({ credentials: `build er:${PASSWORD}` });
      const { server, proxy, certificate } = behind;
      const env = { ...trust(certificate), [name]: `http://build%20er:${ENCODED}@${proxy.host}` };
      await expectToServe(behind, env, PASSWORD, ENCODED);
      expect(server.requests[0]?.headers).not.toHaveProperty('proxy-authorization');
      expect(proxy.headers[0]?.host).toBe(`${HIDDEN_HOST}:8443`);
    },
  );

  test('without a scheme, by name or by address, with credentials or without', async () => {
    const [byName, byAddress] = await Promise.all([
      dashboardBehind(),
      dashboardBehind({ credentials: 'user:password' }),
    ]);
    const addressWithUser = `user:password@${byAddress.proxy.host}`;
    await Promise.all([
      expectToServe(byName, { ...trust(byName.certificate), https_proxy: `localhost:${byName.proxy.port}` }),
      expectToServe(byAddress, { ...trust(byAddress.certificate), https_proxy: addressWithUser }),
    ]);
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

describe('past the proxy', () => {
  test.each(['no_proxy', 'NO_PROXY'])('goes a host that %s names', async (name) => {
    const { server, proxy, certificate } = await dashboardBehind();
    const main = await runMain(server, {
      inputs: { 'api-url': `${API}:${server.port}` },
      env: {
        ...trust(certificate),
        https_proxy: `http://${proxy.host}`,
        [name]: 'other.test, .test',
        TEST_ADDRESSES: '10.0.0.1/0',
      },
      nodeArgs: ['--require', join(import.meta.dirname, 'support/addresses.cjs')],
    });
    expectGreen(main);
    expect(proxy.connects).toEqual([]);
  });

  test('nothing is said of a variable that is no proxy where it is not used', async () => {
    const { server, certificate } = await dashboardBehind();
    const loopback = await startServer();
    const https_proxy = 'socks5://[nowhere';
    const [one, other] = await Promise.all([
      runMain(loopback, { env: { https_proxy, http_proxy: https_proxy } }),
      runMain(server, {
        inputs: { 'api-url': `${API}:${server.port}` },
        env: { ...trust(certificate), https_proxy, no_proxy: HIDDEN_HOST, TEST_ADDRESSES: '10.0.0.1/0' },
        nodeArgs: ['--require', join(import.meta.dirname, 'support/addresses.cjs')],
      }),
    ]);
    expectGreen(one);
    expectGreen(other);
  });
});

test('a variable that is no proxy is an error in main and a warning in post, and nothing goes past it', async () => {
  const behind = await dashboardBehind();
  const { server } = behind;
  const job = newJob();
  const https_proxy = 'http://user:hidden#pass@proxy.test:3128';
  expectGreen(await runMainThrough(behind, '', {}, job));
  const [main, post] = await Promise.all([
    runMain(server, { inputs: { 'api-url': API }, env: { https_proxy } }),
    runPost(server, job, { env: { HTTPS_PROXY: https_proxy } }),
  ]);
  expectRed(main, /^https_proxy is not the address of an HTTP proxy: give http:\/\/user:password@host:port/);
  expectWarning(post, process.platform === 'win32' ? /: https_proxy is not/ : /: HTTPS_PROXY is not/);
  expectUnseen(main, 'hidden');
  expectUnseen(post, 'hidden');
  expect(server.requests).toHaveLength(1);
});

describe('a proxy that says no is asked once, and the error says why', () => {
  const BASIC = { 'proxy-authenticate': 'Basic realm="never-shown"' };

  test.each<[name: string, status: number, headers: Record<string, string>, userInfo: string, message: RegExp]>([
    [
      '407 without credentials',
      407,
      BASIC,
      '',
      /requires credentials \(407\)\. Put user and password into https_proxy/,
    ],
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
    expectRed(
      noTls,
      new RegExp(`^No TLS connection to the proxy ${plain.proxy.host} .*\\((EPROTO|ERR_SSL_[A-Z_]+)\\)`),
    );
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
    expectGreen(await runMainThrough(behind, '', { 'timeout-seconds': '60' }));
    expect(behind.proxy.connects).toHaveLength(6);
  });

  test('until the time is over, and the error names it', async () => {
    const [busy, silent, silentBehind] = await Promise.all([
      dashboardBehind({ script: [refusal(503)] }),
      dashboardBehind({ script: ['hang'] }),
      dashboardBehind({}, { token: [hang()] }),
    ]);
    const [refused, notThere, hung, hungBehind] = await Promise.all([
      runMain(busy.server, {
        inputs: { 'api-url': API, 'timeout-seconds': '1' },
        env: { https_proxy: `http://${busy.proxy.host}` },
        nodeArgs: [],
      }),
      runMain(busy.server, {
        inputs: { 'api-url': API, 'timeout-seconds': '1' },
        env: { https_proxy: 'http://127.0.0.1:1' },
        nodeArgs: [],
      }),
      runMainThrough(silent, '', { 'timeout-seconds': '1' }),
      runMainThrough(silentBehind, '', { 'timeout-seconds': '1' }),
    ]);
    expectRed(refused, /^The proxy 127\.0\.0\.1:\d+ answered 503 .*; gave up after \d+ attempt/);
    expectRed(notThere, /^No answer from dashboard\.test through the proxy 127\.0\.0\.1:1: connection refused/);
    expectRed(hung, /through the proxy .*: no connection within 1\.0 s/);
    expectRed(hungBehind, /through the proxy .*: no complete answer within 1\.0 s/);
  });

  test('when it took the connection and never said a word', async () => {
    const behind = await dashboardBehind({ script: ['hang', 'open'] });
    expectGreen(await runMainThrough(behind, '', { 'timeout-seconds': '3' }));
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
