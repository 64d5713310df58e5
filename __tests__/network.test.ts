import { connect } from 'node:net';
import { join } from 'node:path';
import type { TlsOptions } from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import type { StepResult } from '../mock/runner.mts';
import {
  type Certificate,
  type CertificateOptions,
  CHECKS_IPV6,
  HIDDEN_HOST,
  makeCertificate,
  trust,
  writePem,
} from './support/certificate';
import { attemptsIn, expectGreen, expectRed, expectWarning, newJob, preload, runMain, runPost } from './support/job';
import { type Script, type ScriptedServer, startServer, TOKEN } from './support/scripted-server';
import { startTcpServer, startTextServer } from './support/tcp-server';

const DAY_MS = 86_400_000;

/** A Dashboard with a certificate, and an environment that trusts it. */
async function tlsServer(certificate: Certificate, script: Script = {}, tls: TlsOptions = {}) {
  const server = await startServer(script, { tls: { ...tls, key: certificate.key, cert: certificate.cert } });
  return { server, env: trust(certificate) };
}

/** For Node to find a host at these addresses: see support/addresses.cjs. */
function found(addresses: string) {
  return { env: { TEST_ADDRESSES: addresses }, nodeArgs: preload('no-jitter', 'addresses') };
}

/** As `expectRed`, where Node itself has something to say on stderr. */
function expectRedWithNodeWarning(main: StepResult, message: RegExp, warning: RegExp): void {
  expectRed({ ...main, stderr: '' }, message);
  expect(main.stderr).toMatch(warning);
}

describe('a certificate', () => {
  test('of a private authority is trusted through NODE_EXTRA_CA_CERTS', async () => {
    const { server, env } = await tlsServer(await makeCertificate());
    const job = newJob();
    expectGreen(await runMain(server, { job, env }));
    expectGreen(await runPost(server, job, { env }));
    expect(server.revoked).toEqual([TOKEN]);
  });

  const onLinux = process.platform === 'linux' ? test : test.skip;

  onLinux('that the machine trusts is trusted with NODE_USE_SYSTEM_CA=1', async () => {
    const certificate = await makeCertificate();
    const { server } = await tlsServer(certificate);
    expectGreen(await runMain(server, { env: { NODE_USE_SYSTEM_CA: '1', SSL_CERT_FILE: certificate.file } }));
  });

  test('that is not trusted ends main red at once, and post with a warning; nothing is sent', async () => {
    const { server, env } = await tlsServer(await makeCertificate());
    const job = newJob();
    const [main] = await Promise.all([runMain(server), runMain(server, { job, env })]);
    expectRed(main, /^The certificate of 127\.0\.0\.1:\d+ is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)\. /);
    expect(attemptsIn(main)).toEqual([]);
    expectWarning(await runPost(server, job), /: the certificate of .* is not trusted.*NODE_EXTRA_CA_CERTS/);
    expect(server.requests).toHaveLength(1);
  });

  test('is checked whatever NODE_TLS_REJECT_UNAUTHORIZED says, and the error names it', async () => {
    const { server } = await tlsServer(await makeCertificate());
    const main = await runMain(server, { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } });
    expectRed(main, /is not trusted .*NODE_TLS_REJECT_UNAUTHORIZED=0 is ignored/);
    expect(server.requests).toEqual([]);
    const { server: good, env } = await tlsServer(await makeCertificate());
    expectGreen(await runMain(good, { env: { ...env, NODE_TLS_REJECT_UNAUTHORIZED: '0' } }));
  });

  const RENEW = /Check the clock of the runner\. .*has to be renewed\.$/;
  const REPLACE = /This certificate, or that of its authority, has to be replaced\.$/;
  const LONG_AGO = { validFrom: new Date(0), validTo: new Date(DAY_MS) };
  const TOMORROW = { validFrom: new Date(Date.now() + DAY_MS) };
  const ELSEWHERE = { names: ['elsewhere.test'], addresses: [] };
  const OLD_AUTHORITY = { isAuthority: 'that may sign', ...LONG_AGO } as const;
  type Options = CertificateOptions & { names?: string[]; by?: CertificateOptions };
  const refused: [name: string, problem: RegExp, advice: RegExp, own: Options][] = [
    ['that has expired', /has expired \(CERT_HAS_EXPIRED\)/, RENEW, LONG_AGO],
    ['that is not valid yet', /is not valid yet \(CERT_NOT_YET_VALID\)/, RENEW, TOMORROW],
    ['for another name', /is for another name \(ERR_TLS_CERT_ALTNAME_INVALID\)/, /Check api-url/, ELSEWHERE],
    ['for clients', /was refused: unsuitable certificate purpose \(INVALID_PURPOSE\)/, REPLACE, { forClients: true }],
    ['of an authority that has expired', /has expired \(CERT_HAS_EXPIRED\)/, RENEW, { by: OLD_AUTHORITY }],
    [
      'whose authority may not sign',
      /was refused: \w[\w ]+ \([A-Z_]+\)/,
      REPLACE,
      { by: { isAuthority: 'that may not sign' } },
    ],
    ['with a short key', /was refused: \w+ certificate key too weak \([A-Z_]+\)/, REPLACE, { weak: true }],
  ];
  // OpenSSL does not mind a short key before Node 24.
  const isStrict = Number.parseInt(process.versions.node, 10) >= 24;

  test.each(refused.filter(([, , , { weak }]) => isStrict || !weak))(
    '%s is an error of its own, at once',
    async (_name, problem, advice, { names = ['localhost'], by, ...own }) => {
      const authority = by && (await makeCertificate([], { addresses: [], ...by }));
      const certificate = await makeCertificate(names, { ...own, ...(authority && { authority }) });
      const { server } = await tlsServer(certificate, {}, { ciphers: 'DEFAULT@SECLEVEL=0' });
      const inputs = { 'api-url': `https://localhost:${server.port}` };
      const main = await runMain(server, { env: trust(authority ?? certificate), inputs });
      expectRed(main, new RegExp(`^The certificate of localhost:${server.port} ${problem.source}\\. `));
      expectRed(main, advice);
      expect(main.annotations[0]?.message).not.toMatch(/NODE_EXTRA_CA_CERTS|may have been issued/);
      expect(attemptsIn(main)).toEqual([]);
      expect(server.requests).toEqual([]);
    },
  );

  test('of an authority that may sign is trusted', async () => {
    const authority = await makeCertificate([], { addresses: [], isAuthority: 'that may sign' });
    const { server } = await tlsServer(await makeCertificate(['localhost'], { authority }));
    const inputs = { 'api-url': `https://localhost:${server.port}` };
    expectGreen(await runMain(server, { env: trust(authority), inputs }));
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'of the client, which a server wants over %s, is named',
    async (version) => {
      const certificate = await makeCertificate();
      const only = { minVersion: version, maxVersion: version, requestCert: true, ca: certificate.cert };
      const { server, env } = await tlsServer(certificate, {}, only);
      const main = await runMain(server, { env, inputs: { 'timeout-seconds': '2' } });
      expectRed(
        main,
        /TLS handshake .* was refused \((EPROTO|ERR_SSL_\w*ALERT\w*)(, [\w ]+)?\)\. It may require a client certificate/,
      );
      expect(attemptsIn(main)).toEqual([]);
      expect(server.requests).toEqual([]);
    },
  );
});

