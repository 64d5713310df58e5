import { existsSync } from 'node:fs';
import { describe, expect, jest, test } from '@jest/globals';
import type { Job, StepName, StepOptions, StepResult } from '../mock/runner.mts';
import { cleanup } from './support/cleanup';
import {
  attemptsIn,
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  inputsFor,
  NO_JITTER,
  newJob,
  preload,
  printed,
  runMain,
  runPost,
} from './support/job';
import {
  answer,
  type Behaviour,
  empty,
  hang,
  issue,
  page,
  type ScriptedServer,
  startServer,
  TOKEN,
} from './support/scripted-server';

const STOPPED = /^The runner told this step to stop: the job was cancelled, .*timeout-minutes.*shutting down\.$/;
const SKIP = { 'skip-token-revoke': 'true' };
const A_DAY = { 'timeout-seconds': '86400' };
const SOON = { 'timeout-seconds': '1' };
const FAST = { nodeArgs: preload('fast-time', 'no-jitter'), env: { TEST_TIMES_FASTER: '30' } };
/** What main says behind that where its request got no answer. */
const IN_DOUBT =
  /^The runner told this step to stop: .*shutting down\. The answer to a request did not arrive in full, so .* up to a day\.$/;

// On Windows a child process that is sent a signal just ends; the runner sends Ctrl-C there.
const onUnix = process.platform === 'win32' ? describe.skip : describe;
const onLinux = existsSync('/dev/full') ? test : test.skip;

/** A behaviour that waits until it is told to go on. */
function gated(behaviour: Behaviour): { behaviour: Behaviour; open: () => void } {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  cleanup(open);
  return { behaviour: (...request) => void gate.then(() => behaviour(...request)), open };
}

interface Stop extends StepOptions {
  job?: Job;
  /** By when the signal is sent: so many requests have come in. */
  requests: number;
}

/** Runs a step, and sends it a signal during a request. What the server holds back it sends when that has arrived. */
async function stopDuring(
  server: ScriptedServer,
  step: StepName,
  { job = newJob(), requests, inputs = {}, ...options }: Stop,
  open = () => {},
): Promise<StepResult> {
  const nodeArgs = [...(options.nodeArgs ?? NO_JITTER), ...preload('tell-signal')];
  const { child, done } = job.start(step, { ...options, nodeArgs, inputs: inputsFor(server, inputs) });
  const arrived = printed({ child }, 'Got SIGINT');
  await server.received(requests);
  child.kill('SIGINT');
  await arrived;
  open();
  return done;
}

/** Has a step send itself a signal at its nth point. */
function signalAt(point: number) {
  return { nodeArgs: preload('no-jitter', 'signal-at'), env: { TEST_SIGNAL_AT: String(point) } };
}

/** A job whose main step went well. */
async function jobWithToken(server: ScriptedServer, inputs = {}): Promise<Job> {
  const job = newJob();
  expectGreen(await runMain(server, { job, inputs }));
  return job;
}

