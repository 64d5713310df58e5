import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { StepResult } from '../sandbox/runner.mts';
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
import {
  answer,
  type Behaviour,
  cutChunked,
  cutShort,
  drip,
  empty,
  flood,
  hang,
  issue,
  json,
  page,
  reset,
  startServer,
  TOKEN,
  tokenBody,
} from './support/scripted-server';

const SUPPORT = join(import.meta.dirname, 'support');

const PASSING_FAULTS: [name: string, behaviour: Behaviour, reason: RegExp][] = [
  ['408', answer(408), /the Dashboard answered 408 \(request timeout\)/],
  [
    '429',
    json(429, { detail: 'Request was throttled. Expected available in 0 seconds.' }),
    /the Dashboard answered 429 \(too many requests\): Request was throttled/,
  ],
  ['500', page(500), /the Dashboard answered 500 \(internal server error\)\. /],
  ['502', page(502), /the Dashboard answered 502 \(bad gateway\)/],
  ['503', page(503), /the Dashboard answered 503 \(service unavailable\)/],
  ['504', page(504), /the Dashboard answered 504 \(gateway timeout\)/],
  ['503 with an endless body', flood('', 503), /the Dashboard answered 503/],
  ['a connection that is reset', reset(), /the connection was cut/],
  ['a body cut short', cutShort('{"access_token": "half'), /the connection was cut/],
  ['a chunked body cut short', cutChunked('{"access_token": "half'), /the connection was cut/],
];

describe('a fault that may pass is tried again, with a line that says what, when and how long', () => {
  test.each(PASSING_FAULTS)('%s, for a token', async (_name, behaviour, reason) => {
    const server = await startServer({ token: [behaviour, issue()] });
    const main = await runMain(server);
    expectGreen(main);
    expect(main.outputs['token']).toBe(TOKEN);
    expect(main.log[0]).toMatch(reason);
    expect(main.log[0]).toMatch(
      /^Attempt 1 failed: .+\. The next one is in 0\.0 s, (60\.0|59\.\d) s of the 60 s in timeout-seconds are left\.$/,
    );
    expect(server.tokenRequests()).toBe(2);
  });

  test.each(PASSING_FAULTS)('%s, for a revocation', async (_name, behaviour, reason) => {
    const server = await startServer({ revoke: [behaviour, empty()] });
    const job = newJob();
    await runMain(server, { job });
    const post = await runPost(server, job);
    expectGreen(post);
    expect(post.log[0]).toMatch(reason);
    expect(server.revoked).toContain(TOKEN);
  });

  test('a connection that is refused', async () => {
    const main = await runMain(
      { url: 'http://127.0.0.1:1' },
      { inputs: { 'timeout-seconds': '1' }, nodeArgs: [] },
    );
    expectRed(
      main, // Windows takes two seconds to say so.
      /^No answer from 127\.0\.0\.1:1: (the connection was refused \(ECONNREFUSED\)|there was no complete)/,
    );
  });

  test.each(['EAI_AGAIN', 'EAI_FAIL'])('a name lookup that fails (%s)', async (code) => {
    const main = await runMain(
      { url: 'https://dashboard.invalid' },
      {
        inputs: { 'timeout-seconds': '1' },
        nodeArgs: ['--require', join(SUPPORT, 'unknown-host.cjs')],
        env: { TEST_DNS_ERROR: code },
      },
    );
    expectRed(
      main,
      /the name lookup failed \(EAI_[A-Z]+\); after .*attempts? the \d\.\d s that are left of the 1 s .* too short for another/,
    );
  });
});

test('a host name that does not exist is tried three times in all', async () => {
  const main = await runMain(
    { url: 'https://dashboard.invalid' },
    {
      nodeArgs: [...NO_JITTER, '--require', join(SUPPORT, 'unknown-host.cjs')],
      env: { TEST_DNS_ERROR: 'ENOTFOUND' },
    },
  );
  expectRed(
    main,
    /^No answer from dashboard\.invalid: the host name does not exist \(ENOTFOUND\)\. Check api-url/,
  );
  expect(main.log.filter((line) => line.startsWith('Attempt'))).toHaveLength(2);
});

describe('a token in an answer that broke off is revoked, and another one is asked for', () => {
  test.each<[name: string, behaviour: Behaviour]>([
    ['cut short', cutShort(tokenBody({ access_token: 'stray' }))],
    ['cut behind the token', cutShort('{"access_token": "stray", "tok')],
    ['chunked', cutChunked(tokenBody({ access_token: 'stray' }))],
    ['with status 503', answer(503, tokenBody({ access_token: 'stray' }))],
  ])('%s', async (_name, behaviour) => {
    const server = await startServer({ token: [behaviour, issue()] });
    const job = newJob();
    const main = await runMain(server, { job });
    expectGreen(main);
    expectUnseen(main, 'stray', TOKEN);
    expect(main.outputs['token']).toBe(TOKEN);
    expect(server.revoked).toEqual(['stray']);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual(['stray', TOKEN]);
  });

  test('even with skip-token-revoke, which is for the token that is handed out', async () => {
    const server = await startServer({
      token: [cutShort(tokenBody({ access_token: 'stray' })), issue()],
      revoke: [answer(404), empty()],
    });
    const job = newJob();
    const inputs = { 'skip-token-revoke': 'true' };
    expectGreen(await runMain(server, { job, inputs }));
    expectGreen(await runPost(server, job, { inputs }));
    expect(server.revoked).toEqual(['stray']);
  });
});