describe('the error of a certificate that is not trusted has looked at NODE_EXTRA_CA_CERTS', () => {
  test('which is not set, names no file, holds no certificate, or holds that of another authority', async () => {
    const { server } = await tlsServer(await makeCertificate());
    const run = (NODE_EXTRA_CA_CERTS: string) => runMain(server, { env: { NODE_EXTRA_CA_CERTS } });
    const another = trust(await makeCertificate());
    const whole = await makeCertificate();
    const damaged = whole.cert.replace(/^(-----BEGIN .*\n.{20})..../m, '$1AAAA');
    const [unset, missing, noPem, otherOne, none, one] = await Promise.all([
      run(''),
      run(join(import.meta.dirname, 'nowhere.pem')),
      run(writePem('no PEM at all')),
      run(another.NODE_EXTRA_CA_CERTS),
      run(writePem(damaged)),
      run(writePem([whole.cert, damaged, whole.cert].join('\n'))),
    ]);
    expectRed(unset, /set NODE_EXTRA_CA_CERTS in the env of the job .*NODE_USE_SYSTEM_CA=1/);
    const ofTheFile = /^Warning: Ignoring extra certs/;
    expectRedWithNodeWarning(
      missing,
      /CERTS can't be read \(ENOENT\); in a container, .*NODE_USE_SYSTEM_CA=1/,
      ofTheFile,
    );
    expectRed(noPem, /CERTS holds no certificate in PEM format\. .*NODE_USE_SYSTEM_CA=1/);
    expectRed(
      otherOne,
      /CERTS holds 1 certificate\(s\), and lacks the authority that signed it\. .*NODE_USE_SYSTEM_CA=1/,
    );
    expectRedWithNodeWarning(none, /CERTS is damaged from certificate 1 of 1 on/, /^/);
    expectRedWithNodeWarning(one, /CERTS is damaged from certificate 2 of 3 on/, /^/);
  });
});

