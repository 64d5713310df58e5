import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { fingerprintOf, parseSettings, readInputs } from '../src/runner/inputs';
import { cleanup } from './support/cleanup';

const SECRET = 's3cret&+=% "\\<é>';
const RIGHT = { 'client-id': 'client-1', 'client-secret': SECRET };

type Name = 'client-id' | 'client-secret' | 'api-url' | 'skip-token-revoke' | 'timeout-seconds';

afterEach(() => {
  for (const name of Object.keys(process.env)) if (name.startsWith('INPUT_')) delete process.env[name];
});

/** Reads inputs as a step does, and gives what was printed meanwhile, too. */
function read(inputs: Readonly<Record<string, string>>) {
  const write = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
  cleanup(() => write.mockRestore());
  for (const [name, value] of Object.entries({ ...RIGHT, ...inputs })) {
    process.env[`INPUT_${name.toUpperCase()}`] = value;
  }
  const printed = () => write.mock.calls.map(([text]) => String(text)).join('');
  try {
    return { ...readInputs(), printed: printed() };
  } catch (error) {
    return { error, printed: printed() };
  }
}

test.each<[name: Name, values: readonly string[], problem: RegExp]>([
  ['client-id', ['', ' \t\r\n '], /^is empty: check the name of the secret\..*environment.*Dependabot.*output/],
  ['client-secret', ['', ' '], /^is empty: check the name of the secret/],
  ['client-id', [SECRET, ` ${SECRET}\n`], /^is the same as client-secret: give the client ID/],
  ...(['client-id', 'client-secret'] as const).map((name): [Name, string[], RegExp] => [
    name,
    [...'\n\t\0\u001b\u007f\u0085\u00ad\u200b\u202e\u2028\u2029\ufeff'].map((odd) => `never${odd}shown`),
    /^holds a line break or another character that can't be seen: store the value again/,
  ]),
  [
    'api-url',
    [
      ...['never-shown.test', 'https:never-shown.test', 'https://', 'https://[', 'https://never shown/', 'xhttps://x'],
      ...['https://never\nshown/', 'https:\\\\never-shown.test', 'https://never.test\\x', 'ftp://never-shown.test'],
    ],
    /^is not an absolute URL: give an absolute https URL .*, such as https:\/\/api\.formlabs\.com, or leave it out/,
  ],
  [
    'api-url',
    [
      ...['https://never:shown@host.test', 'https://never@host.test', 'https://:never@host.test', 'https://@host.test'],
      // A part of a password is no host.
      ...['https://user:1#never@host.test', 'https://user:1/never@host.test', 'https://user:1?never@host'],
      ...['https://host.test/?never', 'https://host.test?', 'https://host.test/#never'],
    ],
    /^holds a user, a password, a query or a fragment/,
  ],
  [
    'api-url',
    [
      ...['api.formlabs.com', '127.evil.test', '127.0.0.1.evil.test', 'x127.0.0.1.test', 'localhost.evil.test'],
      ...['evil-localhost', '[::2]', '128.0.0.1', '10.0.0.1', '[::ffff:127.0.0.1]'],
    ].map((host) => `http://${host}`),
    /^is not https, which would send the client secret in the clear/,
  ],
  ['skip-token-revoke', ['yes', '1', 'tRUE', 'true false', 'null'], /^is not a boolean: give true or false/],
  [
    'timeout-seconds',
    ['0', '86401', '-1', '+1', '1.5', '1e3', '0x10', 'soon', '1 2', '٣', '9'.repeat(400)],
    /^is not a whole number from 1 to 86400: give the seconds .* such as 120, or leave it out/,
  ],
])('an input that is wrong is said to be, and not shown: %s %j', (name, values, problem) => {
  for (const value of values) {
    const { error, printed } = read({ [name]: value });
    const { name: kind, message, help } = error as Error & { help: string };
    expect([value, kind, help]).toEqual([value, 'StepError', `input-${name}`]);
    expect(message.replace(`Input ${name} `, '')).toMatch(problem);
    expect(message).not.toMatch(/never|shown/);
    // It is masked first, unless there is none, of which the runner would warn.
    const secret = name === 'client-secret' ? value.trim() : SECRET;
    expect(printed.startsWith('::add-mask::')).toBe(secret !== '');
  }
});

