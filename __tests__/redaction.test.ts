import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { StepResult } from '../mock/runner.mts';
import {
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  newJob,
  runMain,
  runPost,
} from './support/job';
import { answer, issue, json, page, startServer, TOKEN } from './support/scripted-server';

/** What a step showed of each answer of 503, in the order in which they came. */
function shownOf(main: StepResult): (string | undefined)[] {
  return main.log
    .filter((line) => line.startsWith('Attempt'))
    .map((line) => /\(service unavailable\)(?:: )?(.*)\. Retrying/.exec(line)?.[1]);
}

describe('of an error body only the words of the OAuth fields are shown, on one line', () => {
  const CASES: [body: unknown, shown: string][] = [
    [{ error: 'invalid_scope', error_description: 'No such scope.' }, 'invalid_scope: No such scope'],
    [{ error: 'invalid_scope', error_description: 'No such scope.', detail: 'More.' }, 'invalid_scope: No such scope'],
    [{ error: 'over', detail: 'Not today.' }, 'over: Not today'],
    [
      { detail: 'Request was throttled. Expected available in 86 seconds.' },
      'Request was throttled. Expected available in 86 seconds',
    ],
    [{ error: 'one\r\n::error::two' }, 'one …'],
    [{ error: 'one\n##[add-mask]two\nthree' }, 'one … three'],
    [{ error: '::set-output name=token::x' }, ''],
    [{ error: 'one\u2028two\u0085three \u001b[31m red' }, 'one … red'],
    [{ error: 'see https://evil.test/ for more' }, 'see … for more'],
    [{ error: { nested: 'hidden' }, error_description: 5, detail: null }, ''],
    [{ message: 'hidden', html: '<p>', title: 'hidden' }, ''],
    [['hidden'], ''],
    ['hidden', ''],
    [{ error: 'word '.repeat(100) }, 'word '.repeat(40).trim()],
    [{ error: '  not today.\n' }, 'not today'],
    [{ error: 'it is, in 86 4 2, not there' }, '…, not there'],
  ];

  test('in a fault that is tried again', async () => {
    const server = await startServer({ token: [...CASES.map(([body]) => json(503, body)), page(503), issue()] });
    const main = await runMain(server);
    expectGreen(main);
    expect(shownOf(main)).toEqual([...CASES.map(([, shown]) => shown), '']);
    expect(main.commands).toEqual(['add-mask', 'add-mask']);
  });

  test('in an error', async () => {
    const server = await startServer({
      token: [json(401, { error: 'one\n::warning::two', error_description: 'three' })],
    });
    const main = await runMain(server);
    expectRed(main, /did not accept the credentials \(401\): one … three\. Check/);
    expect(main.commands).toEqual(['add-mask', 'error']);
  });

  test('and neither a status text nor a header', async () => {
    const server = await startServer({
      token: [
        (response) => {
          response.writeHead(499, '::warning::flowerpot', { 'x-more': 'flowerpot', server: 'flowerpot' }).end();
        },
      ],
    });
    const main = await runMain(server, { debug: true });
    expectRed(main, /499/);
    expect(main.raw).not.toContain('flowerpot');
  });
});

