import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { describe, expect, test } from '@jest/globals';
import type { StepResult } from '../mock/runner.mts';
import { makeCertificate, trust } from './support/certificate';
import {
  attemptsIn,
  expectGreen,
  expectRed,
  expectWarning,
  inputsFor,
  newJob,
  preload,
  type RunOptions,
  runMain,
  runPost,
  runSteps,
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

/** By the answer of a gateway, or by none, main says that a token may have been issued. */
const IN_DOUBT = /may have been issued/;
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

  function expectLines(step: StepResult, port: number): void {
    const lines = attemptsIn(step);
    expect(lines).toEqual(
      FAULTS.map(([reason], index) =>
        expect.stringContaining(`Attempt ${index + 1} failed: ${reason.replace('PORT', String(port))}`),
      ),
    );
    for (const line of lines) expect(line).toMatch(/\. Retrying now \(\d\d s of 60 s left\)\.$/);
  }

  test('for a token', async () => {
    const server = await startServer({ token: [...behaviours, issue()] });
    const main = await runMain(server);
    expectGreen(main);
    expect(main.outputs['token']).toBe(TOKEN);
    expectLines(main, server.port);
    expect(server.tokenRequests()).toBe(FAULTS.length + 1);
  });

  test('for a revocation', async () => {
    const server = await startServer({ revoke: [...behaviours, empty()] });
    const { post } = await runSteps(server);
    expectGreen(post);
    expectLines(post, server.port);
    expect(server.requests).toHaveLength(FAULTS.length + 2);
  });
});

