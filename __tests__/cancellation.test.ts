import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { Job, StepResult } from '../sandbox/runner.mts';
import { cleanup } from './support/cleanup';
import {
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
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
  startServer,
  TOKEN,
} from './support/scripted-server';

// On Windows a child process that is sent a signal just ends; the runner sends Ctrl-C there.
const onUnix = process.platform === 'win32' ? describe.skip : describe;

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

async function msFrom(start: number, step: Promise<StepResult>): Promise<[StepResult, number]> {
  const result = await step;
  return [result, performance.now() - start];
}

onUnix('cancelled during a wait, the step ends within a second, red, and says so', () => {
  test.each<NodeJS.Signals>(['SIGINT', 'SIGTERM'])('main, by %s', async (signal) => {
    const server = await startServer({
      token: [answer(429, '', { 'retry-after': '30' }), issue()],
    });
    const { child, done } = newJob().start('main', { inputs: inputsFor(server) });
    await printed(child, 'Attempt 1 failed');
    child.kill(signal);
    const [main, ms] = await msFrom(performance.now(), done);
    expectRed(main, /^The job was cancelled while this step waited for the Dashboard\.$/);
    expect(ms).toBeLessThan(1_000);
    expect(server.requests).toHaveLength(1);
  });

  test('post, which also says how long the token lives', async () => {
    const server = await startServer({ revoke: [answer(503, '', { 'retry-after': '30' })] });
    const job = newJob();
    await runMain(server, { job });
    const { child, done } = job.start('post', { inputs: inputsFor(server) });
    await printed(child, 'Attempt 1 failed');
    child.kill('SIGINT');
    const [post, ms] = await msFrom(performance.now(), done);
    expectRed(
      post,
      /^The job was cancelled before the access token was revoked: it stays valid until 20.*\.$/,
    );
    expect(ms).toBeLessThan(1_000);
  });
});

onUnix('cancelled during a request', () => {
  test('a token that arrives is masked and saved, not handed out, and revoked by the post step', async () => {
    const late = gated(issue());
    const server = await startServer({ token: [late.behaviour] });
    const job = newJob();
    const { child, done } = job.start('main', { inputs: inputsFor(server) });
    await server.received(1);
    child.kill('SIGINT');
    setTimeout(late.open, 100);
    const main = await done;
    expectRed(
      main,
      /cancelled while the access token was on its way: it is not handed out, and the post step revokes it\.$/,
    );
    expect(job.masks).toContain(TOKEN);
    expectUnseen(main, TOKEN, CLIENT_SECRET);
    expect(server.requests).toHaveLength(1);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('the same with skip-token-revoke: a token that was never handed out is not left alive', async () => {
    const late = gated(issue());
    const server = await startServer({ token: [late.behaviour] });
    const job = newJob();
    const inputs = { 'skip-token-revoke': 'true' };
    const { child, done } = job.start('main', { inputs: inputsFor(server, inputs) });
    await server.received(1);
    child.kill('SIGTERM');
    setTimeout(late.open, 100);
    expectRed(await done, /cancelled/);
    expectGreen(await runPost(server, job, { inputs }));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test.each<[name: string, behaviour: Behaviour]>([
    ['a fault that would be tried again', page(503)],
    ['a refusal', json(401, { error: 'invalid_client' })],
  ])('%s ends the step, and nothing new is begun', async (_name, behaviour) => {
    const late = gated(behaviour);
    const server = await startServer({ token: [late.behaviour, issue()] });
    const { child, done } = newJob().start('main', { inputs: inputsFor(server) });
    await server.received(1);
    child.kill('SIGINT');
    setTimeout(late.open, 100);
    expectRed(await done, /^The job was cancelled while this step waited/);
    expect(server.requests).toHaveLength(1);
  });

  test('a token that can not be accepted is saved, and revoked by the post step', async () => {
    const late = gated(issue({ token_type: 'mac' }));
    const server = await startServer({ token: [late.behaviour] });
    const job = newJob();
    const { child, done } = job.start('main', { inputs: inputsFor(server) });
    await server.received(1);
    child.kill('SIGINT');
    setTimeout(late.open, 100);
    expectRed(await done, /cancelled/);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('tokens of earlier attempts are not forgotten', async () => {
    const stray = (access_token: string) => answer(503, JSON.stringify({ access_token }));
    const late = gated(stray('second-stray'));
    const server = await startServer({ token: [stray('first-stray'), late.behaviour] });
    const job = newJob();
    const { child, done } = job.start('main', { nodeArgs: NO_JITTER, inputs: inputsFor(server) });
    await server.received(2);
    child.kill('SIGINT');
    setTimeout(late.open, 100);
    expectRed(await done, /cancelled/);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual(['first-stray', 'second-stray']);
  });

  test.each([1, 2, 3, 4])(
    'a signal during write %d to the files of the runner is not missed',
    async (write) => {
      const server = await startServer();
      const job = newJob();
      const nodeArgs = ['--require', join(import.meta.dirname, 'support', 'signal-at-write.cjs')];
      const main = await job.run('main', {
        nodeArgs,
        inputs: inputsFor(server),
        env: { TEST_SIGNAL_AT_WRITE: String(write) },
      });
      expect(main.exitCode).toBe(1);
      expect(main.annotations).toEqual([
        { level: 'error', message: expect.stringMatching(/cancelled/) },
      ]);
      expectGreen(await runPost(server, job));
      expect(server.revoked).toEqual(server.tokenRequests() === 1 ? [TOKEN] : []);
    },
  );

  test('a cancellation that comes between two revocations is one error, and no warning', async () => {
    const server = await startServer({ revoke: [answer(404), hang()] });
    const job = newJob();
    await runMain(server, { job });
    Object.assign(job.state, { tokens: JSON.stringify(['one', 'two']) });
    const { child, done } = job.start('post', { inputs: inputsFor(server) });
    await server.received(3);
    child.kill('SIGINT');
    expectRed(await done, /^The job was cancelled before the access token was revoked/);
  }, 15_000);

  test('a revocation is finished, and the step is red all the same', async () => {
    const late = gated(answer(200));
    const server = await startServer({ revoke: [late.behaviour] });
    const job = newJob();
    await runMain(server, { job });
    const { child, done } = job.start('post', { inputs: inputsFor(server) });
    await server.received(2);
    child.kill('SIGINT');
    setTimeout(late.open, 100);
    const post = await done;
    expectRed(post, /^The job was cancelled while this step ran\.$/);
    expect(post.log[0]).toMatch(/^Revoked the access token/);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('a request that is not answered is abandoned after six seconds', async () => {
    const server = await startServer({ token: [hang()] });
    const { child, done } = newJob().start('main', { inputs: inputsFor(server) });
    await server.received(1);
    child.kill('SIGINT');
    const [main, ms] = await msFrom(performance.now(), done);
    expectRed(main, /^The job was cancelled/);
    expect(ms).toBeGreaterThan(5_900);
    expect(ms).toBeLessThan(7_000);
  }, 15_000);
});
