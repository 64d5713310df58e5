import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { fingerprintOf, parseSettings, readInputs } from '../src/runner/inputs';
import { cleanup } from './support/cleanup';
import { CLIENT_SECRET, expectGreen, expectRed, expectUnseen, newJob, runMain } from './support/job';
import { startServer } from './support/scripted-server';

const RIGHT = {
  'client-id': 'client-1',
  'client-secret': CLIENT_SECRET,
  'api-url': 'https://host.test',
  'skip-token-revoke': 'false',
  'timeout-seconds': '60',
};

afterEach(() => {
  for (const name of Object.keys(process.env)) if (name.startsWith('INPUT_')) delete process.env[name];
});

/** Reads inputs as a step does, and what it printed meanwhile. */
function readWith(inputs: Readonly<Record<string, string>>) {
  const write = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
  cleanup(() => write.mockRestore());
  for (const [name, value] of Object.entries(inputs)) process.env[`INPUT_${name.toUpperCase()}`] = value;
  const printed = () => write.mock.calls.map(([text]) => String(text)).join('');
  return { read: readInputs, printed };
}

describe('an input that is wrong ends main red, with nothing requested', () => {
  test('of each kind', async () => {
    const server = await startServer();
    const wrong: [input: string, value: string, message: RegExp][] = [
      ['client-id', '', /^Input client-id is empty: /],
      ['client-secret', 'first\r\nsecond', /^Input client-secret holds a line break/],
      ['api-url', 'https://user:pass@host.test', /^Input api-url holds a user or a password/],
      ['skip-token-revoke', 'yes', /^Input skip-token-revoke is not a boolean/],
      [
        'timeout-seconds',
        'soon',
        /^Input timeout-seconds is not a whole number .* keep trying, such as 60, or leave it out\.$/,
      ],
      ['client-id', CLIENT_SECRET, /^Input client-id is the same as client-secret/],
    ];
    await Promise.all(
      wrong.map(async ([input, value, message]) => {
        const job = newJob();
        const main = await runMain(server, { job, inputs: { [input]: value } });
        expectRed(main, message);
        if (input === 'client-secret') return expectUnseen(main, 'first', 'second');
        expectUnseen(main, CLIENT_SECRET, 'user:pass');
        expect(job.masks).toContain(CLIENT_SECRET);
      }),
    );
    expect(server.requests).toEqual([]);
  });

  test('and nothing empty is masked, which the runner would warn of', async () => {
    const main = await newJob().run('main');
    expect(main.commands).toEqual(['error']);
  });
});

