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
import { answer, issue, json, page, reset, startServer, TOKEN } from './support/scripted-server';

/** What a step showed of each answer of 503, in the order in which they came. */
function shownOf(main: StepResult): (string | undefined)[] {
  return attemptsIn(main).map((line) => /\(service unavailable\)(?:: )?(.*)\. Retrying/.exec(line)?.[1]);
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
    expectRed(main, /did not accept the credentials \(401\): one …: three\. Check/);
    expect(main.commands).toEqual(['add-mask', 'error']);
  });

  test('and no status text', async () => {
    const server = await startServer({
      token: [(response) => void response.writeHead(499, '::warning::flowerpot', { 'x-more': 'flowerpot' }).end()],
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
    const { post } = await runSteps(server, { debug: true });
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
  const echo = { error: 'none', detail: `no ${TOKEN} or ${encodeURIComponent(TOKEN)} here` };
  const server = await startServer({
    token: [json(503, { access_token: TOKEN, ...echo }), issue()],
    revoke: [answer(404), json(503, echo), json(401, echo)],
  });
  const { main, post } = await runSteps(server, { debug: true });
  expectRed(main, /503 \(service unavailable\): none: no … or … here; an access token came with it\./);
  expect(shownOf(post)).toEqual(['none: no … or … here']);
  expectWarning(post, /\(401\): none: no … or … here\. Check/);
  for (const step of [main, post]) expectUnseen(step, TOKEN, encodeURIComponent(TOKEN), TOKEN.slice(4, 20));
});

test('nor is one that is a word, in post, which did not ask for it', async () => {
  const token = [issue({ access_token: 'opensesame' })];
  const server = await startServer({ token, revoke: [json(401, { error: 'no opensesame here' })] });
  const { post } = await runSteps(server);
  expectWarning(post, /\(401\): no … here\. Check/);
  expectUnseen(post, 'opensesame');
});

describe('our own sentences are whole, whatever the secret is', () => {
  const SECRETS = ['the', 'e', '1', 'is', 'access token'];

  test('in an error', async () => {
    const server = await startServer({ token: [json(401, { error: 'none' })] });
    const mains = await Promise.all(
      SECRETS.map((secret) => runMain(server, { inputs: { 'client-secret': secret, 'client-id': 'id' } })),
    );
    // As they were printed: what the runner masks is its own affair.
    const printed = mains.map(({ raw }) => /^::error::(.*?)(?: The value of client-secret .*)?$/m.exec(raw)?.[1]);
    expect(new Set(printed).size).toBe(1);
    expect(printed[0]).toMatch(
      /^The Dashboard did not accept the credentials \(401\): none\. Check that client-id and /,
    );
  });

  test('and where all is well', async () => {
    const server = await startServer();
    const jobs = await Promise.all(SECRETS.map((secret) => runSteps(server, { inputs: { 'client-secret': secret } })));
    for (const { main, post } of jobs) {
      expect(main.raw).toMatch(/^Requesting an access token from http:/m);
      expect(main.raw).toMatch(
        /^Available as output `token`, masked in the log\. It will be revoked when this job ends\.$/m,
      );
      expect(post.raw).toMatch(/^Revoking the access token at http:/m);
      for (const step of [main, post]) expect(step.annotations).toEqual([]);
    }
  });
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

describe('with debug logging', () => {
  const debugLines = ({ log }: StepResult) => log.filter((line) => line.startsWith('##[debug]'));

  test('the causes of an error follow, under the same rules', async () => {
    const server = await startServer({ token: [json(503, { error: CLIENT_SECRET })] });
    const inputs = { 'timeout-seconds': '1' };
    const [failed, unknown] = await Promise.all([
      runMain(server, { debug: true, inputs }),
      runMain(
        { url: 'https://dashboard.invalid' },
        { debug: true, inputs, nodeArgs: preload('unknown-host'), env: { TEST_DNS_ERROR: 'ENOTFOUND' } },
      ),
    ]);
    expect(debugLines(failed).at(-1)).toMatch(/^##\[debug\]RequestError: The Dashboard answered 503 .*gave up/);
    // A message of Node's holds what it worked on.
    expect(unknown.log.at(-1)).toBe('##[debug]Error: ENOTFOUND: getaddrinfo: getaddrinfo …');
    for (const step of [failed, unknown]) expectUnseen(step, CLIENT_SECRET);
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
    const server = await startServer({
      token: [answer(503, '', { ...SHOWN, 'set-cookie': 'cookie=x', etag: 'x' }), issue()],
    });
    const { main, post } = await runSteps(server, { debug: true });
    const headers = Object.entries(SHOWN).map((pair) => pair.join(': '));
    const [first, second] = debugLines(main);
    expect(first?.replace(/after \d+ ms/, 'after N ms')).toBe(
      `##[debug]503 (service unavailable) after N ms; ${headers.join('; ')}`,
    );
    expect(second).toMatch(/^##\[debug\]200 \(ok\) after \d+ ms; date: .*; content-type: application\/json$/);
    expect(debugLines(post)).toEqual([expect.stringMatching(/^##\[debug\]200 \(ok\) after \d+ ms; date: /)]);
    expect((await runMain(server)).log.join()).not.toMatch(/ ms/);
  });

  test('no answer is one, too', async () => {
    const main = await runMain(await startServer({ token: [reset(), issue()] }), { debug: true });
    expect(debugLines(main)[0]).toMatch(/^##\[debug\]No answer after \d+ ms$/);
  });

  test('a header that holds a secret, in whatever spelling, or that is none of a server is left out', async () => {
    const secret = 'plain0secret1of2words3';
    const headers = {
      server: secret,
      via: `id=${secret.toUpperCase()}; x`,
      'content-type': Buffer.from(secret).toString('base64'),
      'retry-after': Buffer.from(secret).toString('hex'),
      'x-request-id': [...secret].reverse().join('-'),
      'x-amzn-requestid': secret.slice(3, 15),
      'x-amzn-waf-action': '##[error]x',
      date: 'x'.repeat(200),
      'cf-ray': 'a-ray',
    };
    const server = await startServer({ token: [answer(200, '', { ...headers, 'content-length': '0' })] });
    const main = await runMain(server, { debug: true, inputs: { 'client-secret': secret } });
    expect(debugLines(main)[0]).toMatch(/^##\[debug\]200 \(ok\) after \d+ ms; content-length: 0; cf-ray: a-ray$/);
  });
});
