import { describe, expect, test } from '@jest/globals';
import { HIDDEN_HOST, makeCertificate, trust } from './support/certificate';
import {
  attemptsIn,
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  newJob,
  preload,
  type RunOptions,
  runMain,
  runPost,
  runSteps,
} from './support/job';
import { type OnConnect, type ProxyOptions, refusal, startProxy } from './support/proxy';
import { empty, hang, json, type Script, startServer, TOKEN } from './support/scripted-server';
import { startTextServer } from './support/tcp-server';

/** Only the proxy can resolve it. */
const API = `https://${HIDDEN_HOST}`;
const NOBODY = '127.0.0.1:1';
const OPENED = 'HTTP/1.1 200 OK\r\n\r\n';
const PAGE = 'HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\n\r\n<html>';

type Behind = Awaited<ReturnType<typeof dashboardBehind>>;

/** A Dashboard that only a proxy can reach. */
async function dashboardBehind(options: Omit<ProxyOptions, 'target'> = {}, script: Script = {}) {
  const certificate = await makeCertificate([HIDDEN_HOST], { addresses: [] });
  const server = await startServer(script, { tls: certificate });
  return { server, certificate, proxy: await startProxy({ target: server, ...options }) };
}

/** One whose proxy does this with each request for a tunnel, the last one for ever. */
function behindProxyThat(...script: OnConnect[]): Promise<Behind> {
  return dashboardBehind({ script });
}

/** Runs main through the proxy. */
function runMainThrough(
  { server, proxy, certificate }: Behind,
  userInfo = '',
  { env, inputs, ...more }: RunOptions = {},
) {
  return runMain(server, {
    ...more,
    inputs: { 'api-url': API, ...inputs },
    env: { ...trust(certificate), https_proxy: `http://${userInfo}${proxy.host}`, ...env },
    debug: true,
  });
}

/** For a step that goes to the Dashboard itself. */
function direct({ server, certificate }: Behind, env: Readonly<Record<string, string>> = {}) {
  return {
    inputs: { 'api-url': `${API}:${server.port}` },
    env: { ...trust(certificate), TEST_ADDRESSES: '10.0.0.1/0', ...env },
    nodeArgs: preload('no-jitter', 'addresses'),
  };
}

function basic(credentials: string): string {
  return `Basic ${Buffer.from(credentials).toString('base64')}`;
}

describe('a proxy serves both steps, and nobody sees its credentials', () => {
  async function expectToServe({ server, proxy }: Behind, env: Record<string, string>, ...unseen: string[]) {
    const { main, post } = await runSteps(server, { inputs: { 'api-url': `${API}:8443/base` }, env, debug: true });
    for (const step of [main, post]) {
      expectGreen(step);
      expectUnseen(step, CLIENT_SECRET, TOKEN, ...unseen);
      expect(step.stderr).toBe('');
      expect(step.log[0]).toMatch(
        new RegExp(`^Re.* through the proxy (localhost|[\\d.]+|\\[::1\\]):${proxy.port}\\.$`),
      );
    }
    expect(proxy.connects).toEqual([`${HIDDEN_HOST}:8443`, `${HIDDEN_HOST}:8443`]);
    expect(server.requests[0]?.path).toBe('/base/developer/v1/o/token/');
    expect(server.requests[0]?.headers).not.toHaveProperty('proxy-authorization');
    expect(server.revoked).toEqual([TOKEN]);
  }

  test('in HTTPS_PROXY, percent-encoded; the request for a tunnel is like that of curl', async () => {
    const password = 'pr0xy p@ss/wörd:%';
    const encoded = encodeURIComponent(password);
    const behind = await dashboardBehind({ credentials: `build er:${password}` });
    const HTTPS_PROXY = `http://build%20er:${encoded}@${behind.proxy.host}`;
    await expectToServe(behind, { ...trust(behind.certificate), HTTPS_PROXY }, password, encoded);
    expect(behind.proxy.headers[0]).toEqual({
      host: `${HIDDEN_HOST}:8443`,
      'proxy-authorization': basic(`build er:${password}`),
      'user-agent': expect.stringMatching(/^formlabs-dashboard-token\/\d/),
      'proxy-connection': 'keep-alive',
    });
  });

  test('over TLS, with a certificate of its own that names no Dashboard, and odd credentials as they are', async () => {
    const own = await makeCertificate(['localhost'], { addresses: [] });
    const behind = await dashboardBehind({ tls: own, credentials: 'DOMAIN\\svc-print:52173#W@nter/9' });
    const https_proxy = ` https://DOMAIN\\svc-print:52173#W@nter/9@localhost:${behind.proxy.port} `;
    const env = { ...trust(behind.certificate, own), https_proxy };
    await expectToServe(behind, env, 'DOMAIN', 'svc-print', '52173', 'nter');
  });

  test('with an IPv6 address; or over TLS, with the address in its certificate', async () => {
    const own = await makeCertificate([]);
    const [overTls, v6] = await Promise.all([dashboardBehind({ tls: own }), dashboardBehind({ address: '::1' })]);
    const trusted = { ...trust(overTls.certificate, own), https_proxy: `https://${overTls.proxy.host}` };
    const mains = [runMainThrough(overTls, '', { env: trusted }), runMainThrough(v6)];
    for (const main of await Promise.all(mains)) expectGreen(main);
    expect([...overTls.proxy.connects, ...v6.proxy.connects]).toEqual([`${HIDDEN_HOST}:443`, `${HIDDEN_HOST}:443`]);
  });
});

