import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type Job, parseCommand, parseFileCommands, type StepResult } from '../mock/runner.mts';
import {
  attemptsIn,
  expectGreen,
  expectRed,
  expectUnseen,
  filesOf,
  NO_JITTER,
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

describe("when the runner's file for outputs can't be written", () => {
  test('for there is none, main prints no token in place of it, and revokes it', async () => {
    const server = await startServer();
    const main = await runMain(server, { env: { GITHUB_OUTPUT: undefined } });
    expectRed(main, /^The runner's output file can't be written \(no file in GITHUB_OUTPUT\)/);
    expectUnseen(main, TOKEN);
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('and the token can not be revoked either, post does it, also with skip-token-revoke', async () => {
    const server = await startServer({ revoke: [answer(404), answer(200)] });
    const job = newJob();
    const folder = join(job.tempDir, 'a-folder');
    mkdirSync(folder);
    const main = await runMain(server, { job, inputs: SKIP, env: { GITHUB_OUTPUT: folder } });
    expectRed(main, /^The runner's output file can't be written \(E/);
    expect(main.log).toContainEqual(
      expect.stringMatching(/^The post step will revoke an access token that could not be revoked now\. There/),
    );
    expect(server.revoked).toEqual([]);
    expectGreen(await runPost(server, job, { inputs: SKIP }));
    expect(server.revoked).toEqual([TOKEN]);
  });
});

describe('when the disk is full from a write on, of which it took a half', () => {
  /** A part of a value would make the runner fail the step for its own reason, and lose all that the file holds. */
  function fullAtWrite(server: ScriptedServer, write: number, job: Job, inputs = {}): Promise<StepResult> {
    const nodeArgs = preload('no-jitter', 'full-disk');
    const env = { TEST_FULL_AT_WRITE: String(write) };
    return runMain(server, { job, inputs, nodeArgs, env });
  }

  test('the first: nothing is requested', async () => {
    const server = await startServer();
    const job = newJob();
    const main = await fullAtWrite(server, 1, job);
    expectRed(
      main,
      /^The runner's state file can't be written \(ENOSPC\): make sure .* temp folder exists, is writable and/,
    );
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

  test('that of the second output: main revokes the token, and post at worst once more', async () => {
    const server = await startServer();
    const job = newJob();
    expectRed(await fullAtWrite(server, 4, job), /output file can't be written \(ENOSPC\)/);
    expect(server.revoked).toEqual([TOKEN]);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN, TOKEN]);
  });

  test('that which says that the token is left alive: it is not', async () => {
    const server = await startServer();
    const main = await fullAtWrite(server, 5, newJob(), SKIP);
    expect(main.annotations).toEqual([{ level: 'error', message: expect.stringContaining('state file') }]);
    expect(main.exitCode).toBe(1);
    expect(server.revoked).toEqual([TOKEN]);
  });
});

describe('a token that can not be saved', () => {
  /** Runs main with a server that takes the state file away with the token. */
  async function lose(nodeArgs: readonly string[], ...revoke: Behaviour[]) {
    const job = newJob();
    const GITHUB_STATE = join(job.tempDir, 'its-state');
    writeFileSync(GITHUB_STATE, '');
    const token: Behaviour = (...request) => {
      rmSync(GITHUB_STATE, { maxRetries: 5 });
      issue()(...request);
    };
    const server = await startServer({ token: [token], revoke });
    const main = await runMain(server, { job, nodeArgs, env: { GITHUB_STATE } });
    expectRed(main, /^The runner's state file can't be written/);
    expect(job.masks).toContain(TOKEN);
    expect(server.revoked).toEqual([TOKEN]);
    return main;
  }

  test('is masked, and revoked with as much patience as timeout-seconds has', async () => {
    const main = await lose(NO_JITTER, page(503), page(503), page(503), answer(200));
    expect(attemptsIn(main)[0]).toMatch(/of [56]\d s left\)\.$/);
  });

  test('is revoked also where the time is up, and tried again for some seconds', async () => {
    const main = await lose(preload('no-jitter', 'pause'), page(503), answer(200));
    expect(attemptsIn(main)).toEqual([expect.stringMatching(/of 10 s left\)\.$/)]);
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
