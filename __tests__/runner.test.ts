import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type Job, parseCommand, parseFileCommands, type StepResult } from '../mock/runner.mts';
import {
  expectGreen,
  expectRed,
  expectUnseen,
  filesOf,
  inputsFor,
  newJob,
  preload,
  runMain,
  runPost,
} from './support/job';
import {
  answer,
  type Behaviour,
  issue,
  page,
  type ScriptedServer,
  startServer,
  TOKEN,
} from './support/scripted-server';

const SKIP = { 'skip-token-revoke': 'true' };
const onUnix = process.platform === 'win32' ? test.skip : test;
const onLinux = existsSync('/dev/full') ? test : test.skip;

/** A path that no file can be written to. */
function folder(job: Job): string {
  const path = join(job.tempDir, 'a-folder');
  mkdirSync(path, { recursive: true });
  return path;
}

const unwritable: [name: string, path: (job: Job) => string | undefined, reason: string][] = [
  ['a folder in its place', folder, '(E'],
  ['no file', (job) => join(job.tempDir, 'missing'), '(no file in GITHUB_'],
  ['no variable', () => undefined, '(no file in GITHUB_'],
];

describe("when the runner's files can't be written", () => {
  test.each(unwritable)('state at the start: red, and nothing is requested (%s)', async (_name, path, reason) => {
    const server = await startServer();
    const job = newJob();
    const main = await runMain(server, { job, env: { GITHUB_STATE: path(job) } });
    expectRed(main, /^The runner's state file can't be written .*: make sure .* temp folder exists, is writable and/);
    expect(main.annotations[0]?.message).toContain(reason);
    expect(server.requests).toEqual([]);
  });

  test.each(unwritable)('output: red, and the token is revoked (%s)', async (_name, path, reason) => {
    const server = await startServer();
    const job = newJob();
    const main = await runMain(server, { job, env: { GITHUB_OUTPUT: path(job) } });
    expectRed(main, /^The runner's output file can't be written/);
    expect(main.annotations[0]?.message).toContain(reason);
    expectUnseen(main, TOKEN);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('output, with skip-token-revoke: the token is revoked all the same', async () => {
    const server = await startServer();
    const job = newJob();
    expectRed(await runMain(server, { job, inputs: SKIP, env: { GITHUB_OUTPUT: folder(job) } }), /output/);
    expect(server.revoked).toEqual([TOKEN]);
    expectGreen(await runPost(server, job));
  });

  test('output, and the token can not be revoked either: post does it', async () => {
    const server = await startServer({ revoke: [answer(404), answer(200)] });
    const job = newJob();
    const main = await runMain(server, { job, env: { GITHUB_OUTPUT: folder(job) } });
    expectRed(main, /^The runner's output file can't be written/);
    expect(main.log).toContainEqual(
      expect.stringMatching(/^The post step will revoke an access token that could not be revoked now: there/),
    );
    expect(server.revoked).toEqual([]);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });

  onLinux('on a full disk the reason is named', async () => {
    const server = await startServer();
    expectRed(await runMain(server, { env: { GITHUB_OUTPUT: '/dev/full' } }), /\(ENOSPC\)/);
    expect(server.revoked).toEqual([TOKEN]);
  });
});

describe('when the disk is full from a write on, of which it took a half', () => {
  /** A part of a value would make the runner fail the step for its own reason, and lose all that the file holds. */
  function fullAtWrite(server: ScriptedServer, write: number, job: Job, inputs = {}, writes = 99): Promise<StepResult> {
    const nodeArgs = preload('no-jitter', 'full-disk');
    const env = { TEST_FULL_AT_WRITE: String(write), TEST_FULL_WRITES: String(writes) };
    return runMain(server, { job, inputs, nodeArgs, env });
  }

  test('the first: nothing is requested', async () => {
    const server = await startServer();
    const job = newJob();
    expectRed(await fullAtWrite(server, 1, job), /state file can't be written \(ENOSPC\)/);
    expect(job.state).toEqual({});
    expect(server.requests).toEqual([]);
  });

  test('that of the token: main revokes it', async () => {
    const server = await startServer();
    const job = newJob();
    expectRed(await fullAtWrite(server, 2, job), /state file can't be written \(ENOSPC\)/);
    expect(filesOf(job)).not.toContain(TOKEN);
    expect(job.masks).toContain(TOKEN);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test.each([3, 4])('that of the outputs (%d): main revokes the token, and post at worst once more', async (write) => {
    const server = await startServer();
    const job = newJob();
    expectRed(await fullAtWrite(server, write, job), /output file can't be written \(ENOSPC\)/);
    expect(server.revoked).toEqual([TOKEN]);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN, TOKEN]);
  });

  test('that which says that the token is left alive: it is not', async () => {
    const server = await startServer();
    const job = newJob();
    // The two outputs are a write each.
    const main = await fullAtWrite(server, 5, job, SKIP);
    expect(main.annotations).toEqual([{ level: 'error', message: expect.stringContaining('state file') }]);
    expect(main.exitCode).toBe(1);
    expect(server.revoked).toEqual([TOKEN]);
    expectGreen(await runPost(server, job));
  });

  test('that which says that a token is revoked: main is red as ever, and post revokes it once more', async () => {
    const server = await startServer({ token: [issue({ token_type: 'mac' })] });
    const job = newJob();
    expectRed(await fullAtWrite(server, 3, job, {}, 1), /token_type other than Bearer/);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN, TOKEN]);
  });
});

describe('a token that can not be saved', () => {
  /** A server that takes the state file away with its answer. */
  async function losing(behaviour: Behaviour, ...revoke: Behaviour[]) {
    const job = newJob();
    const GITHUB_STATE = join(job.tempDir, 'its-state');
    writeFileSync(GITHUB_STATE, '');
    const token: Behaviour = (...request) => {
      rmSync(GITHUB_STATE, { maxRetries: 5 });
      behaviour(...request);
    };
    const server = await startServer({ token: [token], ...(revoke.length > 0 && { revoke }) });
    const env = { GITHUB_STATE };
    return { job, server, env, run: () => runMain(server, { job, env }) };
  }

  test.each<[name: string, behaviour: Behaviour]>([
    ['a good one', issue()],
    ['one that can not be used', issue({ token_type: 'mac' })],
  ])('is masked, and revoked by main, which is red (%s)', async (_name, behaviour) => {
    const { job, server, run } = await losing(behaviour);
    expectRed(await run(), /^The runner's state file can't be written/);
    expect(job.masks).toContain(TOKEN);
    expect(server.revoked).toEqual([TOKEN]);
    expect(server.requests).toHaveLength(2);
  });

  test('is revoked with as much patience as timeout-seconds has', async () => {
    const { server, run } = await losing(issue(), page(503), page(503), page(503), answer(200));
    expectRed(await run(), /^The runner's state file can't be written/);
    expect(server.revoked).toEqual([TOKEN]);
  });

  onUnix('is revoked also where the time is up', async () => {
    const taken = Promise.withResolvers<() => void>();
    const held: Behaviour = (...request) => taken.resolve(() => issue()(...request));
    const { job, server, env } = await losing(held);
    const inputs = inputsFor(server, { 'timeout-seconds': '1' });
    const { child, done } = job.start('main', { inputs, env });
    const answerNow = await taken.promise;
    child.kill('SIGSTOP');
    answerNow();
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    child.kill('SIGCONT');
    expectRed(await done, /^The runner's state file can't be written/);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('is said to live on if it can not be revoked either', async () => {
    const { run } = await losing(issue(), answer(404));
    expectRed(
      await run(),
      /neither be saved .* nor revoked, .*up to a day\. .* delete its credentials .*: there is nothing/,
    );
  });
});

describe('the little runner reads what a step leaves as the real one does', () => {
  test.each<[line: string, command: object | undefined]>([
    ['::error::it broke', { name: 'error', data: 'it broke' }],
    ['  ::warning file=a,line=1::x%0Ay%25', { name: 'warning', data: 'x\ny%' }],
    ['::add-mask::a::b', { name: 'add-mask', data: 'a::b' }],
    ['text ::error::x', undefined],
    ['::unknown::x', undefined],
    ['text ##[error]x', { name: 'error', data: 'x' }],
    ['##[unknown]x', undefined],
  ])('%s', (line, command) => {
    expect(parseCommand(line)).toEqual(command);
  });

  test('files', () => {
    const text = 'a=1\nb<<E\nx\n\ny=z\nE\na=2\nc<<F\nF\n';
    expect(parseFileCommands(text)).toEqual({ a: '2', b: 'x\n\ny=z', c: '' });
    expect(() => parseFileCommands('b<<E\nx\n')).toThrow('delimiter');
    expect(() => parseFileCommands('nonsense')).toThrow('format');
  });
});
