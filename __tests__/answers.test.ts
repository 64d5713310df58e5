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
  flood,
  issue,
  json,
  page,
  startServer,
  TOKEN,
  tokenBody,
} from './support/scripted-server';

test('requests are form posts with the fields of the API, and a user agent with name and version', async () => {
  const server = await startServer();
  const job = newJob();
  await runMain(server, { job });
  await runPost(server, job);
  const [token, revocation] = server.requests;
  expect(token?.form).toEqual({
    grant_type: 'client_credentials',
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
  });
  expect(revocation?.form).toEqual({
    token: TOKEN,
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
  });
  for (const request of [token, revocation]) {
    expect(request?.method).toBe('POST');
    expect(request?.headers).toMatchObject({
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
      'user-agent': expect.stringMatching(/^formlabs-dashboard-token\/\d+\.\d+\.\d+$/),
    });
    expect(request?.headers).not.toHaveProperty('authorization');
  }
});

describe('an answer that is a token is handed out', () => {
  test.each<[name: string, behaviour: Behaviour]>([
    ['nothing but the token', answer(200, JSON.stringify({ access_token: TOKEN }))],
    ['token_type bearer', issue({ token_type: 'bearer' })],
    ['token_type BEARER', issue({ token_type: 'BEARER' })],
    ['without expires_in', issue({ expires_in: undefined })],
    ['a fraction of a second', issue({ expires_in: 0.5 })],
    [
      'a field named __proto__',
      answer(200, `{"__proto__":{"token_type":"mac"},"access_token":"${TOKEN}"}`),
    ],
    ['with more fields', issue({ scope: '::error::x\n::set-output name=token::y', more: [1] })],
  ])('%s', async (_name, behaviour) => {
    const server = await startServer({ token: [behaviour] });
    const job = newJob();
    const main = await runMain(server, { job });
    expectGreen(main);
    expect(main.outputs['token']).toBe(TOKEN);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });

  test('expires-at is empty where the API did not say', async () => {
    const server = await startServer({ token: [issue({ expires_in: undefined })] });
    const main = await runMain(server);
    expect(main.outputs).toEqual({ token: TOKEN, 'expires-at': '' });
    expect(main.log[0]).toMatch(/did not say how long it is valid\.$/);
  });
});

describe('a token that arrives and is refused is masked, and revoked at once', () => {
  test.each<[name: string, behaviour: Behaviour, message: RegExp, token?: string]>([
    ['another token_type', issue({ token_type: 'mac' }), /token_type other than Bearer/],
    ['a token_type that is no text', issue({ token_type: null }), /token_type other than Bearer/],
    ['expires_in 0', issue({ expires_in: 0 }), /expires_in that is no positive number/],
    ['expires_in below 0', issue({ expires_in: -5 }), /expires_in that is no positive number/],
    ['expires_in as text', issue({ expires_in: '86400' }), /expires_in that is no positive number/],
    [
      'expires_in beyond all dates',
      issue({ expires_in: 1e300 }),
      /expires_in that is no positive number/,
    ],
    [
      'a space in it',
      issue({ access_token: 'to ken' }),
      /characters that no token may have/,
      'to ken',
    ],
    [
      'a line break in it',
      issue({ access_token: 'to\nken' }),
      /characters that no token may have/,
      'to\nken',
    ],
    [
      'a letter beyond ASCII',
      issue({ access_token: 'tökén' }),
      /characters that no token may have/,
      'tökén',
    ],
    ['status 201', answer(201, tokenBody()), /answered 201, which its API does not document/],
    ['status 403', answer(403, tokenBody()), /refused the request \(403\)/],
    [
      'expires_in beyond all numbers',
      answer(200, `{"access_token":"${TOKEN}","expires_in":1e999}`),
      /expires_in that is no positive number/,
    ],
    ['more than 64 KiB', flood(tokenBody()), /longer than 64 KiB/],
    ['in a list', answer(200, `[${tokenBody()}]`), /is not a JSON object/],
    ['in a body that is no JSON', answer(200, `${tokenBody()}}`), /is not a JSON object/],
  ])('%s', async (_name, behaviour, message, token = TOKEN) => {
    const server = await startServer({ token: [behaviour] });
    const job = newJob();
    const main = await runMain(server, { job });
    expectRed(main, message);
    expectUnseen(main, token, CLIENT_SECRET);
    expect(job.masks).toContain(token);
    expect(server.revoked).toEqual([token]);
    expect(server.tokenRequests()).toBe(1);

    const post = await runPost(server, job);
    expectGreen(post);
    expect(post.log).toEqual(['There is no access token to revoke.']);
    expect(server.revoked).toEqual([token]);
  });

  test('a token that can not be revoked at once is left to the post step', async () => {
    const server = await startServer({
      token: [issue({ token_type: 'mac' })],
      revoke: [answer(404), answer(200)],
    });
    const job = newJob();
    const main = await runMain(server, { job });
    expectRed(main, /token_type other than Bearer/);
    expect(main.log.join('\n')).toMatch(/left to the post step to revoke/);
    expect(server.revoked).toEqual([]);
    expectGreen(await runPost(server, job));
    expect(server.revoked).toEqual([TOKEN]);
  });
});

