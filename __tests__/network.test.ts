import { connect } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import {
  type Certificate,
  type CertificateOptions,
  CHECKS_IPV6,
  HIDDEN_HOST,
  makeCertificate,
  trust,
  writePem,
} from './support/certificate';
import {
  attemptsIn,
  expectGreen,
  expectRed,
  expectWarning,
  newJob,
  preload,
  runMain,
  runPost,
  runSteps,
} from './support/job';
import { startServer, TOKEN } from './support/scripted-server';
import { startTcpServer, startTextServer } from './support/tcp-server';

const DAY_MS = 86_400_000;

/** A Dashboard with a certificate, and an environment that trusts it. */
async function tlsServer(certificate: Certificate, tls: TlsOptions = {}) {
  const server = await startServer({}, { tls: { ...tls, key: certificate.key, cert: certificate.cert } });
  return { server, env: trust(certificate) };
}

describe('a certificate', () => {
  test('of a private authority is trusted through NODE_EXTRA_CA_CERTS, and nothing is sent without it', async () => {
    const authority = await makeCertificate([], { isAuthority: true });
    const { server } = await tlsServer(await makeCertificate([], { authority }));
    const env = trust(authority);
    const job = newJob();
    expectGreen(await runMain(server, { job, env }));
    expectWarning(await runPost(server, job), /\. The certificate of .* is not trusted.*set NODE_EXTRA_CA_CERTS in/);
    expect(server.requests).toHaveLength(1);
    expectGreen(await runPost(server, job, { env }));
    expect(server.revoked).toEqual([TOKEN]);
  });

  (process.platform === 'linux' ? test : test.skip)('of the machine is trusted with NODE_USE_SYSTEM_CA=1', async () => {
    const certificate = await makeCertificate();
    const { server } = await tlsServer(certificate);
    expectGreen(await runMain(server, { env: { NODE_USE_SYSTEM_CA: '1', SSL_CERT_FILE: certificate.file } }));
  });

  test('is checked whatever NODE_TLS_REJECT_UNAUTHORIZED says, and the error, which comes at once, names it', async () => {
    const { server, env } = await tlsServer(await makeCertificate());
    const insecure = { NODE_TLS_REJECT_UNAUTHORIZED: '0' };
    const main = await runMain(server, { env: insecure });
    expectRed(main, /^The certificate of 127\.0\.0\.1:\d+ is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)\. /);
    expectRed(main, /NODE_TLS_REJECT_UNAUTHORIZED=0 is ignored/);
    expect(attemptsIn(main)).toEqual([]);
    expect(server.requests).toEqual([]);
    expectGreen(await runMain(server, { env: { ...env, ...insecure } }));
  });

  test('that is not trusted, though it is in a file, may stand there behind a damaged one', async () => {
    const [first, own] = [await makeCertificate(), await makeCertificate()];
    const damaged = first.cert.replace(/^(-----BEGIN .*\n.{20})..../m, '$1AAAA');
    const { server } = await tlsServer(own);
    const NODE_EXTRA_CA_CERTS = writePem([first.cert, damaged, own.cert].join('\n'));
    const main = await runMain(server, { env: { NODE_EXTRA_CA_CERTS } });
    // Node itself may have something to say of the file.
    expectRed({ ...main, stderr: '' }, /is not trusted .*CERTS is damaged from certificate 2 of 3 on/);
  });

  const RENEW = /Check the clock of the runner\. .*has to be renewed\.$/;
  const REPLACE = /This certificate or its authority has to be replaced\.$/;
  const LONG_AGO = { validFrom: new Date(0), validTo: new Date(DAY_MS) };
  const TOMORROW = { validFrom: new Date(Date.now() + DAY_MS) };
  const ELSEWHERE = { names: ['elsewhere.test'], addresses: [] };

  test.each<[name: string, problem: RegExp, advice: RegExp, own: CertificateOptions & { names?: string[] }]>([
    ['that has expired', /has expired \(CERT_HAS_EXPIRED\)/, RENEW, LONG_AGO],
    ['that is not valid yet', /is not valid yet \(CERT_NOT_YET_VALID\)/, RENEW, TOMORROW],
    ['for another name', /is for another name \(ERR_TLS_CERT_ALTNAME_INVALID\)/, /Check api-url/, ELSEWHERE],
    ['for clients', /was refused: unsuitable certificate purpose \(INVALID_PURPOSE\)/, REPLACE, { forClients: true }],
  ])('%s is an error of its own, at once', async (_name, problem, advice, { names = ['localhost'], ...own }) => {
    const { server, env } = await tlsServer(await makeCertificate(names, own));
    const main = await runMain(server, { env, inputs: { 'api-url': `https://localhost:${server.port}` } });
    expectRed(main, new RegExp(`^The certificate of localhost:${server.port} ${problem.source}\\. `));
    expectRed(main, advice);
    expect(main.annotations[0]?.message).not.toMatch(/NODE_EXTRA_CA_CERTS|may have been issued/);
    expect(attemptsIn(main)).toEqual([]);
    expect(server.requests).toEqual([]);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'of the client, which a server wants over %s, is named',
    async (version) => {
      const certificate = await makeCertificate();
      const only = { minVersion: version, maxVersion: version, requestCert: true, ca: certificate.cert };
      const { server, env } = await tlsServer(certificate, only);
      const main = await runMain(server, { env, inputs: { 'timeout-seconds': '2' } });
      const refused =
        /TLS handshake .* was refused \((EPROTO|ERR_SSL_\w*ALERT\w*)(, [\w ]+)?\)\. It may require a client/;
      expectRed(main, refused);
      expect(attemptsIn(main)).toEqual([]);
      expect(server.requests).toEqual([]);
    },
  );
});