describe('addresses', () => {
  const runJobAt = async (server: ScriptedServer, env = {}) => {
    const job = newJob();
    expectGreen(await runMain(server, { job, env }));
    expectGreen(await runPost(server, job, { env }));
    expect(server.requests[0]?.headers.host).toBe(`[::1]:${server.port}`);
    expect(server.revoked).toEqual([TOKEN]);
  };

  test('an IPv6 address as API URL', async () => {
    await runJobAt(await startServer({}, { host: '::1' }));
  });

  (CHECKS_IPV6 ? test : test.skip)('an IPv6 address as API URL, over TLS', async () => {
    const certificate = await makeCertificate([], { addresses: ['::1'] });
    await runJobAt(await startServer({}, { host: '::1', tls: certificate }), trust(certificate));
  });

  test('a host with addresses behind which nothing is, or a slow connection, is reached', async () => {
    const certificate = await makeCertificate();
    const { server, env } = await tlsServer(certificate);
    const run = (addresses: string, timeoutSeconds: number) => {
      const { nodeArgs, env: more } = found(addresses);
      const inputs = { 'api-url': `https://${HIDDEN_HOST}:${server.port}`, 'timeout-seconds': `${timeoutSeconds}` };
      return runMain(server, { inputs, nodeArgs, env: { ...env, ...more } });
    };
    const mains = await Promise.all([
      // The first gets half a second here, and with 60 seconds close to four.
      run('fe80::1 10.0.0.1/0', 4),
      run('10.0.0.1/0 fe80::1', 4),
      run('2001:db8::1/700 10.0.0.1', 60),
      run('10.0.0.1/700 2001:db8::1 10.0.0.2', 60),
    ]);
    for (const main of mains) {
      expectGreen(main);
      expect(attemptsIn(main)).toEqual([]);
    }
  });

  test('a host behind whose addresses nothing is has no connection when the time is over', async () => {
    const inputs = { 'api-url': `https://${HIDDEN_HOST}`, 'timeout-seconds': '1' };
    const [one, two] = await Promise.all([
      runMain({ url: '' }, { inputs, ...found('10.0.0.1') }),
      runMain({ url: '' }, { inputs, ...found('fe80::1 10.0.0.1') }),
    ]);
    expectRed(one, /^No answer from dashboard\.test: no connection within [01]\.\d s; gave up/);
    expectRed(two, /^No answer from dashboard\.test: .*; gave up/);
  });
});

describe('a TLS handshake', () => {
  test('that stalls twice is given up, and the third, which works, is tried', async () => {
    const certificate = await makeCertificate();
    const { server, env } = await tlsServer(certificate);
    let connections = 0;
    const { port } = await startTcpServer((socket) => {
      connections += 1;
      if (connections < 3) return;
      const upstream = connect(server.port).on('error', () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
    });
    const inputs = { 'api-url': `https://localhost:${port}` };
    const main = await runMain(server, { env, inputs, nodeArgs: preload('no-jitter', 'fast-time') });
    expectGreen(main);
    expect(attemptsIn(main)).toEqual([
      expect.stringMatching(/the TLS handshake did not complete within 3\d\.\d s\. Retrying now/),
      expect.stringMatching(/the TLS handshake did not complete within 1\d\.\d s\. Retrying now/),
    ]);
    expect(main.raw).not.toMatch(/may have been issued/);
  });

  const inputs = { 'timeout-seconds': '1' };
  const withTls = ({ url }: { url: string }) => ({ url: url.replace('http:', 'https:') });

  test('that is cut by a firewall is named', async () => {
    const server = withTls(await startTcpServer((socket) => socket.once('data', () => socket.resetAndDestroy())));
    const main = await runMain(server, { inputs });
    expectRed(main, /^No answer from 127\.0\.0\.1:\d+: .* during the TLS handshake \(ECONNRESET\); gave up/);
    expect(main.raw).not.toMatch(/may have been issued/);
  });

  // A ServerHello of TLS 1.2 without any extension.
  const hello = Buffer.from(`160303002a020000260303${'01'.repeat(32)}00c02f00`, 'hex');
  const insecure = () => startTcpServer((socket) => socket.once('data', () => socket.write(hello)));

  test('with a server that knows no secure renegotiation fails at once', async () => {
    const main = await runMain(withTls(await insecure()), { inputs });
    expectRed(
      main,
      /^No TLS connection to .* is possible \(.*\)\. Its TLS is out of date, or that of something in between/,
    );
    expect(attemptsIn(main)).toEqual([]);
  });

  // Where the form is sent while hands are shaken, Node has them in the message of the error alone.
  test('that fails so is explained in the words of OpenSSL', async () => {
    const main = await runMain(withTls(await insecure()), { inputs });
    expectRed(main, /unsafe legacy renegotiation disabled/);
  });

  test('with a server that speaks no TLS fails at once', async () => {
    const main = await runMain(withTls(await startTextServer('HTTP/1.1 400 Bad Request\r\n\r\n')));
    expectRed(
      main,
      /^No TLS connection to 127\.0\.0\.1:\d+ .*\((EPROTO|ERR_SSL_[A-Z_]+)(, [\w ]+)?\)\. Check the host and the port in api-url/,
    );
    expect(attemptsIn(main)).toEqual([]);
  });
});