describe('an answer without a token ends the step red, at once, and says what usually causes it', () => {
  test.each<[name: string, behaviour: Behaviour, message: RegExp]>([
    [
      '400',
      json(400, { error: 'invalid_grant', error_description: 'Invalid credentials given.' }),
      /^The Dashboard did not accept the credentials \(400\): invalid_grant: Invalid credentials given\. Check that client-id and client-secret .*https:\/\/dashboard\.formlabs\.com\/#developer/,
    ],
    [
      '401',
      json(401, { error: 'invalid_client' }),
      /^The Dashboard did not accept the credentials \(401\): invalid_client\. Check/,
    ],
    [
      '403',
      page(403),
      /^The Dashboard refused the request \(403\), with a page from it or from something in between\. Usually a firewall or a proxy .*registered printer/,
    ],
    [
      '404',
      page(404),
      /^There is nothing at http:\/\/.*\/o\/token\/ \(404\)\. Usually api-url names the wrong/,
    ],
    [
      '405',
      json(405, { detail: 'Method "POST" not allowed.' }),
      /^The Dashboard answered 405: Method "POST" not allowed, which/,
    ],
    [
      '407',
      answer(407),
      /^The proxy in between did not accept its credentials \(407\)\. This is the proxy/,
    ],
    [
      '418',
      answer(418),
      /^The Dashboard answered 418, which its API does not document\. Check api-url/,
    ],
    ['501', answer(501), /^The Dashboard answered 501/],
    ['204', answer(204), /^The Dashboard answered 204/],
    ['a page', page(200), /^The answer to the token request is a page\. Usually a captive portal/],
    ['nothing', answer(200), /^The answer to the token request is not a JSON object/],
    ['text', answer(200, 'ok'), /is not a JSON object/],
    ['null', json(200, null), /is not a JSON object/],
    ['a list', json(200, []), /is not a JSON object/],
    ['no access_token', json(200, { token_type: 'Bearer' }), /holds no access_token/],
    ['an empty access_token', issue({ access_token: '' }), /holds no access_token/],
    ['an access_token that is a number', issue({ access_token: 5 }), /holds no access_token/],
    [
      'an access_token in __proto__',
      answer(200, `{"__proto__":{"access_token":"${TOKEN}"}}`),
      /holds no access_token/,
    ],
    ['an endless body', flood(), /longer than 64 KiB/],
    [
      'an access_token of 10,000 characters',
      issue({ access_token: 'x'.repeat(10_000) }),
      /access_token that is too long/,
    ],
    [
      'the client secret as access_token',
      issue({ access_token: CLIENT_SECRET }),
      /characters that no token may have/,
    ],
  ])('%s', async (_name, behaviour, message) => {
    const server = await startServer({ token: [behaviour] });
    const main = await runMain(server);
    expectRed(main, message);
    expect(server.tokenRequests()).toBe(1);
    expect(main.ms).toBeLessThan(5_000);
  });
});

