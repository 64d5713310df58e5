import { gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import {
  CLIENT_ID,
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  filesOf,
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
  json,
  page,
  startServer,
  TOKEN,
  tokenBody,
} from './support/scripted-server';

/** The token in gzip, though nobody asked for that, less what is cut off at its end. */
function gzipped(coding: string | undefined, cutOff = 0): Behaviour {
  const body = gzipSync(tokenBody());
  return (response) => {
    const headers = { 'content-length': String(body.length), ...(coding && { 'content-encoding': coding }) };
    response.writeHead(200, headers);
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
  await runSteps(server);
  const [token, revocation] = server.requests;
  const credentials = { client_id: CLIENT_ID, client_secret: CLIENT_SECRET };
  expect(token?.form).toEqual({ grant_type: 'client_credentials', ...credentials });
  expect(revocation?.form).toEqual({ token: TOKEN, ...credentials });
  expect(server.requests.map(({ path }) => path)).toEqual(['/developer/v1/o/token/', '/developer/v1/o/revoke_token/']);
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

test.each(['/developer/v1', '/developer/v1/', '/base/developer/v1'])('an api-url may end in %s', async (path) => {
  const server = await startServer();
  const { main, post } = await runSteps(server, { inputs: { 'api-url': server.url + path } });
  for (const step of [main, post]) expectGreen(step);
  const base = path.startsWith('/base') ? '/base' : '';
  expect(server.requests.map((request) => request.path)).toEqual([
    `${base}/developer/v1/o/token/`,
    `${base}/developer/v1/o/revoke_token/`,
  ]);
});

describe('an answer with a token is used, whatever comes with it', () => {
  const LONG = `long-${'x'.repeat(25_000)}`;

  test.each<[name: string, behaviour: Behaviour, token?: string]>([
    ['nothing but the token', answer(200, JSON.stringify({ access_token: TOKEN }))],
    ['an empty token_type', issue({ token_type: '' })],
    ['white space around its token_type', issue({ token_type: ' Bearer ' })],
    ['a token_type that is null', issue({ token_type: null })],
    ['an expires_in that is text', issue({ expires_in: '86400' })],
    ['an expires_in that can not be read', issue({ expires_in: -5 })],
    ['an expires_in that can not be made a text', issue({ expires_in: { toString: 1 } })],
    ['a field named __proto__', answer(200, `{"__proto__":{"token_type":"mac"},"access_token":"${TOKEN}"}`)],
    ['more fields', issue({ scope: '::error::x\n::set-output name=token::y', more: [1] })],
    ['another token in another field', issue({ more: { access_token: 'another' } })],
    ['status 201', answer(201, tokenBody())],
    ['the content type of a page', answer(200, tokenBody(), { 'content-type': 'text/html' })],
    ['25,000 characters', issue({ access_token: LONG }), LONG],
    ['100,000 characters before the token', answer(200, `{"a":"${'x'.repeat(100_000)}","access_token":"${TOKEN}"}`)],
    ['a body that comes byte by byte', byteByByte(tokenBody())],
    ['a body in gzip', gzipped('gzip')],
    ['a body in gzip that does not say so', gzipped(undefined)],
    ['a body in gzip that says to be as it is', gzipped('identity')],
    ['20,000 characters of cookies', answer(200, tokenBody(), { 'set-cookie': `a=${'x'.repeat(20_000)}` })],
    ['a connection that is cut at its end', cutShort(tokenBody())],
    ['a connection that is cut behind the token', cutShort(`{"access_token": "${TOKEN}", "tok`)],
    ['a body in chunks, of which the last never comes', cutChunked(tokenBody())],
    ['a body in gzip that is cut at its end', gzipped('gzip', 8)],
  ])('%s', async (_name, behaviour, token = TOKEN) => {
    const server = await startServer({ token: [behaviour] });
    const { job, main, post } = await runSteps(server);
    expectGreen(main);
    expectUnseen(main, token);
    expect(main.outputs['token']).toBe(token);
    expect(job.masks).toContain(token);
    expectGreen(post);
    expect(server.revoked).toEqual([token]);
    expect(server.tokenRequests()).toBe(1);
  });
});

describe('expires-at', () => {
  const LATEST = '+275760-09-13T00:00:00.000Z';
  const NOON = 'Tue, 24 Nov 2026 12:00:00 GMT';
  const EPOCH = 'Thu, 01 Jan 1970 00:00:00 GMT';

  test.each<[name: string, expiresIn: unknown, date: string, expiresAt: string]>([
    ['is reckoned by the clock of the Dashboard', 60, NOON, '2026-11-24T12:01:00.000Z'],
    ['is read from text', '86400', NOON, '2026-11-25T12:00:00.000Z'],
    ['is far away where expires_in is beyond all dates', 1e300, EPOCH, LATEST],
    ['may be beyond the year 9999', 253_402_300_800, EPOCH, '+010000-01-01T00:00:00.000Z'],
  ])('%s, and post knows it', async (_name, expiresIn, date, expiresAt) => {
    const token = [answer(200, tokenBody({ expires_in: expiresIn }), { date })];
    const { main, post } = await runSteps(await startServer({ token, revoke: [answer(404)] }));
    expect(main.outputs).toEqual({ token: TOKEN, 'expires-at': expiresAt });
    expect(main.log[1]).toContain(`valid until ${expiresAt}`);
    expectWarning(post, `stays valid until ${expiresAt.replace('+', '\\+')}:`);
  });

  test.each([undefined, null, 0, 'a day', true, [60]])(
    'is empty for an expires_in of %j, and the log says so',
    async (expiresIn) => {
      const server = await startServer({ token: [issue({ expires_in: expiresIn })], revoke: [answer(404)] });
      const { main, post } = await runSteps(server);
      expectGreen(main);
      expect(main.outputs).toEqual({ token: TOKEN, 'expires-at': '' });
      expect(main.log[1]).toMatch(/did not say how long it is valid/);
      expectWarning(post, /stays valid for up to a day/);
    },
  );
});

describe('a token that arrives and can not be handed out is masked, and revoked at once; no other is asked for', () => {
  const NOW = { 'retry-after': '0' };
  const LIST = JSON.stringify([{ access_token: TOKEN }, { access_token: 'another' }]);

  test.each<[name: string, behaviour: Behaviour, message: RegExp, token?: string]>([
    ['another token_type', issue({ token_type: 'mac' }), /token_type other than Bearer/],
    ['a space in it', issue({ access_token: 'to ken' }), /characters that no token may have/, 'to ken'],
    ['a line break in it', issue({ access_token: 'to\nken' }), /characters that no token may have/, 'to\nken'],
    ['a letter beyond ASCII', issue({ access_token: 'tökén' }), /characters that no token may have/, 'tökén'],
    // What half a character becomes in UTF-8.
    ['half a character', issue({ access_token: 'to\ud83dken' }), /characters that no token may have/, 'to\ufffdken'],
    ['longer than the state has room for', issue({ access_token: 'x'.repeat(29_990) }), /state/, 'x'.repeat(29_990)],
    ['a redirect', answer(302, tokenBody(), { location: '/elsewhere' }), /redirected/],
    ['refused credentials', answer(401, tokenBody()), /did not accept the credentials/],
    ['status 403', answer(403, tokenBody()), /refused the request \(403\)/],
    ['refused for now', answer(403, tokenBody(), NOW), /refused the request \(403\)/],
    ['status 503', answer(503, tokenBody()), /answered 503/],
    ['status 429', answer(429, tokenBody(), NOW), /answered 429/],
    ['a body without end', flood(tokenBody()), /is not a JSON object/],
    ['in a list', answer(200, LIST), /is not a JSON object/],
    ['in a list that is cut off', cutShort(`${LIST.slice(0, -1)}`), /is not a JSON object/],
    ['in a field of another', json(200, { data: { access_token: TOKEN } }), /holds no access_token/],
    ['in a body that is no JSON', answer(200, `${tokenBody()}}`), /is not a JSON object/],
    ['in a page', answer(200, `<html><script>x = ${tokenBody()}</script>`), /is a page/],
  ])('%s', async (_name, behaviour, message, token = TOKEN) => {
    const server = await startServer({ token: [behaviour, issue({ access_token: 'a-second-one' })] });
    const { job, main, post } = await runSteps(server);
    expectRed(main, message);
    expectUnseen(main, token, CLIENT_SECRET);
    expect(main.log).toContainEqual(expect.stringMatching(/^Revoked .* not handed out/));
    expect(job.masks).toContain(token);
    expectGreen(post);
    expect(post.log).toEqual(['There is no access token to revoke.']);
    expect(server.revoked).toEqual([token]);
    expect(server.tokenRequests()).toBe(1);
  });

  test('one that can not be revoked at once is left to the post step, also with skip-token-revoke', async () => {
    const server = await startServer({ token: [issue({ token_type: 'mac' })], revoke: [answer(404), empty()] });
    const job = newJob();
    const inputs = { 'skip-token-revoke': 'true' };
    const main = await runMain(server, { job, inputs });
    expectRed(main, /token_type other than Bearer/);
    expect(main.log).toContainEqual(expect.stringMatching(/that could not be revoked now: there is nothing at/));
    expect(server.revoked).toEqual([]);
    expectGreen(await runPost(server, job, { inputs }));
    expect(server.revoked).toEqual([TOKEN]);
  });
});

test.each<[name: string, token: (secret: string) => string]>([
  ['as it is', String],
  ['with white space around it', (secret) => ` ${secret}\n`],
  ['inside a longer token', (secret) => `Bearer-${secret}-0`],
])(
  'a server that sends the client secret as a token does not get it into a file or an output: %s',
  async (_n, spell) => {
    const secret = 'plain-secret-0123456789';
    const server = await startServer({ token: [issue({ access_token: spell(secret) })] });
    const job = newJob();
    const main = await runMain(server, { job, inputs: { 'client-secret': secret } });
    expectRed(main, /holds the client secret/);
    expectUnseen(main, secret);
    expect(filesOf(job)).not.toContain(secret);
    expect(server.revoked).toEqual([spell(secret)]);
  },
);

describe('a revocation is confirmed', () => {
  test.each<[name: string, behaviour: Behaviour]>([
    ['by 200 and no body', empty()],
    ...['{}', 'null', '""', '[]', ' \n'].map((body): [string, Behaviour] => [
      `by 200 and ${JSON.stringify(body)}`,
      answer(200, body),
    ]),
  ])('%s', async (_name, behaviour) => {
    const server = await startServer({ revoke: [behaviour] });
    const { post } = await runSteps(server);
    expectGreen(post);
    const [first, last] = post.log;
    expect([first, last]).toEqual([
      `Revoking the access token at ${server.url}.`,
      `Revoked the access token at ${server.url}.`,
    ]);
    expect(server.requests).toHaveLength(2);
  });

  const UNCONFIRMED = 'until 20.*: the revocation was answered, but not confirmed\\. Usually a captive portal';

  test.each<[name: string, behaviour: Behaviour, message?: string]>([
    ['a message', json(200, { message: 'Forbidden' })],
    ['a no', json(200, { revoked: false })],
    ['a page', page(200)],
    ['blanks without end', flood('', 200, ' ')],
    ['12 KB of nested lists', answer(200, `${'['.repeat(6_000)}${']'.repeat(6_000)}`)],
    ['204', answer(204), 'answered with 204 \\(no content\\), but not confirmed'],
    ['202, as of a firewall', answer(202), 'answered with 202 \\(accepted\\), but not confirmed\\. Usually a firewall'],
    ['202 that says {}', json(202, {}), 'answered with 202 \\(accepted\\), but not confirmed\\. Usually a firewall'],
  ])('but not by %s', async (_name, behaviour, message = UNCONFIRMED) => {
    const server = await startServer({ revoke: [behaviour] });
    const { post } = await runSteps(server);
    expectWarning(post, new RegExp(message));
    expect(post.log.join()).not.toMatch(/Revoked/);
    expect(server.requests).toHaveLength(2);
  });

  test('nor by 200 whose body is cut off before it is known whether there is one', async () => {
    const server = await startServer({ revoke: [cutShort(''), empty()] });
    const { post } = await runSteps(server);
    expectGreen(post);
    expect(server.requests).toHaveLength(3);
  });
});
