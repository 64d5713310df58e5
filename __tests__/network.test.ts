import { describe, expect, test } from '@jest/globals';
import { HIDDEN_HOST, makeCertificate } from './support/certificate';
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
import { startProxy } from './support/proxy';
import { hang, startServer, TOKEN } from './support/scripted-server';

const ANOTHER_CERTIFICATE = { names: ['elsewhere.test'] };

async function tlsServer(script = {}, names?: readonly string[]) {
  const certificate = await makeCertificate(names);
  const server = await startServer(script, { tls: certificate });
  return { server, certificate, trust: { NODE_EXTRA_CA_CERTS: certificate.file } };
}

describe('certificates', () => {
  test('a private authority is trusted through NODE_EXTRA_CA_CERTS', async () => {
    const { server, trust } = await tlsServer();
    const job = newJob();
    expectGreen(await runMain(server, { job, env: trust }));
    expectGreen(await runPost(server, job, { env: trust }));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('one that is not trusted ends main red at once, and post with a warning; both name NODE_EXTRA_CA_CERTS', async () => {
    const { server, trust } = await tlsServer();
    const main = await runMain(server);
    expectRed(
      main,
      /^The certificate of 127\.0\.0\.1:\d+ is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)\. .*NODE_EXTRA_CA_CERTS/,
    );
    expect(main.log.filter((line) => line.startsWith('Attempt'))).toEqual([]);

    const job = newJob();
    await runMain(server, { job, env: trust });
    expectWarning(
      await runPost(server, job),
      /the certificate of .* is not trusted.*NODE_EXTRA_CA_CERTS/,
    );
    expect(server.requests).toHaveLength(1);
  });

  test('one for another host is not trusted', async () => {
    const { server, trust } = await tlsServer({}, ANOTHER_CERTIFICATE.names);
    const inputs = { 'api-url': `https://localhost:${server.port}` };
    const main = await runMain(server, { env: trust, inputs });
    expectRed(
      main,
      /^The certificate of localhost:\d+ is not trusted \(ERR_TLS_CERT_ALTNAME_INVALID\)/,
    );
    expect(server.requests).toEqual([]);
  });

  test('a server that speaks no TLS is an error, not a wait', async () => {
    const server = await startServer();
    const main = await runMain({ url: server.url.replace('http:', 'https:') });
    expectRed(
      main,
      /^No answer from 127\.0\.0\.1:\d+: the request failed \((EPROTO|ERR_SSL_[A-Z_]+)\)/,
    );
  });
});

test('an IPv6 address as API URL', async () => {
  const server = await startServer({}, { host: '::1' });
  const job = newJob();
  expectGreen(await runMain(server, { job }));
  expectGreen(await runPost(server, job));
  expect(server.requests[0]?.headers.host).toBe(`[::1]:${server.port}`);
  expect(server.revoked).toEqual([TOKEN]);
});

describe('a proxy from the environment', () => {
  const PASSWORD = 'pr0xy p@ss/wörd';
  const USER_AND_PASSWORD = `builder:${encodeURIComponent(PASSWORD)}`;

  test.each(['https_proxy', 'HTTPS_PROXY'])(
    '%s, with credentials, serves both steps',
    async (variable) => {
      const { server, trust } = await tlsServer();
      const proxy = await startProxy({ target: server, credentials: `builder:${PASSWORD}` });
      const env = { ...trust, [variable]: `http://${USER_AND_PASSWORD}@${proxy.host}` };
      const inputs = { 'api-url': `https://${HIDDEN_HOST}` };
      const job = newJob();
      const main = await runMain(server, { job, inputs, env });
      const post = await runPost(server, job, { inputs, env });
      for (const step of [main, post]) {
        expectGreen(step);
        expectUnseen(step, PASSWORD, encodeURIComponent(PASSWORD), CLIENT_SECRET, TOKEN);
        expect(step.stderr).toBe('');
      }
      expect(proxy.connects).toEqual([`${HIDDEN_HOST}:443`, `${HIDDEN_HOST}:443`]);
      expect(server.revoked).toEqual([TOKEN]);
      expect(server.requests[0]?.headers).not.toHaveProperty('proxy-authorization');
    },
  );

  test('one that is reached by https', async () => {
    const { server, certificate, trust } = await tlsServer();
    const proxy = await startProxy({ target: server, tls: certificate });
    const env = { ...trust, https_proxy: `https://${proxy.host}` };
    const job = newJob();
    const inputs = { 'api-url': `https://${HIDDEN_HOST}:8443/base` };
    expectGreen(await runMain(server, { job, inputs, env }));
    expectGreen(await runPost(server, job, { inputs, env }));
    expect(proxy.connects[0]).toBe(`${HIDDEN_HOST}:8443`);
    expect(server.requests[0]?.path).toBe('/base/developer/v1/o/token/');
  });

  test.each(['no_proxy', 'NO_PROXY'])('%s goes past it', async (variable) => {
    const { server, trust } = await tlsServer();
    const proxy = await startProxy({ target: server });
    const env = { ...trust, https_proxy: `http://${proxy.host}`, [variable]: 'other.test, .test' };
    const inputs = { 'api-url': `https://${HIDDEN_HOST}`, 'timeout-seconds': '1' };
    const nodeArgs = ['--require', `${import.meta.dirname}/support/unknown-host.cjs`];
    const main = await runMain(server, {
      inputs,
      env: { ...env, TEST_DNS_ERROR: 'ENOTFOUND' },
      nodeArgs,
    });
    expectRed(main, /^No answer from dashboard\.test: the host name does not exist/);
    expect(proxy.connects).toEqual([]);
  });

  test.each<[name: string, userInfo: string]>([
    ['without credentials', ''],
    ['with wrong ones', 'builder:wrong-pass@'],
  ])('407 is the proxy that refuses, not the Dashboard (%s)', async (_name, userInfo) => {
    const { server, trust } = await tlsServer();
    const proxy = await startProxy({ target: server, credentials: 'builder:right-pass' });
    const env = { ...trust, https_proxy: `http://${userInfo}${proxy.host}` };
    const inputs = { 'api-url': `https://${HIDDEN_HOST}` };
    const main = await runMain(server, { inputs, env, debug: true });
    expect(main.annotations).toEqual([
      {
        level: 'error',
        message: `The proxy ${proxy.host} did not accept its credentials (407). This is the proxy of the runner, not the Dashboard: check user and password in https_proxy.`,
      },
    ]);
    expectUnseen(main, 'wrong-pass', 'never-shown');
    expect(proxy.connects).toHaveLength(1);
    expect(server.requests).toEqual([]);
  });

  test('one that forbids the host is an error at once', async () => {
    const { server, trust } = await tlsServer();
    const proxy = await startProxy({ target: server, refuse: 403 });
    const env = { ...trust, https_proxy: `http://${proxy.host}` };
    const main = await runMain(server, { inputs: { 'api-url': `https://${HIDDEN_HOST}` }, env });
    expectRed(
      main,
      `No answer from ${HIDDEN_HOST} through the proxy ${proxy.host}: the proxy answered 403 instead of a tunnel`,
    );
    expect(proxy.connects).toHaveLength(1);
  });

  test.each<[name: string, refuse: number | undefined]>([
    ['answers 503', 503],
    ['is not there', undefined],
  ])('one that %s is tried again', async (_name, refuse) => {
    const { server, trust } = await tlsServer();
    const host = refuse ? (await startProxy({ target: server, refuse })).host : '127.0.0.1:1';
    const env = { ...trust, https_proxy: `http://${host}` };
    const inputs = { 'api-url': `https://${HIDDEN_HOST}`, 'timeout-seconds': '1' };
    const main = await runMain(server, { inputs, env, nodeArgs: [] });
    expectRed(main, /^No answer from dashboard\.test through the proxy .*too short for another/);
  });

  test('one whose name does not exist is tried three times', async () => {
    const { server } = await tlsServer();
    const env = { https_proxy: 'http://proxy.invalid:3128', TEST_DNS_ERROR: 'ENOTFOUND' };
    const inputs = { 'api-url': `https://${HIDDEN_HOST}` };
    const main = await runMain(server, {
      inputs,
      env,
      nodeArgs: ['no-jitter', 'unknown-host'].flatMap((name) => [
        '--require',
        `${import.meta.dirname}/support/${name}.cjs`,
      ]),
    });
    expectRed(main, /through the proxy proxy\.invalid:3128: the proxy opened no tunnel/);
    expect(main.log.filter((line) => line.startsWith('Attempt'))).toHaveLength(2);
  });

  test('one whose certificate is not trusted is an error at once', async () => {
    const { server, certificate } = await tlsServer();
    const proxy = await startProxy({ target: server, tls: certificate });
    const env = { https_proxy: `https://${proxy.host}` };
    const main = await runMain(server, { inputs: { 'api-url': `https://${HIDDEN_HOST}` }, env });
    expectRed(main, `The certificate of the proxy ${proxy.host} is not trusted`);
  });

  test('one that never says a word is given up in time', async () => {
    const { server, trust } = await tlsServer();
    const proxy = await startProxy({ target: server, silent: true });
    const env = { ...trust, https_proxy: `http://${proxy.host}` };
    const inputs = { 'api-url': `https://${HIDDEN_HOST}`, 'timeout-seconds': '1' };
    const main = await runMain(server, { inputs, env });
    expectRed(main, /through the proxy .*: there was no complete answer within 1\.0 s/);
    expect(main.ms).toBeLessThan(2_000);
  });

  test('a Dashboard behind it that never answers is given up in time', async () => {
    const { server, trust } = await tlsServer({ token: [hang()] });
    const proxy = await startProxy({ target: server });
    const env = { ...trust, https_proxy: `http://${proxy.host}` };
    const inputs = { 'api-url': `https://${HIDDEN_HOST}`, 'timeout-seconds': '1' };
    const main = await runMain(server, { inputs, env });
    expectRed(main, /no complete answer within 1\.0 s/);
    expect(main.ms).toBeLessThan(2_000);
  });

  test.each([
    'http://user:hidden-pass@[nowhere',
    'http://user:hidden#pass@proxy.test:3128',
    'http://user:hidden-pass%zz@proxy.test:3128',
    'proxy.test:3128',
    'hidden host:3128',
    'socks5://hidden:3128',
  ])(
    'one that cannot be read (%s) is an error, and is not left out without a word',
    async (https_proxy) => {
      const { server, trust } = await tlsServer();
      const job = newJob();
      const inputs = { 'api-url': `https://localhost:${server.port}` };
      const main = await runMain(server, { inputs, env: { https_proxy } });
      expectRed(
        main,
        /^https_proxy is not the address of a proxy: give http:\/\/user:password@host:port/,
      );
      expectUnseen(main, 'hidden');
      expect(server.requests).toEqual([]);

      await runMain(server, { job, inputs, env: trust });
      const post = await runPost(server, job, {
        inputs,
        env: { ...trust, HTTPS_PROXY: https_proxy },
      });
      expectWarning(post, /: HTTPS_PROXY is not the address of a proxy/i);
    },
  );

  test.each(['http://proxy.test', 'http://127.0.0.1:3128/', '127.0.0.1:1'])(
    '%s can be read',
    async (https_proxy) => {
      const main = await runMain(
        { url: 'https://dashboard.invalid' },
        {
          inputs: { 'timeout-seconds': '1' },
          env: { https_proxy, TEST_DNS_ERROR: 'ENOTFOUND' },
          nodeArgs: ['--require', `${import.meta.dirname}/support/unknown-host.cjs`],
        },
      );
      expectRed(main, /^No answer from dashboard\.invalid through the proxy/);
    },
  );
});
