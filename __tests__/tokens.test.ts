import { gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import {
  CLIENT_ID,
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  newJob,
  runMain,
  runPost,
  runSteps,
} from './support/job';
import {
  answer,
  type Behaviour,
  cutChunked,
  cutShort,
  empty,
  flood,
  issue,
  page,
  startServer,
  TOKEN,
  tokenBody,
} from './support/scripted-server';

// One case of each way from an answer to what a step makes of it. What else an answer may hold is in answers.test.ts.

/** The token in gzip, though nobody asked for that, less what is cut off at its end. */
function gzipped(cutOff = 0): Behaviour {
  const body = gzipSync(tokenBody());
  return (response) => {
    response.writeHead(200, { 'content-length': String(body.length), 'content-encoding': 'gzip' });
    response.write(body.subarray(0, body.length - cutOff), () => cutOff > 0 && response.socket?.destroy());
    if (cutOff === 0) response.end();
  };
}

/** Sends the body in pieces of one byte, each in a packet of its own as far as the system goes along. */
function byteByByte(body: string): Behaviour {
  return (response) => {
    response.writeHead(200);
    const next = (index: number) => {
      if (index === body.length) return void response.end();
      response.write(body.charAt(index), () => setImmediate(next, index + 1));
    };
    next(0);
  };
}

test('requests are form posts with the fields of the API, and a user agent with name and version', async () => {
  const server = await startServer();
  // The path of the API's version may be at the end of api-url.
  const { main, post } = await runSteps(server, { inputs: { 'api-url': `${server.url}/base/developer/v1/` } });
  for (const step of [main, post]) expectGreen(step);
  const [token, revocation] = server.requests;
  const credentials = { client_id: CLIENT_ID, client_secret: CLIENT_SECRET };
  expect(token?.form).toEqual({ grant_type: 'client_credentials', ...credentials });
  expect(revocation?.form).toEqual({ token: TOKEN, ...credentials });
  expect(server.requests.map(({ path }) => path)).toEqual([
    '/base/developer/v1/o/token/',
    '/base/developer/v1/o/revoke_token/',
  ]);
  for (const request of [token, revocation]) {
    expect(request?.method).toBe('POST');
    expect(request?.headers).toMatchObject({
      accept: 'application/json',
      'accept-encoding': 'identity',
      'content-type': 'application/x-www-form-urlencoded',
      'user-agent': expect.stringMatching(/^formlabs-dashboard-token\/\d+\.\d+\.\d+$/),
    });
    expect(request?.headers).not.toHaveProperty('authorization');
  }
});

describe('an answer with a token is used, whatever comes with it', () => {
  const more = { scope: '::error::x\n::set-output name=token::y', more: { access_token: 'another' } };
  const headers = { 'content-type': 'text/html', 'set-cookie': `a=${'x'.repeat(20_000)}` };

  test.each<[name: string, behaviour: Behaviour]>([
    [
      'another status of success, more fields, the type of a page, large cookies',
      answer(201, tokenBody(more), headers),
    ],
    ['a body that comes byte by byte', byteByByte(tokenBody())],
    ['a connection that is cut behind the token', cutShort(`{"access_token": "${TOKEN}", "tok`)],
    ['a body in chunks, of which the last never comes', cutChunked(tokenBody())],
    ['a body in gzip', gzipped()],
    ['a body in gzip that is cut at its end', gzipped(8)],
  ])('%s', async (_name, behaviour) => {
    const server = await startServer({ token: [behaviour] });
    const job = newJob();
    const main = await runMain(server, { job });
    expectGreen(main);
    expectUnseen(main, TOKEN);
    expect(main.outputs['token']).toBe(TOKEN);
    expect(job.masks).toContain(TOKEN);
    expect(server.requests).toHaveLength(1);
  });

  test('also where the token is long, which the post step revokes', async () => {
    const long = `long-${'x'.repeat(25_000)}`;
    const server = await startServer({ token: [issue({ access_token: long })] });
    const { main, post } = await runSteps(server);
    expectGreen(main);
    expect(main.outputs['token'] === long).toBe(true);
    expectGreen(post);
    expect(server.revoked).toHaveLength(1);
    expect(server.revoked[0] === long).toBe(true);
  });
});

describe('expires-at', () => {
  test('is reckoned by the clock of the Dashboard, however far away it is, and post knows it', async () => {
    const headers = { date: 'Thu, 01 Jan 1970 00:00:00 GMT' };
    const token = [answer(200, tokenBody({ expires_in: 253_402_300_800 }), headers)];
    const { main, post } = await runSteps(await startServer({ token, revoke: [answer(404)] }));
    const expiresAt = '+010000-01-01T00:00:00.000Z';
    expect(main.outputs).toEqual({ token: TOKEN, 'expires-at': expiresAt });
    expect(main.log[1]).toContain(`valid until ${expiresAt}`);
    expectWarning(post, `stays valid until \\${expiresAt}\\.`);
  });

  test('is empty where the answer does not tell it, and the log says so', async () => {
    const token = [issue({ expires_in: 'a day' })];
    const { main, post } = await runSteps(await startServer({ token, revoke: [answer(404)] }));
    expectGreen(main);
    expect(main.outputs).toEqual({ token: TOKEN, 'expires-at': '' });
    expect(main.log[1]).toMatch(/did not say how long it is valid/);
    expectWarning(post, /stays valid for up to a day/);
  });
});

test.each<[name: string, behaviour: Behaviour, message: RegExp, token?: string]>([
  [
    'a line break and half a character in it',
    issue({ access_token: 'to\nk\ud83den' }),
    /characters that no token may have/,
    // What half a character becomes in UTF-8.
    'to\nk\ufffden',
  ],
  ['longer than the state has room for', issue({ access_token: 'x'.repeat(29_990) }), /state/, 'x'.repeat(29_990)],
  ['in an answer that refuses for now', answer(403, tokenBody(), { 'retry-after': '0' }), /answered 403 \(forbidden\)/],
])('a token that can not be handed out is masked and revoked, and no other asked for: %s', async (...row) => {
  const [, behaviour, message, token = TOKEN] = row;
  const server = await startServer({ token: [behaviour, issue({ access_token: 'a-second-one' })] });
  const job = newJob();
  const main = await runMain(server, { job });
  expectRed(main, message);
  expectUnseen(main, token, CLIENT_SECRET);
  expect(main.log).toContainEqual(expect.stringMatching(/^Revoked .* not handed out/));
  expect(job.masks).toContain(token);
  expect(job.state).toEqual({ state: '{}' });
  expect(server.revoked).toEqual([token]);
  expect(server.tokenRequests()).toBe(1);
});

test('a revocation is confirmed by 200 and nothing in the body, and by nothing else', async () => {
  const job = newJob();
  const server = await startServer({
    revoke: [
      answer(200, '{}'),
      page(200),
      flood('', 200, ' '),
      answer(202),
      // Whether there is a body is not known, so it is asked once more.
      cutShort(''),
      empty(),
    ],
  });
  await runMain(server, { job });
  const confirmed = [`Revoking the access token at ${server.url}.`, `Revoked the access token at ${server.url}.`];
  const unconfirmed =
    'until 20.*\\. The revocation was answered with 200 \\(ok\\), but not confirmed\\. Usually a captive portal';
  expect((await runPost(server, job)).log).toEqual(confirmed);
  for (const message of [
    unconfirmed,
    unconfirmed,
    'with 202 \\(accepted\\), but not confirmed\\. Usually a firewall',
  ]) {
    const post = await runPost(server, job);
    expectWarning(post, message);
    expect(post.log.join()).not.toMatch(/Revoked/);
  }
  expect(server.requests).toHaveLength(5);
  const post = await runPost(server, job);
  expectGreen(post);
  expect([post.log[0], post.log.at(-1)]).toEqual(confirmed);
  expect(server.requests).toHaveLength(7);
});