describe('an error of the network or of names is tried again, whatever its code', () => {
  const CODES = 'ENOTFOUND EAI_AGAIN EAI_FAIL EAI_NODATA ENOENT EADDRNOTAVAIL EPERM EMFILE UNKNOWN ENEW'.split(' ');
  const failing = (code: string, failures?: number): RunOptions => ({
    nodeArgs: preload('no-jitter', 'unknown-host'),
    env: { TEST_DNS_ERROR: code, ...(failures !== undefined && { TEST_DNS_FAILURES: String(failures) }) },
  });

  test('for a token', async () => {
    const server = await startServer();
    const url = `http://localhost:${server.port}`;
    const steps = await Promise.all(CODES.map((code) => runMain({ url }, failing(code, 4))));
    steps.forEach((main, index) => {
      expectGreen(main);
      const attempts = attemptsIn(main);
      expect(attempts).toHaveLength(4);
      expect(attempts[0]).toContain(`no answer from localhost:${server.port}: `);
      expect(attempts[0]).toContain(`(${CODES[index]})`);
      // Nothing was sent.
      expect(main.log.join()).not.toMatch(IN_DOUBT);
    });
  });

  test('for a revocation, in which a live token would be left', async () => {
    const server = await startServer();
    const url = `http://localhost:${server.port}`;
    const job = newJob();
    await runMain({ url }, { job });
    expectGreen(await runPost({ url }, job, failing('ENOTFOUND', 4)));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('and a name that is not known is told from a name server that could not be asked', async () => {
    const run = (code: string) =>
      runMain({ url: 'https://dashboard.invalid' }, { ...failing(code), inputs: { 'timeout-seconds': '2' } });
    const [unknown, unasked] = await Promise.all([run('ENOTFOUND'), run('EAI_AGAIN')]);
    expectRed(
      unknown,
      /^No answer from dashboard\.invalid: the host name was not found \(ENOTFOUND\); gave up .* Check/,
    );
    expectRed(
      unasked,
      /^No answer from dashboard\.invalid: the name server could not be reached, .*\(EAI_AGAIN\); gave up/,
    );
    expect(attemptsIn(unknown)[0]).toMatch(/^Attempt 1 failed: .*the host name was not found/);
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
      expectRed(
        main,
        /no complete answer within [01]\.\d s; gave up after 1 attempt within 1 s\. .*raise timeout-seconds/,
      );
    }
    for (const post of await Promise.all(posts)) {
      expectWarning(
        post,
        /until 20.*no complete answer within [01]\.\d s; .* Raise timeout-seconds to keep trying for longer\.$/,
      );
    }
  });

  test('and when it is used up, the reason is told that tells most', async () => {
    const twoSeconds = { 'timeout-seconds': '2' };
    const outage = await startServer({ token: [page(503)] });
    const silence = await startServer({ token: [page(503), hang()] });
    const [atOnce, silent] = await Promise.all([
      runMain(outage, { inputs: twoSeconds, nodeArgs: [] }),
      runMain(silence, { inputs: twoSeconds }),
    ]);
    const gaveUp =
      '503 \\(service unavailable\\); gave up after N attempts? within 2 s\\. .*outage\\..* raise timeout-seconds\\.';
    expectRed(atOnce, new RegExp(`${gaveUp.replace('N', String(outage.tokenRequests()))}$`));
    // The last attempt, which was silent, does not hide the reason of the one before.
    expectRed(silent, new RegExp(`${gaveUp.replace('N', '2')} ${'.*'}may have been issued`));
  });
});

describe('with the default of timeout-seconds', () => {
  const fast = (times: string) => ({
    nodeArgs: preload('no-jitter', 'fast-time'),
    inputs: { 'timeout-seconds': '' },
    env: { TEST_TIMES_FASTER: times },
  });

  test('a wait of 86 s is kept, as the API asks for when a limit is reached', async () => {
    const server = await startServer({ revoke: [answer(429, '', { 'retry-after': '86' }), empty()] });
    const job = newJob();
    await runMain(server, { job, inputs: { 'timeout-seconds': '' } });
    const post = await runPost(server, job, fast('30'));
    expectGreen(post);
    expect(attemptsIn(post)).toEqual([expect.stringMatching(/Retrying in 86\.0 s \(1[12]\d s of 120 s left\)/)]);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('an attempt has more than the 60 s that a gateway waits before it answers 504', async () => {
    const left = Promise.withResolvers<void>();
    const silent: Behaviour = ({ socket }) => void socket?.once('close', left.resolve);
    // Nothing is left of an attempt that was given up.
    const next: Behaviour = (...request) => void left.promise.then(() => issue()(...request));
    const main = await runMain(await startServer({ token: [silent, next] }), fast('20'));
    expectGreen(main);
    const [attempt, another] = attemptsIn(main);
    expect(Number(/no complete answer within (\S+) s\. Retrying now/.exec(attempt ?? '')?.[1])).toBeGreaterThan(61);
    expect(another).toBeUndefined();
  });
});

test('where a gateway gave up waiting a token may have been issued, and main says so', async () => {
  const server = await startServer({ token: [page(504), issue()] });
  const main = await runMain(server);
  expectGreen(main);
  expect(main.log).toContainEqual(expect.stringMatching(IN_DOUBT));
});

describe('a wait that the Dashboard asks for', () => {
  test('is kept where it fits', async () => {
    const server = await startServer({ token: [answer(429, '', { 'retry-after': '1' }), issue()] });
    const main = await runMain(server);
    expectGreen(main);
    expect(attemptsIn(main)).toEqual([expect.stringContaining('Retrying in 1.0 s (')]);
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
    expect(attemptsIn(main)).toEqual([1, 2].map(() => expect.stringMatching(/Retrying now/)));
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

onUnix('an answer that came while the machine was paused is taken, though its time is over by then', async () => {
  const certificate = await makeCertificate();
  const run = async (size: number, isTls: boolean) => {
    const taken = Promise.withResolvers<() => void>();
    const held: Behaviour = (...request) => taken.resolve(() => issue({ more: 'x'.repeat(size) })(...request));
    const server = await startServer({ token: [held, hang()] }, isTls ? { tls: certificate } : {});
    const inputs = inputsFor(server, { 'timeout-seconds': '1' });
    const { child, done } = newJob().start('main', { inputs, env: isTls ? trust(certificate) : {} });
    const answerNow = await taken.promise;
    child.kill('SIGSTOP');
    answerNow();
    // The time itself is what has to pass.
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    child.kill('SIGCONT');
    const main = await done;
    expectGreen(main);
    expect(main.outputs['token']).toBe(TOKEN);
    expect(server.requests).toHaveLength(1);
  };
  await Promise.all([run(0, false), run(60_000, false), run(0, true)]);
});

onUnix('a pause that is longer than an attempt, or than all of the time, is no error of its own', async () => {
  const pause = async (timeoutSeconds: number) => {
    const server = await startServer({ token: [hang()] });
    const inputs = inputsFor(server, { 'timeout-seconds': String(timeoutSeconds) });
    const { child, done } = newJob().start('main', { nodeArgs: preload('no-jitter', 'fast-time'), inputs });
    await server.received(1);
    child.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    child.kill('SIGCONT');
    return done;
  };
  // For the step, 15 s have passed.
  for (const main of await Promise.all([pause(20), pause(10)])) {
    expectRed(main, /^No answer from .*: no complete answer within \d+\.\d s; gave up after [12] attempts? within/);
    expect(main.raw).not.toMatch(/ERR_|-\d+(\.\d+)? s/);
  }
});

describe('whatever comes, and however much of it, costs next to nothing', () => {
  const MIB = 1_024 * 1_024;
  const measured = { nodeArgs: preload('no-jitter', 'usage') };
  const cpuMs = ({ stderr }: StepResult) => Number(/cpu (\d+) ms/.exec(stderr)?.[1]);
  const peakMiB = ({ stderr }: StepResult) => Number(/peak (\d+) KiB/.exec(stderr)?.[1]) / 1_024;
  const filled = (pattern: string, size: number) => pattern.repeat(size / pattern.length);

  test('in the fields of an error', async () => {
    const kinds = `; |. |a |1 |a|('|a-|a.|… |\n|"\\|[[]|x1.|é|%41|\ud83d`.split('|');
    const texts = [128 * 1_024, MIB / 3].flatMap((size) => kinds.map((kind) => filled(kind, size)));
    const server = await startServer({
      token: [...texts.map((text) => json(503, { error: text, error_description: text })), issue()],
    });
    const main = await runMain(server, measured);
    expectGreen(main);
    expect(attemptsIn(main)).toHaveLength(texts.length);
    for (const line of attemptsIn(main)) expect(line.length).toBeLessThan(700);
    // A tenth of a second for each, on a slow machine.
    expect(cpuMs(main)).toBeLessThan(100 * texts.length);
  });

  const tokens = (count: number) =>
    JSON.stringify(Array.from({ length: count }, (_, n) => ({ access_token: `t${n}` })));

  test.each<[name: string, behaviour: Behaviour]>([
    ['90 KB of a host in Location', answer(302, '', { location: `https://${filled('x1.', 90_000)}` })],
    ['90 KB of @ in Location', answer(302, '', { location: `https://${filled('@', 90_000)}` })],
    ['900 KB of Location', answer(302, '', { location: `https://${filled('x1.', 900_000)}` })],
    ['900 KB of Retry-After', answer(404, '', { 'retry-after': filled('9', 900_000) })],
    ['900 KB of Date', answer(200, tokenBody({ token_type: 'mac' }), { date: `Mon${filled(', ', 900_000)}` })],
    ['600 tokens', answer(200, tokens(600))],
    ['30,000 tokens', answer(200, tokens(30_000))],
    ['a token that never ends', answer(200, `"access_token":"${filled('\\\\', MIB)}`)],
    ['blanks before a token', answer(200, `"access_token"${filled(' ', MIB)}:"x"`)],
    ['70,000 names of tokens', answer(200, filled('"access_token":', MIB))],
    ['1 MiB of [', answer(200, filled('[', MIB))],
    ['1 MiB of {"a":', answer(401, filled('{"a":', MIB))],
  ])('%s', async (_name, behaviour) => {
    const main = await runMain(await startServer({ token: [behaviour] }), {
      ...measured,
      inputs: { 'timeout-seconds': '1' },
    });
    expect(main.annotations).toEqual([{ level: 'error', message: expect.not.stringContaining('bug in the action') }]);
    expect(main.annotations[0]?.message.length).toBeLessThan(1_000);
    // Nearly all of it is for the start of Node.
    expect(cpuMs(main)).toBeLessThan(1_500);
  });

  test('a body without end takes no memory to speak of', async () => {
    const run = async (behaviour: Behaviour) => runMain(await startServer({ token: [behaviour] }), measured);
    const [usual = 0, endless = 0] = (await Promise.all([issue(), flood()].map(run))).map(peakMiB);
    expect(usual).toBeGreaterThan(10);
    expect(endless).toBeLessThan(usual + 30);
  });
});
