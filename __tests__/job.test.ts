import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { type Dashboard, startDashboard } from '../mock/dashboard.mts';
import { ACTION_DIR } from '../mock/runner.mts';
import { cleanup } from './support/cleanup';
import {
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  filesOf,
  inputsFor,
  newJob,
  printed,
} from './support/job';

const DAY_MS = 86_400_000;

async function mockDashboard(): Promise<Dashboard & { inputs: Record<string, string> }> {
  const dashboard = await startDashboard();
  cleanup(dashboard.close);
  const { clientId, clientSecret, url } = dashboard;
  const inputs = { 'client-id': clientId, 'client-secret': clientSecret, 'api-url': url };
  return { ...dashboard, inputs };
}

async function useToken({ url }: Dashboard, token = ''): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  return (await fetch(`${url}/developer/v1/printers/`, { headers })).status;
}

test.each(['client-id', 'client-secret'])(
  'a wrong %s is refused, and the other input is not doubted',
  async (input) => {
    const { inputs } = await mockDashboard();
    const main = await newJob().run('main', { inputs: { ...inputs, [input]: 'wrong0123456789' } });
    expectRed(main, /did not accept the credentials \(401\): invalid_client\. Check [^:]*: ?\/\/[^ ]*\.$/);
  },
);

test('a job gets a token that works, and that is refused when the job has ended', async () => {
  const dashboard = await mockDashboard();
  const job = newJob();

  const main = await job.run('main', { inputs: dashboard.inputs });
  expectGreen(main);
  const { token } = main.outputs;
  expect(Object.keys(main.outputs)).toEqual(['token', 'expires-at']);
  expect(await useToken(dashboard, token)).toBe(200);

  const post = await job.run('post', { inputs: dashboard.inputs });
  expectGreen(post);
  expect(await useToken(dashboard, token)).toBe(401);
  expect(dashboard.liveTokens()).toBe(0);
  const ours = dashboard.requests().filter((request) => request.startsWith('POST'));
  expect(ours).toEqual(['POST /developer/v1/o/token/', 'POST /developer/v1/o/revoke_token/']);
});