describe('a redirect is not followed, and the error says where it pointed to', () => {
  test.each([301, 302, 303, 307, 308])('%d', async (status) => {
    const other = await startServer();
    const location = `${other.url.replace('://', '://user:pw@')}/login/?next=secret#part`;
    const server = await startServer({ token: [answer(status, '', { location })] });
    const main = await runMain(server);
    expectRed(
      main,
      new RegExp(
        `redirected the request \\(${status}\\) to ${other.url}/login/, which is not followed`,
      ),
    );
    expectUnseen(main, 'next', 'part', 'pw');
    expect(other.requests).toEqual([]);
  });

  test.each<[location: string, shown: string]>([
    ['/relative/../login', 'http://127.0.0.1:PORT/login'],
    ['http://[bad', 'an address that cannot be read'],
    ['', 'an address that cannot be read'],
    [`https://evil.test/${CLIENT_SECRET}/end`, 'https://evil.test/***/end'],
    [
      `https://evil.test/${CLIENT_ID}/s3cr3t%26%2B%3D%25+%22%5C%3C%C3%A9%3E`,
      'https://evil.test/client-1/***',
    ],
    ['https://evil.test/##[error]x', 'https://evil.test/'],
  ])('to %j', async (location, shown) => {
    const server = await startServer({ token: [answer(302, '', location ? { location } : {})] });
    const main = await runMain(server);
    expectRed(main, /redirected/);
    expect(main.annotations[0]?.message).toContain(
      `to ${shown.replace('PORT', String(server.port))}, which`,
    );
  });
});

describe('of an error body only the OAuth fields are shown, on one line, without secrets and commands', () => {
  test.each<[name: string, body: unknown, shown: string]>([
    ['line breaks', { error: 'a\r\n::error::b' }, 'a  ::error::b'],
    ['old commands', { error: 'x##[add-mask]y' }, 'x#[add-mask]y'],
    ['old commands, padded', { error: '####[error]y' }, '#[error]y'],
    ['line separators', { error: 'a\u2028b\u0085c' }, 'a b c'],
    ['escape sequences', { error: '\u001b[31mred' }, '[31mred'],
    ['the secret', { error_description: `no ${CLIENT_SECRET} here` }, 'no *** here'],
    [
      'the secret in a form',
      { error: new URLSearchParams({ s: CLIENT_SECRET }).toString() },
      's=***',
    ],
    ['the secret in JSON', { error: JSON.stringify(CLIENT_SECRET) }, '"***"'],
    ['the secret in base64', { error: Buffer.from(CLIENT_SECRET).toString('base64') }, '***'],
    [
      'the secret with small percent codes',
      { error: encodeURIComponent(CLIENT_SECRET).replaceAll(/%../g, (code) => code.toLowerCase()) },
      '***',
    ],
    [
      'the secret cut off at the end',
      { error: `${'x'.repeat(190)}${CLIENT_SECRET}` },
      `${'x'.repeat(190)}***`,
    ],
    [
      'both fields',
      { error: 'invalid_scope', error_description: 'No such scope.' },
      'invalid_scope: No such scope',
    ],
    ['detail', { detail: 'Not today.' }, 'Not today'],
    ['fields that are no text', { error: { a: 1 }, detail: 5 }, ''],
    ['other fields', { message: 'hidden', html: '<p>' }, ''],
  ])('%s', async (_name, body, shown) => {
    const server = await startServer({ token: [json(401, body)] });
    const main = await runMain(server);
    expectRed(main, /./);
    const colon = shown === '' ? '' : ': ';
    expect(main.annotations[0]?.message).toContain(
      `did not accept the credentials (401)${colon}${shown}. Check`,
    );
    expectUnseen(main, CLIENT_SECRET);
    expect(main.commands).toEqual(['add-mask', 'error']);
  });

  test('no more than 200 characters', async () => {
    const server = await startServer({ token: [json(401, { error: '🙂'.repeat(500) })] });
    const main = await runMain(server);
    expect(main.annotations[0]?.message).toContain(`: ${'🙂'.repeat(199)}…. Check`);
  });

  test('a status text is not shown at all', async () => {
    const server = await startServer({
      token: [
        (response) => {
          response.writeHead(418, '::warning::teapot').end();
        },
      ],
    });
    const main = await runMain(server);
    expect(main.raw).not.toContain('teapot');
  });
});

