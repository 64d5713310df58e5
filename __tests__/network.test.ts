import { connect } from 'node:net';
import { join } from 'node:path';
import type { TlsOptions } from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import type { StepResult } from '../mock/runner.mts';
import { type Certificate, CHECKS_IPV6, HIDDEN_HOST, makeCertificate, trust, writePem } from './support/certificate';
import { expectGreen, expectRed, expectWarning, inputsFor, NO_JITTER, newJob, runMain, runPost } from './support/job';
import {
  type Behaviour,
  hang,
  issue,
  json,
  type Script,
  type ScriptedServer,
  startServer,
  TOKEN,
  tokenBody,
} from './support/scripted-server';
import { startTcpServer, startTextServer } from './support/tcp-server';

const DAY_MS = 86_400_000;
const onUnix = process.platform === 'win32' ? test.skip : test;

/** A Dashboard with a certificate, and an environment that trusts it. */
async function tlsServer(certificate: Certificate, script: Script = {}, tls: TlsOptions = {}) {
  const server = await startServer(script, { tls: { ...tls, key: certificate.key, cert: certificate.cert } });
  return { server, env: trust(certificate) };
}

/** For Node to find a host at these addresses: see support/addresses.cjs. */
function found(addresses: string) {
  return {
    env: { TEST_ADDRESSES: addresses },
    nodeArgs: [...NO_JITTER, '--require', join(import.meta.dirname, 'support/addresses.cjs')],
  };
}

/** As `expectRed`, where Node itself has something to say on stderr. */
function expectRedWithNodeWarning(main: StepResult, message: RegExp, warning: RegExp): void {
  expectRed({ ...main, stderr: '' }, message);
  expect(main.stderr).toMatch(warning);
}

function attemptsIn({ log }: StepResult): readonly string[] {
  return log.filter((line) => line.startsWith('Attempt'));
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

  async function expectRefused(certificate: Certificate, problem: RegExp, tls: TlsOptions = {}): Promise<void> {
    const { server, env } = await tlsServer(certificate, {}, tls);
    const main = await runMain(server, { env, inputs: { 'api-url': `https://localhost:${server.port}` } });
    expectRed(main, new RegExp(`^The certificate of localhost:${server.port} ${problem.source}`));
    expect(main.annotations[0]?.message).not.toContain('NODE_EXTRA_CA_CERTS');
    expect(attemptsIn(main)).toEqual([]);
    expect(server.requests).toEqual([]);
  }

  test('that has expired is an error of its own, at once', async () => {
    const certificate = await makeCertificate(['localhost'], { validFrom: new Date(0), validTo: new Date(DAY_MS) });
    await expectRefused(certificate, /has expired \(CERT_HAS_EXPIRED\)\. .*clock of the runner/);
  });

  test('that is not valid yet is an error of its own, at once', async () => {
    const certificate = await makeCertificate(['localhost'], { validFrom: new Date(Date.now() + DAY_MS) });
    await expectRefused(certificate, /is not valid yet \(CERT_NOT_YET_VALID\)\. .*clock of the runner/);
  });

  test('for another name is an error of its own, at once', async () => {
    const certificate = await makeCertificate(['elsewhere.test'], { addresses: [] });
    await expectRefused(certificate, /is for another name \(ERR_TLS_CERT_ALTNAME_INVALID\)\. Check api-url/);
  });

  // OpenSSL does not mind before Node 24.
  const [nodeMajor = 0] = process.versions.node.split('.').map(Number);

  (nodeMajor < 24 ? test.skip : test)('with a key that is too short is an error of its own, at once', async () => {
    const certificate = await makeCertificate(['localhost'], { weak: true });
    await expectRefused(certificate, /is too weak \([A-Z_]+\)\. .*stronger key/, { ciphers: 'DEFAULT@SECLEVEL=0' });
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
        /TLS handshake .* was refused \((EPROTO|ERR_SSL_\w*ALERT\w*)\)\. It may require a client certificate/,
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
    const [unset, missing, noPem, otherOne] = await Promise.all([
      run(''),
      run(join(import.meta.dirname, 'nowhere.pem')),
      run(writePem('no PEM at all')),
      run(another.NODE_EXTRA_CA_CERTS),
    ]);
    expectRed(unset, /set NODE_EXTRA_CA_CERTS in the env of the job .*NODE_USE_SYSTEM_CA=1/);
    expectRedWithNodeWarning(
      missing,
      /The file in NODE_EXTRA_CA_CERTS can't be read \(ENOENT\); in a container, .*NODE_USE_SYSTEM_CA=1/,
      /^Warning: Ignoring extra certs/,
    );
    expectRed(noPem, /The file in NODE_EXTRA_CA_CERTS holds no certificate in PEM format\. .*NODE_USE_SYSTEM_CA=1/);
    expectRed(otherOne, /The file in NODE_EXTRA_CA_CERTS lacks the authority .*NODE_USE_SYSTEM_CA=1/);
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
    expectRed(one, /^No answer from dashboard\.test: no connection within 1\.0 s; gave up/);
    expectRed(two, /^No answer from dashboard\.test: .*; gave up/);
  });

  test('a server that takes a connection and never shakes hands is left for another attempt', async () => {
    const certificate = await makeCertificate();
    const { server, env } = await tlsServer(certificate);
    let connections = 0;
    const { port } = await startTcpServer((socket) => {
      connections += 1;
      if (connections > 1) socket.pipe(connect(server.port)).pipe(socket);
    });
    const inputs = { 'api-url': `https://localhost:${port}`, 'timeout-seconds': '3' };
    const main = await runMain(server, { env, inputs });
    expectGreen(main);
    expect(attemptsIn(main)).toEqual([expect.stringContaining('no complete answer within 1.5 s')]);
  });
});