test('a host in no_proxy is asked directly, and nothing is said of a variable that is no proxy then', async () => {
  const behind = await dashboardBehind();
  const env = { https_proxy: 'socks5://[nowhere', no_proxy: 'other.test, .test' };
  expectGreen(await runMain(behind.server, direct(behind, env)));
});

describe('post goes the way that main went, whatever a later step has set', () => {
  test('directly, though a variable names a proxy', async () => {
    const behind = await dashboardBehind();
    const job = newJob();
    expectGreen(await runMain(behind.server, { job, ...direct(behind) }));
    expectGreen(await runPost(behind.server, job, direct(behind, { https_proxy: `http://${NOBODY}` })));
    expect(behind.server.revoked).toEqual([TOKEN]);
  });

  test('through its proxy, with the credentials that the variable has by then, and none of another proxy', async () => {
    const script = [...Array<OnConnect>(6).fill('open'), refusal(407)];
    const revoke = [empty(), json(503, { detail: 'not hidden here' }), empty()];
    const behind = await dashboardBehind({ script }, { revoke });
    const { server, proxy, certificate } = behind;
    const job = newJob();
    expectGreen(await runMainThrough(behind, 'user:old-one@', { job }));
    expect(JSON.stringify(job.state)).not.toContain('old-one');
    const post = (env: Record<string, string>) =>
      runPost(server, job, { env: { ...trust(certificate), ...env }, debug: true });
    const url = `http://user:hidden@${proxy.host}`;
    for (const env of [
      {},
      { https_proxy: url, no_proxy: '*' },
      { https_proxy: `http://user:hidden@${NOBODY}` },
      { https_proxy: 'socks5://user:hidden@[nowhere' },
    ]) {
      const step = await post(env);
      expectGreen(step);
      expectUnseen(step, 'hidden');
    }
    expectWarning(await post({}), /stays valid until .*\. The proxy .* requires credentials \(407\)/);
    const sent = proxy.headers.map((headers) => headers['proxy-authorization']);
    const used = [basic('user:old-one'), undefined, basic('user:hidden'), basic('user:hidden')];
    expect(sent).toEqual([...used, undefined, undefined, undefined]);
    expect(server.revoked).toHaveLength(4);
  });
});

test('a variable that is no proxy is refused, and nothing of it is seen', async () => {
  const { server, proxy } = await dashboardBehind();
  const https_proxy = `http://svc:Winter9@${proxy.host}/hidden?x`;
  const main = await runMain(server, { inputs: { 'api-url': API }, env: { https_proxy }, debug: true });
  expectRed(main, /^https_proxy is not the address of an HTTP proxy: give http:\/\/user:password@host:port, with/);
  expectUnseen(main, 'svc', 'Winter9', 'hidden', `${proxy.port}`);
  expect(proxy.connects).toEqual([]);
});

describe('a proxy that says no is asked once, and the error says why', () => {
  const BASIC = { 'proxy-authenticate': 'Basic realm="never-shown"' };

  test.each<[name: string, status: number, headers: Record<string, string>, message: RegExp]>([
    ['407', 407, BASIC, /requires credentials \(407\)\. Put user and password into https_proxy/],
    ['403', 403, {}, /answered 403 \(forbidden\) instead of opening a tunnel\. Ask .*no_proxy/],
    ['302', 302, { location: 'http://never-shown.test' }, /answered 302 \(found\) instead of opening a tunnel/],
  ])('%s', async (_name, status, headers, message) => {
    const behind = await behindProxyThat(refusal(status, headers));
    const main = await runMainThrough(behind);
    expectRed(main, new RegExp(`^The proxy ${behind.proxy.host} ${message.source}`));
    expectUnseen(main, 'never-shown');
    expect(behind.proxy.connects).toHaveLength(1);
    expect(behind.server.requests).toEqual([]);
  });

  test('407 to a user whose name is a letter, with no hole in the sentence', async () => {
    const behind = await behindProxyThat(refusal(407, BASIC));
    const { raw } = await runMainThrough(behind, 'p@');
    const printed = raw.split(/\r?\n/);
    expect(printed).toContain(
      `::error::The proxy ${behind.proxy.host} rejected the credentials (407). This is the proxy of the runner, not the ` +
        'Dashboard: check user and password in https_proxy.',
    );
    expect(printed).toContain(`Requesting an access token from ${API} through the proxy ${behind.proxy.host}.`);
  });

  test('a page of its own, down the tunnel that it opened, or in the packet of the answer that opened it', async () => {
    const [later, atOnce] = await Promise.all([dashboardBehind(), behindProxyThat({ says: `${OPENED}${PAGE}` })]);
    const proxy = await startProxy({ target: await startTextServer(PAGE) });
    for (const main of [await runMainThrough({ ...later, proxy }), await runMainThrough(atOnce)]) {
      expectRed(main, /^No TLS connection to dashboard\.test through the proxy .* may have sent a page of its own/);
      expectUnseen(main, 'Forbidden', 'html');
      expect(attemptsIn(main)).toEqual([]);
    }
  });

  test('one that speaks no TLS, or is not trusted, neither itself nor when it opens TLS on the way', async () => {
    const plain = await dashboardBehind();
    const untrusted = await dashboardBehind({ tls: await makeCertificate(['localhost']) });
    const run = (behind: Behind, env = {}) =>
      runMainThrough(behind, '', { env: { https_proxy: `https://${behind.proxy.host}`, ...env } });
    const noTls = await run(plain);
    expectRed(noTls, new RegExp(`^No TLS connection to the proxy ${plain.proxy.host} .*\\((EPROTO|ERR_SSL_[A-Z_]+)`));
    const noTrust = await run(untrusted, { NODE_TLS_REJECT_UNAUTHORIZED: '0' });
    expectRed(noTrust, new RegExp(`^The certificate of the proxy ${untrusted.proxy.host} is not trusted`));
    expect(untrusted.proxy.connects).toEqual([]);
    const opened = await runMainThrough({ ...plain, certificate: await makeCertificate() });
    expectRed(opened, /^The certificate of dashboard\.test through the proxy .* is not trusted .*NODE_EXTRA_CA_CERTS/);
    expect(plain.server.requests).toEqual([]);
  });
});