describe('a revocation that fails warns, and never fails the job', () => {
  test.each<[name: string, behaviour: Behaviour, message: RegExp]>([
    [
      '401',
      json(401, { error: 'invalid_client' }),
      /until 20.*: the Dashboard did not accept the credentials/,
    ],
    ['403', page(403), /until 20.*refused the request/],
    ['404', page(404), /until 20.*there is nothing/i],
    [
      'a page',
      page(200),
      /until 20.*the revocation was answered with something other than a confirmation/,
    ],
    [
      '200 with an error',
      json(200, { error: 'invalid_client' }),
      /until 20.*other than a confirmation/,
    ],
    ['200 with text', answer(200, 'Please sign in'), /until 20.*other than a confirmation/],
    ['302', answer(302, '', { location: '/login' }), /until 20.*redirected/],
  ])('%s', async (_name, behaviour, message) => {
    const server = await startServer({ revoke: [behaviour] });
    const job = newJob();
    await runMain(server, { job });
    const post = await runPost(server, job);
    expectWarning(post, message);
    expectUnseen(post, CLIENT_SECRET, TOKEN);
    expect(server.requests).toHaveLength(2);
  });

  test('a token that comes back in the error is not seen', async () => {
    const server = await startServer({ revoke: [json(401, { error: `no ${TOKEN}` })] });
    const job = newJob();
    await runMain(server, { job });
    const post = await runPost(server, job);
    expectWarning(post, /\(401\): no \*\*\*\. Check/);
    expectUnseen(post, TOKEN);
  });

  test('without a known expiry it says for how long at most', async () => {
    const server = await startServer({
      token: [issue({ expires_in: undefined })],
      revoke: [answer(404)],
    });
    const job = newJob();
    await runMain(server, { job });
    expectWarning(await runPost(server, job), /stays valid for up to a day/);
  });
});

test('a secret that is a part of the API URL is not seen either', async () => {
  const server = await startServer({ token: [answer(404)] });
  const main = await runMain(server, {
    inputs: { 'client-secret': 'part-of-it', 'api-url': `${server.url}/part-of-it` },
  });
  expectRed(main, /^There is nothing at http:.*\/\*\*\*\/developer/);
  expectUnseen(main, 'part-of-it');
  const good = await startServer();
  expectUnseen(
    await runMain(good, {
      inputs: { 'client-secret': 'part-of-it', 'api-url': `${good.url}/part-of-it` },
    }),
    'part-of-it',
  );
});

test('a server that sends the client secret as access_token does not bring it into any file', async () => {
  const secret = 'plain-secret-0123456789';
  const server = await startServer({ token: [issue({ access_token: secret })] });
  const job = newJob();
  const main = await runMain(server, { job, inputs: { 'client-secret': secret } });
  expectRed(main, /holds the client secret as access_token/);
  expect(filesOf(job)).not.toContain(secret);
});

test('answers are asked for as they are, since a packed one could not be read', async () => {
  const server = await startServer();
  await runMain(server);
  expect(server.requests[0]?.headers['accept-encoding']).toBe('identity');
});

test('with debug logging the cause may follow, under the same rules', async () => {
  const server = await startServer({
    token: [issue({ token_type: 'mac' })],
    revoke: [answer(404)],
  });
  const job = newJob();
  const main = await runMain(
    { url: 'https://localhost:9' },
    { job, debug: true, inputs: { 'timeout-seconds': '1' }, nodeArgs: [] },
  );
  expect(main.log.some((line) => line.startsWith('##[debug]'))).toBe(true);
  expectUnseen(main, CLIENT_SECRET);
  expectUnseen(await runMain(server, { debug: true }), TOKEN, CLIENT_SECRET);
});