test('expires-at says when the token expires, a day from now', async () => {
  const dashboard = await mockDashboard();
  const before = Date.now();
  const { outputs } = await newJob().run('main', { inputs: dashboard.inputs });
  expect(outputs['expires-at']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const expiry = Date.parse(outputs['expires-at'] ?? '');
  // It is reckoned from the Date of the answer, which knows whole seconds.
  expect(expiry).toBeGreaterThan(before + DAY_MS - 2_000);
  expect(expiry).toBeLessThanOrEqual(Date.now() + DAY_MS);
});

test.each([false, true])('secret and token are masked and never seen, with debug logging %s', async (debug) => {
  const dashboard = await mockDashboard();
  const job = newJob();
  const main = await job.run('main', { inputs: dashboard.inputs, debug });
  const post = await job.run('post', { inputs: dashboard.inputs, debug });
  const token = main.outputs['token'] ?? '';

  expect(job.masks).toEqual(new Set([dashboard.clientSecret, token]));
  expect(main.raw).toMatch(/^::add-mask::/);
  for (const step of [main, post]) {
    expectUnseen(step, dashboard.clientSecret, token);
    expect(new Set(step.commands)).toEqual(new Set(['add-mask', ...(debug ? ['debug'] : [])]));
    expect(step.stderr).toBe('');
  }
});

test('the client secret is in no file of the job, and the token only in state and output', async () => {
  const dashboard = await mockDashboard();
  const job = newJob();
  const main = await job.run('main', { inputs: dashboard.inputs });
  await job.run('post', { inputs: dashboard.inputs });
  expect(filesOf(job)).not.toContain(dashboard.clientSecret);
  expect(JSON.stringify(job.state)).toContain(main.outputs['token']);
});

test('the first line says where a token is asked for, before any answer comes', async () => {
  const dashboard = await startDashboard({ script: { token: [() => undefined] } });
  cleanup(dashboard.close);
  const step = newJob().start('main', { inputs: inputsFor(dashboard) });
  await printed(step, `Requesting an access token from ${dashboard.url}.`);
  step.child.kill('SIGKILL');
  await step.done;
});

test('the log says where the token came from, when it expires, and what becomes of it', async () => {
  const dashboard = await mockDashboard();
  const job = newJob();
  const main = await job.run('main', { inputs: dashboard.inputs });
  expect(main.log).toEqual([
    `Requesting an access token from ${dashboard.url}.`,
    `${dashboard.url} issued an access token, valid until ${main.outputs['expires-at']}.`,
    'Available as output `token`, masked in the log. It will be revoked when this job ends.',
  ]);
  const post = await job.run('post', { inputs: dashboard.inputs });
  expect(post.log).toEqual([
    `Revoking the access token at ${dashboard.url}.`,
    `Revoked the access token at ${dashboard.url}.`,
  ]);
});

test('two uses in one job have a token each, and both are revoked', async () => {
  const dashboard = await mockDashboard();
  const [first, second] = [newJob(), newJob()];
  const tokens = [
    (await first.run('main', { inputs: dashboard.inputs })).outputs['token'],
    (await second.run('main', { inputs: dashboard.inputs })).outputs['token'],
  ];
  expect(new Set(tokens).size).toBe(2);
  expect(dashboard.liveTokens()).toBe(2);
  expectGreen(await second.run('post', { inputs: dashboard.inputs }));
  expect(await useToken(dashboard, tokens[0])).toBe(200);
  expectGreen(await first.run('post', { inputs: dashboard.inputs }));
  expect(dashboard.liveTokens()).toBe(0);
});

test('with skip-token-revoke the token outlives the job, and both steps say so', async () => {
  const dashboard = await mockDashboard();
  const job = newJob();
  const inputs = { ...dashboard.inputs, 'skip-token-revoke': 'true' };
  const main = await job.run('main', { inputs });
  expect(main.log.at(-1)).toBe(
    'Available as output `token`, masked in the log. It stays valid: skip-token-revoke is true.',
  );
  const post = await job.run('post', { inputs });
  expectGreen(post);
  const kept = 'The access token is left alive, since skip-token-revoke is true, and stays valid until';
  expect(post.log).toEqual([`${kept} ${main.outputs['expires-at']}.`]);
  expect(await useToken(dashboard, main.outputs['token'])).toBe(200);
  expect(dashboard.requests()).not.toContain('POST /developer/v1/o/revoke_token/');
});

test('what counts is the skip-token-revoke of the main step', async () => {
  const dashboard = await mockDashboard();
  const job = newJob();
  await job.run('main', { inputs: dashboard.inputs });
  expectGreen(await job.run('post', { inputs: { ...dashboard.inputs, 'skip-token-revoke': 'true' } }));
  expect(dashboard.liveTokens()).toBe(0);
});

test('a post step without state has nothing to revoke, and asks nobody', async () => {
  const dashboard = await mockDashboard();
  const post = await newJob().run('post', { inputs: dashboard.inputs });
  expectGreen(post);
  expect(post.log).toEqual(['There is no access token to revoke.']);
  expect(dashboard.requests()).toEqual([]);
});

test('the post step revokes with what main used, whatever its own inputs say', async () => {
  const dashboard = await mockDashboard();
  const job = newJob();
  await job.run('main', { inputs: dashboard.inputs });
  const post = await job.run('post', {
    inputs: {
      'client-id': 'another',
      'client-secret': dashboard.clientSecret,
      'api-url': 'https://elsewhere.invalid/',
      'skip-token-revoke': 'perhaps',
      'timeout-seconds': 'forever',
    },
  });
  expectGreen(post);
  expect(dashboard.liveTokens()).toBe(0);
});

test('a post step that got no inputs warns, and says what helps and how long the token lives', async () => {
  const dashboard = await mockDashboard();
  const job = newJob();
  const main = await job.run('main', { inputs: dashboard.inputs });
  const help = 'composite actions: name the input client-secret in every one';
  expectWarning(await job.run('post'), `could not be revoked.*until ${main.outputs['expires-at']}:.*${help}`);
  expect(dashboard.liveTokens()).toBe(1);
  expect(dashboard.requests()).toHaveLength(1);
});

test('npm start tells a whole job and ends well', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(ACTION_DIR, 'mock/start.mts')]);
  expect(stdout).toContain('FORMLABS_ACCESS_TOKEN=***');
  expect(stdout).toContain('The token is refused now (401).');
  expect(stdout).toContain('Tokens issued: 1. Tokens alive: 0.');
});

test('npm start -- --brief shows nothing of the printers, and --node runs the steps with another Node', async () => {
  const args = [join(ACTION_DIR, 'mock/start.mts'), '--brief', '--node', process.execPath];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(stdout).toContain(`The steps run on Node ${process.version}`);
  expect(stdout).toContain('The token is accepted (200).');
  expect(stdout).not.toMatch(/Form4|Prototyping|IDLE/);
});
