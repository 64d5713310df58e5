import { describe, expect, test } from '@jest/globals';
import type { StepResult } from '../mock/runner.mts';
import {
  attemptsIn,
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  preload,
  runMain,
  runSteps,
} from './support/job';
import {
  answer,
  type Behaviour,
  issue,
  json,
  page,
  reset,
  startServer,
  TOKEN,
  tokenBody,
} from './support/scripted-server';

// What is a word, and what is like a secret, is in text.test.ts. Here it is where they are shown, and where not.

/** What a step showed of each answer of 503, in the order in which they came. */
function shownOf(step: StepResult): (string | undefined)[] {
  return attemptsIn(step).map((line) => /\(service unavailable\)(?:: )?(.*)\. Retrying/.exec(line)?.[1]);
}

function debugLines({ log }: StepResult): string[] {
  return log.filter((line) => line.startsWith('##[debug]'));
}

test('of an error body only the words of the OAuth fields are shown, on one line', async () => {
  const cases: [body: unknown, shown: string][] = [
    [{ error: 'invalid_scope', error_description: 'No such scope.', detail: 'More.' }, 'invalid_scope: No such scope'],
    [{ error: 'over', detail: 'Not today.' }, 'over: Not today'],
    [
      { detail: 'Request was throttled. Expected available in 86 seconds.' },
      'Request was throttled. Expected available in 86 seconds',
    ],
    [{ error: 'one\r\n::error::two' }, 'one …'],
    [{ error: 'one\n##[add-mask]two\nthree' }, 'one … three'],
    [{ error: { nested: 'hidden' }, error_description: 5, detail: null }, ''],
    [{ message: 'hidden', html: '<p>', title: 'hidden' }, ''],
    [['hidden'], ''],
    ['hidden', ''],
    [{ error: 'word '.repeat(100) }, 'word '.repeat(40).trim()],
    [{ error: '  not today.\n' }, 'not today'],
  ];
  const final = json(401, { error: 'one\n::warning::two', error_description: 'three' });
  const server = await startServer({ token: [...cases.map(([body]) => json(503, body)), page(503), final] });
  const main = await runMain(server);
  expect(shownOf(main)).toEqual([...cases.map(([, shown]) => shown), '']);
  expectRed(main, /did not accept the credentials \(401\): one …: three\. Check/);
  expect(main.commands).toEqual(['add-mask', 'error']);
});

test('the client secret is not seen where a server sends it back, in whatever spelling, in main or in post', async () => {
  const echoes = [
    CLIENT_SECRET,
    new URLSearchParams({ secret: CLIENT_SECRET }).toString(),
    encodeURI(CLIENT_SECRET),
    encodeURIComponent(CLIENT_SECRET).replaceAll(/%../g, (code) => code.toLowerCase()),
    JSON.stringify(CLIENT_SECRET),
    Buffer.from(CLIENT_SECRET).toString('base64url'),
    Buffer.from(CLIENT_SECRET).toString('hex'),
    [...CLIENT_SECRET].reverse().join('-'),
    CLIENT_SECRET.replaceAll('é', '&#xe9;'),
    `${'x'.repeat(190)}${CLIENT_SECRET}`,
  ];
  const bodies = echoes.map((echo) => json(503, { error_description: `you sent ${echo} from there` }));
  const server = await startServer({
    token: [...bodies, issue()],
    revoke: [...bodies, json(401, { error: `no ${CLIENT_SECRET}` })],
  });
  const { main, post } = await runSteps(server, { debug: true });
  expectGreen(main);
  expectWarning(post, /\(401\): no …\. Check/);
  for (const step of [main, post]) {
    expect(shownOf(step)).toEqual(echoes.map(() => 'you sent … from there'));
    expectUnseen(step, ...echoes, 's3cr3t');
  }
});

test('an access token is not seen where a server sends it back, even one that is a word, in main or in post', async () => {
  const echo = { error: 'none', detail: 'no opensesame here' };
  const server = await startServer({
    token: [json(503, { access_token: 'opensesame', ...echo }), issue()],
    revoke: [answer(404), json(503, echo), json(401, echo)],
  });
  const { main, post } = await runSteps(server, { debug: true });
  expectRed(main, /503 \(service unavailable\): none: no … here; an access token came with it\./);
  expect(shownOf(post)).toEqual(['none: no … here']);
  expectWarning(post, /\(401\): none: no … here\. Check/);
  for (const step of [main, post]) expectUnseen(step, 'opensesame');
});

