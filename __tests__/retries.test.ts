import { once } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import type { StepResult } from '../mock/runner.mts';
import { type Certificate, makeCertificate, trust } from './support/certificate';
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
} from './support/scripted-server';

/** Sends these bytes, and closes the connection. */
function raw(bytes: string): Behaviour {
  return (response) => void response.socket?.end(bytes);
}

/** Time that passes so many times as fast for the step. */
function faster(times: number): RunOptions & { env: Record<string, string> } {
  return { nodeArgs: preload('no-jitter', 'fast-time'), env: { TEST_TIMES_FASTER: String(times) } };
}

describe('what may pass is tried again, with a line that says what, when and how long', () => {
  const NOW = { 'retry-after': '0' };
  const NO_ANSWER = 'no answer from 127.0.0.1:PORT: ';
  const CUT = `${NO_ANSWER}the connection was cut before the answer was complete`;
  // A clock that is ahead of this machine's. The format of asctime names no time zone.
  const date = new Date(Date.now() + 300_000).toUTCString();
  const asctime = date.replace(/^(...), (..) (...) (....) (.*) GMT$/, '$1 $3 $2 $5 $4');
  const throttled = { detail: 'Request was throttled.' };
  const FAULTS: [reason: string, behaviour: Behaviour][] = [
    ['the Dashboard answered 408 (request timeout)', answer(408)],
    ['the Dashboard answered 425 (too early)', answer(425)],
    ['the Dashboard answered 429 (too many requests): Request was throttled', json(429, throttled)],
    ['the Dashboard answered 500 (internal server error)', page(500)],
    ['the Dashboard answered 504 (gateway timeout)', page(504)],
    ['the Dashboard answered 599 (an unknown status)', answer(599)],
    ['the Dashboard answered 503 (service unavailable)', flood('', 503)],
    ['the Dashboard answered 503 (service unavailable)', answer(503, '', { date, 'retry-after': date })],
    ['the Dashboard answered 503 (service unavailable)', answer(503, '', { date, 'retry-after': asctime })],
    ['the Dashboard answered 403 (forbidden)', json(403, {}, NOW)],
    ['there is nothing at ', answer(404, '', NOW)],
    ['the Dashboard answered 407 (proxy authentication required)', answer(407, '', NOW)],
    ['the Dashboard answered 400 (bad request): an HTML page', answer(400, '<html>', NOW)],
    [NO_ANSWER, reset()],
    [NO_ANSWER, raw('')],
    [NO_ANSWER, raw('HTTP/1.1 200 OK\r\nContent-Le')],
    [CUT, cutShort('{"access_token": "half')],
    [CUT, cutChunked('{"access_token": "half')],
  ];
  const behaviours = FAULTS.map(([, behaviour]) => behaviour);
  const env = { TZ: 'America/New_York' };

  function expectLines(step: StepResult, port: number): void {
    expectGreen(step);
    const reasons = FAULTS.map(
      ([reason], index) => `Attempt ${index + 1} failed: ${reason.replace('PORT', `${port}`)}`,
    );
    expect(attemptsIn(step)).toEqual(reasons.map((reason) => expect.stringContaining(reason)));
    for (const line of attemptsIn(step)) expect(line).toMatch(/\. Retrying now \(\d\d s of 60 s left\)\.$/);
  }

  test('for a token; and where no answer came, main says that another may have been issued', async () => {
    const server = await startServer({ token: [...behaviours, issue()] });
    const main = await runMain(server, { env });
    expectLines(main, server.port);
    expect(main.outputs['token']).toBe(TOKEN);
    expect(main.log).toContainEqual(expect.stringContaining('may have been issued'));
    expect(server.tokenRequests()).toBe(FAULTS.length + 1);
  });

  test('for a revocation', async () => {
    const server = await startServer({ revoke: [...behaviours, empty()] });
    const { post } = await runSteps(server, { env });
    expectLines(post, server.port);
    expect(server.requests).toHaveLength(FAULTS.length + 2);
  });

  test('and its connection is closed', async () => {
    const closed: Promise<unknown>[] = [];
    const failed = [
      page(503),
      json(429, {}),
      answer(404, '', NOW),
      answer(500, '12345', { 'content-length': '5' }),
    ].map(
      (behaviour): Behaviour =>
        (response, request) => {
          if (response.socket !== null) closed.push(once(response.socket, 'close'));
          behaviour(response, request);
        },
    );
    const whenClosed: Behaviour = (...request) => void Promise.all(closed).then(() => issue()(...request));
    expectGreen(await runMain(await startServer({ token: [...failed, whenClosed] })));
    expect(closed).toHaveLength(failed.length);
  });
});

