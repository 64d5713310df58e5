import { existsSync } from 'node:fs';
import { describe, expect, jest, test } from '@jest/globals';
import type { Job, StepName, StepOptions, StepResult } from '../mock/runner.mts';
import { cleanup } from './support/cleanup';
import {
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
  json,
  page,
  type ScriptedServer,
  startServer,
  TOKEN,
} from './support/scripted-server';

const STOPPED = /^The runner told this step to stop: the job was cancelled, .*timeout-minutes.*shutting down\.$/;
const SKIP = { 'skip-token-revoke': 'true' };
const A_DAY = { 'timeout-seconds': '86400' };
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
  signal?: NodeJS.Signals;
}

/** Runs a step, and sends it a signal during a request. What the server holds back it sends when that has arrived. */
async function stopDuring(
  server: ScriptedServer,
  step: StepName,
  { job = newJob(), requests, signal = 'SIGINT', inputs = {}, ...options }: Stop,
  open = () => {},
): Promise<StepResult> {
  const nodeArgs = [...(options.nodeArgs ?? NO_JITTER), ...preload('tell-signal')];
  const { child, done } = job.start(step, { ...options, nodeArgs, inputs: inputsFor(server, inputs) });
  const arrived = printed({ child }, `Got ${signal}`);
  await server.received(requests);
  child.kill(signal);
  await arrived;
  open();
  return done;
}

/** A job whose main step went well. */
async function jobWithToken(server: ScriptedServer): Promise<Job> {
  const job = newJob();
  expectGreen(await runMain(server, { job }));
  return job;
}

