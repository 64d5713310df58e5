import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type Job, parseCommand, parseFileCommands } from '../sandbox/runner.mts';
import {
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  NO_JITTER,
  newJob,
  runMain,
  runPost,
} from './support/job';
import { answer, type Behaviour, hang, issue, startServer, TOKEN } from './support/scripted-server';

const SUPPORT = join(import.meta.dirname, 'support');

/** A path that no file can be written to. */
function folder(job: Job): string {
  const path = join(job.tempDir, 'a-folder');
  mkdirSync(path, { recursive: true });
  return path;
}

describe("when the runner's files can't be written", () => {
  test.each<[name: string, path: (job: Job) => string | undefined]>([
    ['a folder in its place', folder],
    ['no file', (job) => join(job.tempDir, 'missing')],
    ['no variable', () => undefined],
  ])('state before a token exists: red, and nothing is requested (%s)', async (_name, path) => {
    const server = await startServer();
    const job = newJob();
    const main = await runMain(server, { job, env: { GITHUB_STATE: path(job) } });
    expectRed(
      main,
      /^The runner's state file can't be written.*: make sure that the runner's temp folder exists, may be written to and has space left\.$/,
    );
    expect(server.requests).toEqual([]);
  });

  test.each<[name: string, path: (job: Job) => string | undefined]>([
    ['a folder in its place', folder],
    ['no file', (job) => join(job.tempDir, 'missing')],
    ['no variable', () => undefined],
  ])('output: red, and the post step revokes (%s)', async (_name, path) => {
    const server = await startServer();
    const job = newJob();
    const main = await runMain(server, { job, env: { GITHUB_OUTPUT: path(job) } });
    expectRed(main, /^The runner's output file can't be written/);
    expectUnseen(main, TOKEN);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('output, with skip-token-revoke: the post step revokes all the same', async () => {
    const server = await startServer();
    const job = newJob();
    const inputs = { 'skip-token-revoke': 'true' };
    expectRed(
      await runMain(server, { job, inputs, env: { GITHUB_OUTPUT: folder(job) } }),
      /output/,
    );
    expectGreen(await runPost(server, job, { inputs }));
    expect(server.revoked).toEqual([TOKEN]);
  });

  const linux = process.platform === 'linux' ? test : test.skip;
  linux('on a full disk the reason is named', async () => {
    const server = await startServer();
    const job = newJob();
    expectRed(await runMain(server, { job, env: { GITHUB_OUTPUT: '/dev/full' } }), /\(ENOSPC\)/);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });

  /** The state file is gone by the time that the token arrives. */
  const losesState =
    (path: string, behaviour: Behaviour): Behaviour =>
    (...request) => {
      rmSync(path);
      behaviour(...request);
    };

  test.each<[name: string, behaviour: Behaviour]>([
    ['a good one', issue()],
    ['one that can not be accepted', issue({ token_type: 'mac' })],
  ])(
    'state for the token: main revokes it itself, then ends red (%s)',
    async (_name, behaviour) => {
      const job = newJob();
      const GITHUB_STATE = join(job.tempDir, 'state');
      writeFileSync(GITHUB_STATE, '');
      const server = await startServer({ token: [losesState(GITHUB_STATE, behaviour)] });
      const main = await runMain(server, { job, env: { GITHUB_STATE } });
      expectRed(main, /^The runner's state file can't be written/);
      expect(job.masks).toContain(TOKEN);
      expect(server.revoked).toEqual([TOKEN]);
      expect(server.requests).toHaveLength(2);
    },
  );

  test('state for the token, and it can not be revoked either: the error says that it lives on', async () => {
    const job = newJob();
    const GITHUB_STATE = join(job.tempDir, 'state');
    writeFileSync(GITHUB_STATE, '');
    const server = await startServer({
      token: [losesState(GITHUB_STATE, issue())],
      revoke: [answer(404)],
    });
    const main = await runMain(server, { job, env: { GITHUB_STATE } });
    expectRed(
      main,
      /^A token that could not be saved for the post step was not revoked either and stays valid for up to a day: there is nothing at/,
    );
  });

  test('state for the token, with the budget used up: there is still time to revoke it', async () => {
    const job = newJob();
    const GITHUB_STATE = join(job.tempDir, 'state');
    writeFileSync(GITHUB_STATE, '');
    const late =
      (behaviour: Behaviour, ms: number): Behaviour =>
      (...request) =>
        void setTimeout(() => behaviour(...request), ms);
    const server = await startServer({
      token: [late(losesState(GITHUB_STATE, issue()), 800)],
      revoke: [late(answer(200), 400)],
    });
    const inputs = { 'timeout-seconds': '1' };
    const main = await runMain(server, { job, env: { GITHUB_STATE }, inputs });
    expectRed(main, /^The runner's state file can't be written/);
    expect(server.revoked).toEqual([TOKEN]);
    expect(main.ms).toBeLessThan(2_000);
  });

  test('more tokens than the state can keep are all revoked at once', async () => {
    const names = [1, 2, 3, 4, 5].map((n) => `${n}${'x'.repeat(8_000)}`);
    const strays = names.map((access_token) => answer(503, JSON.stringify({ access_token })));
    const server = await startServer({ token: strays });
    const job = newJob();
    const main = await runMain(server, { job });
    expectRed(main, /^The Dashboard sent more tokens than the state of the runner can keep\.$/);
    expect(server.revoked).toEqual(names.slice(0, 4));
    expectGreen(await runPost(server, job));
  });
});

describe('a step never ends well by accident', () => {
  test('an event loop that runs dry is red, with an error', async () => {
    const nodeArgs = ['--require', join(SUPPORT, 'dry-loop.cjs')];
    const main = await runMain({ url: 'http://127.0.0.1:1' }, { nodeArgs });
    expectRed(
      main,
      /^This is a defect of the action, please report it .*: the event loop ran dry before the step was finished\.$/,
    );
  });

  test('a defect is one annotation, without a stack, a secret or a command', async () => {
    const server = await startServer({ token: [hang()] });
    const main = await runMain(server, { nodeArgs: ['--require', join(SUPPORT, 'defect.cjs')] });
    expectRed(main, /^This is a defect of the action.*boom ::warning::\*\*\*\.$/);
    expectUnseen(main, CLIENT_SECRET);
    expect(main.ms).toBeLessThan(3_000);
  });

  test('a name lookup without an answer does not keep a failed step from ending', async () => {
    const server = await startServer({ token: [answer(404)] });
    const nodeArgs = ['--require', join(SUPPORT, 'stuck-lookup.cjs')];
    const main = await runMain(server, { nodeArgs });
    expect(main.annotations).toHaveLength(1);
    expect(main.exitCode).not.toBe(0);
    expect(main.ms).toBeLessThan(3_000);
  });

  test('a name lookup that has failed is not taken for one that is under way', async () => {
    // No name server has to be asked: a label has room for 63 characters.
    const main = await runMain({ url: `https://${'a'.repeat(64)}.invalid` });
    expectRed(main, /the host name does not exist \(ENOTFOUND\)|the name lookup failed/);
  });

  test('something that keeps the process alive does not keep the step from ending', async () => {
    const server = await startServer();
    const nodeArgs = [...NO_JITTER, '--require', join(SUPPORT, 'lingering-handle.cjs')];
    const main = await runMain(server, { nodeArgs });
    expectGreen(main);
    expect(main.ms).toBeLessThan(3_000);
  });
});

describe('a post step never throws', () => {
  test.each<[name: string, state: Readonly<Record<string, string>>, message: RegExp]>([
    [
      'settings that are lost',
      { settings: '' },
      /could not be revoked and stays valid until.*: the state of the main step is lost\./,
    ],
    ['settings that are no JSON', { settings: '{' }, /could not be revoked/],
    ['another API URL', { settings: '{"apiUrl":"http://evil.test"}' }, /api-url is not https/],
  ])('%s', async (_name, state, message) => {
    const server = await startServer();
    const job = newJob();
    await runMain(server, { job });
    Object.assign(job.state, state);
    expectWarning(await runPost(server, job), message);
  });

  test('an expiry that is no date', async () => {
    const server = await startServer({ revoke: [answer(404)] });
    const job = newJob();
    await runMain(server, { job });
    Object.assign(job.state, { 'expires-at': 'x\n::error::y' });
    expectWarning(await runPost(server, job), /stays valid for up to a day/);
  });

  test('tokens that are no JSON', async () => {
    const server = await startServer();
    const job = newJob();
    Object.assign(job.state, { tokens: '[' });
    expectGreen(await runPost(server, job));
  });

  test('a secret with a line break', async () => {
    const server = await startServer();
    const job = newJob();
    await runMain(server, { job });
    const post = await runPost(server, job, { inputs: { 'client-secret': 'a\nb' } });
    expectWarning(post, /input client-secret holds a line break/);
  });
});

test('long output is not cut short when the step ends', async () => {
  const server = await startServer({ token: [...Array(50).fill(answer(503)), answer(404)] });
  const main = await runMain(server);
  expect(main.log.filter((line) => line.startsWith('Attempt'))).toHaveLength(50);
  expect(main.annotations).toHaveLength(1);
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

  test('every file that a step writes', async () => {
    const server = await startServer();
    const job = newJob();
    await runMain(server, { job });
    const text = readFileSync(join(job.tempDir, '0', 'state'), 'utf8');
    expect(Object.keys(parseFileCommands(text))).toEqual(['settings', 'tokens', 'expires-at']);
  });
});
