import { describe, expect, test } from '@jest/globals';
import {
  attemptsIn,
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

// One case of each way from an answer to a message. What each answer makes of it is in explain.test.ts.

/** How a message begins: `…` stands for anything. */
function like(start: string): RegExp {
  const parts = start.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}`);
}

/** Ends the connection behind something else than HTTP, or more of it than is read. */
function raw(text: string): Behaviour {
  return (response) => void response.socket?.end(text);
}

describe('an answer without a token ends the step red, at once, and says what usually causes it', () => {
  const RESULT = 'The answer to the token request';
  const TOOLS = 'https://dashboard.formlabs.com/#developer';
  const invalid = { error: 'invalid_grant', error_description: 'Invalid credentials given.' };
  const scope = { error: 'invalid_scope', error_description: 'No such scope.' };

  test.each<[name: string, behaviour: Behaviour, message: string]>([
    [
      'refused credentials',
      json(400, invalid),
      `The Dashboard did not accept the credentials (400): invalid_grant: Invalid credentials given. Check …${TOOLS}`,
    ],
    [
      'another error of OAuth',
      json(400, scope),
      'The Dashboard refused the request (400): invalid_scope: No such scope. The Dashboard requires no scope',
    ],
    [
      'a page in place of JSON',
      page(401),
      'The Dashboard answered 401 (unauthorized): an HTML page. Its API does not document this. Check api-url',
    ],
    ['404', page(404), 'There is nothing at http://127.0.0.1:…/developer/v1/o/token/ (404). Usually api-url'],
    ['304', answer(304), 'The Dashboard answered 304 (not modified). Its API does not document this. Check api-url'],
    ['204', answer(204), `${RESULT} (204) is not a JSON object. Usually a captive portal`],
    ['202, as of a firewall', answer(202), `${RESULT} (202) is not a JSON object. Usually a firewall`],
    [
      '200 with an error',
      json(200, scope),
      `${RESULT} (200) holds an error: invalid_scope: No such scope. The Dashboard`,
    ],
    ['200 with a page', page(200), `${RESULT} (200) is not a JSON object: an HTML page. Usually a captive portal`],
    ['a body without end', flood(), `${RESULT} (200) is not a JSON object`],
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

test.each(['SSH-2.0-x\r\n\r\n', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(1_100_000)}\r\n\r\n`])(
  'what is no HTTP is final, since a token may come with each of such answers (%#)',
  async (text) => {
    const server = await startServer({ token: [raw(text)] });
    expectRed(
      await runMain(server),
      /^What came from 127\.0\.0\.1:\d+ is not valid HTTP \(HPE_[A-Z_]+\)\. .* answers\. .*may have been issued/,
    );
    expect(server.requests).toHaveLength(1);
  },
);

test('a token that can not be read, since it is cut off at the limit, may have been issued', async () => {
  const server = await startServer({ token: [flood('{"access_token":"')] });
  expectRed(await runMain(server), /is not a JSON object\..* that nobody knows may have been issued;/);
  expect(server.tokenRequests()).toBe(1);
});

test.each<[name: string, inputs: Record<'client-id' | 'client-secret', string>, other: RegExp]>([
  ['client-secret', { 'client-id': 'AbC123', 'client-secret': '$' + '{{ secrets.QUOTED }}' }, /of client-id/],
  ['client-id', { 'client-id': 'vars.QUOTED', 'client-secret': 'x1y2z3AAA' }, /of client-secret|and client-secret has/],
])('refused credentials, where something else than the %s arrived, are told so, and nothing of it', async (...row) => {
  const [name, inputs, other] = row;
  const server = await startServer({ token: [json(401, { error: 'invalid_client' })] });
  const main = await runMain(server, { inputs });
  expectRed(main, /did not accept the credentials \(401\): invalid_client\. Check that client-id/);
  expectRed(main, `The value of ${name} has more in it than the letters and digits.* pass the value itself`);
  expect(main.annotations[0]?.message).not.toMatch(other);
  expectUnseen(main, 'QUOTED', inputs['client-secret']);
});

test('a redirect is not followed, nor tried again, and the error says which host it leads to, and no more', async () => {
  const other = await startServer();
  const location = `${other.url.replace('://', '://user:pw@')}/login/?next=here#part`;
  const server = await startServer({ token: [answer(307, '', { location, 'retry-after': '0' })] });
  const main = await runMain(server);
  expectRed(main, /redirected the request \(307\) to 127\.0\.0\.1; redirects are not followed/);
  expectUnseen(main, 'login', 'next', 'part', 'pw', `:${other.port}`);
  expect([other.requests.length, server.requests.length]).toEqual([0, 1]);
});

test('a revocation that fails warns, and never fails the job', async () => {
  const server = await startServer({ revoke: [json(401, { error: 'invalid_client' }), raw('SSH-2.0-x\r\n\r\n')] });
  const job = newJob();
  await runMain(server, { job });
  for (const reason of [
    'The Dashboard did not accept the credentials (401): invalid_client.',
    'What came from … (HPE_',
  ]) {
    const post = await runPost(server, job);
    expectWarning(post, like(`The access token could not be revoked and stays valid until 20…. ${reason}`));
    expectUnseen(post, CLIENT_SECRET, TOKEN);
    expect(post.annotations[0]?.message).not.toMatch(/\bagain\b|may have been issued/);
  }
  expect(server.requests).toHaveLength(3);
});

test('a secret that is a part of the API URL is not seen, neither in an error nor where all is well', async () => {
  const server = await startServer({ token: [issue()], revoke: [answer(404)] });
  const inputs = { 'client-secret': 'part-of-it', 'api-url': `${server.url}/part-of-it` };
  const job = newJob();
  const main = await runMain(server, { job, inputs });
  expectGreen(main);
  const post = await runPost(server, job, { inputs });
  expectWarning(post, /\. There is nothing at http:.*\/\*\*\*\/developer/);
  for (const step of [main, post]) {
    expectUnseen(step, 'part-of-it');
    expect(step.log[0]).toContain('/***');
  }
});

test('101, which nobody asked for, is no lack of a connection, and is not waited for', async () => {
  const text = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
  const server = await startServer({ token: [(response) => void response.socket?.write(text), issue()] });
  const main = await runMain(server);
  expectGreen(main);
  expect(attemptsIn(main)).toEqual([
    expect.stringMatching(/no answer from .*: (the connection was cut|connection reset)/),
  ]);
  expect(main.log.join()).toMatch(/may have been issued/);
});
