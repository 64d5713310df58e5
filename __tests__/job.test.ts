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
const ASKED = ['POST /developer/v1/o/token/', 'POST /developer/v1/o/revoke_token/'];

async function mockDashboard(): Promise<Dashboard & { inputs: Record<string, string> }> {
  const dashboard = await startDashboard();
  cleanup(dashboard.close);
  const { clientId, clientSecret, url } = dashboard;
  const inputs = { 'client-id': clientId, 'client-secret': clientSecret, 'api-url': url };
  return { ...dashboard, inputs };
}

test('a wrong secret is refused, and its form is not doubted', async () => {
  const { inputs } = await mockDashboard();
  const main = await newJob().run('main', { inputs: { ...inputs, 'client-secret': 'wrong0123456789' } });
  expectRed(main, /did not accept the credentials \(401\): invalid_client\. Check [^:]*: ?\/\/[^ ]*\.$/);
});

test.each([false, true])('a job has a token that works until the job ends, with debug logging %s', async (debug) => {
  const dashboard = await mockDashboard();
  const { url, inputs, clientSecret } = dashboard;
  const job = newJob();
  const startedAt = Date.now();
  const main = await job.run('main', { inputs, debug });
  expectGreen(main);
  const { token = '', 'expires-at': expiresAt = '' } = main.outputs;
  expect(Object.keys(main.outputs)).toEqual(['token', 'expires-at']);
  expect(dashboard.accepts(token)).toBe(true);
  expect(expiresAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  // It is reckoned from the Date of the answer, which knows whole seconds.
  expect(Date.parse(expiresAt)).toBeGreaterThan(startedAt + DAY_MS - 2_000);
  expect(Date.parse(expiresAt)).toBeLessThanOrEqual(Date.now() + DAY_MS);

  const post = await job.run('post', { inputs, debug });
  expectGreen(post);
  expect([dashboard.liveTokens(), dashboard.revokedTokens]).toEqual([0, [token]]);
  expect(dashboard.requests()).toEqual(ASKED);

  const said = [main, post].flatMap(({ log }) => log).filter((line) => !line.startsWith('##[debug]'));
  expect(said).toEqual([
    `Requesting an access token from ${url}.`,
    `${url} issued an access token, valid until ${expiresAt}.`,
    'Available as output `token`, masked in the log. It will be revoked when this job ends.',
    `Revoking the access token at ${url}.`,
    `Revoked the access token at ${url}.`,
  ]);

  expect(job.masks).toEqual(new Set([clientSecret, token]));
  expect(main.raw).toMatch(/^::add-mask::/);
  for (const step of [main, post]) {
    expectUnseen(step, clientSecret, token);
    expect(new Set(step.commands)).toEqual(new Set(['add-mask', ...(debug ? ['debug'] : [])]));
    expect(step.stderr).toBe('');
  }
  expect(JSON.stringify(job.state)).toContain(token);
  expect(filesOf(job)).not.toContain(clientSecret);
});

test('the first line says where a token is asked for, before any answer comes', async () => {
  const dashboard = await startDashboard({ script: { token: [() => undefined] } });
  cleanup(dashboard.close);
  const step = newJob().start('main', { inputs: inputsFor(dashboard) });
  await printed(step, `Requesting an access token from ${dashboard.url}.`);
  step.child.kill('SIGKILL');
  await step.done;
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
  expect(dashboard.accepts(main.outputs['token'] ?? '')).toBe(true);
  expect(dashboard.requests()).toEqual(ASKED.slice(0, 1));
});

test('a post step without state has nothing to revoke, and asks nobody', async () => {
  const dashboard = await mockDashboard();
  const post = await newJob().run('post', { inputs: dashboard.inputs });
  expectGreen(post);
  expect(post.log).toEqual(['There is no access token to revoke.']);
  expect(dashboard.requests()).toEqual([]);
});

test('the post step needs the client secret again, and no other input', async () => {
  const dashboard = await mockDashboard();
  const job = newJob();
  const main = await job.run('main', { inputs: dashboard.inputs });
  // A warning says what helps, and how long the token lives.
  const help = 'composite actions: name the input client-secret in every one';
  expectWarning(await job.run('post'), `could not be revoked.*until ${main.outputs['expires-at']}\\..*${help}`);
  expect([dashboard.liveTokens(), dashboard.requests()]).toEqual([1, ASKED.slice(0, 1)]);

  const others = {
    'client-id': 'another',
    'api-url': 'https://elsewhere.invalid/',
    'skip-token-revoke': 'true',
    'timeout-seconds': 'forever',
  };
  expectGreen(await job.run('post', { inputs: { ...dashboard.inputs, ...others } }));
  expect(dashboard.liveTokens()).toBe(0);
});

// Without arguments it is run in CI by itself.
test('npm start tells a whole job, with --brief nothing of the printers, with --node on another Node', async () => {
  const args = [join(ACTION_DIR, 'mock/start.mts'), '--brief', '--node', process.execPath];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(stdout).toContain(`The steps run on Node ${process.version}`);
  expect(stdout).toContain('FORMLABS_ACCESS_TOKEN=***');
  expect(stdout).toContain('The token is accepted (200).');
  expect(stdout).not.toMatch(/Form4|Prototyping|IDLE/);
  expect(stdout).toContain('The token is refused now (401).');
  expect(stdout).toContain('Tokens issued: 1. Tokens alive: 0.');
});
