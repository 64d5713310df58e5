import { describe, expect, test } from '@jest/globals';
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
import { answer, type Behaviour, flood, issue, json, page, startServer, TOKEN } from './support/scripted-server';

const DEVELOPER_TOOLS = 'https://dashboard\\.formlabs\\.com/#developer';

/** How an error of OAuth begins that is not about the credentials. */
const REFUSED = 'The Dashboard refused the request \\(400\\): ';

/** What takes an answer apart from that of the API: a page in place of JSON. */
const PAGE = ', with an HTML page';

describe('an answer without a token ends the step red, at once, and says what usually causes it', () => {
  test.each<[name: string, behaviour: Behaviour, message: RegExp | string]>([
    [
      '400',
      json(400, { error: 'invalid_grant', error_description: 'Invalid credentials given.' }),
      `^The Dashboard did not accept .* \\(400\\): invalid_grant: Invalid credentials .* Check .*${DEVELOPER_TOOLS}`,
    ],
    [
      '401',
      json(401, { error: 'invalid_client' }),
      /^The Dashboard did not accept the credentials \(401\): invalid_client\. Check that client-id/,
    ],
    ['401 of JSON that says nothing', json(401, {}), /^The Dashboard did not accept the credentials \(401\)\. Check/],
    ['400 with a page', page(400), `^The Dashboard answered 400 \\(bad request\\)${PAGE}.* Check api-url`],
    ['401 with a page', page(401), `^The Dashboard answered 401 \\(unauthorized\\)${PAGE}.* Check api-url`],
    [
      '401 with text',
      answer(401, 'Unauthorized'),
      /^The Dashboard answered 401 \(unauthorized\), which .* Check api-url/,
    ],
    ['401 with nothing', answer(401), /^The Dashboard answered 401 \(unauthorized\), which .* Check api-url/],
    ['401 with a list', json(401, ['invalid_client']), /^The Dashboard answered 401 \(unauthorized\), which/],
    ['400 with a list', json(400, ['invalid_client']), /^The Dashboard answered 400 \(bad request\), which/],
    [
      '400 of JSON without an error',
      json(400, { detail: 'Bad host.' }),
      /^The Dashboard answered 400 \(bad request\): Bad host, which its API does not document\. Check api-url/,
    ],
    [
      '400 of an error of null',
      json(400, { error: null }),
      /^The Dashboard did not accept the credentials \(400\)\. Check that client-id/,
    ],
    [
      'unauthorized_client',
      json(400, { error: 'unauthorized_client' }),
      `^${REFUSED}unauthorized_client\\. These credentials may not use this grant: .*${DEVELOPER_TOOLS}\\.$`,
    ],
    [
      'unsupported_grant_type',
      json(400, { error: 'unsupported_grant_type' }),
      `^${REFUSED}unsupported_grant_type\\. The server does not support .* grant: check api-url\\.$`,
    ],
    [
      'invalid_request',
      json(400, { error: 'invalid_request' }),
      `^${REFUSED}invalid_request\\. The request did not arrive as it was sent\\. Check api-url, .* in between\\.$`,
    ],
    [
      'invalid_scope',
      json(400, { error: 'invalid_scope', error_description: 'No such scope.' }),
      `^${REFUSED}invalid_scope: No such scope\\. The Dashboard requires no scope, .*: check api-url\\.$`,
    ],
    [
      'an error of OAuth with 401',
      json(401, { error: 'unauthorized_client' }),
      /^The Dashboard refused the request \(401\): unauthorized_client\. These credentials may not use this grant:/,
    ],
    [
      '403',
      page(403),
      `^The Dashboard refused the request \\(403\\)${PAGE}\\. Usually a firewall or a proxy .*registered printer`,
    ],
    [
      '403 in JSON',
      json(403, { detail: 'Not for you.' }),
      /^The Dashboard refused the request \(403\): Not for you\. Us/,
    ],
    [
      '404',
      page(404),
      /^There is nothing at http:\/\/127\.0\.0\.1:\d+\/developer\/v1\/o\/token\/ \(404\)\. Usually api-url/,
    ],
    [
      '405',
      json(405, { detail: 'Method "POST" not allowed.' }),
      /answered 405 \(.*\): Method "POST" not allowed, which/,
    ],
    [
      '407',
      answer(407),
      /^The Dashboard answered 407 \(proxy authentication required\), which its API does not document\. Check api-url/,
    ],
    ['418', answer(418), /^The Dashboard answered 418 .*which its API does not document\. Check api-url/],
    ['499', answer(499), /^The Dashboard answered 499 \(an unknown status\), which/],
    ['204', answer(204), /is not a JSON object/],
    ['a page', page(200), /^The answer to the token request is a page\. Usually a captive portal/],
    ['nothing', answer(200), /^The answer to the token request is not a JSON object\. Usually a captive portal/],
    ['no access_token', json(200, { token_type: 'Bearer' }), /holds no access_token/],
    ['an access_token that is a number', issue({ access_token: 5 }), /holds no access_token/],
    ['an access_token in __proto__', answer(200, `{"__proto__":{"access_token":"${TOKEN}"}}`), /holds no access_token/],
    ['a body without end', flood(), /is not a JSON object/],
    ['an access_token cut off at the limit', flood('{"access_token":"'), /is not a JSON object/],
  ])('%s', async (_name, behaviour, message) => {
    const server = await startServer({ token: [behaviour] });
    const main = await runMain(server);
    expectRed(main, new RegExp(message));
    expectUnseen(main, 'Sign in', 'Welcome');
    expect(main.log.filter((line) => line.startsWith('Attempt'))).toEqual([]);
    expect(server.tokenRequests()).toBe(1);
  });
});

