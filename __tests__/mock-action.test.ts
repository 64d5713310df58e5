import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { ACTION_DIR, createJob, type Job, type StepOptions, type StepResult } from '../mock/runner.mts';
import { cleanup } from './support/cleanup';
import { expectGreen, expectRed, expectUnseen, newJob } from './support/job';

// The action in mock/, whose process outlives its main step. It runs from a copy of the folder, beside which there are
// neither packages nor the rest of the project.

const FOLDER = mkdtempSync(join(tmpdir(), 'mock action-'));
cpSync(join(ACTION_DIR, 'mock'), FOLDER, { recursive: true });
afterAll(() => rmSync(FOLDER, { recursive: true, force: true, maxRetries: 5 }));

const NOTHING_STARTED = 'No mock Dashboard was started, so there is none to end.';

interface Background {
  socket: Socket;
  pid: number;
  ended: Promise<unknown>;
}

interface MockJob {
  job: Job;
  main: (options?: StepOptions) => Promise<StepResult>;
  post: (options?: StepOptions) => Promise<StepResult>;
  /** The process that main started, once it has. */
  background: Promise<Background>;
}

/** A job that uses the action. What its background process does is said in support/background.cjs. */
async function newMockJob(behaviour = ''): Promise<MockJob> {
  const watcher = createServer();
  await once(watcher.listen(0, '127.0.0.1'), 'listening');
  cleanup(() => watcher.close());
  const background = once(watcher, 'connection').then(async ([socket]: Socket[]): Promise<Background> => {
    if (socket === undefined) throw new Error('There is no connection.');
    const ended = new Promise((resolve) => socket.on('error', () => {}).once('close', resolve));
    const pid = Number(String((await once(socket, 'data'))[0]));
    cleanup(() => {
      if (!socket.destroyed) process.kill(pid, 'SIGKILL');
    });
    return { socket, pid, ended };
  });

  const job = createJob({ action: FOLDER });
  cleanup(job.end);
  const nodeArgs = ['--require', join(import.meta.dirname, 'support/background.cjs')];
  const { port } = watcher.address() as AddressInfo;
  const main = (options: StepOptions = {}) => {
    const env = { TEST_PORT: String(port), TEST_BACKGROUND: behaviour, ...options.env };
    return job.run('main', { nodeArgs, ...options, env });
  };
  return { job, main, post: (options) => job.run('post', options), background };
}

function inputsOf({ outputs }: StepResult): Record<string, string> {
  const { 'api-url': url = '', 'client-id': id = '', 'client-secret': secret = '' } = outputs;
  return { 'api-url': url, 'client-id': id, 'client-secret': secret };
}

function read(file: string): Record<'inputs' | 'outputs', Record<string, unknown>> {
  return parse(readFileSync(join(FOLDER, file), 'utf8'));
}

/** Gets a token, and leaves it alive. */
async function leaveToken(main: StepResult): Promise<void> {
  const { exitCode } = await newJob().run('main', { inputs: inputsOf(main) });
  expect(exitCode).toBe(0);
}

describe('in a job', () => {
  test('that revokes its token it is green, counts, and ends with the job', async () => {
    const { job, main, post, background } = await newMockJob();
    const started = await main();
    expectGreen(started);
    expect(started.stderr).toBe('');
    const inputs = inputsOf(started);
    expect(started.log).toEqual([
      `A mock Dashboard with made-up printers listens at ${inputs['api-url']} until this job ends.`,
    ]);
    expect(job.masks).toEqual(new Set([inputs['client-secret']]));
    expectUnseen(started, inputs['client-secret'] ?? '');

    const user = newJob();
    const { outputs } = await user.run('main', { inputs });
    const headers = { authorization: `Bearer ${outputs['token']}` };
    expect((await fetch(`${inputs['api-url']}/developer/v1/printers/`, { headers })).status).toBe(200);
    expectGreen(await user.run('post', { inputs }));

    const ended = await post();
    expectGreen(ended);
    expect(ended.log).toEqual([
      'The mock Dashboard has ended. It issued 1 access token and got 3 requests.',
      'No access token was left alive.',
    ]);
    await expect(fetch(inputs['api-url'] ?? '')).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
    await (await background).ended;
  });

  test.each(['false', '', 'FALSE'])('a token that is left alive is red (allow-live-tokens: "%s")', async (allow) => {
    const { main, post, background } = await newMockJob();
    const started = await main({ inputs: { 'allow-live-tokens': allow } });
    await leaveToken(started);
    await leaveToken(started);
    // What counts is what main was given.
    const ended = await post({ inputs: { 'allow-live-tokens': 'true' } });
    expectRed(ended, '2 access tokens left alive at the end of the job: revoke every token, or set allow-live-tokens');
    expect(ended.log[0]).toBe('The mock Dashboard has ended. It issued 2 access tokens and got 2 requests.');
    await (await background).ended;
  });

  test.each(['true', 'True'])('it may be left alive with allow-live-tokens: %s', async (allow) => {
    const { main, post, background } = await newMockJob();
    await leaveToken(await main({ inputs: { 'allow-live-tokens': allow } }));
    const ended = await post();
    expectGreen(ended);
    expect(ended.log.at(-1)).toBe('1 access token left alive at the end of the job, which allow-live-tokens permits.');
    await (await background).ended;
  });

  test('its outputs are those of action.yml, and have types as its inputs do', async () => {
    const { main, post } = await newMockJob();
    const [action, types] = [read('action.yml'), read('action-types.yml')];
    expect(Object.keys((await main()).outputs)).toEqual(Object.keys(action.outputs));
    for (const kind of ['inputs', 'outputs'] as const) {
      expect(Object.keys(types[kind])).toEqual(Object.keys(action[kind]));
    }
    await post();
  });

  test('it is found where the environment names a proxy for everything', async () => {
    const { main, post } = await newMockJob();
    await main();
    const proxy = 'http://127.0.0.1:1';
    expectGreen(await post({ env: { NODE_USE_ENV_PROXY: '1', HTTP_PROXY: proxy, http_proxy: proxy } }));
  });
});