describe('where there is no connection', () => {
  const nodeArgs = preload('no-jitter', 'unknown-host', 'fast-time');

  test('an error of names is tried again, whatever its code, and nothing has been sent', async () => {
    const { port } = await startServer();
    const env = { TEST_DNS_ERROR: 'ENEW', TEST_DNS_FAILURES: '4' };
    const main = await runMain({ url: `http://localhost:${port}` }, { nodeArgs, env });
    expectGreen(main);
    const attempt = expect.stringMatching(/ failed: no answer from localhost:\d+: .*\(ENEW\)\. Retrying now/);
    expect(attemptsIn(main)).toEqual([attempt, attempt, attempt, attempt]);
    expect(main.raw).not.toContain('may have been issued');
  });

  test('an unknown name is told from a name server that could not be asked, and from a refusal', async () => {
    const run = (code: string, url = 'https://dashboard.invalid') =>
      runMain({ url }, { nodeArgs, env: { TEST_DNS_ERROR: code }, inputs: { 'timeout-seconds': '1' } });
    const [unknown, unasked] = await Promise.all([run('ENOTFOUND'), run('EAI_AGAIN')]);
    const noAnswer = 'No answer from dashboard\\.invalid: the';
    expectRed(unknown, `^${noAnswer} host name was not found \\(ENOTFOUND\\); gave up .* Check`);
    expectRed(unasked, `^${noAnswer} name server could not be reached, .*\\(EAI_AGAIN\\); gave up`);
    const refused = await run('', 'http://127.0.0.1:1');
    // Windows takes two seconds to say so.
    expectRed(refused, /^No answer from 127\.0\.0\.1:1: (connection refused \(ECONNREFUSED\)|no connection within)/);
  });
});

describe('timeout-seconds is the budget of the whole step', () => {
  test('in main and in post, whether the server sends a byte now and then, or a part of a body', async () => {
    const part: Behaviour = (response) => void response.writeHead(200).write('{"a":');
    const server = await startServer({ token: [issue(), drip()], revoke: [part] });
    const second = { ...faster(2), inputs: { 'timeout-seconds': '1' } };
    const job = newJob();
    await runMain(server, { job, ...second });
    const [main, post] = await Promise.all([
      runMain(server, second),
      // Post has the time that main was given, whatever its inputs say.
      runPost(server, job, { ...faster(2), inputs: { 'timeout-seconds': '60' } }),
    ]);
    const within = 'no complete answer within [01]\\.\\d s; gave up after 1 attempt within 1 s\\. ';
    expectRed(main, `${within}.*raise timeout-seconds`);
    expectWarning(post, `until 20.*${within}.* Raise timeout-seconds to keep trying for longer\\.$`);
  });

  test('its default has room for another attempt after one that hangs, and for a wait of 86 s', async () => {
    const times = 90;
    const run = async (...token: Behaviour[]) =>
      runMain(await startServer({ token }), { ...faster(times), inputs: { 'timeout-seconds': '' } });
    const left = Promise.withResolvers<void>();
    const silent: Behaviour = ({ socket }) => void socket?.once('close', left.resolve);
    // Nothing is left of an attempt that was given up.
    const next: Behaviour = (...request) => void left.promise.then(() => issue()(...request));
    const [hanging, limit] = await Promise.all([
      run(silent, next),
      // As the API asks for when a limit is reached.
      run(answer(429, '', { 'retry-after': '86' }), issue()),
    ]);
    for (const main of [hanging, limit]) expectGreen(main);
    expect(attemptsIn(hanging)).toEqual([expect.stringMatching(/no complete answer within \d\d\.\d s\. Retrying now/)]);
    expect(attemptsIn(limit)).toEqual([expect.stringMatching(/Retrying in 86\.0 s \(1?\d\d s of 1\d\d s left\)/)]);
    expect(limit.ms).toBeGreaterThanOrEqual(86_000 / times);
  });

  test('a wait that does not fit ends the step at once, and a limit is told from an outage', async () => {
    const detail = 'Request was throttled. Expected available in 86 seconds.';
    const server = await startServer({ token: [json(429, { detail }, { 'retry-after': '86' })] });
    const asks =
      /429 .*: Request was throttled\. .* in 86 seconds; it asks to wait 86 s, which leaves no time for another/;
    expectRed(
      await runMain(server),
      `${asks.source}.*\\. The limits.* start fewer jobs at once\\..* raise timeout-seconds\\.$`,
    );
    expect(server.requests).toHaveLength(1);
  });
});

