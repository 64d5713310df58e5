import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { ACTION_DIR, createJob, type Job, type StepOptions, type StepResult } from '../mock/runner.mts';
import { cleanup } from './support/cleanup';
import { expectGreen, expectRed, expectUnseen } from './support/job';

// The action in mock/, whose process outlives its main step. It runs from a copy of the folder, beside which there are
// neither packages nor the rest of the project.

const FOLDER = mkdtempSync(join(tmpdir(), 'mock action-'));
cpSync(join(ACTION_DIR, 'mock'), FOLDER, { recursive: true });
/** Where Node keeps what it has made of the sources, so that not every step compiles them anew. */
const COMPILED = { NODE_COMPILE_CACHE: join(FOLDER, 'compiled') };
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
    const env = { TEST_PORT: String(port), TEST_BACKGROUND: behaviour, ...COMPILED, ...options.env };
    return job.run('main', { nodeArgs, ...options, env });
  };
  const post = (options: StepOptions = {}) => job.run('post', { ...options, env: { ...COMPILED, ...options.env } });
  return { job, main, post, background };
}

function read(file: string): Record<'inputs' | 'outputs', Record<string, unknown>> {
  return parse(readFileSync(join(FOLDER, file), 'utf8'));
}

/** Posts a form to the mock Dashboard that a main step has started, with its credentials. */
function ask({ outputs }: StepResult, path: string, form: Record<string, string>): Promise<Response> {
  const { 'client-id': client_id = '', 'client-secret': client_secret = '' } = outputs;
  const body = new URLSearchParams({ client_id, client_secret, ...form });
  return fetch(`${outputs['api-url']}/developer/v1/o/${path}/`, { method: 'POST', body });
}

async function requestToken(main: StepResult): Promise<string> {
  const { access_token } = Object(await (await ask(main, 'token', { grant_type: 'client_credentials' })).json());
  return access_token;
}

describe('in a job', () => {
  test('that revokes its token it is green, counts, and ends with the job', async () => {
    const { job, main, post, background } = await newMockJob();
    const started = await main({ inputs: { 'allow-live-tokens': 'True' } });
    expectGreen(started);
    expect(started.stderr).toBe('');
    expect(Object.keys(started.outputs)).toEqual(Object.keys(read('action.yml').outputs));
    const { 'api-url': url = '', 'client-secret': secret = '' } = started.outputs;
    expect(started.log).toEqual([`A mock Dashboard with made-up printers listens at ${url} until this job ends.`]);
    expect(job.masks).toEqual(new Set([secret]));
    expectUnseen(started, secret);

    const token = await requestToken(started);
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${url}/developer/v1/printers/`, { headers })).status).toBe(200);
    expect((await ask(started, 'revoke_token', { token })).status).toBe(200);

    // The environment may name a proxy for everything.
    const proxy = 'http://127.0.0.1:1';
    const ended = await post({ env: { NODE_USE_ENV_PROXY: '1', HTTP_PROXY: proxy, http_proxy: proxy } });
    expectGreen(ended);
    expect(ended.log).toEqual([
      'The mock Dashboard has ended. It issued 1 access token and got 3 requests.',
      'No access token was left alive.',
    ]);
    await (await background).ended;
  });

  test('a token that is left alive is red', async () => {
    const { main, post } = await newMockJob();
    const started = await main({ inputs: { 'allow-live-tokens': 'FALSE' } });
    for (let time = 0; time < 2; time += 1) await requestToken(started);
    // What counts is what main was given.
    const ended = await post({ inputs: { 'allow-live-tokens': 'true' } });
    expectRed(ended, '2 access tokens left alive at the end of the job: revoke every token, or set allow-live-tokens');
    expect(ended.log[0]).toBe('The mock Dashboard has ended. It issued 2 access tokens and got 2 requests.');
  });

  test('it may be left alive with allow-live-tokens: true', async () => {
    const { main, post } = await newMockJob();
    await requestToken(await main({ inputs: { 'allow-live-tokens': 'true' } }));
    const ended = await post();
    expectGreen(ended);
    expect(ended.log.at(-1)).toBe('1 access token left alive at the end of the job, which allow-live-tokens permits.');
  });
});

test('its inputs and outputs have types', () => {
  const [action, types] = [read('action.yml'), read('action-types.yml')];
  for (const kind of ['inputs', 'outputs'] as const) {
    expect(Object.keys(types[kind])).toEqual(Object.keys(action[kind]));
  }
});

describe('when it can not start, main is red, and no process is left', () => {
  /** The key of the state is taken: what a later step sets for it does not reach post. */
  const NOTHING_SAVED = { dashboard: '' };

  test('an input that is no boolean', async () => {
    const { job, main, post } = await newMockJob();
    const message = /^Input allow-live-tokens is not a boolean: give/;
    expectRed(await main({ inputs: { 'allow-live-tokens': 'yes' } }), message);
    expect(job.state).toEqual(NOTHING_SAVED);
    const ended = await post();
    expectGreen(ended);
    expect(ended.log).toEqual([NOTHING_STARTED]);
  });

  test('the state can not be written: nothing is started', async () => {
    const { main, post } = await newMockJob();
    const failed = await main({ env: { GITHUB_STATE: undefined } });
    expectRed(failed, /^The file in GITHUB_STATE can't be written \(ENOENT\)\.$/);
    expect((await post()).log).toEqual([NOTHING_STARTED]);
  });

  const NO_OUTPUTS = /^The file in GITHUB_OUTPUT can't be written \(ENOENT\)\.$/;
  test.each<[name: string, behaviour: string, env: Record<string, undefined>, message: RegExp]>([
    ['has no port', 'has no port', {}, /^The mock Dashboard could not be started: listen EADDRNOTAVAIL: address not/],
    ['ends at once', 'ends at once', {}, /^The mock Dashboard could not be started: its process ended at once\.$/],
    ['can not be told of, in outputs', '', { GITHUB_OUTPUT: undefined }, NO_OUTPUTS],
  ])('its process %s', async (_name, behaviour, env, message) => {
    const { job, main, background } = await newMockJob(behaviour);
    expectRed(await main({ env }), message);
    await (await background).ended;
    expect(job.state).toEqual(NOTHING_SAVED);
  });

  test.each([
    'cancels main before it listens',
    'cancels main when it listens',
    'cancels main after telling it where it listens',
  ])('main is cancelled: its process %s', async (behaviour) => {
    const { job, main, post, background } = await newMockJob(behaviour);
    expect((await main()).exitCode).not.toBe(0);
    // In the third case it is open how far main got: up to its end, after which it is for post to end the process.
    if (job.state['dashboard'] !== '') await post();
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
    // An input that is empty means its default.
    expectGreen(await main({ inputs: { 'allow-live-tokens': '' } }));
    const { pid, ended } = await background;
    process.kill(pid, 'SIGKILL');
    await ended;
    const message = /^The mock Dashboard did not answer at the end of the job \(ECONNREFUSED\): something ended/;
    expectRed(await post(), message);
  });

  test('is ended by nobody who does not know how, and in the end by itself, where no post step comes', async () => {
    const { job, main, background } = await newMockJob('has no time');
    await main();
    const { socket, pid, ended } = await background;
    const { control } = JSON.parse(job.state['dashboard'] ?? '');
    expect((await fetch(control)).status).toBe(404);
    expect((await fetch(new URL('/', control), { method: 'POST' })).status).toBe(404);
    // It has a process group of its own, so that the terminal of its step can hang up.
    if (process.platform !== 'win32') expect(process.kill(-pid, 0)).toBe(true);
    socket.write('The time is up.');
    await ended;
  });
});
