import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
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
  runMain,
  runPost,
} from './support/job';
import {
  answer,
  type Behaviour,
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

// On Windows a child process that is sent a signal just ends; the runner sends Ctrl-C there.
const onUnix = process.platform === 'win32' ? describe.skip : describe;
const onLinux = existsSync('/dev/full') ? test : test.skip;

function preload(...names: readonly string[]): string[] {
  return names.flatMap((name) => ['--require', join(import.meta.dirname, 'support', `${name}.cjs`)]);
}

/** A behaviour that waits until it is told to go on. */
function gated(behaviour: Behaviour): { behaviour: Behaviour; open: () => void } {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  cleanup(open);
  return { behaviour: (...request) => void gate.then(() => behaviour(...request)), open };
}

/** Resolves when the step has printed a line that begins so. */
function printed(child: ReturnType<Job['start']>['child'], start: string): Promise<void> {
  return new Promise((resolve) => {
    let text = '';
    child.stdout?.on('data', (chunk: string) => {
      text += chunk;
      if (text.includes(start)) resolve();
    });
  });
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
  const arrived = printed(child, `Got ${signal}`);
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

/** Adds tokens to those that the main step has saved. */
function addTokens(job: Job, ...tokens: readonly string[]): void {
  const saved = JSON.parse(job.state['state'] ?? '') as { tokens: string[] };
  Object.assign(job.state, { state: JSON.stringify({ ...saved, tokens: [...saved.tokens, ...tokens] }) });
}

onUnix('a main step that is told to stop', () => {
  test.each<NodeJS.Signals>(['SIGINT', 'SIGTERM', 'SIGHUP'])(
    'in a wait ends at once, and is red (%s)',
    async (signal) => {
      const server = await startServer({ token: [answer(429, '', { 'retry-after': '80000' }), issue()] });
      const { child, done } = newJob().start('main', { inputs: inputsFor(server, A_DAY) });
      await printed(child, 'Attempt 1 failed');
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

  test('during the second attempt revokes the tokens of both', async () => {
    const stray = (access_token: string) => json(503, { access_token });
    const late = gated(stray('second-stray'));
    const server = await startServer({ token: [stray('first-stray'), late.behaviour] });
    expectRed(await stopDuring(server, 'main', { requests: 2 }, late.open), STOPPED);
    expect([...server.revoked].sort()).toEqual(['first-stray', 'second-stray']);
  });

  test('tries the revocation again, and takes no second signal for its end', async () => {
    const late = gated(answer(200));
    const server = await startServer({ revoke: [page(503), late.behaviour] });
    const job = newJob();
    const nodeArgs = [...NO_JITTER, ...preload('signal-at')];
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
    const nodeArgs = preload('fast-time', 'no-jitter');
    const mute = await startServer({ token: [hang()] });
    const late = gated(issue());
    const half = await startServer({ token: [late.behaviour], revoke: [hang()] });
    const job = newJob();
    const [unanswered, unrevoked] = await Promise.all([
      stopDuring(mute, 'main', { nodeArgs, inputs: A_DAY, requests: 1 }),
      stopDuring(half, 'main', { job, nodeArgs, inputs: A_DAY, requests: 1 }, late.open),
    ]);
    expectRed(unanswered, STOPPED);
    expect(mute.requests).toHaveLength(1);
    expectRed(unrevoked, STOPPED);
    expect(unrevoked.log.join('\n')).toMatch(/that could not be revoked now: the runner told this step to stop/i);
    expect(JSON.parse(job.state['state'] ?? '')).toMatchObject({ tokens: [TOKEN] });
  });
});

onUnix('a post step that is told to stop', () => {
  test('finishes the revocation, and is green', async () => {
    const late = gated(answer(200));
    const server = await startServer({ revoke: [late.behaviour] });
    const job = await jobWithToken(server);
    const post = await stopDuring(server, 'post', { job, requests: 2 }, late.open);
    expectGreen(post);
    expect(post.log).toEqual(['Got SIGINT', `Revoked the access token at ${server.url}.`]);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('tries again what has failed, while it can', async () => {
    const late = gated(page(503));
    const server = await startServer({ revoke: [late.behaviour, answer(200)] });
    const job = await jobWithToken(server);
    expectGreen(await stopDuring(server, 'post', { job, requests: 2 }, late.open));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('prints one warning if it could not revoke: the reason, and until when the token is valid', async () => {
    const late = gated(answer(404));
    const [refusing, mute, mixed] = await Promise.all([
      startServer({ revoke: [late.behaviour] }),
      startServer({ revoke: [hang()] }),
      startServer({ revoke: [answer(404), hang()] }),
    ]);
    const nodeArgs = preload('fast-time', 'no-jitter');
    const [refused, unanswered, both] = await Promise.all([
      jobWithToken(refusing).then((job) => stopDuring(refusing, 'post', { job, requests: 2 }, late.open)),
      jobWithToken(mute).then((job) => stopDuring(mute, 'post', { job, nodeArgs, requests: 2 })),
      jobWithToken(mixed).then((job) => {
        addTokens(job, 'another-token');
        return stopDuring(mixed, 'post', { job, nodeArgs, requests: 3 });
      }),
    ]);
    expectWarning(refused, /could not be revoked and stays valid until 20.*there is nothing at/);
    expectWarning(unanswered, /could not be revoked and stays valid until 20.*the runner told this step to stop/i);
    expectWarning(both, /could not be revoked and stays valid until 20/);
  });

  test('has a few seconds from the signal on, and not the whole of timeout-seconds', async () => {
    const server = await startServer({ revoke: [answer(503, '', { 'retry-after': '80000' })] });
    const job = newJob();
    await runMain(server, { job, inputs: A_DAY });
    const { child, done } = job.start('post', { nodeArgs: preload('fast-time'), inputs: inputsFor(server) });
    await printed(child, 'Attempt 1 failed');
    child.kill('SIGTERM');
    expectWarning(await done, /the runner told this step to stop/i);
  });
});

describe('a signal at any point', () => {
  /** Many processes start at once, which takes its time on a slow machine. */
  const TIMEOUT_MS = 60_000;

  // Before the last moment at which it can be seen, a signal makes the step red; after it, nothing has changed.
  test.each([{}, SKIP])(
    'leaves main red with the token revoked, or green with the token handed out (%j)',
    async (inputs) => {
      const points = Array.from({ length: 14 }, (_, index) => index + 1);
      const ends = await Promise.all(
        points.map(async (point) => {
          const server = await startServer();
          const job = newJob();
          const nodeArgs = [...NO_JITTER, ...preload('signal-at')];
          const env = { TEST_SIGNAL_AT: String(point) };
          const { done } = job.start('main', { nodeArgs, inputs: inputsFor(server, inputs), env });
          const { exitCode, outputs, annotations } = await done;
          const { tokens, leftAlive } = JSON.parse(job.state['state'] ?? '') as Record<string, unknown>;
          const levels = annotations.map(({ level }) => level);
          return { exitCode, token: outputs['token'], levels, revoked: server.revoked, tokens, leftAlive };
        }),
      );
      const red = { exitCode: 1, token: undefined, levels: ['error'], revoked: [TOKEN], tokens: [] };
      const green = {
        exitCode: 0,
        token: TOKEN,
        levels: [],
        revoked: [],
        ...(inputs === SKIP ? { tokens: [], leftAlive: true } : { tokens: [TOKEN] }),
      };
      const firstGreen = ends.findIndex(({ exitCode }) => exitCode === 0);
      expect(firstGreen).toBeGreaterThan(4);
      expect(firstGreen).toBeLessThan(points.length - 2);
      expect(ends).toEqual(points.map((_, index) => (index < firstGreen ? red : green)));
    },
    TIMEOUT_MS,
  );

  test(
    'leaves post green with the token revoked',
    async () => {
      const ends = await Promise.all(
        Array.from({ length: 6 }, async (_, index) => {
          const server = await startServer();
          const job = await jobWithToken(server);
          const nodeArgs = [...NO_JITTER, ...preload('signal-at')];
          const post = await runPost(server, job, { nodeArgs, env: { TEST_SIGNAL_AT: String(index + 1) } });
          return [post.exitCode, post.annotations, server.revoked];
        }),
      );
      expect(ends).toEqual(ends.map(() => [0, [], [TOKEN]]));
    },
    TIMEOUT_MS,
  );
});

describe('where nobody reads what the steps print', () => {
  const noReader = ({ child, done }: ReturnType<Job['start']>) => {
    child.stdout?.destroy();
    return done;
  };

  test.each([{}, SKIP])('main hands nothing out, and revokes (%j)', async (inputs) => {
    const server = await startServer();
    const main = await noReader(newJob().start('main', { inputs: inputsFor(server, inputs) }));
    expect(main.exitCode).toBe(1);
    expect(main.outputs).toEqual({});
    expect(server.revoked).toEqual([TOKEN]);
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
    expect(JSON.parse(job.state['state'] ?? '')).toMatchObject({ tokens: [] });
  });

  test('post revokes all the same', async () => {
    const server = await startServer();
    const job = await jobWithToken(server);
    const post = await noReader(job.start('post', { inputs: inputsFor(server) }));
    expect(post.exitCode).toBe(0);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('post that can not revoke ends well, too', async () => {
    const server = await startServer({ revoke: [answer(404)] });
    const job = await jobWithToken(server);
    const post = await noReader(job.start('post', { inputs: inputsFor(server) }));
    expect(post.exitCode).toBe(0);
    expect(server.requests).toHaveLength(2);
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
    expectGreen(await runMain(server, { nodeArgs: [...NO_JITTER, ...preload('lingering-handle')] }));
  });

  test('has printed all that it had to print', async () => {
    const server = await startServer({ token: [...Array(50).fill(answer(503)), answer(404)] });
    const main = await runMain(server);
    expect(main.log.filter((line) => line.startsWith('Attempt'))).toHaveLength(50);
    expectRed(main, /nothing at/);
  });

  // The lookup would hold the process for more than the time that a test gets.
  test('does not wait for a name lookup that gets no answer', async () => {
    const server = await startServer({ token: [answer(404)] });
    const main = await runMain(server, { nodeArgs: preload('stuck-lookup') });
    expect(main.annotations).toEqual([{ level: 'error', message: expect.stringContaining('nothing at') }]);
    expect(main.exitCode === 1 || main.signal === 'SIGKILL').toBe(true);
  });

  // Windows can't replace a process by another one, and no signal ends it with 0: there it waits for the resolver.
  const whereItCan = process.platform === 'win32' ? test.skip : test;
  whereItCan('does not wait for it either when it is green, or a warning', async () => {
    const server = await startServer({ revoke: [answer(200), answer(404)] });
    const nodeArgs = [...NO_JITTER, ...preload('stuck-lookup')];
    const job = newJob();
    const main = await runMain(server, { job, nodeArgs });
    expectGreen(main);
    expect(main.outputs['token']).toBe(TOKEN);
    expectGreen(await runPost(server, job, { nodeArgs }));
    expectWarning(await runPost(server, job, { nodeArgs }), /could not be revoked/);
  });

  test('tells a name lookup that has failed from one that is under way', async () => {
    // No name server has to be asked: a label has room for 63 characters.
    const inputs = { 'timeout-seconds': '1' };
    const main = await runMain({ url: `https://${'a'.repeat(64)}.invalid` }, { inputs });
    expectRed(main, /the host name was not found/);
  });
});
