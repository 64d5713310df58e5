import { brotliCompressSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import {
  attemptsIn,
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  expectWarning,
  runMain,
  runSteps,
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

/** How a message begins: `…` stands for anything. */
function like(start: string): RegExp {
  const parts = start.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}`);
}

const oauth = (status: number, error: unknown, more = {}) => json(status, { error, ...more });

describe('an answer without a token ends the step red, at once, and says what usually causes it', () => {
  const DOUBTED = 'The Dashboard did not accept the credentials';
  const REFUSED = 'The Dashboard refused the request';
  const ANSWERED = 'The Dashboard answered';
  const RESULT = 'The answer to the token request';
  const TOOLS = 'https://dashboard.formlabs.com/#developer';
  // What takes an answer apart from that of the API: a page in place of JSON.
  const PAGE = ', with an HTML page';
  const invalid = { error_description: 'Invalid credentials given.' };
  const scope = { error_description: 'No such scope.' };
  const firewall = { 'x-amzn-waf-action': 'challenge' };

  test.each<[name: string, behaviour: Behaviour, message: string]>([
    [
      '400',
      oauth(400, 'invalid_grant', invalid),
      `${DOUBTED} (400): invalid_grant: Invalid credentials … Check …${TOOLS}`,
    ],
    [
      '401',
      oauth(401, 'invalid_client'),
      `${DOUBTED} (401): invalid_client. Check that client-id and client-secret belong`,
    ],
    ['401 of JSON that says nothing', json(401, {}), `${DOUBTED} (401). Check`],
    ['400 of an error of null', oauth(400, null), `${DOUBTED} (400). Check that client-id`],
    // An object that can't be made a text.
    ['401 of an error that is an object', oauth(401, { toString: 1 }), `${DOUBTED} (401). Check`],
    ['401 of an error that looks like a code', oauth(401, 'x_y.z-w'), `${DOUBTED} (401): x_y.z-w. Check`],
    ['401 of an error in capitals', oauth(401, 'ERR_ACCESS_DENIED'), `${DOUBTED} (401): ERR_ACCESS_DENIED. Check`],
    ['400 with a page', page(400), `${ANSWERED} 400 (bad request)${PAGE}… Check api-url`],
    ['401 with a page', page(401), `${ANSWERED} 401 (unauthorized)${PAGE}… Check api-url`],
    ['401 with text', answer(401, 'Unauthorized'), `${ANSWERED} 401 (unauthorized), which … Check api-url`],
    ['401 with nothing', answer(401), `${ANSWERED} 401 (unauthorized), which … Check api-url`],
    ['401 with a list', json(401, ['invalid_client']), `${ANSWERED} 401 (unauthorized), which`],
    ['400 with a list', json(400, ['invalid_client']), `${ANSWERED} 400 (bad request), which`],
    [
      '400 without an error',
      json(400, { detail: 'Bad host.' }),
      `${ANSWERED} 400 (bad request): Bad host, which … Check api`,
    ],
    [
      'unauthorized_client',
      oauth(400, 'unauthorized_client'),
      `${REFUSED} (400): unauthorized_client. These … ${TOOLS}.`,
    ],
    [
      'the same with 401',
      oauth(401, 'unauthorized_client'),
      `${REFUSED} (401): unauthorized_client. These credentials may`,
    ],
    [
      'unsupported_grant_type',
      oauth(400, 'unsupported_grant_type'),
      `${REFUSED} (400): unsupported_grant_type. The server`,
    ],
    [
      'invalid_request',
      oauth(400, 'invalid_request'),
      `${REFUSED} (400): invalid_request. The request did not arrive as`,
    ],
    [
      'invalid_scope',
      oauth(400, 'invalid_scope', scope),
      `${REFUSED} (400): invalid_scope: No such scope. The Dashboard`,
    ],
    ['403', page(403), `${REFUSED} (403)${PAGE}. Usually a firewall or a proxy …registered printer`],
    ['403 in JSON', json(403, { detail: 'Not for you.' }), `${REFUSED} (403): Not for you. Usually`],
    ['404', page(404), 'There is nothing at http://127.0.0.1:…/developer/v1/o/token/ (404). Usually api-url'],
    [
      '405',
      json(405, { detail: 'Method "POST" not allowed.' }),
      `${ANSWERED} 405 (…): Method "POST" not allowed, which`,
    ],
    [
      '407',
      answer(407),
      `${ANSWERED} 407 (proxy authentication required), which its API does not document. Check api-url`,
    ],
    ['418', answer(418), `${ANSWERED} 418 …which its API does not document. Check api-url`],
    ['499', answer(499), `${ANSWERED} 499 (an unknown status), which`],
    ['304', answer(304), `${ANSWERED} 304 (not modified), which its API does not document`],
    ['204', answer(204), `${RESULT}, 204 (no content), is not a JSON object`],
    ['202, as of a firewall', answer(202), `${RESULT}, 202 (accepted), is not a JSON object. Usually a firewall`],
    ['the header of a firewall', answer(200, '', firewall), `${RESULT} is not a JSON object. Usually a firewall`],
    [
      '200 with an error',
      oauth(200, 'x_y', scope),
      `${RESULT} holds an error: x_y: No such scope. Check that client-id`,
    ],
    ['a page', page(200), `${RESULT} is a page. Usually a captive portal`],
    ['nothing', answer(200), `${RESULT} is not a JSON object. Usually a captive portal`],
    ['no access_token', json(200, { token_type: 'Bearer' }), `${RESULT} holds no access_token`],
    ['an access_token that is a number', issue({ access_token: 5 }), `${RESULT} holds no access_token`],
    ['one in __proto__', answer(200, `{"__proto__":{"access_token":"${TOKEN}"}}`), `${RESULT} holds no access_token`],
    ['a body without end', flood(), `${RESULT} is not a JSON object`],
  ])('%s', async (_name, behaviour, message) => {
    const server = await startServer({ token: [behaviour] });
    const main = await runMain(server);
    expectRed(main, like(message));
    expectUnseen(main, 'Sign in', 'Welcome');
    expect(main.annotations[0]?.message).not.toMatch(/bug|may have been issued/);
    expect(attemptsIn(main)).toEqual([]);
    expect(server.tokenRequests()).toBe(1);
  });
});

test.each([
  'SSH-2.0-x\r\n\r\n',
  'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n',
  `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(1_100_000)}\r\n\r\n`,
])('what is no HTTP is final, since a token may come with each of such answers (%#)', async (text) => {
  const server = await startServer({ token: [(response) => void response.socket?.end(text)] });
  expectRed(
    await runMain(server),
    /^What came from 127\.0\.0\.1:\d+ is not valid HTTP \(HPE_[A-Z_]+\)\. .* answers\. .*may have been issued/,
  );
  expect(server.requests).toHaveLength(1);
});

test.each<[name: string, behaviour: Behaviour]>([
  ['cut off at the limit', flood('{"access_token":"')],
  ['in an answer that ends within it', answer(200, '{"access_token":"tok')],
  [
    'compressed in a way that nobody asked for',
    (response) => response.writeHead(200).end(brotliCompressSync(tokenBody())),
  ],
])('a token that can not be read, %s, may have been issued', async (_name, behaviour) => {
  const server = await startServer({ token: [behaviour] });
  expectRed(await runMain(server), /is not a JSON object\..* that nobody knows may have been issued;/);
  expect(server.tokenRequests()).toBe(1);
});

describe('refused credentials', () => {
  const messageFor = async (clientSecret: string, clientId = 'AbC123') => {
    const server = await startServer({ token: [json(401, { error: 'invalid_client' })] });
    const main = await runMain(server, { inputs: { 'client-secret': clientSecret, 'client-id': clientId } });
    expectRed(main, /did not accept the credentials \(401\): invalid_client\. Check that client-id/);
    expectUnseen(main, clientSecret);
    return main.annotations[0]?.message ?? '';
  };

  test('where something else than the secret arrived, are told so, and nothing of it', async () => {
    const quoted = ['"quoted"', "'quoted'", '<quoted>', 'quoted"', '`quoted', 'quoted=,', '\u201cquoted\u201d'];
    const references = ['secrets.QUOTED', '$' + '{{ secrets.QUOTED }}', 'QUOTED=x1y2z3', 'op://quoted/api/secret'];
    const messages = await Promise.all([...quoted, ...references].map((secret) => messageFor(secret)));
    for (const message of messages) {
      expect(message).toMatch(
        /The value of client-secret has more in it than letters and digits.* pass the value itself/,
      );
      expect(message).not.toMatch(/quoted\b(?! value)|value of client-id/i);
    }
    expect(new Set(messages).size).toBe(1);
    expect(await messageFor('plain1', 'vars.CLIENT_ID')).toMatch(/The value of client-id has more in it/);
    expect(await messageFor('x1y2z3AAA')).not.toMatch(/digits|quote/);
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

  const SECRET = 'xx-part-of-a-secret';

  test.each<[location: string, shown: string]>([
    ['/relative/../login', '127.0.0.1'],
    ['//other.test:8443/x', 'other.test'],
    ['https://api2.evil.test/', 'api2.evil.test'],
    ['https://eu-west-1.api.formlabs.test/', 'eu-west-1.api.formlabs.test'],
    ['https://[2001:db8::1]/', '…'],
    ['http://[bad', 'an unreadable address'],
    ['https://part-of-a-secret.evil.test/', '….evil.test'],
    [`https://${Buffer.from(SECRET).toString('hex')}.evil.test/`, '….evil.test'],
    ['https://evil.test/##[error]x', 'evil.test'],
    ['javascript:alert(1)', 'an unreadable address'],
    ['mailto:a@evil.test', 'an unreadable address'],
    ['file:///login', 'an unreadable address'],
    ['data:,evil.test', 'an unreadable address'],
  ])('to %j', async (location, shown) => {
    const server = await startServer({ token: [answer(302, '', location ? { location } : {})] });
    const main = await runMain(server, { inputs: { 'client-secret': SECRET } });
    expectRed(main, /redirected/);
    expect(main.annotations[0]?.message).toContain(` to ${shown}; redirects`);
  });
});