describe('addresses', () => {
  test('an IPv6 address as API URL, over TLS where Node can check it', async () => {
    const tls = CHECKS_IPV6 && (await makeCertificate([], { addresses: ['::1'] }));
    const server = await startServer({}, { host: '::1', ...(tls && { tls }) });
    const { main, post } = await runSteps(server, { env: tls ? trust(tls) : {} });
    for (const step of [main, post]) expectGreen(step);
    expect(server.requests[0]?.headers.host).toBe(`[::1]:${server.port}`);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('a host is reached, though behind its first address nothing is, or a slow connection; without another, it is not', async () => {
    // Of the hosts that share an address, the server has to be told which one is meant.
    const asked = new Set<string>();
    const SNICallback: TlsOptions['SNICallback'] = (name, done) => {
      asked.add(name);
      done(null);
    };
    const { server, env } = await tlsServer(await makeCertificate(), { SNICallback });
    const url = `https://${HIDDEN_HOST}:${server.port}`;
    const nodeArgs = preload('no-jitter', 'addresses');
    const run = (TEST_ADDRESSES: string, seconds: string) => {
      const inputs = { 'timeout-seconds': seconds };
      return runMain({ url }, { inputs, nodeArgs, env: { ...env, TEST_ADDRESSES } });
    };
    const [none, ...reached] = await Promise.all([
      run('10.0.0.1', '1'),
      // The first gets half a second here, and with 60 seconds close to four.
      run('fe80::1 10.0.0.1/0', '4'),
      run('2001:db8::1/700 10.0.0.1', '60'),
    ]);
    expectRed(none, /^No answer from dashboard\.test:\d+: no connection within [01]\.\d s; gave up/);
    expect([...asked]).toEqual([HIDDEN_HOST]);
    for (const main of reached) {
      expectGreen(main);
      expect(attemptsIn(main)).toEqual([]);
    }
  });
});

describe('a TLS handshake', () => {
  test('that stalls is given up, and that is cut, too; nothing has been sent, and another is tried', async () => {
    const { server, env } = await tlsServer(await makeCertificate());
    let connections = 0;
    const stalling = await startTcpServer((socket) => {
      connections += 1;
      if (connections === 1) return;
      const upstream = connect(server.port).on('error', () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
    });
    const cutting = await startTcpServer((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const fast = { nodeArgs: preload('no-jitter', 'fast-time'), env: { ...env, TEST_TIMES_FASTER: '30' } };
    const [stalled, cut] = await Promise.all([
      runMain(stalling, fast),
      runMain(cutting, { inputs: { 'timeout-seconds': '1' } }),
    ]);
    expectGreen(stalled);
    const attempt = expect.stringMatching(/the TLS handshake did not complete within 3\d\.\d s\. Retrying now/);
    expect(attemptsIn(stalled)).toEqual([attempt]);
    expectRed(cut, /^No answer from 127\.0\.0\.1:\d+: .* during the TLS handshake \(ECONNRESET\); gave up/);
    for (const { raw } of [stalled, cut]) expect(raw).not.toMatch(/may have been issued/);
  });

  // A ServerHello of TLS 1.2 without any extension.
  const hello = Buffer.from(`160303002a020000260303${'01'.repeat(32)}00c02f00`, 'hex');

  test.each<[name: string, says: string | Buffer, problem: RegExp]>([
    // Where the form is sent while hands are shaken, Node has these words of OpenSSL in the message of the error alone.
    ['knows no secure renegotiation', hello, /\(.*, ?unsafe legacy renegotiation disabled\)\. Its TLS is out of date/],
    [
      'speaks no TLS',
      'HTTP/1.1 400 Bad\r\n\r\n',
      /\((EPROTO|ERR_SSL_[A-Z_]+)(, [\w ]+)?\)\. Check the host and the port/,
    ],
  ])('with a server that %s fails at once', async (_name, says, problem) => {
    const main = await runMain(await startTextServer(says));
    expectRed(main, new RegExp(`^No TLS connection to 127\\.0\\.0\\.1:\\d+ is possible ${problem.source}`));
    expect(attemptsIn(main)).toEqual([]);
  });
});