describe('a proxy that may open a tunnel later is asked again', () => {
  test('when it answers 503, asks to wait, or hangs up', async () => {
    const asksToWait = (status: number) => refusal(status, { 'retry-after': '0' });
    const behind = await behindProxyThat(refusal(503), asksToWait(429), asksToWait(403), 'close', 'open');
    expectGreen(await runMainThrough(behind));
    expect(behind.proxy.connects).toHaveLength(5);
  });

  test('when it never said a word; or until the time is over, and the error names it', async () => {
    const [waking, silent, cutting, silentBehind] = await Promise.all([
      behindProxyThat('hang', 'open'),
      behindProxyThat('hang'),
      behindProxyThat({ says: OPENED }),
      dashboardBehind({}, { token: [hang()] }),
    ]);
    const nobody = { ...silent, proxy: { ...silent.proxy, host: NOBODY } };
    const run = (behind: Behind) => runMainThrough(behind, '', { inputs: { 'timeout-seconds': '1' } });
    const inTime = { nodeArgs: preload('no-jitter', 'fast-time'), inputs: { 'timeout-seconds': '20' } };
    const [woken, ...mains] = await Promise.all([
      runMainThrough(waking, '', inTime),
      ...[nobody, silent, cutting, silentBehind].map(run),
    ]);
    expectGreen(woken);
    expect(attemptsIn(woken)[0]).toMatch(/the proxy did not open a tunnel within \d+\.\d s\. Retrying now/);
    const whys = [
      '127\\.0\\.0\\.1:1: connection refused',
      '.*: the proxy did not open a tunnel within [01]\\.\\d s',
      '.*: .* during the TLS handshake \\(ECONNRESET\\)',
      '.*: no complete answer within [01]\\.\\d s',
    ];
    mains.forEach((main, index) => {
      expectRed(main, `^No answer from dashboard\\.test through the proxy ${whys[index]}`);
      expect(main.raw.includes('may have been issued')).toBe(index === 3);
    });
  });
});

describe('the password of the proxy is seen nowhere', () => {
  const PASSWORD = 'sword fish';
  const BASE64 = basic(`user:${PASSWORD}`).replace('Basic ', '');
  const SPELLINGS = [PASSWORD, 'sword%20fish', BASE64];
  const USER_INFO = 'user:sword%20fish@';

  test('not when the Dashboard, or what poses as it, sends it back', async () => {
    const echo = { error: 'invalid_grant', error_description: `it came with ${SPELLINGS.join(' and ')} yes` };
    const main = await runMainThrough(await dashboardBehind({}, { token: [json(400, echo)] }), USER_INFO);
    expectRed(main, /invalid_grant: it came with … and … and … yes/);
    expectUnseen(main, ...SPELLINGS);
  });

  test('not when the proxy sends it back, in a status, a header, or no HTTP at all, which is final', async () => {
    const behind = await behindProxyThat(
      { says: `HTTP/1.1 503 ${PASSWORD} ${BASE64}\r\nlocation: https://${BASE64}.test\r\n\r\n` },
      { says: `${PASSWORD} ${BASE64}\r\n\r\n` },
    );
    const main = await runMainThrough(behind, USER_INFO);
    expect(attemptsIn(main)).toEqual([expect.stringContaining('answered 503 (service unavailable)')]);
    expectRed(main, new RegExp(`^What came from the proxy ${behind.proxy.host} is not valid HTTP \\(HPE_`));
    expectUnseen(main, ...SPELLINGS);
    expect(behind.proxy.connects).toHaveLength(2);
  });
});