describe('what is wrong is told, and never shown', () => {
  const LOOKALIKES = [
    '\u200b',
    '\u00ad',
    '\ufeff',
    '\u2028',
    '\u2029',
    '\u0085',
    '\u0000',
    '\u001b',
    '\u007f',
    '\u202e',
    '\t',
  ];

  test.each<[input: keyof typeof RIGHT, value: string, message: RegExp]>([
    ...(['client-id', 'client-secret'] as const).flatMap((input): [keyof typeof RIGHT, string, RegExp][] => [
      [input, '', /^Input .* is empty: check the name of the secret\..*environment.*inherit.*Dependabot.*forks/],
      [input, ' \t\r\n ', /^Input .* is empty/],
      [input, 'shown\nnever', /^Input .* holds a line break or another character that can't be seen/],
      ...LOOKALIKES.map((odd): [keyof typeof RIGHT, string, RegExp] => [
        input,
        `never${odd}shown`,
        /^Input .* holds a line break or another character that can't be seen/,
      ]),
    ]),
    ['client-id', CLIENT_SECRET, /^Input client-id is the same as client-secret: give the client ID/],
    ['client-id', ` ${CLIENT_SECRET}\n`, /^Input client-id is the same as client-secret/],
    ['api-url', 'never-shown.formlabs.com', /^Input api-url is not an absolute URL: .*https:\/\/api\.formlabs\.com/],
    ['api-url', 'https:never-shown.test', /^Input api-url is not an absolute URL/],
    ['api-url', 'https://', /^Input api-url is not an absolute URL/],
    ['api-url', 'https://[', /^Input api-url is not an absolute URL/],
    ['api-url', 'https://never shown/', /^Input api-url is not an absolute URL/],
    ['api-url', 'https://never\nshown/', /^Input api-url is not an absolute URL/],
    ['api-url', 'https:\\\\never-shown.test\\', /^Input api-url is not an absolute URL/],
    ['api-url', 'https://never-shown.test\\x', /^Input api-url is not an absolute URL/],
    ['api-url', 'ftp://never-shown.test', /^Input api-url is not an absolute URL/],
    ['api-url', 'xhttps://never-shown.test', /^Input api-url is not an absolute URL/],
    ['api-url', 'https://user:never-shown@host.test', /^Input api-url holds a user or a password/],
    ['api-url', 'https://never-shown@host.test', /^Input api-url holds a user or a password/],
    ['api-url', 'https://:never-shown@host.test', /^Input api-url holds a user or a password/],
    ['api-url', 'https://host.test/?', /^Input api-url holds a query or a fragment/],
    ['api-url', 'https://host.test/?never-shown', /^Input api-url holds a query or a fragment/],
    ['api-url', 'https://host.test/#', /^Input api-url holds a query or a fragment/],
    ...[
      'api.formlabs.com',
      '127.evil.test',
      '127.0.0.1.evil.test',
      'x127.0.0.1.test',
      'localhost.evil.test',
      'evil-localhost',
      '[::2]',
      '128.0.0.1',
      '10.0.0.1',
      '[::ffff:127.0.0.1]',
    ].map((host): [keyof typeof RIGHT, string, RegExp] => [
      'api-url',
      `http://${host}`,
      /^Input api-url is not https, which would send the client secret in the clear/,
    ]),
    ...['yes', '1', 'tRUE', 'true false', 'null'].map((value): [keyof typeof RIGHT, string, RegExp] => [
      'skip-token-revoke',
      value,
      /^Input skip-token-revoke is not a boolean: give true or false/,
    ]),
    ...['0', '86401', '-1', '+1', '1.5', '1e3', '0x10', 'soon', '1 2', '٣', '9'.repeat(400)].map(
      (value): [keyof typeof RIGHT, string, RegExp] => [
        'timeout-seconds',
        value,
        /^Input timeout-seconds is not a whole number from 1 to 86400/,
      ],
    ),
  ])('%s %j', (input, value, message) => {
    const { read } = readWith({ ...RIGHT, [input]: value });
    expect(read).toThrow(expect.objectContaining({ name: 'StepError', message: expect.stringMatching(message) }));
    expect(read).not.toThrow(/never|shown/);
  });
});

describe('what is right is taken', () => {
  test.each<[input: keyof typeof RIGHT, value: string, taken: object]>([
    ['client-id', ' client-1 ', { settings: { clientId: 'client-1' } }],
    ['client-id', 'cliënt id', { settings: { clientId: 'cliënt id' } }],
    ['client-secret', `\t${CLIENT_SECRET}\n`, { clientSecret: CLIENT_SECRET }],
    ['client-secret', '密 "quoted" ~', { clientSecret: '密 "quoted" ~' }],
    ['skip-token-revoke', '', { skipTokenRevoke: false }],
    ...['true', 'True', 'TRUE', ' true '].map((value): [keyof typeof RIGHT, string, object] => [
      'skip-token-revoke',
      value,
      { skipTokenRevoke: true },
    ]),
    ...['false', 'False', 'FALSE'].map((value): [keyof typeof RIGHT, string, object] => [
      'skip-token-revoke',
      value,
      { skipTokenRevoke: false },
    ]),
    ['timeout-seconds', '', { settings: { timeoutSeconds: 60 } }],
    ['timeout-seconds', '1', { settings: { timeoutSeconds: 1 } }],
    ['timeout-seconds', '86400', { settings: { timeoutSeconds: 86_400 } }],
    ['timeout-seconds', ' 060 ', { settings: { timeoutSeconds: 60 } }],
    ...Object.entries({
      '': 'https://api.formlabs.com',
      ' ': 'https://api.formlabs.com',
      'https://api.formlabs.com': 'https://api.formlabs.com',
      'https://host.test/': 'https://host.test',
      'https://host.test//': 'https://host.test',
      'https://host.test/base/path': 'https://host.test/base/path',
      'https://host.test/base/path//': 'https://host.test/base/path',
      'https://host.test:8443/a/../base/': 'https://host.test:8443/base',
      'HTTPS://HOST.TEST:443/': 'https://host.test',
      'http://localhost:8080': 'http://localhost:8080',
      'http://LOCALHOST': 'http://localhost',
      'http://127.1': 'http://127.0.0.1',
      'http://0x7f.0.0.1': 'http://127.0.0.1',
      'http://127.255.100.200': 'http://127.255.100.200',
      'http://[0:0::1]:80/': 'http://[::1]',
    }).map(([value, apiUrl]): [keyof typeof RIGHT, string, object] => ['api-url', value, { settings: { apiUrl } }]),
  ])('%s %j', (input, value, taken) => {
    expect(readWith({ ...RIGHT, [input]: value }).read()).toMatchObject(taken);
  });

  test('and goes to the Dashboard as it is', async () => {
    const server = await startServer();
    const inputs = { 'client-id': ' client-1 ', 'api-url': `${server.url}/base//`, 'timeout-seconds': '' };
    expectGreen(await runMain(server, { inputs }));
    expect(server.requests).toMatchObject([
      {
        path: '/base/developer/v1/o/token/',
        form: { grant_type: 'client_credentials', client_id: 'client-1', client_secret: CLIENT_SECRET },
      },
    ]);
  });
});

describe('the client secret is masked first', () => {
  test('even when another input is wrong', () => {
    const { read, printed } = readWith({ ...RIGHT, 'client-secret': 'plain', 'client-id': '' });
    expect(read).toThrow(/client-id/);
    expect(printed()).toMatch(/^::add-mask::plain\r?\n$/);
  });

  test('but not where there is none', () => {
    const { read, printed } = readWith({ ...RIGHT, 'client-secret': '' });
    expect(read).toThrow(/client-secret/);
    expect(printed()).toBe('');
  });
});

describe('settings that come back from the state are checked as inputs are', () => {
  const SETTINGS = { clientId: 'client-1', apiUrl: 'https://host.test/base', timeoutSeconds: 60 };

  test('right ones are taken as they are', () => {
    expect(parseSettings(SETTINGS)).toEqual(SETTINGS);
    expect(parseSettings({ ...SETTINGS, more: 'x' } as typeof SETTINGS)).toEqual(SETTINGS);
  });

  test.each<[change: object, message: RegExp]>([
    [{ clientId: undefined }, /client-id is empty/],
    [{ clientId: 7 }, /client-id is empty/],
    [{ clientId: 'a\nb' }, /client-id holds a line break/],
    [{ apiUrl: undefined }, /api-url is not an absolute URL/],
    [{ apiUrl: 'http://evil.test' }, /api-url is not https/],
    [{ apiUrl: {} }, /api-url is not an absolute URL/],
    [{ timeoutSeconds: undefined }, /timeout-seconds is not a whole number/],
    [{ timeoutSeconds: 1.5 }, /timeout-seconds is not a whole number/],
    [{ timeoutSeconds: Number.NaN }, /timeout-seconds is not a whole number/],
    [{ timeoutSeconds: '' }, /timeout-seconds is not a whole number/],
  ])('%j is refused', (change, message) => {
    expect(() => parseSettings({ ...SETTINGS, ...change })).toThrow(message);
  });
});

describe('the fingerprint', () => {
  test('is short, the same for the same credentials, and another for others', () => {
    const settings = { clientId: 'id', apiUrl: 'https://host.test', timeoutSeconds: 60 };
    const print = fingerprintOf(settings, 'secret');
    expect(print).toMatch(/^[\da-f]{6}$/);
    expect(fingerprintOf({ ...settings, timeoutSeconds: 1 }, 'secret')).toBe(print);
    const others = [
      [{}, 'secret2'],
      [{ clientId: 'id2' }, 'secret'],
      [{ apiUrl: 'https://host.tests' }, 'ecret'],
      [{ apiUrl: 'https://evil.test' }, 'secret'],
      [{}, ''],
    ] as const;
    expect(others.map(([change, secret]) => fingerprintOf({ ...settings, ...change }, secret))).not.toContain(print);
  });
});