describe('an input that is right is taken', () => {
  const settings = { clientId: 'client-1', apiUrl: 'https://api.formlabs.com', timeoutSeconds: 120 };

  test('or its default', () => {
    const { printed, ...inputs } = read({ 'api-url': ' ', 'skip-token-revoke': '', 'timeout-seconds': '' });
    expect(inputs).toEqual({ settings, clientSecret: SECRET, skipTokenRevoke: false });
    expect(printed).toMatch(/^::add-mask::\S+ \S+\r?\n$/);
  });

  test.each<[name: Name, value: string, taken: object]>([
    ['client-id', ' cliënt id ', { settings: { ...settings, clientId: 'cliënt id' } }],
    ['client-secret', '\t密 "quoted" ~\n', { clientSecret: '密 "quoted" ~' }],
    ...['true', 'True', ' TRUE '].map((value): [Name, string, object] => {
      return ['skip-token-revoke', value, { skipTokenRevoke: true }];
    }),
    ...['false', 'False', 'FALSE'].map((value): [Name, string, object] => {
      return ['skip-token-revoke', value, { skipTokenRevoke: false }];
    }),
    ['timeout-seconds', '1', { settings: { ...settings, timeoutSeconds: 1 } }],
    ['timeout-seconds', ' 086400 ', { settings: { ...settings, timeoutSeconds: 86_400 } }],
    ...Object.entries({
      'https://host.test/base/path//': 'https://host.test/base/path',
      'HTTPS://HOST.TEST:443/': 'https://host.test',
      'https://host.test:8443/a/../base/': 'https://host.test:8443/base',
      // Formlabs' own description has the path of the version in it.
      'https://api.formlabs.com/developer/v1': 'https://api.formlabs.com',
      'https://host.test/base/developer/v1//': 'https://host.test/base',
      'https://host.test/developer/v1/x': 'https://host.test/developer/v1/x',
      'http://LOCALHOST:8080': 'http://localhost:8080',
      'http://127.1': 'http://127.0.0.1',
      'http://127.255.100.200': 'http://127.255.100.200',
      'http://[0:0::1]:80/': 'http://[::1]',
    }).map(([value, apiUrl]): [Name, string, object] => ['api-url', value, { settings: { ...settings, apiUrl } }]),
  ])('%s %j', (name, value, taken) => {
    expect(read({ [name]: value })).toMatchObject(taken);
  });
});

test.each<[change: object, problem: RegExp]>([
  [{ clientId: undefined }, /client-id is empty/],
  [{ clientId: 7 }, /client-id is empty/],
  [{ clientId: 'a\nb' }, /client-id holds a line break/],
  [{ apiUrl: undefined }, /api-url is not an absolute URL/],
  [{ apiUrl: 'http://evil.test' }, /api-url is not https/],
  [{ timeoutSeconds: undefined }, /timeout-seconds is not a whole number/],
  [{ timeoutSeconds: 1.5 }, /timeout-seconds is not a whole number/],
])('settings that come back from the state are checked as inputs are: %j', (change, problem) => {
  const right = { clientId: 'id', apiUrl: 'https://host.test/base', timeoutSeconds: 60 };
  expect(parseSettings(right)).toEqual(right);
  expect(() => parseSettings({ ...right, ...change })).toThrow(problem);
});

test('the fingerprint is short, the same for the same credentials, and another for others', () => {
  const settings = { clientId: 'id', apiUrl: 'https://host.test', timeoutSeconds: 60 };
  const print = fingerprintOf(settings, 'secret');
  expect(print).toMatch(/^[\da-f]{6}$/);
  expect(fingerprintOf({ ...settings, timeoutSeconds: 1 }, 'secret')).toBe(print);
  const others = [
    fingerprintOf(settings, 'secret2'),
    fingerprintOf({ ...settings, clientId: 'id2' }, 'secret'),
    fingerprintOf({ ...settings, apiUrl: 'https://host.tests' }, 'ecret'),
    fingerprintOf({ ...settings, clientId: 'i' }, 'dsecret'),
  ];
  expect(others).not.toContain(print);
});