test('an error that is an object, which can not be made a text, is none of OAuth', async () => {
  const server = await startServer({ token: [json(401, { error: { toString: 1 } })] });
  expectRed(await runMain(server), /^The Dashboard did not accept the credentials \(401\)\. Check/);
});

test('what is no HTTP is final, since a token may come with each of such answers', async () => {
  const texts = ['SSH-2.0-x\r\n\r\n', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n'];
  for (const text of texts) {
    const server = await startServer({ token: [(response) => void response.socket?.end(text)] });
    expectRed(
      await runMain(server),
      /^What came from 127\.0\.0\.1:\d+ is not valid HTTP \(HPE_[A-Z_]+\)\. .* answers; a token may have been issued\./,
    );
    expect(server.requests).toHaveLength(1);
  }
});

describe('refused credentials', () => {
  const adviceFor = async (secret: string) => {
    const server = await startServer({ token: [json(401, { error: 'invalid_client' })] });
    const main = await runMain(server, { inputs: { 'client-secret': secret } });
    expectRed(main, /did not accept the credentials/);
    return main.annotations[0]?.message;
  };

  test('where the secret was stored with something around it, are told so, and nothing of the secret', async () => {
    const secrets = ['"quoted"', "'quoted'", '<quoted>', 'half"', '`half', 'behind=,', '\u201cquoted\u201d'];
    const messages = await Promise.all(secrets.map(adviceFor));
    for (const message of messages) {
      expect(message).toMatch(/starts or ends with a symbol, such as a quote/);
      expect(message).not.toMatch(/quoted|half|behind/);
    }
    expect(new Set(messages).size).toBe(1);
  });

  test('where it was not, are not', async () => {
    for (const message of await Promise.all(['plain-1', 'in"side', '_x_'].map(adviceFor))) {
      expect(message).toMatch(/belong together/);
      expect(message).not.toMatch(/quote/);
    }
  });
});

describe('a redirect is not followed, and the error says which host it leads to, and no more', () => {
  test.each([301, 302, 303, 307, 308])('%d', async (status) => {
    const other = await startServer();
    const location = `${other.url.replace('://', '://user:pw@')}/login/?next=here#part`;
    const server = await startServer({ token: [answer(status, '', { location })] });
    const main = await runMain(server);
    expectRed(main, `redirected the request \\(${status}\\) to 127\\.0\\.0\\.1; redirects are not followed`);
    expectUnseen(main, 'login', 'next', 'part', 'pw', `:${other.port}`);
    expect([other.requests.length, server.requests.length]).toEqual([0, 1]);
  });

  test('nor is it tried again where it asks for that', async () => {
    const server = await startServer({ token: [answer(307, '', { location: '/login', 'retry-after': '0' })] });
    expectRed(await runMain(server), /redirected/);
    expect(server.requests).toHaveLength(1);
  });

  test.each<[location: string, shown: string]>([
    ['/relative/../login', '127.0.0.1'],
    ['//other.test:8443/x', 'other.test'],
    ['https://api2.evil.test/', '….evil.test'],
    ['https://[2001:db8::1]/', '…'],
    ['http://[bad', 'an unreadable address'],
    ['', 'an unreadable address'],
    ['https://part-of-a-secret.evil.test/', '….evil.test'],
    [`https://${'x'.repeat(25)}.evil.test/`, '….evil.test'],
    ['https://evil.test/##[error]x', 'evil.test'],
  ])('to %j', async (location, shown) => {
    const server = await startServer({ token: [answer(302, '', location ? { location } : {})] });
    const main = await runMain(server, { inputs: { 'client-secret': 'xx-part-of-a-secret' } });
    expectRed(main, /redirected/);
    expect(main.annotations[0]?.message).toContain(` to ${shown}; redirects`);
  });

  test.each(['javascript:alert(1)', 'mailto:a@evil.test', 'file:///login', 'data:,evil.test'])(
    'to %j, which has no host',
    async (location) => {
      const server = await startServer({ token: [answer(302, '', { location })] });
      expectRed(await runMain(server), /redirected the request \(302\) to an unreadable address; redirects/);
    },
  );

  test('a status that says "not modified" is one, too', async () => {
    expectRed(await runMain(await startServer({ token: [answer(304)] })), /redirected the request \(304\)/);
  });
});

describe('a revocation that fails warns, and never fails the job', () => {
  test.each<[name: string, behaviour: Behaviour, message: RegExp]>([
    ['401', json(401, { error: 'invalid_client' }), /until 20.*: the Dashboard did not accept the credentials \(401\)/],
    ['403', page(403), /until 20.*: the Dashboard refused the request/],
    ['404', page(404), /until 20.*: there is nothing at/],
    ['302', answer(302, '', { location: '/login' }), /until 20.*: the Dashboard redirected/],
    ['407', answer(407), /until 20.*: the Dashboard answered 407 \(proxy authentication required\), which/],
    // No token can have been issued by such an answer.
    [
      'what is no HTTP',
      (response) => void response.socket?.end('SSH-2.0-x\r\n\r\n'),
      /until 20.*: what came from .* is not valid HTTP \(HPE_[A-Z_]+\)\. Something may alter the answers\. Check/,
    ],
    ['a page', page(200), /until 20.*: the revocation was answered, but not confirmed\. Usually a captive portal/],
  ])('%s', async (_name, behaviour, message) => {
    const server = await startServer({ revoke: [behaviour] });
    const job = newJob();
    await runMain(server, { job });
    const post = await runPost(server, job);
    expectWarning(post, message);
    expectUnseen(post, CLIENT_SECRET, TOKEN);
    expect(post.annotations[0]?.message).not.toMatch(/\bagain\b/);
    expect(server.requests).toHaveLength(2);
  });
});

test('a secret that is a part of the API URL is not seen, neither in an error nor where all is well', async () => {
  const server = await startServer({ token: [issue(), answer(404)] });
  const job = newJob();
  const inputs = { 'client-secret': 'part-of-it', 'api-url': `${server.url}/part-of-it` };
  const good = [await runMain(server, { job, inputs }), await runPost(server, job, { inputs })];
  for (const step of good) {
    expectGreen(step);
    expectUnseen(step, 'part-of-it');
    expect(step.log.join()).toContain('/***');
  }
  const refused = await runMain(server, { inputs });
  expectRed(refused, /^There is nothing at http:.*\/\*\*\*\/developer/);
  expectUnseen(refused, 'part-of-it');
});