test('our own sentences are whole, whatever the secret is', async () => {
  const server = await startServer({ revoke: [json(401, { error: 'none' })] });
  const { main, post } = await runSteps(server, { inputs: { 'client-secret': 'e', 'client-id': 'id' } });
  // As they were printed: what the runner masks is its own affair.
  expect(main.raw).toMatch(/^Requesting an access token from http:/m);
  expect(main.raw).toMatch(
    /^Available as output `token`, masked in the log\. It will be revoked when this job ends\.$/m,
  );
  expect(post.raw).toMatch(/^Revoking the access token at http:/m);
  expect(post.raw).toMatch(/^::warning::The access token could not be revoked and stays valid until 2.*Z\. The /m);
  expect(post.raw).toContain('. The Dashboard did not accept the credentials (401): none. Check that client-id and ');
});

test('of where a redirect leads nothing is shown that a secret could be in', async () => {
  const secret = 'secret0123456789abcdef';
  const hex = Buffer.from(secret).toString('hex');
  const location = `https://${secret}@${secret.slice(0, 12)}.${hex}.evil.test/${secret}?${secret}#${secret}`;
  const server = await startServer({ token: [answer(302, '', { location })] });
  const main = await runMain(server, { inputs: { 'client-secret': secret }, debug: true });
  expectRed(main, /redirected the request \(302\) to an address that is not shown; redirects/);
  expectUnseen(main, secret, 'secret0', hex);
});

describe('with debug logging', () => {
  test('the causes of an error follow, under the same rules', async () => {
    const main = await runMain(
      { url: 'https://dashboard.invalid' },
      {
        debug: true,
        inputs: { 'timeout-seconds': '1' },
        nodeArgs: preload('unknown-host'),
        env: { TEST_DNS_ERROR: 'ENOTFOUND' },
      },
    );
    // A message of Node's holds what it worked on.
    expect(debugLines(main).slice(-2)).toEqual([
      expect.stringMatching(/^##\[debug\]StepError: No answer from dashboard\.invalid: .*gave up/),
      '##[debug]Error: ENOTFOUND: getaddrinfo: getaddrinfo …',
    ]);
    expectUnseen(main, CLIENT_SECRET);
  });

  const SHOWN = {
    date: 'Tue, 24 Nov 2026 12:00:00 GMT',
    server: 'cloudflare',
    via: '1.1 proxy.test (squid/6.6)',
    'content-type': 'text/html; charset=utf-8',
    'content-length': '0',
    'retry-after': '0',
    'cf-ray': '8f0a1b2c3d4e5f60-FRA',
    'x-request-id': '7b0c8f0e-3a5e-4a51-9d3e-2f0c8f0e3a5e',
    'x-amzn-requestid': 'c6af9ac6-7b61-11e6-9a41-93e8deadbeef',
    'x-amzn-waf-action': 'challenge',
  };

  test('each answer is a line: its status, how long it took, and the headers that a support desk asks for', async () => {
    const hidden = { 'set-cookie': 'flowerpot=x', etag: 'flowerpot', 'x-more': 'flowerpot' };
    const unavailable: Behaviour = (response) =>
      void response.writeHead(503, '::warning::flowerpot', { ...SHOWN, ...hidden }).end();
    const withSecret = answer(503, '', {
      server: CLIENT_SECRET.slice(0, 6),
      via: 'x',
      date: 'x',
      'content-length': '0',
    });
    const withToken = answer(200, tokenBody(), { date: 'x', 'cf-ray': TOKEN.slice(0, 9) });
    const server = await startServer({ token: [reset(), unavailable, withSecret, withToken] });
    const { main, post } = await runSteps(server, { debug: true });
    const headers = Object.entries(SHOWN).map((pair) => pair.join(': '));
    expect(debugLines(main).map((line) => line.replace(/after \d+ ms/, 'after N ms'))).toEqual([
      '##[debug]No answer after N ms',
      `##[debug]503 (service unavailable) after N ms; ${headers.join('; ')}`,
      '##[debug]503 (service unavailable) after N ms; date: x; via: x; content-length: 0',
      '##[debug]200 (ok) after N ms; date: x',
    ]);
    expect(main.raw).not.toContain('flowerpot');
    expect(debugLines(post)).toEqual([expect.stringMatching(/^##\[debug\]200 \(ok\) after \d+ ms; date: /)]);
  });
});
