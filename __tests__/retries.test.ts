import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import {
  expectGreen,
  expectRed,
  expectWarning,
  inputsFor,
  NO_JITTER,
  newJob,
  type RunOptions,
  runMain,
  runPost,
} from './support/job';
import {
  answer,
  type Behaviour,
  cutChunked,
  cutShort,
  drip,
  empty,
  flood,
  hang,
  issue,
  json,
  page,
  reset,
  startServer,
  TOKEN,
  tokenBody,
} from './support/scripted-server';

const SUPPORT = join(import.meta.dirname, 'support');
const onUnix = process.platform === 'win32' ? test.skip : test;

/** Sends these bytes, and closes the connection. */
function raw(bytes: string): Behaviour {
  return (response) => void response.socket?.end(bytes);
}

describe('what may pass is tried again, with a line that says what, when and how long', () => {
  const NOW = { 'retry-after': '0' };
  const FAULTS: [reason: string, behaviour: Behaviour][] = [
    ['the Dashboard answered 408 (request timeout)', answer(408)],
    ['the Dashboard answered 425 (too early)', answer(425)],
    [
      'the Dashboard answered 429 (too many requests): Request was throttled',
      json(429, { detail: 'Request was throttled.' }),
    ],
    ['the Dashboard answered 500 (internal server error)', page(500)],
    ['the Dashboard answered 501 (not implemented)', page(501)],
    ['the Dashboard answered 502 (bad gateway)', page(502)],
    ['the Dashboard answered 503 (service unavailable)', page(503)],
    ['the Dashboard answered 504 (gateway timeout)', page(504)],
    ['the Dashboard answered 505 (http version not supported)', answer(505)],
    ['the Dashboard answered 511 (network authentication required)', page(511)],
    ['the Dashboard answered 520 (an unknown status)', page(520)],
    ['the Dashboard answered 530 (an unknown status)', page(530)],
    ['the Dashboard answered 599 (an unknown status)', answer(599)],
    ['the Dashboard answered 503 (service unavailable)', flood('', 503)],
    ['the Dashboard refused the request (403)', json(403, {}, NOW)],
    ['there is nothing at ', answer(404, '', NOW)],
    ['the Dashboard answered 407 (proxy authentication required), which', answer(407, '', NOW)],
    ["the Dashboard answered 418 (i'm a teapot)", answer(418, '', NOW)],
    ['the Dashboard answered 400 (bad request), with an HTML page', answer(400, '<html>', NOW)],
    ['no answer from 127.0.0.1:PORT: ', reset()],
    ['no answer from 127.0.0.1:PORT: ', raw('')],
    ['no answer from 127.0.0.1:PORT: ', raw('HTTP/1.1 200 OK\r\nContent-Le')],
    [
      'no answer from 127.0.0.1:PORT: the connection was cut before the answer was complete',
      cutShort('{"access_token": "half'),
    ],
    [
      'no answer from 127.0.0.1:PORT: the connection was cut before the answer was complete',
      cutChunked('{"access_token": "half'),
    ],
  ];
  const behaviours = FAULTS.map(([, behaviour]) => behaviour);

  function expectLines(log: readonly string[], port: number): void {
    const lines = log.filter((line) => line.startsWith('Attempt'));
    expect(lines).toEqual(
      FAULTS.map(([reason], index) =>
        expect.stringContaining(`Attempt ${index + 1} failed: ${reason.replace('PORT', String(port))}`),
      ),
    );
    for (const line of lines) expect(line).toMatch(/\. Retrying in 0\.0 s \(\d\d s of 60 s left\)\.$/);
  }

  test('for a token', async () => {
    const server = await startServer({ token: [...behaviours, issue()] });
    const main = await runMain(server);
    expectGreen(main);
    expect(main.outputs['token']).toBe(TOKEN);
    expectLines(main.log, server.port);
    expect(server.tokenRequests()).toBe(FAULTS.length + 1);
  });

  test('for a revocation', async () => {
    const server = await startServer({ revoke: [...behaviours, empty()] });
    const job = newJob();
    await runMain(server, { job });
    const post = await runPost(server, job);
    expectGreen(post);
    expectLines(post.log, server.port);
    expect(server.requests).toHaveLength(FAULTS.length + 2);
  });
});