describe('what is no HTTP, or no TLS', () => {
  test('is an error at once, and of HTTP it says that a token may have been issued', async () => {
    const [garbage, twoLengths, headOfMegabytes, plain] = await Promise.all([
      startTextServer('SSH-2.0-OpenSSH_9.6\r\n'),
      startTextServer(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 7\r\n\r\n${tokenBody()}`),
      startTextServer(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(1_100_000)}\r\n\r\n`),
      startTextServer('HTTP/1.1 400 Bad Request\r\n\r\n'),
    ]);
    const servers = [garbage, twoLengths, headOfMegabytes];
    const [noTls, ...mains] = await Promise.all([
      runMain({ url: plain.url.replace('http:', 'https:') }),
      ...servers.map((server) => runMain(server)),
    ]);
    for (const main of mains) {
      expectRed(
        main,
        /^What came from 127\.0\.0\.1:\d+ is not valid HTTP \(HPE_[A-Z_]+\)\. .*a token may have been issued/,
      );
      expect(attemptsIn(main)).toEqual([]);
    }
    expectRed(
      noTls,
      /^No TLS connection to 127\.0\.0\.1:\d+ .*\((EPROTO|ERR_SSL_[A-Z_]+)\)\. Check the host and the port in api-url/,
    );
    expect(attemptsIn(noTls)).toEqual([]);
  });

  test('20 KB of cookies before a token do no harm', async () => {
    const cookies = Array.from({ length: 20 }, (_, index) => `cookie-${index}=${'x'.repeat(1_000)}`);
    const server = await startServer({
      token: [(response) => response.writeHead(200, { 'set-cookie': cookies }).end(tokenBody())],
    });
    expectGreen(await runMain(server));
  });
});

test('an answer that was read and will be tried again closes its connection', async () => {
  const closed: Promise<void>[] = [];
  const busy: Behaviour = (response, request) => {
    closed.push(new Promise((resolve) => response.socket?.once('close', () => resolve())));
    json(503, { error: 'server_error' })(response, request);
  };
  // A token comes only when the connections of the answers before it are gone.
  const last: Behaviour = (response, request) => {
    void Promise.all(closed).then(() => issue()(response, request));
  };
  const server = await startServer({ token: [busy, busy, busy, last] });
  expectGreen(await runMain(server));
  expect(closed).toHaveLength(3);
});

onUnix('an answer that came whole while the machine was paused is taken, though the time is over', async () => {
  const certificate = await makeCertificate();
  const run = async (tls?: Certificate) => {
    const taken = Promise.withResolvers<{ answerNow: () => void }>();
    const held: Behaviour = (response, request) => taken.resolve({ answerNow: () => issue()(response, request) });
    const server = await startServer({ token: [held, hang()] }, tls ? { tls } : {});
    const job = newJob();
    const { child, done } = job.start('main', {
      inputs: inputsFor(server, { 'timeout-seconds': '1' }),
      env: tls ? trust(tls) : {},
    });
    const { answerNow } = await taken.promise;
    child.kill('SIGSTOP');
    answerNow();
    // Longer than all of its budget.
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    child.kill('SIGCONT');
    const main = await done;
    expectGreen(main);
    expect(main.outputs['token']).toBe(TOKEN);
    expect(server.requests).toHaveLength(1);
  };
  await Promise.all([run(), run(certificate)]);
});