// It names the host that answered, in place of saying that there is no target.
test('a redirect without a Location does not lead to where it came from', async () => {
  const main = await runMain(await startServer({ token: [answer(302)] }));
  expectRed(main, /redirected the request \(302\) to an unreadable address/);
});

describe('a revocation that fails warns, and never fails the job', () => {
  const until = 'The access token could not be revoked and stays valid until 20…:';

  test.each<[name: string, behaviour: Behaviour, message: string]>([
    [
      '401',
      oauth(401, 'invalid_client'),
      `${until} the Dashboard did not accept the credentials (401): invalid_client.`,
    ],
    ['403', page(403), `${until} the Dashboard refused the request`],
    ['404', page(404), `${until} there is nothing at`],
    ['302', answer(302, '', { location: '/login' }), `${until} the Dashboard redirected`],
    ['407', answer(407), `${until} the Dashboard answered 407 (proxy authentication required), which`],
    [
      'what is no HTTP',
      (response) => void response.socket?.end('SSH-2.0-x\r\n\r\n'),
      `${until} what came from … (HPE_`,
    ],
  ])('%s', async (_name, behaviour, message) => {
    const server = await startServer({ revoke: [behaviour] });
    const { post } = await runSteps(server);
    expectWarning(post, like(message));
    expectUnseen(post, CLIENT_SECRET, TOKEN);
    expect(post.annotations[0]?.message).not.toMatch(/\bagain\b|may have been issued/);
    expect(server.requests).toHaveLength(2);
  });
});

test('a secret that is a part of the API URL is not seen, neither in an error nor where all is well', async () => {
  const server = await startServer({ token: [issue(), answer(404)] });
  const inputs = { 'client-secret': 'part-of-it', 'api-url': `${server.url}/part-of-it` };
  const { main, post } = await runSteps(server, { inputs });
  for (const step of [main, post]) {
    expectGreen(step);
    expectUnseen(step, 'part-of-it');
    expect(step.log.join()).toContain('/***');
  }
  const refused = await runMain(server, { inputs });
  expectRed(refused, /^There is nothing at http:.*\/\*\*\*\/developer/);
  expectUnseen(refused, 'part-of-it');
});

test.each(['write', 'end'] as const)('101, which nobody asked for, is no lack of a connection (%s)', async (method) => {
  const text = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
  const server = await startServer({ token: [(response) => void response.socket?.[method](text)] });
  const main = await runMain(server, { inputs: { 'timeout-seconds': '1' } });
  expectRed(main, /^No answer from .*: (no complete answer within|the connection was cut|connection reset)/);
});