describe('timeout-seconds is the budget of the whole step', () => {
  const endsInTime = ({ ms }: StepResult, seconds: number) =>
    expect(ms).toBeLessThan((seconds + 1) * 1_000);

  test.each<[name: string, behaviour: Behaviour]>([
    ['never answers', hang()],
    ['sends a byte now and then', drip()],
    ['sends its header and no body', (response) => void response.writeHead(200).flushHeaders()],
  ])('a server that %s', async (_name, behaviour) => {
    const server = await startServer({ token: [behaviour], revoke: [behaviour] });
    const inputs = { 'timeout-seconds': '1' };
    const main = await runMain(server, { inputs });
    expectRed(main, /there was no complete answer within 1\.0 s.*raise timeout-seconds/);
    endsInTime(main, 1);
  });

  test('the post step has the budget that main was given', async () => {
    const server = await startServer({ revoke: [hang()] });
    const job = newJob();
    await runMain(server, { job, inputs: { 'timeout-seconds': '1' } });
    const post = await runPost(server, job, { inputs: { 'timeout-seconds': '60' } });
    expectWarning(post, /until 20.*no complete answer within 1\.0 s/);
    endsInTime(post, 1);
  });

  test('attempts that fail at once go on until the time is too short for another', async () => {
    const server = await startServer({ token: [page(503)] });
    const main = await runMain(server, { inputs: { 'timeout-seconds': '2' }, nodeArgs: [] });
    expectRed(
      main,
      /^The Dashboard answered 503 \(service unavailable\); after (one attempt|\d attempts) the \d\.\d s that are left of the 2 s in timeout-seconds are too short for another\. .*outage.*, or raise timeout-seconds\.$/,
    );
    endsInTime(main, 2);
  });

  test('a wait that the Dashboard asks for and that does not fit ends the step at once', async () => {
    const server = await startServer({
      token: [
        json(
          429,
          { detail: 'Request was throttled. Expected available in 86 seconds.' },
          { 'retry-after': '86' },
        ),
      ],
    });
    const main = await runMain(server);
    expectRed(
      main,
      /429 \(too many requests\).*; it asks to wait 86\.0 s, for which the (60\.0|59\.\d) s that are left of the 60 s in timeout-seconds are too short\. The limits are 100 requests a second from one IP address and 1,500 an hour for one user: start fewer jobs at once, or raise timeout-seconds\./,
    );
    expect(main.ms).toBeLessThan(2_000);
    expect(server.tokenRequests()).toBe(1);
  });
});

test('an outage with a wait that does not fit is not taken for a limit', async () => {
  const server = await startServer({ token: [answer(503, '', { 'retry-after': '120' })] });
  expectRed(
    await runMain(server),
    /503.*asks to wait 120\.0 s.*has an outage: run the job again later, or raise timeout-seconds\.$/,
  );
});

test('a limit without a wait is not taken for an outage', async () => {
  const server = await startServer({ token: [answer(429)] });
  const main = await runMain(server, { inputs: { 'timeout-seconds': '1' } });
  expectRed(
    main,
    /429.*The limits are 100 requests a second .*: start fewer jobs at once, or raise timeout-seconds\.$/,
  );
});

test('several tokens that cannot be revoked at once do not hold the step up', async () => {
  const server = await startServer({
    token: [
      answer(503, tokenBody({ access_token: 'one' })),
      answer(503, tokenBody({ access_token: 'two' })),
      hang(),
    ],
    revoke: [hang()],
  });
  const main = await runMain(server, { inputs: { 'timeout-seconds': '2' } });
  expectRed(main, /no complete answer/);
  expect(main.ms).toBeLessThan(3_000);
});

test('a wait that the Dashboard asks for and that fits is kept', async () => {
  const server = await startServer({ token: [answer(429, '', { 'retry-after': '1' }), issue()] });
  const main = await runMain(server);
  expectGreen(main);
  expect(main.log[0]).toMatch(/The next one is in 1\.0 s/);
  expect(main.ms).toBeGreaterThanOrEqual(1_000);
});

test('an endless body is refused, and takes no memory to speak of', async () => {
  const memory = join(SUPPORT, 'peak-memory.cjs');
  const peakMiB = async (behaviour: Behaviour) => {
    const server = await startServer({ token: [behaviour] });
    const main = await runMain(server, { nodeArgs: ['--require', memory] });
    return Number(/^peak (\d+) KiB$/m.exec(main.stderr)?.[1]) / 1024;
  };
  const usual = await peakMiB(issue());
  const endless = await peakMiB(flood());
  expect(usual).toBeGreaterThan(10);
  expect(endless).toBeLessThan(usual + 30);
});

test('a secret that comes back in a fault is not seen', async () => {
  const server = await startServer({
    token: [
      json(503, { detail: `${CLIENT_SECRET} and ${encodeURIComponent(CLIENT_SECRET)}` }),
      issue(),
    ],
  });
  const main = await runMain(server);
  expect(main.log[0]).toContain('*** and ***');
  expectUnseen(main, CLIENT_SECRET, encodeURIComponent(CLIENT_SECRET));
});