describe('an error of the network or of names is tried again, whatever its code', () => {
  const CODES = [
    'ENOTFOUND',
    'EAI_AGAIN',
    'EAI_FAIL',
    'EAI_NODATA',
    'ENOENT',
    'EADDRNOTAVAIL',
    'EPERM',
    'EMFILE',
    'UNKNOWN',
    'ENEW',
  ];
  const failing = (code: string, failures?: number): RunOptions => ({
    nodeArgs: [...NO_JITTER, '--require', join(SUPPORT, 'unknown-host.cjs')],
    env: { TEST_DNS_ERROR: code, ...(failures !== undefined && { TEST_DNS_FAILURES: String(failures) }) },
  });

  test('for a token', async () => {
    const server = await startServer();
    const url = `http://localhost:${server.port}`;
    const steps = await Promise.all(CODES.map((code) => runMain({ url }, failing(code, 4))));
    steps.forEach((main, index) => {
      expectGreen(main);
      const attempts = main.log.filter((line) => line.startsWith('Attempt'));
      expect(attempts).toHaveLength(4);
      expect(attempts[0]).toContain(`no answer from localhost:${server.port}: `);
      expect(attempts[0]).toContain(`(${CODES[index]})`);
    });
  });

  test('for a revocation, in which a live token would be left', async () => {
    const server = await startServer();
    const url = `http://localhost:${server.port}`;
    const job = newJob();
    await runMain({ url }, { job });
    const { nodeArgs, env } = failing('ENOTFOUND', 4);
    expectGreen(await job.run('post', { inputs: inputsFor({ url }), nodeArgs: nodeArgs ?? [], env: env ?? {} }));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('a connection that is refused', async () => {
    const main = await runMain({ url: 'http://127.0.0.1:1' }, { inputs: { 'timeout-seconds': '1' } });
    // Windows takes two seconds to say so.
    expectRed(main, /^No answer from 127\.0\.0\.1:1: (connection refused \(ECONNREFUSED\)|no connection within)/);
  });
});

test('an answer that is tried again closes its connection', async () => {
  const open: ServerResponse['socket'][] = [];
  const behaviours: Behaviour[] = [
    page(503),
    json(429, { detail: 'x' }),
    answer(502),
    answer(404, '', { 'retry-after': '0' }),
    (response) => void response.writeHead(500, { 'content-length': '5' }).end('12345'),
  ];
  const failed = behaviours.map(
    (behaviour): Behaviour =>
      (response, request) => {
        open.push(response.socket);
        behaviour(response, request);
      },
  );
  const server = await startServer({
    token: [
      ...failed,
      ...failed,
      async (response, request) => {
        await Promise.all(open.map((socket) => socket && !socket.destroyed && once(socket, 'close')));
        issue()(response, request);
      },
    ],
  });
  expectGreen(await runMain(server));
  expect(open).toHaveLength(10);
  expect(new Set(open).size).toBe(10);
});

describe('timeout-seconds is the budget of the whole step', () => {
  const SILENT: [name: string, behaviour: Behaviour][] = [
    ['never answers', hang()],
    ['sends a byte now and then', drip()],
    ['sends its head and no body', (response) => void response.writeHead(200).flushHeaders()],
    ['sends its head and a part of the body', (response) => void response.writeHead(200).write('{"a":')],
  ];
  const inputs = { 'timeout-seconds': '1' };

  test(`in main and in post, whether the server ${SILENT.map(([name]) => name).join(', or ')}`, async () => {
    const mains = SILENT.map(async ([, behaviour]) => runMain(await startServer({ token: [behaviour] }), { inputs }));
    const posts = SILENT.map(async ([, behaviour]) => {
      const server = await startServer({ revoke: [behaviour] });
      const job = newJob();
      await runMain(server, { job, inputs });
      // Post has the time that main was given, whatever its inputs say.
      return runPost(server, job, { inputs: { 'timeout-seconds': '60' } });
    });
    for (const main of await Promise.all(mains)) {
      expectRed(main, /no complete answer within 1\.0 s; gave up after 1 attempt within 1 s\. .*raise timeout-seconds/);
    }
    for (const post of await Promise.all(posts)) {
      expectWarning(
        post,
        /until 20.*no complete answer within 1\.0 s; .* Raise timeout-seconds to keep trying for longer\.$/,
      );
    }
  });

  test('and when it is used up, the reason is told that tells most', async () => {
    const twoSeconds = { 'timeout-seconds': '2' };
    const outage = await startServer({ token: [page(503)] });
    const silence = await startServer({ token: [page(503), hang()] });
    const [atOnce, silent, unknown] = await Promise.all([
      runMain(outage, { inputs: twoSeconds, nodeArgs: [] }),
      runMain(silence, { inputs: twoSeconds }),
      runMain(
        { url: 'https://dashboard.invalid' },
        {
          inputs: twoSeconds,
          nodeArgs: ['--require', join(SUPPORT, 'unknown-host.cjs')],
          env: { TEST_DNS_ERROR: 'ENOTFOUND' },
        },
      ),
    ]);
    const gaveUp =
      '503 \\(service unavailable\\); gave up after N attempts? within 2 s\\. .*outage\\..* raise timeout-seconds\\.$';
    expectRed(atOnce, new RegExp(gaveUp.replace('N', String(outage.tokenRequests()))));
    // The last attempt, which was silent, does not hide the reason of the one before.
    expectRed(silent, new RegExp(gaveUp.replace('N', '2')));
    expectRed(
      unknown,
      /^No answer from dashboard\.invalid: the host name was not found \(ENOTFOUND\); gave up .* Check api-url/,
    );
    expect(unknown.log[0]).toMatch(/^Attempt 1 failed: .*the host name was not found \(ENOTFOUND\)/);
  });

  test('several tokens that cannot be revoked at once do not hold the step up', async () => {
    const server = await startServer({
      token: [
        answer(503, tokenBody({ access_token: 'one' })),
        answer(503, tokenBody({ access_token: 'two' })),
        json(401, { error: 'invalid_client' }),
      ],
      revoke: [hang()],
    });
    const main = await runMain(server);
    expectRed(main, /did not accept the credentials/);
    expect(main.log).toContainEqual(expect.stringMatching(/that could not be revoked now: no answer/));
    expect(
      server.requests
        .filter(({ form }) => form['token'])
        .map(({ form }) => form['token'])
        .sort(),
    ).toEqual(['one', 'two']);
  });
});

describe('a wait that the Dashboard asks for', () => {
  test('is kept where it fits', async () => {
    const server = await startServer({ token: [answer(429, '', { 'retry-after': '1' }), issue()] });
    const main = await runMain(server);
    expectGreen(main);
    expect(main.log[0]).toMatch(/Retrying in 1\.0 s/);
    expect(main.ms).toBeGreaterThanOrEqual(1_000);
  });

  test('is reckoned by the clock of the Dashboard where it is a date', async () => {
    const date = new Date(Date.now() + 300_000).toUTCString();
    // The format of asctime, which names no time zone.
    const asctime = date.replace(/^(...), (..) (...) (....) (.*) GMT$/, '$1 $3 $2 $5 $4');
    const server = await startServer({
      token: [
        answer(503, '', { date, 'retry-after': date }),
        answer(503, '', { date, 'retry-after': asctime }),
        issue(),
      ],
    });
    const main = await runMain(server, { env: { TZ: 'America/New_York' } });
    expectGreen(main);
    for (const line of main.log.slice(0, 2)) expect(line).toMatch(/^Attempt .* Retrying in 0\.0 s/);
  });

  test('ends the step at once where it does not fit, and a limit is told from an outage', async () => {
    const detail = 'Request was throttled. Expected available in 86 seconds.';
    const servers = await Promise.all([
      startServer({ token: [json(429, { detail }, { 'retry-after': '86' })] }),
      startServer({ token: [answer(503, '', { 'retry-after': '120' })] }),
    ]);
    const [limit, outage] = await Promise.all(servers.map((server) => runMain(server)));
    if (limit === undefined || outage === undefined) throw new Error('two steps were run');
    expectRed(
      limit,
      /429 .*: Request was throttled\. .* in 86 seconds; it asks to wait 86 s, which leaves no time .*\. The limits/,
    );
    expectRed(limit, /start fewer jobs at once\..* raise timeout-seconds\.$/);
    expectRed(
      outage,
      /503 .*; it asks to wait 120 s, which leaves no time .* has an outage\. .* raise timeout-seconds\.$/,
    );
    expect(servers.map(({ requests }) => requests.length)).toEqual([1, 1]);
  });

  test('is said to leave no time for another attempt, also where it is shorter than what is left', async () => {
    const server = await startServer({ token: [answer(503, '', { 'retry-after': '1' })] });
    const main = await runMain(server, { inputs: { 'timeout-seconds': '2' } });
    expectRed(main, /503 \(service unavailable\); it asks to wait 1 s, which leaves no time for another attempt\. /);
    expect(server.requests).toHaveLength(1);
  });

  test('is none that a redirect or refused credentials ask for', async () => {
    const now = { 'retry-after': '0' };
    const servers = await Promise.all([
      startServer({ token: [answer(307, '', { ...now, location: '/login' })] }),
      startServer({ token: [json(401, { error: 'invalid_client' }, now)] }),
      startServer({ token: [json(400, { error: 'invalid_grant' }, now)] }),
    ]);
    for (const main of await Promise.all(servers.map((server) => runMain(server)))) {
      expectRed(main, /redirected|did not accept the credentials/);
    }
    expect(servers.map(({ requests }) => requests.length)).toEqual([1, 1, 1]);
  });
});

test('a limit without a wait is not taken for an outage', async () => {
  const server = await startServer({ token: [answer(429)] });
  const main = await runMain(server, { inputs: { 'timeout-seconds': '1' } });
  expectRed(main, /429.*The limits are 100 requests a second .* start fewer jobs at once\..* raise timeout-seconds\.$/);
  expect(main.annotations[0]?.message).not.toMatch(/outage/);
});

onUnix('an answer that came while the machine was paused is taken, also where its time is over by then', async () => {
  const sizes = [0, 60_000];
  const steps = await Promise.all(
    sizes.map(async (size) => {
      const open: ServerResponse[] = [];
      const server = await startServer({ token: [(response) => void open.push(response)] });
      const { child, done } = newJob().start('main', { inputs: inputsFor(server, { 'timeout-seconds': '1' }) });
      await server.received(1);
      child.kill('SIGSTOP');
      for (const response of open) response.end(tokenBody({ more: 'x'.repeat(size) }));
      // The time itself is what has to pass.
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      child.kill('SIGCONT');
      return done;
    }),
  );
  for (const main of steps) {
    expectGreen(main);
    expect(main.outputs['token']).toBe(TOKEN);
  }
});

test('a body without end takes no memory to speak of', async () => {
  const memory = join(SUPPORT, 'peak-memory.cjs');
  const peakMiB = async (behaviour: Behaviour) => {
    const server = await startServer({ token: [behaviour] });
    const main = await runMain(server, { nodeArgs: ['--require', memory] });
    return Number(/^peak (\d+) KiB$/m.exec(main.stderr)?.[1]) / 1024;
  };
  const [usual = 0, endless = 0] = await Promise.all([issue(), flood()].map(peakMiB));
  expect(usual).toBeGreaterThan(10);
  expect(endless).toBeLessThan(usual + 30);
});
