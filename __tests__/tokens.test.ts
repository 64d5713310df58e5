import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
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
} from './support/job';
import {
  answer,
  type Behaviour,
  cutChunked,
  cutShort,
  empty,
  flood,
  hang,
  issue,
  json,
  page,
  startServer,
  TOKEN,
  tokenBody,
} from './support/scripted-server';

/** An answer whose body is packed, though nobody asked for that. */
function packed(coding: string | undefined, pack: (body: string) => Buffer): Behaviour {
  return (response) => {
    response.writeHead(200, coding === undefined ? {} : { 'content-encoding': coding }).end(pack(tokenBody()));
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
  const job = newJob();
  await runMain(server, { job });
  await runPost(server, job);
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

describe('an answer with a token is used, whatever comes with it', () => {
  const LONG = `long-${'x'.repeat(25_000)}`;

  test.each<[name: string, behaviour: Behaviour, token?: string]>([
    ['nothing but the token', answer(200, JSON.stringify({ access_token: TOKEN }))],
    ['an empty token_type', issue({ token_type: '' })],
    ['white space around its token_type', issue({ token_type: ' Bearer ' })],
    ['a token_type that is null', issue({ token_type: null })],
    ['an expires_in that is text', issue({ expires_in: '86400' })],
    ['an expires_in that can not be read', issue({ expires_in: -5 })],
    ['a field named __proto__', answer(200, `{"__proto__":{"token_type":"mac"},"access_token":"${TOKEN}"}`)],
    ['more fields', issue({ scope: '::error::x\n::set-output name=token::y', more: [1] })],
    ['status 201', answer(201, tokenBody())],
    ['the content type of a page', answer(200, tokenBody(), { 'content-type': 'text/html' })],
    ['25,000 characters', issue({ access_token: LONG }), LONG],
    ['100,000 characters before the token', answer(200, `{"a":"${'x'.repeat(100_000)}","access_token":"${TOKEN}"}`)],
    ['a body that comes byte by byte', byteByByte(tokenBody())],
    ['a body in gzip', packed('gzip', gzipSync)],
    ['a body in gzip that does not say so', packed(undefined, gzipSync)],
    ['a body in gzip that says to be as it is', packed('identity', gzipSync)],
    ['a body in deflate', packed('Deflate', deflateSync)],
    ['a body in Brotli', packed('BR', brotliCompressSync)],
    ['20,000 characters of cookies', answer(200, tokenBody(), { 'set-cookie': `a=${'x'.repeat(20_000)}` })],
  ])('%s', async (_name, behaviour, token = TOKEN) => {
    const server = await startServer({ token: [behaviour] });
    const job = newJob();
    const main = await runMain(server, { job });
    expectGreen(main);
    expectUnseen(main, token);
    expect(main.outputs['token']).toBe(token);
    expect(job.masks).toContain(token);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([token]);
    expect(server.tokenRequests()).toBe(1);
  });
});

test('an answer with a token is used, whatever object stands in place of its expires_in', async () => {
  const server = await startServer({ token: [issue({ expires_in: { toString: 1 } })] });
  const job = newJob();
  const main = await runMain(server, { job });
  expectGreen(main);
  expect(main.outputs).toEqual({ token: TOKEN, 'expires-at': '' });
  expectGreen(await runPost(server, job));
  expect(server.revoked).toEqual([TOKEN]);
});

describe('expires-at', () => {
  const LATEST = '+275760-09-13T00:00:00.000Z';

  test.each<[name: string, expiresIn: unknown, date: string, expiresAt: string]>([
    ['is reckoned by the clock of the Dashboard', 60, 'Tue, 24 Nov 2026 12:00:00 GMT', '2026-11-24T12:01:00.000Z'],
    ['is read from text', '86400', 'Tue, 24 Nov 2026 12:00:00 GMT', '2026-11-25T12:00:00.000Z'],
    ['is far away where expires_in is beyond all dates', 1e300, 'Thu, 01 Jan 1970 00:00:00 GMT', LATEST],
    ['may be beyond the year 9999', 253_402_300_800, 'Thu, 01 Jan 1970 00:00:00 GMT', '+010000-01-01T00:00:00.000Z'],
  ])('%s, and post knows it', async (_name, expiresIn, date, expiresAt) => {
    const server = await startServer({
      token: [answer(200, tokenBody({ expires_in: expiresIn }), { date })],
      revoke: [answer(404)],
    });
    const job = newJob();
    const main = await runMain(server, { job });
    expect(main.outputs).toEqual({ token: TOKEN, 'expires-at': expiresAt });
    expect(main.log[0]).toContain(`valid until ${expiresAt}`);
    expectWarning(await runPost(server, job), `stays valid until ${expiresAt.replace('+', '\\+')}:`);
  });

  test.each([undefined, null, 0, 'a day', true, [60]])(
    'is empty for an expires_in of %j, and the log says so',
    async (expiresIn) => {
      const server = await startServer({ token: [issue({ expires_in: expiresIn })], revoke: [answer(404)] });
      const job = newJob();
      const main = await runMain(server, { job });
      expectGreen(main);
      expect(main.outputs).toEqual({ token: TOKEN, 'expires-at': '' });
      expect(main.log[0]).toMatch(/did not say how long it is valid/);
      expectWarning(await runPost(server, job), /stays valid for up to a day/);
    },
  );
});

describe('a token that arrives and can not be handed out is masked, and revoked at once', () => {
  test.each<[name: string, behaviour: Behaviour, message: RegExp, token?: string]>([
    ['another token_type', issue({ token_type: 'mac' }), /token_type other than Bearer/],
    ['a space in it', issue({ access_token: 'to ken' }), /characters that no token may have/, 'to ken'],
    ['a line break in it', issue({ access_token: 'to\nken' }), /characters that no token may have/, 'to\nken'],
    ['a letter beyond ASCII', issue({ access_token: 'tökén' }), /characters that no token may have/, 'tökén'],
    // What half a character becomes in UTF-8.
    ['half a character', issue({ access_token: 'to\ud83dken' }), /characters that no token may have/, 'to\ufffdken'],
    ['a redirect', answer(302, tokenBody(), { location: '/elsewhere' }), /redirected/],
    ['refused credentials', answer(401, tokenBody()), /did not accept the credentials/],
    ['status 403', answer(403, tokenBody()), /refused the request \(403\)/],
    ['a body without end', flood(tokenBody()), /is not a JSON object/],
    ['in a list', answer(200, `[${tokenBody()}]`), /is not a JSON object/],
    ['in a body that is no JSON', answer(200, `${tokenBody()}}`), /is not a JSON object/],
    ['in a page', answer(200, `<html><script>x = ${tokenBody()}</script>`), /is a page/],
  ])('%s', async (_name, behaviour, message, token = TOKEN) => {
    const server = await startServer({ token: [behaviour] });
    const job = newJob();
    const main = await runMain(server, { job });
    expectRed(main, message);
    expectUnseen(main, token, CLIENT_SECRET);
    expect(main.log).toContainEqual(expect.stringMatching(/^Revoked .* not handed out/));
    expect(job.masks).toContain(token);
    expect(server.revoked).toEqual([token]);
    expect(server.tokenRequests()).toBe(1);

    const post = await runPost(server, job);
    expectGreen(post);
    expect(post.log).toEqual(['There is no access token to revoke.']);
    expect(server.revoked).toEqual([token]);
  });

  test('one that can not be revoked at once is left to the post step', async () => {
    const server = await startServer({ token: [issue({ token_type: 'mac' })], revoke: [answer(404), empty()] });
    const job = newJob();
    const main = await runMain(server, { job });
    expectRed(main, /token_type other than Bearer/);
    expect(main.log).toContainEqual(expect.stringMatching(/that could not be revoked now: there is nothing at/));
    expect(server.revoked).toEqual([]);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('one that is longer than the state has room for', async () => {
    const server = await startServer({ token: [issue({ access_token: 'x'.repeat(30_000) })] });
    const job = newJob();
    const main = await runMain(server, { job });
    expectRed(main, /fit in the runner's state/);
    expect(server.revoked).toEqual(['x'.repeat(30_000)]);
    expect((await runPost(server, job)).log).toEqual(['There is no access token to revoke.']);
  });
});

describe('of several tokens in one answer all are masked, and those that are not handed out are revoked', () => {
  const NINE = Array.from({ length: 9 }, (_, index) => `token-${index + 1}-of-9`);

  test('the last one of a name that is there nine times is used, as JSON has it', async () => {
    const body = `{${NINE.map((token) => `"access_token":"${token}"`).join()}}`;
    const server = await startServer({ token: [answer(200, body)] });
    const job = newJob();
    const main = await runMain(server, { job });
    expectGreen(main);
    expect(main.outputs['token']).toBe('token-9-of-9');
    expect(NINE.filter((token) => !job.masks.has(token))).toEqual([]);
    expect([...server.revoked].sort()).toEqual(NINE.slice(0, 8));
    expectGreen(await runPost(server, job));
    expect([...server.revoked].sort()).toEqual(NINE);
  });

  test('none of a list of nine is used', async () => {
    const server = await startServer({
      token: [
        json(
          200,
          NINE.map((token) => ({ access_token: token })),
        ),
      ],
    });
    const job = newJob();
    expectRed(await runMain(server, { job }), /is not a JSON object/);
    expect(NINE.filter((token) => !job.masks.has(token))).toEqual([]);
    expect([...server.revoked].sort()).toEqual(NINE);
  });
});

describe('a token in an answer that broke off or failed is revoked, and another one is asked for', () => {
  const STRAY = tokenBody({ access_token: 'stray' });
  const cutGzip: Behaviour = (response) => {
    const body = gzipSync(STRAY);
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': String(body.length) });
    response.write(body.subarray(0, -8), () => response.socket?.destroy());
  };

  test.each<[name: string, behaviour: Behaviour]>([
    ['cut short', cutShort(STRAY)],
    ['cut behind the token', cutShort('{"access_token": "stray", "tok')],
    ['chunked', cutChunked(STRAY)],
    ['packed', cutGzip],
    ['with status 503', answer(503, STRAY)],
    ['with status 429', answer(429, STRAY)],
    ['refused for now', answer(403, STRAY, { 'retry-after': '0' })],
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
    const server = await startServer({ token: [cutShort(STRAY), issue()], revoke: [answer(404), empty()] });
    const job = newJob();
    const inputs = { 'skip-token-revoke': 'true' };
    expectGreen(await runMain(server, { job, inputs }));
    const post = await runPost(server, job, { inputs });
    expectGreen(post);
    expect(post.log[0]).toMatch(/left alive/);
    expect(server.revoked).toEqual(['stray']);
  });

  test('a token that comes again is not revoked before it is handed out', async () => {
    const server = await startServer({ token: [cutShort(tokenBody()), issue()] });
    const job = newJob();
    expectGreen(await runMain(server, { job }));
    expect(server.revoked).toEqual([]);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });
});

test('a stray token that can not be revoked holds back neither the good one nor its revocation', async () => {
  const server = await startServer({
    token: [answer(503, tokenBody({ access_token: 'stray' })), issue()],
    revoke: [
      hang(),
      // In post the stray one gets its answer when the other has been asked for, and the other when that is known.
      (response, { form }) => {
        void server.received(5).then(() => response.writeHead(form['token'] === 'stray' ? 404 : 200).end());
      },
    ],
  });
  const job = newJob();
  // A revocation may hang for half of the time, if it is let.
  const main = await runMain(server, { job, inputs: { 'timeout-seconds': '60' } });
  expectGreen(main);
  expect(main.outputs['token']).toBe(TOKEN);
  expect(main.log).toContainEqual(expect.stringMatching(/that could not be revoked now: no answer/));
  expectWarning(await runPost(server, job), /could not be revoked .*: there is nothing at/);
  expect(server.revoked).toEqual([TOKEN]);
});

describe('a server that sends the client secret as a token does not get it into a file or an output', () => {
  const SECRET = 'plain-secret-0123456789';

  test.each<[name: string, token: string]>([
    ['as it is', SECRET],
    ['with white space around it', ` ${SECRET}\n`],
    ['inside a longer token', `Bearer-${SECRET}-0`],
  ])('%s', async (_name, token) => {
    const server = await startServer({ token: [issue({ access_token: token })] });
    const job = newJob();
    const main = await runMain(server, { job, inputs: { 'client-secret': SECRET } });
    expectRed(main, /holds the client secret/);
    expectUnseen(main, SECRET);
    expect(filesOf(job)).not.toContain(SECRET);
    expect(server.revoked).toEqual([]);
  });
});

describe('a revocation is confirmed', () => {
  test.each<[name: string, behaviour: Behaviour]>([
    ['by 200 and no body', empty()],
    ['by 204', answer(204)],
    ['by JSON that holds nothing', json(200, {})],
  ])('%s', async (_name, behaviour) => {
    const server = await startServer({ revoke: [behaviour] });
    const job = newJob();
    await runMain(server, { job });
    const post = await runPost(server, job);
    expectGreen(post);
    expect(post.log).toEqual([expect.stringMatching(/^Revoked the access token/)]);
    expect(server.requests).toHaveLength(2);
  });

  test.each<[name: string, behaviour: Behaviour]>([
    ['a message', json(200, { message: 'Forbidden' })],
    ['a no', json(200, { revoked: false })],
    ['a page', page(200)],
  ])('but not by %s', async (_name, behaviour) => {
    const server = await startServer({ revoke: [behaviour] });
    const job = newJob();
    await runMain(server, { job });
    expectWarning(await runPost(server, job), /until 20.*: the revocation was answered, but not confirmed/);
    expect(server.requests).toHaveLength(2);
  });
});

test('a token that has expired before it could be revoked is no warning', async () => {
  const server = await startServer({ token: [issue({ expires_in: 0.001 })], revoke: [answer(404)] });
  const job = newJob();
  const main = await runMain(server, { job });
  const post = await runPost(server, job);
  expectGreen(post);
  expect(post.log).toEqual([`The access token expired at ${main.outputs['expires-at']}.`]);
});
