import { describe, expect, test } from '@jest/globals';
import { parseApiUrl } from '../src/runner/inputs';
import {
  CLIENT_SECRET,
  expectGreen,
  expectRed,
  expectUnseen,
  newJob,
  runMain,
} from './support/job';
import { startServer } from './support/scripted-server';

describe('an input that is wrong ends the step red, and nothing is requested', () => {
  test.each<[input: string, value: string, message: RegExp]>([
    ['client-id', '', /^Input client-id is empty: .*forks or by Dependabot/],
    ['client-id', ' \t ', /^Input client-id is empty/],
    ['client-id', 'a\nb', /^Input client-id holds a line break/],
    ['client-id', 'zero\u200bwidth', /^Input client-id holds .* can't be seen/],
    ['client-secret', '', /^Input client-secret is empty: .*forks or by Dependabot/],
    ['client-secret', '  ', /^Input client-secret is empty/],
    ['client-secret', 'first\r\nsecond', /^Input client-secret holds a line break/],
    ['client-secret', 'nul\u0001', /^Input client-secret holds/],
    ['client-secret', 'del\u007f', /^Input client-secret holds/],
    [
      'api-url',
      'api.formlabs.com',
      /^Input api-url is not an absolute URL: .*https:\/\/api\.formlabs\.com/,
    ],
    ['api-url', 'https:api.formlabs.com', /^Input api-url is not an absolute URL/],
    ['api-url', 'https://', /^Input api-url is not an absolute URL/],
    ['api-url', 'https://a b/', /^Input api-url is not an absolute URL/],
    ['api-url', 'https://a\nb/', /^Input api-url is not an absolute URL/],
    ['api-url', 'https:\\\\evil.test\\', /^Input api-url is not an absolute URL/],
    ['api-url', 'ftp://api.formlabs.com', /^Input api-url is not an absolute URL/],
    ['api-url', 'https://user:pass@api.formlabs.com', /^Input api-url holds a user or a password/],
    ['api-url', 'https://user@api.formlabs.com', /^Input api-url holds a user or a password/],
    ['api-url', 'https://api.formlabs.com/?', /^Input api-url holds a query or a fragment/],
    ['api-url', 'https://api.formlabs.com/#x', /^Input api-url holds a query or a fragment/],
    ['api-url', 'http://api.formlabs.com', /^Input api-url is not https/],
    ['api-url', 'http://127.evil.test', /^Input api-url is not https/],
    ['api-url', 'http://localhost.evil.test', /^Input api-url is not https/],
    ['api-url', 'http://[::2]', /^Input api-url is not https/],
    ['api-url', 'http://128.0.0.1', /^Input api-url is not https/],
    ['skip-token-revoke', 'yes', /^Input skip-token-revoke is not a boolean: give true or false/],
    ['skip-token-revoke', '1', /^Input skip-token-revoke is not a boolean/],
    ['timeout-seconds', '0', /^Input timeout-seconds is not a whole number from 1 to 86400/],
    ['timeout-seconds', '86401', /^Input timeout-seconds is not a whole number/],
    ['timeout-seconds', '-1', /^Input timeout-seconds is not a whole number/],
    ['timeout-seconds', '1.5', /^Input timeout-seconds is not a whole number/],
    ['timeout-seconds', '1e3', /^Input timeout-seconds is not a whole number/],
    ['timeout-seconds', 'soon', /^Input timeout-seconds is not a whole number/],
  ])('%s %j', async (input, value, message) => {
    const server = await startServer();
    const main = await runMain(server, { inputs: { [input]: value } });
    expectRed(main, message);
    if (input !== 'client-secret') expectUnseen(main, CLIENT_SECRET, 'user:pass', ':pass@');
    expect(server.requests).toEqual([]);
  });
});

describe('an input that is right is taken', () => {
  test.each<[input: string, value: string]>([
    ['client-id', ' client-1 '],
    ['client-secret', `\t${CLIENT_SECRET}\n`],
    ['skip-token-revoke', ''],
    ['skip-token-revoke', 'true'],
    ['skip-token-revoke', 'True'],
    ['skip-token-revoke', 'TRUE'],
    ['skip-token-revoke', 'false'],
    ['skip-token-revoke', 'False'],
    ['skip-token-revoke', 'FALSE'],
    ['timeout-seconds', ''],
    ['timeout-seconds', '1'],
    ['timeout-seconds', '86400'],
    ['timeout-seconds', ' 060 '],
  ])('%s %j', async (input, value) => {
    const server = await startServer();
    expectGreen(await runMain(server, { inputs: { [input]: value } }));
    expect(server.requests[0]?.form).toEqual({
      grant_type: 'client_credentials',
      client_id: 'client-1',
      client_secret: CLIENT_SECRET,
    });
  });

  test.each<[path: string]>([[''], ['/'], ['//'], ['/base/path'], ['/base/path/']])(
    'api-url with the path %j',
    async (path) => {
      const server = await startServer();
      expectGreen(await runMain(server, { inputs: { 'api-url': `${server.url}${path}` } }));
      const base = path.replace(/\/+$/, '');
      expect(server.requests[0]?.path).toBe(`${base}/developer/v1/o/token/`);
    },
  );

  test.each<[host: string]>([['localhost'], ['LOCALHOST'], ['127.0.0.1'], ['127.1']])(
    'api-url with the loopback host %s',
    async (host) => {
      const server = await startServer();
      expectGreen(
        await runMain(server, { inputs: { 'api-url': `http://${host}:${server.port}` } }),
      );
    },
  );
});

test.each<[given: string, taken: string]>([
  ['https://api.formlabs.com', 'https://api.formlabs.com'],
  ['HTTPS://API.FORMLABS.COM:443/', 'https://api.formlabs.com'],
  ['https://host.test:8443/a/../base/', 'https://host.test:8443/base'],
  ['http://[0:0::1]:80/', 'http://[::1]'],
  ['http://127.255.0.1', 'http://127.255.0.1'],
  ['http://localhost', 'http://localhost'],
])('api-url %s is taken as %s', (given, taken) => {
  expect(parseApiUrl(given)).toBe(taken);
});

test.each([
  ['', 'is not an absolute URL'],
  ['https://[', 'is not an absolute URL'],
  ['https://user@host.test', 'holds a user or a password'],
  ['https://:pass@host.test', 'holds a user or a password'],
  ['https://host.test/?', 'holds a query or a fragment'],
  ['http://10.0.0.1', 'is not https'],
])('api-url %j is refused: it %s', (text, problem) => {
  expect(() => parseApiUrl(text)).toThrow(`Input api-url ${problem}`);
});

test('the client secret is masked even when another input is wrong', async () => {
  const job = newJob();
  await runMain({ url: 'nonsense' }, { job });
  expect(job.masks).toContain(CLIENT_SECRET);
});

test('nothing empty is masked, which the runner would warn of', async () => {
  const main = await newJob().run('main');
  expect(main.commands).toEqual(['error']);
});