describe('when it can not start, main is red, and no process is left', () => {
  test('an input that is no boolean', async () => {
    const { job, main, post } = await newMockJob();
    expectRed(
      await main({ inputs: { 'allow-live-tokens': 'yes' } }),
      /^Input allow-live-tokens is not a boolean: give/,
    );
    // The key is taken: what a later step sets for it does not reach post.
    expect(job.state).toEqual({ dashboard: '' });
    expect((await post()).log).toEqual([NOTHING_STARTED]);
  });

  test.each([
    ['has no port', /^The mock Dashboard could not be started: listen EADDRNOTAVAIL: address not available 127/],
    ['ends at once', /^The mock Dashboard could not be started: its process ended at once\.$/],
  ])('its process %s', async (behaviour, message) => {
    const { main, post, background } = await newMockJob(behaviour);
    expectRed(await main(), message);
    await (await background).ended;
    const ended = await post();
    expectGreen(ended);
    expect(ended.log).toEqual([NOTHING_STARTED]);
  });

  test('the outputs can not be written', async () => {
    const { main, post, background } = await newMockJob();
    const failed = await main({ env: { GITHUB_OUTPUT: undefined } });
    expectRed(failed, /^The file in GITHUB_OUTPUT can't be written \(ENOENT\)\.$/);
    await (await background).ended;
    expect((await post()).log).toEqual([NOTHING_STARTED]);
  });

  test('the state can not be written: nothing is started', async () => {
    const { main } = await newMockJob();
    const failed = await main({ env: { GITHUB_STATE: undefined } });
    expectRed(failed, /^The file in GITHUB_STATE can't be written \(ENOENT\)\.$/);
  });

  test.each([
    'cancels main before it listens',
    'cancels main when it listens',
    'cancels main after telling it where it listens',
  ])('main is cancelled: its process %s', async (behaviour) => {
    const { main, post, background } = await newMockJob(behaviour);
    expect((await main()).exitCode).not.toBe(0);
    // In the third case it is open how far main got: up to its end, after which it is for post to end the process.
    await post();
    await (await background).ended;
  });

  test.each(['main', 'post'] as const)('Node is too old for %s', async (step) => {
    const { job } = await newMockJob();
    const failed = await job.run(step, { nodeArgs: ['--no-experimental-strip-types'] });
    expectRed(failed, `The mock Dashboard needs Node 22.18 or newer, and was started with ${process.version}: use`);
  });
});

describe('its process', () => {
  test('that ended before the job did makes post red', async () => {
    const { main, post, background } = await newMockJob();
    await main();
    const { pid, ended } = await background;
    process.kill(pid, 'SIGKILL');
    await ended;
    expectRed(
      await post(),
      /^The mock Dashboard did not answer at the end of the job \(ECONNREFUSED\): something ended/,
    );
  });

  test('is ended by nobody who does not know how', async () => {
    const { job, main, post } = await newMockJob();
    await main();
    const { control } = JSON.parse(job.state['dashboard'] ?? '');
    expect((await fetch(control)).status).toBe(404);
    expect((await fetch(new URL('/', control), { method: 'POST' })).status).toBe(404);
    expectGreen(await post());
  });

  test('ends by itself in the end, where no post step comes', async () => {
    const { main, background } = await newMockJob('has no time');
    await main();
    const { socket, ended } = await background;
    socket.write('The time is up.');
    await ended;
  });

  const unix = process.platform === 'win32' ? test.skip : test;
  unix('has a process group of its own, so that the terminal of its step can hang up', async () => {
    const { main, post, background } = await newMockJob();
    await main();
    const { pid } = await background;
    expect(process.kill(-pid, 0)).toBe(true);
    await post();
  });
});

test('a post step without a main step has nothing to end', async () => {
  const { post } = await newMockJob();
  const ended = await post();
  expectGreen(ended);
  expect(ended.log).toEqual([NOTHING_STARTED]);
});