const onUnix = process.platform === 'win32' ? test.skip : test;

onUnix('a pause of the machine loses no answer that came meanwhile, and is no error of its own', async () => {
  const { env, ...options } = faster(2);
  const paused = async (behaviour: Behaviour, tls?: Certificate) => {
    const isPaused = Promise.withResolvers<void>();
    const held: Behaviour = (...request) => void isPaused.promise.then(() => behaviour(...request));
    const server = await startServer({ token: [held, hang()] }, tls && { tls });
    const inputs = inputsFor(server, { 'timeout-seconds': '1' });
    const { child, done } = newJob().start('main', { ...options, inputs, env: { ...env, ...(tls && trust(tls)) } });
    await server.received(1);
    child.kill('SIGSTOP');
    isPaused.resolve();
    // The time itself is what has to pass: more than all that the step has.
    await new Promise((resolve) => setTimeout(resolve, 700));
    child.kill('SIGCONT');
    const main = await done;
    expect(server.requests).toHaveLength(1);
    return main;
  };
  const [large, overTls, silent] = await Promise.all([
    paused(issue({ more: 'x'.repeat(60_000) })),
    paused(issue(), await makeCertificate()),
    paused(hang()),
  ]);
  for (const main of [large, overTls]) {
    expectGreen(main);
    expect(main.outputs['token']).toBe(TOKEN);
  }
  expectRed(silent, /^No answer from .*: no complete answer within \d+\.\d s; gave up after 1 attempt within 1 s\. /);
});

describe('whatever comes, and however much of it, costs next to nothing', () => {
  const measured = { nodeArgs: preload('no-jitter', 'usage') };

  test('of time', async () => {
    const kinds = `; |. |a |1 |a|('|a-|a.|… |\n|"\\|[[]|x1.|é|%41|\ud83d`.split('|');
    const texts = kinds.map((kind) => kind.repeat(128_000 / kind.length));
    const headers = { date: `Mon${', '.repeat(200_000)}`, 'retry-after': '9'.repeat(400_000) };
    const errors = texts.map((text) => json(503, { error: text, error_description: text }));
    const main = await runMain(await startServer({ token: [...errors, answer(503, '', headers), issue()] }), measured);
    expectGreen(main);
    expect(attemptsIn(main)).toHaveLength(texts.length + 1);
    for (const line of attemptsIn(main)) expect(line.length).toBeLessThan(700);
    // A tenth of a second for each, on a slow machine.
    expect(Number(/cpu (\d+) ms/.exec(main.stderr)?.[1])).toBeLessThan(100 * texts.length);
  });

  test('of memory', async () => {
    const peakMiB = async (behaviour: Behaviour) => {
      const { stderr } = await runMain(await startServer({ token: [behaviour] }), measured);
      return Number(/peak (\d+) KiB/.exec(stderr)?.[1]) / 1_024;
    };
    const [usual, endless] = await Promise.all([peakMiB(issue()), peakMiB(flood())]);
    expect(usual).toBeGreaterThan(10);
    expect(endless).toBeLessThan(usual + 30);
  });
});