describe('the client secret is not seen where a server sends it back', () => {
  const ECHOES: [name: string, spell: (secret: string) => string][] = [
    ['as it is', String],
    ['in a form', (secret) => new URLSearchParams({ secret }).toString()],
    ['percent-encoded', encodeURIComponent],
    ['percent-encoded, less what a path may hold', (secret) => encodeURI(secret)],
    [
      'percent-encoded in small letters',
      (secret) => encodeURIComponent(secret).replaceAll(/%../g, (code) => code.toLowerCase()),
    ],
    ['in JSON', JSON.stringify],
    ['in JSON of ASCII', (secret) => JSON.stringify(secret).replaceAll('é', '\\u00e9')],
    ['in base64', (secret) => Buffer.from(secret).toString('base64')],
    ['in base64url', (secret) => Buffer.from(secret).toString('base64url')],
    ['in hex', (secret) => Buffer.from(secret).toString('hex')],
    ['in hex pairs', (secret) => Buffer.from(secret).toString('hex').replaceAll(/../g, '$& ')],
    ['as the numbers of its bytes', (secret) => [...Buffer.from(secret)].join(' ')],
    ['letter by letter, backwards', (secret) => [...secret].reverse().join('-')],
    ['in HTML', (secret) => secret.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')],
    ['in HTML of ASCII', (secret) => secret.replaceAll('é', '&#xe9;')],
    ['in upper case', (secret) => secret.toUpperCase()],
    ['cut off', (secret) => secret.slice(0, 6)],
    ['behind much else', (secret) => `${'x'.repeat(190)}${secret}`],
  ];
  const bodies = ECHOES.map(([, spell]) =>
    json(503, { error_description: `you sent ${spell(CLIENT_SECRET)} from there` }),
  );

  test('in whatever spelling', async () => {
    const server = await startServer({ token: [...bodies, issue()] });
    const main = await runMain(server, { debug: true });
    expectGreen(main);
    const shown = shownOf(main);
    expect(shown).toHaveLength(ECHOES.length);
    ECHOES.forEach(([name], index) => {
      expect([name, shown[index]]).toEqual([name, 'you sent … from there']);
    });
    expectUnseen(main, ...ECHOES.map(([, spell]) => spell(CLIENT_SECRET)), 's3cr3t');
  });

  test('in the post step', async () => {
    const server = await startServer({ revoke: [...bodies, json(401, { error: `no ${CLIENT_SECRET}` })] });
    const job = newJob();
    await runMain(server, { job });
    const post = await runPost(server, job, { debug: true });
    expectWarning(post, /\(401\): no …\. Check/);
    expect(shownOf(post)).toEqual(ECHOES.map(() => 'you sent … from there'));
    expectUnseen(post, ...ECHOES.map(([, spell]) => spell(CLIENT_SECRET)), 's3cr3t');
  });

  test('where it is made of words', async () => {
    const secret = 'tom & jerry run away';
    const echoes = [secret, secret.replace('&', '&amp;'), secret.toUpperCase(), secret.replaceAll(' ', '+'), 'jerry'];
    const bodies = echoes.map((echo) => json(503, { detail: `not ${echo}, sir` }));
    const server = await startServer({ token: [...bodies, issue()] });
    const main = await runMain(server, { inputs: { 'client-secret': secret } });
    expectGreen(main);
    expect(shownOf(main)).toEqual(echoes.map(() => 'not … sir'));
  });
});

test('an access token is not seen where a server sends it back, in main or in post', async () => {
  const echo = (status: number) => json(status, { error: `no ${TOKEN} or ${encodeURIComponent(TOKEN)} here` });
  const server = await startServer({
    token: [json(503, { access_token: TOKEN, detail: `no ${TOKEN} here` }), issue()],
    revoke: [echo(503), echo(401)],
  });
  const job = newJob();
  const main = await runMain(server, { job, debug: true });
  expect(shownOf(main)).toEqual(['no … here']);
  const post = await runPost(server, job, { debug: true });
  expect(shownOf(post)).toEqual(['no … or … here']);
  expectWarning(post, /\(401\): no … or … here\. Check/);
  for (const step of [main, post]) expectUnseen(step, TOKEN, encodeURIComponent(TOKEN), TOKEN.slice(4, 20));
});

test('nor is one that is a word, in post, which did not ask for it', async () => {
  const server = await startServer({
    token: [issue({ access_token: 'opensesame' })],
    revoke: [json(401, { error: 'no opensesame here' })],
  });
  const job = newJob();
  await runMain(server, { job });
  const post = await runPost(server, job);
  expectWarning(post, /\(401\): no … here\. Check/);
  expectUnseen(post, 'opensesame');
});

test('of where a redirect leads nothing is shown that a secret could be in', async () => {
  const secret = 'secret0123456789abcdef';
  const locations = [
    `https://evil.test/${secret}?${secret}#${secret}`,
    `https://${secret}@evil.test/`,
    `https://${secret}.evil.test/`,
    `https://${secret.slice(0, 12)}.evil.test/`,
    `https://${Buffer.from(secret).toString('hex')}.evil.test/`,
  ];
  const steps = await Promise.all(
    locations.map(async (location) => {
      const server = await startServer({ token: [answer(302, '', { location })] });
      return runMain(server, { inputs: { 'client-secret': secret }, debug: true });
    }),
  );
  for (const step of steps) {
    expectRed(step, /redirected the request \(302\) to (….)?evil\.test; redirects/);
    expectUnseen(step, secret, 'secret0', Buffer.from(secret).toString('hex'));
  }
});

test('the causes of an error follow with debug logging, under the same rules', async () => {
  const server = await startServer({ token: [json(503, { error: CLIENT_SECRET })] });
  const inputs = { 'timeout-seconds': '1' };
  const [failed, unknown] = await Promise.all([
    runMain(server, { debug: true, inputs }),
    runMain(
      { url: 'https://dashboard.invalid' },
      {
        debug: true,
        inputs,
        nodeArgs: ['--require', join(import.meta.dirname, 'support', 'unknown-host.cjs')],
        env: { TEST_DNS_ERROR: 'ENOTFOUND' },
      },
    ),
  ]);
  expect(failed.log.filter((line) => line.startsWith('##[debug]'))).toEqual([
    expect.stringMatching(/^##\[debug\]Failure: The Dashboard answered 503 .*gave up/),
    expect.stringMatching(/^##\[debug\]Failure: The Dashboard answered 503 /),
  ]);
  // A message of Node's holds what it worked on.
  expect(unknown.log.at(-1)).toBe('##[debug]Error: ENOTFOUND: getaddrinfo: getaddrinfo …');
  for (const step of [failed, unknown]) expectUnseen(step, CLIENT_SECRET);
});