onUnix('a main step that is told to stop', () => {
  test('in a wait ends at once, and is red', async () => {
    const server = await startServer({ token: [answer(429, '', { 'retry-after': '80000' }), issue()] });
    const { child, done } = newJob().start('main', { inputs: inputsFor(server, A_DAY) });
    await printed({ child }, 'Attempt 1 failed');
    child.kill('SIGHUP');
    expectRed(await done, STOPPED);
    expect(server.requests).toHaveLength(1);
  });

  test.each<[name: string, inputs: Record<string, string>, behaviour: Behaviour]>([
    ['that it would leave alive', SKIP, issue()],
    ['that can not be used', {}, issue({ token_type: 'mac' })],
  ])('during the request revokes itself the token that arrives: one %s', async (_name, inputs, behaviour) => {
    const late = gated(behaviour);
    const server = await startServer({ token: [late.behaviour] });
    const job = newJob();
    const main = await stopDuring(server, 'main', { job, inputs, requests: 1 }, late.open);
    expectRed(main, STOPPED);
    expectUnseen(main, TOKEN, CLIENT_SECRET);
    expect(job.masks).toContain(TOKEN);
    expect(main.log).toContain('Revoked an access token that was received but not handed out.');
    expect(server.revoked).toEqual([TOKEN]);
    expect(server.tokenRequests()).toBe(1);
    expect(job.state).toEqual({ state: '{}' });
  });

  test('during the request begins nothing new after a fault that would be tried again', async () => {
    const late = gated(page(503));
    const server = await startServer({ token: [late.behaviour, issue()] });
    expectRed(await stopDuring(server, 'main', { requests: 1 }, late.open), STOPPED);
    expect(server.requests).toHaveLength(1);
  });

  test('tries the revocation again, and takes no second signal for its end', async () => {
    const late = gated(answer(200));
    const server = await startServer({ revoke: [page(503), late.behaviour] });
    const { child, done } = newJob().start('main', { inputs: inputsFor(server), ...signalAt(1) });
    await server.received(3);
    child.kill('SIGINT');
    child.kill('SIGTERM');
    late.open();
    expectRed(await done, STOPPED);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('does not wait for an answer that never comes', async () => {
    const server = await startServer({ token: [hang()] });
    const job = newJob();
    const main = await stopDuring(server, 'main', { job, ...FAST, inputs: A_DAY, requests: 1 });
    expectRed(main, IN_DOUBT);
    expect(server.requests).toHaveLength(1);
    expect(JSON.parse(job.state['state'] ?? '')).toEqual({ doubtUntil: expect.any(String), isDoubtSaid: true });
  });

  test('does not wait for a revocation that never ends', async () => {
    const server = await startServer({ revoke: [hang()] });
    const job = newJob();
    // The token is there when the signal comes.
    const { nodeArgs, env } = signalAt(5);
    const options = { nodeArgs: [...nodeArgs, ...FAST.nodeArgs], env: { ...env, ...FAST.env } };
    const main = await runMain(server, { job, inputs: A_DAY, ...options });
    expectRed(main, STOPPED);
    expect(main.log.join('\n')).toMatch(/that could not be revoked now. .*the runner told this step to stop/i);
    expect(JSON.parse(job.state['state'] ?? '')).toMatchObject({ token: TOKEN });
  });

  // The time that it has from the signal on is over when it goes on.
  test('and is paused for long loses no token that came meanwhile', async () => {
    const late = gated(issue());
    const server = await startServer({ token: [late.behaviour] });
    const job = newJob();
    const nodeArgs = preload('fast-time', 'no-jitter', 'tell-signal');
    const { child, done } = job.start('main', { nodeArgs, inputs: inputsFor(server, A_DAY) });
    const arrived = printed({ child }, 'Got SIGINT');
    await server.received(1);
    child.kill('SIGINT');
    await arrived;
    child.kill('SIGSTOP');
    late.open();
    await new Promise((resolve) => setTimeout(resolve, 700));
    child.kill('SIGCONT');
    expectRed(await done, STOPPED);
    expect(job.masks).toContain(TOKEN);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toContain(TOKEN);
  });
});

onUnix('a post step that is told to stop', () => {
  test('tries again what has failed, while it can, and is green', async () => {
    const late = gated(page(503));
    const server = await startServer({ revoke: [late.behaviour, empty()] });
    const job = await jobWithToken(server);
    const post = await stopDuring(server, 'post', { job, requests: 2 }, late.open);
    expectGreen(post);
    expect(post.log.at(-1)).toBe(`Revoked the access token at ${server.url}.`);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('has a few seconds from the signal on, and not the whole of timeout-seconds, and warns then', async () => {
    const server = await startServer({ revoke: [answer(503, '', { 'retry-after': '80000' })] });
    const job = await jobWithToken(server, A_DAY);
    const { child, done } = job.start('post', { nodeArgs: preload('fast-time'), inputs: inputsFor(server) });
    await printed({ child }, 'Attempt 1 failed');
    child.kill('SIGTERM');
    expectWarning(await done, /could not be revoked and stays valid until 20.*the runner told this step to stop/i);
  });
});

describe('a signal at any point', () => {
  // Many processes start at once, which takes its time on a slow machine.
  jest.setTimeout(60_000);

  // Before the last moment at which it can be seen, a signal makes the step red; after it, nothing has changed. With
  // skip-token-revoke there is one more thing to be done at the end.
  test('leaves main red with the token revoked, or green with the token handed out', async () => {
    const points = Array.from({ length: 12 }, (_, index) => index + 1);
    const ends = await Promise.all(
      points.map(async (point) => {
        const server = await startServer();
        const job = newJob();
        const { exitCode, outputs, annotations } = await runMain(server, { job, inputs: SKIP, ...signalAt(point) });
        const { token, isLeftAlive } = JSON.parse(job.state['state'] ?? '') as Record<string, unknown>;
        const levels = annotations.map(({ level }) => level);
        return { exitCode, output: outputs['token'], levels, revoked: server.revoked, token, isLeftAlive };
      }),
    );
    const red = { exitCode: 1, levels: ['error'], revoked: [TOKEN] };
    const green = { exitCode: 0, output: TOKEN, levels: [], revoked: [], isLeftAlive: true };
    const firstGreen = ends.findIndex(({ exitCode }) => exitCode === 0);
    expect(firstGreen).toBeGreaterThan(4);
    expect(firstGreen).toBeLessThan(points.length - 2);
    expect(ends).toEqual(points.map((_, index) => (index < firstGreen ? red : green)));
  });

  test('leaves post green with the token revoked', async () => {
    const server = await startServer();
    const job = await jobWithToken(server);
    const posts = await Promise.all([1, 2, 3, 4, 5].map((point) => runPost(server, job, signalAt(point))));
    for (const post of posts) expectGreen(post);
    expect(server.revoked).toEqual(posts.map(() => TOKEN));
  });
});

describe('where nobody reads what the steps print', () => {
  test('main hands nothing out, and revokes, also where the reader goes while the token is on its way', async () => {
    const late = gated(issue());
    const server = await startServer({ token: [late.behaviour] });
    const job = newJob();
    const { child, done } = job.start('main', { inputs: inputsFor(server, SKIP) });
    await server.received(1);
    child.stdout?.once('close', late.open).destroy();
    const main = await done;
    expect(main.exitCode).toBe(1);
    expect(main.outputs).toEqual({});
    expect(server.revoked).toEqual([TOKEN]);
    expect(job.state).toEqual({ state: '{}' });
  });

  test('post revokes all the same, and ends well also where it can not', async () => {
    const server = await startServer({ revoke: [answer(404)] });
    const job = await jobWithToken(server);
    const { child, done } = job.start('post', { inputs: inputsFor(server) });
    child.stdout?.destroy();
    expect((await done).exitCode).toBe(0);
    expect(server.requests).toHaveLength(2);
    expect(server.requests[1]?.form['token']).toBe(TOKEN);
  });

  onLinux('a full disk is the same', async () => {
    const server = await startServer();
    const main = await runMain(server, { nodeArgs: preload('full-stdout') });
    expect(main.exitCode).toBe(1);
    expect(main.outputs).toEqual({});
    expect(server.revoked).toEqual([TOKEN]);
  });
});

describe('a step never ends well by accident', () => {
  const DEFECT = 'This is a bug in the action; please report it with the log of this job: ';

  test('an event loop that runs dry is red', async () => {
    const main = await runMain(await startServer(), { nodeArgs: preload('dry-loop') });
    expectRed(main, `^${DEFECT}.*the event loop ran dry\\.$`);
  });

  test('a defect is one annotation, without a stack, a secret or a command', async () => {
    const server = await startServer({ token: [hang()] });
    const main = await runMain(server, { nodeArgs: preload('defect') });
    expectRed(main, `^${DEFECT}TypeError at defect\\.cjs:\\d+: boom .*\\.$`);
    expect(main.annotations[0]?.message).not.toContain('::');
    expectUnseen(main, CLIENT_SECRET);
  });
});

describe('a step that has ended', () => {
  test('has printed all that it had to print, and is not kept alive by what is still open', async () => {
    const server = await startServer({ token: [...Array(50).fill(answer(503)), answer(404)] });
    const main = await runMain(server, { nodeArgs: preload('no-jitter', 'lingering-handle') });
    expect(attemptsIn(main)).toHaveLength(50);
    expectRed(main, /nothing at/);
  });

  // The lookup would hold the process for more than the time that a test gets.
  test('red does not wait for a name lookup that gets no answer, also with the permission model', async () => {
    const server = await startServer({ token: [answer(404)] });
    const permission = { NODE_OPTIONS: '--permission --allow-fs-read=* --allow-fs-write=*' };
    const [refused, unanswered] = await Promise.all([
      runMain(server, { nodeArgs: preload('stuck-lookup'), env: permission }),
      runMain({ url: 'https://dashboard.invalid' }, { nodeArgs: preload('silent-lookup', 'fast-time'), inputs: SOON }),
    ]);
    for (const [main, message] of [
      [refused, /nothing at/],
      [unanswered, /^No answer from dashboard\.invalid: the name server did not answer within [01]\.\d s; gave up/],
    ] as const) {
      expect(main.annotations).toEqual([{ level: 'error', message: expect.stringMatching(message) }]);
      expect(main.exitCode === 1 || main.signal === 'SIGKILL').toBe(true);
      expect(main.outputs).toEqual({});
    }
  });

  test('well waits for it, and has still ended well', async () => {
    const nodeArgs = preload('no-jitter', 'stuck-lookup');
    const main = await runMain(await startServer(), { nodeArgs, env: { TEST_LOOKUP_ROUNDS: '400000' } });
    expectGreen(main);
    expect(main.outputs['token']).toBe(TOKEN);
  });

  test('tells a name lookup that has failed from one that is under way, and from a request that was sent', async () => {
    // No name server has to be asked: a label has room for 63 characters.
    const main = await runMain({ url: `https://${'a'.repeat(64)}.invalid` }, { inputs: SOON });
    expectRed(main, /the host name was not found/);
    expect(main.raw).not.toMatch(/may have been issued/);
  });
});