onUnix('a main step that is told to stop', () => {
  test.each<NodeJS.Signals>(['SIGINT', 'SIGTERM', 'SIGHUP'])(
    'in a wait ends at once, and is red (%s)',
    async (signal) => {
      const server = await startServer({ token: [answer(429, '', { 'retry-after': '80000' }), issue()] });
      const { child, done } = newJob().start('main', { inputs: inputsFor(server, A_DAY) });
      await printed({ child }, 'Attempt 1 failed');
      child.kill(signal);
      expectRed(await done, STOPPED);
      expect(server.requests).toHaveLength(1);
    },
  );

  test.each<[name: string, inputs: Record<string, string>, behaviour: Behaviour]>([
    ['that it would hand out', {}, issue()],
    ['that it would leave alive', SKIP, issue()],
    ['that can not be used', {}, issue({ token_type: 'mac' })],
    ['in an answer that is an error', {}, json(503, { access_token: TOKEN })],
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
    const post = await runPost(server, job, { inputs });
    expectGreen(post);
    expect(post.log).toEqual(['There is no access token to revoke.']);
  });

  test.each<[name: string, behaviour: Behaviour]>([
    ['a fault that would be tried again', page(503)],
    ['a refusal', json(401, { error: 'invalid_client' })],
  ])('during the request begins nothing new after %s', async (_name, behaviour) => {
    const late = gated(behaviour);
    const server = await startServer({ token: [late.behaviour, issue()] });
    expectRed(await stopDuring(server, 'main', { requests: 1 }, late.open), STOPPED);
    expect(server.requests).toHaveLength(1);
  });

  test('tries the revocation again, and takes no second signal for its end', async () => {
    const late = gated(answer(200));
    const server = await startServer({ revoke: [page(503), late.behaviour] });
    const job = newJob();
    const nodeArgs = preload('no-jitter', 'signal-at');
    const inputs = inputsFor(server);
    const { child, done } = job.start('main', { nodeArgs, inputs, env: { TEST_SIGNAL_AT: '1' } });
    await server.received(3);
    child.kill('SIGINT');
    child.kill('SIGTERM');
    late.open();
    expectRed(await done, STOPPED);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('waits neither for an answer nor for a revocation that never comes', async () => {
    const late = gated(issue());
    const [mute, half] = [
      await startServer({ token: [hang()] }),
      await startServer({ token: [late.behaviour], revoke: [hang()] }),
    ];
    const [job, other] = [newJob(), newJob()];
    // Not faster: it has 6 s from the signal on, and listens for 4 of them.
    const options = { nodeArgs: preload('fast-time', 'no-jitter'), inputs: A_DAY, env: { TEST_TIMES_FASTER: '3' } };
    const [unanswered, unrevoked] = await Promise.all([
      stopDuring(mute, 'main', { ...options, job: other, requests: 1 }),
      stopDuring(half, 'main', { ...options, job, requests: 1 }, late.open),
    ]);
    expectRed(unanswered, IN_DOUBT);
    expect(mute.requests).toHaveLength(1);
    expect((await runPost(mute, other)).log[0]).toMatch(/that nobody knows may have been issued; it is valid until/);
    expectRed(unrevoked, STOPPED);
    expect(unrevoked.log.join('\n')).toMatch(/that could not be revoked now: .*the runner told this step to stop/i);
    expect(JSON.parse(job.state['state'] ?? '')).toMatchObject({ token: TOKEN });
  });

  // The time that it has from the signal on is over when it goes on.
  test.each(['SIGINT', 'SIGSTOP'] as const)(
    'and is paused for long loses no token that came meanwhile (%s first)',
    async (first) => {
      const late = gated(issue());
      const server = await startServer({ token: [late.behaviour] });
      const job = newJob();
      const nodeArgs = preload('fast-time', 'no-jitter', 'tell-signal');
      const { child, done } = job.start('main', { nodeArgs, inputs: inputsFor(server, A_DAY) });
      const arrived = printed({ child }, 'Got SIGINT');
      await server.received(1);
      child.kill(first);
      if (first === 'SIGINT') await arrived;
      child.kill(first === 'SIGINT' ? 'SIGSTOP' : 'SIGINT');
      late.open();
      await new Promise((resolve) => setTimeout(resolve, 800));
      child.kill('SIGCONT');
      const main = await done;
      // A signal that a stopped process got may come to it after all that it had to do.
      if (first === 'SIGSTOP' && main.exitCode === 0) expectGreen(main);
      else expectRed(main, STOPPED);
      expect(job.masks).toContain(TOKEN);
      expectGreen(await runPost(server, job));
      expect(server.revoked).toContain(TOKEN);
    },
  );
});

onUnix('a post step that is told to stop', () => {
  test.each<[name: string, behaviour: Behaviour]>([
    ['finishes the revocation', empty()],
    ['tries again what has failed, while it can', page(503)],
  ])('%s, and is green', async (_name, behaviour) => {
    const late = gated(behaviour);
    const server = await startServer({ revoke: [late.behaviour, empty()] });
    const job = await jobWithToken(server);
    const post = await stopDuring(server, 'post', { job, requests: 2 }, late.open);
    expectGreen(post);
    expect(post.log.at(-1)).toBe(`Revoked the access token at ${server.url}.`);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('prints one warning if it could not revoke: the reason, and until when the token is valid', async () => {
    const late = gated(answer(404));
    const stop = async (revoke: Behaviour, open: () => void, nodeArgs: string[]) => {
      const server = await startServer({ revoke: [revoke] });
      return stopDuring(server, 'post', { job: await jobWithToken(server), nodeArgs, requests: 2 }, open);
    };
    const [refused, unanswered] = await Promise.all([
      stop(late.behaviour, late.open, NO_JITTER),
      stop(hang(), () => {}, preload('fast-time', 'no-jitter')),
    ]);
    expectWarning(refused, /could not be revoked and stays valid until 20.*there is nothing at/);
    expectWarning(unanswered, /could not be revoked and stays valid until 20.*the runner told this step to stop/i);
  });

  test('has a few seconds from the signal on, and not the whole of timeout-seconds', async () => {
    const server = await startServer({ revoke: [answer(503, '', { 'retry-after': '80000' })] });
    const job = newJob();
    await runMain(server, { job, inputs: A_DAY });
    const { child, done } = job.start('post', { nodeArgs: preload('fast-time'), inputs: inputsFor(server) });
    await printed({ child }, 'Attempt 1 failed');
    child.kill('SIGTERM');
    expectWarning(await done, /the runner told this step to stop/i);
  });
});

describe('a signal at any point', () => {
  // Many processes start at once, which takes its time on a slow machine.
  jest.setTimeout(60_000);

  // Before the last moment at which it can be seen, a signal makes the step red; after it, nothing has changed.
  test.each([{}, SKIP])(
    'leaves main red with the token revoked, or green with the token handed out (%j)',
    async (inputs) => {
      const points = Array.from({ length: 14 }, (_, index) => index + 1);
      const ends = await Promise.all(
        points.map(async (point) => {
          const server = await startServer();
          const job = newJob();
          const nodeArgs = preload('no-jitter', 'signal-at');
          const env = { TEST_SIGNAL_AT: String(point) };
          const { done } = job.start('main', { nodeArgs, inputs: inputsFor(server, inputs), env });
          const { exitCode, outputs, annotations } = await done;
          const { token, isLeftAlive } = JSON.parse(job.state['state'] ?? '') as Record<string, unknown>;
          const levels = annotations.map(({ level }) => level);
          return { exitCode, output: outputs['token'], levels, revoked: server.revoked, token, isLeftAlive };
        }),
      );
      const red = { exitCode: 1, levels: ['error'], revoked: [TOKEN] };
      const saved = inputs === SKIP ? { isLeftAlive: true } : { token: TOKEN };
      const green = { exitCode: 0, output: TOKEN, levels: [], revoked: [], ...saved };
      const firstGreen = ends.findIndex(({ exitCode }) => exitCode === 0);
      expect(firstGreen).toBeGreaterThan(4);
      expect(firstGreen).toBeLessThan(points.length - 2);
      expect(ends).toEqual(points.map((_, index) => (index < firstGreen ? red : green)));
    },
  );

  test('leaves post green with the token revoked', async () => {
    const ends = await Promise.all(
      Array.from({ length: 6 }, async (_, index) => {
        const server = await startServer();
        const job = await jobWithToken(server);
        const nodeArgs = preload('no-jitter', 'signal-at');
        const post = await runPost(server, job, { nodeArgs, env: { TEST_SIGNAL_AT: String(index + 1) } });
        return [post.exitCode, post.annotations, server.revoked];
      }),
    );
    expect(ends).toEqual(ends.map(() => [0, [], [TOKEN]]));
  });
});

describe('where nobody reads what the steps print', () => {
  test.each<[name: string, step: StepName, inputs: Record<string, string>, exitCode: number, revoke: Behaviour]>([
    ['main hands nothing out, and revokes', 'main', {}, 1, empty()],
    ['main does so also with skip-token-revoke', 'main', SKIP, 1, empty()],
    ['post revokes all the same', 'post', {}, 0, empty()],
    ['post that can not revoke ends well, too', 'post', {}, 0, answer(404)],
  ])('%s', async (_name, step, inputs, exitCode, revoke) => {
    const server = await startServer({ revoke: [revoke] });
    const job = step === 'main' ? newJob() : await jobWithToken(server);
    const { child, done } = job.start(step, { inputs: inputsFor(server, inputs) });
    child.stdout?.destroy();
    const result = await done;
    expect(result.exitCode).toBe(exitCode);
    expect(result.outputs).toEqual({});
    expect(server.requests.at(-1)?.form['token']).toBe(TOKEN);
    expect(server.requests).toHaveLength(2);
  });

  test('main notices also where the reader goes while the token is on its way', async () => {
    const late = gated(issue());
    const server = await startServer({ token: [late.behaviour] });
    const job = newJob();
    const { child, done } = job.start('main', { inputs: inputsFor(server) });
    await server.received(1);
    child.stdout?.once('close', late.open).destroy();
    const main = await done;
    expect(main.exitCode).toBe(1);
    expect(main.outputs).toEqual({});
    expect(server.revoked).toEqual([TOKEN]);
    expect(job.state).toEqual({ state: '{}' });
  });

  onLinux('a full disk is the same', async () => {
    const server = await startServer();
    const main = await runMain(server, { nodeArgs: preload('full-stdout') });
    expect(main.exitCode).toBe(1);
    expect(main.outputs).toEqual({});
    expect(server.revoked).toEqual([TOKEN]);

    const job = await jobWithToken(server);
    const post = await runPost(server, job, { nodeArgs: preload('full-stdout') });
    expect(post.exitCode).toBe(0);
    expect(server.revoked).toEqual([TOKEN, TOKEN]);
  });
});

describe('a step never ends well by accident', () => {
  const DEFECT = /^This is a bug in the action; please report it with the log of this job: /;

  test('an event loop that runs dry is red in main and a warning in post', async () => {
    const server = await startServer();
    const job = await jobWithToken(server);
    const nodeArgs = preload('dry-loop');
    const [main, post] = await Promise.all([runMain(server, { nodeArgs }), runPost(server, job, { nodeArgs })]);
    expectRed(main, new RegExp(`${DEFECT.source}.*the event loop ran dry\\.$`));
    expectWarning(post, new RegExp(`${DEFECT.source}.*the event loop ran dry\\.$`));
  });

  test('a defect is one annotation, without a stack, a secret or a command', async () => {
    const server = await startServer({ token: [hang()] });
    const main = await runMain(server, { nodeArgs: preload('defect') });
    expectRed(main, new RegExp(`${DEFECT.source}TypeError at defect\\.cjs:\\d+: boom .*\\.$`));
    expect(main.annotations[0]?.message).not.toContain('::');
    expectUnseen(main, CLIENT_SECRET);
  });
});

describe('a step that has ended', () => {
  test('is not kept alive by what is still open', async () => {
    const server = await startServer();
    expectGreen(await runMain(server, { nodeArgs: preload('no-jitter', 'lingering-handle') }));
  });

  test('has printed all that it had to print', async () => {
    const server = await startServer({ token: [...Array(50).fill(answer(503)), answer(404)] });
    const main = await runMain(server);
    expect(main.log.filter((line) => line.startsWith('Attempt'))).toHaveLength(50);
    expectRed(main, /nothing at/);
  });

  // The lookup would hold the process for more than the time that a test gets.
  test.each<[name: string, env: Record<string, string>]>([
    ['', {}],
    [', also with the permission model', { NODE_OPTIONS: '--permission --allow-fs-read=* --allow-fs-write=*' }],
  ])('red does not wait for a name lookup that gets no answer%s', async (_name, env) => {
    const server = await startServer({ token: [answer(404)] });
    const silent = (https_proxy: string) =>
      runMain(
        { url: 'https://dashboard.invalid' },
        { nodeArgs: preload('silent-lookup'), env: { ...env, https_proxy }, inputs: { 'timeout-seconds': '1' } },
      );
    const [refused, ofHost, ofProxy] = await Promise.all([
      runMain(server, { nodeArgs: preload('stuck-lookup'), env }),
      silent(''),
      silent('http://proxy.invalid:3128'),
    ]);
    for (const [main, message] of [
      [refused, /nothing at/],
      [ofHost, /^No answer from dashboard\.invalid: the name server did not answer within [01]\.\d s; gave up/],
      [ofProxy, /through the proxy proxy\.invalid:3128: the name server did not answer for the proxy within/],
    ] as const) {
      expect(main.annotations).toEqual([{ level: 'error', message: expect.stringMatching(message) }]);
      expect(main.exitCode === 1 || main.signal === 'SIGKILL').toBe(true);
      expect(main.outputs).toEqual({});
    }
  });

  test('well waits for it, and has still ended well', async () => {
    const server = await startServer({ revoke: [answer(200), answer(404)] });
    const options = { nodeArgs: preload('no-jitter', 'stuck-lookup'), env: { TEST_LOOKUP_ROUNDS: '400000' } };
    const job = newJob();
    const main = await runMain(server, { job, ...options });
    expectGreen(main);
    expect(main.outputs['token']).toBe(TOKEN);
    expectGreen(await runPost(server, job, options));
    expectWarning(await runPost(server, job, options), /could not be revoked/);
  });

  test('tells a name lookup that has failed from one that is under way', async () => {
    // No name server has to be asked: a label has room for 63 characters.
    const inputs = { 'timeout-seconds': '1' };
    const main = await runMain({ url: `https://${'a'.repeat(64)}.invalid` }, { inputs });
    expectRed(main, /the host name was not found/);
  });
});
