import { describe, expect, test } from '@jest/globals';
import {
  findTokens,
  isConfirmation,
  isPage,
  parseJsonObject,
  readExpiry,
  readToken,
  retryAfterMs,
} from '../src/dashboard/answers';
import type { Outcome } from '../src/dashboard/http';
import { Failure } from '../src/shared/errors';

const SECRET = 'the-client-secret';

function answerOf(body: unknown, headers: Outcome['headers'] = {}): Outcome {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { status: 200, headers, body: text, cause: undefined, timedOut: undefined };
}

describe('the tokens in a body', () => {
  test.each<[body: string, tokens: string[]]>([
    ['{"access_token": "a", "access_token": "b"}', ['a', 'b']],
    ['{"access\\u005ftoken":"a"}', ['a']],
    ['[{"access_token":"a"},{"access_token" : "a"}]', ['a']],
    ['{"data":{"access_token"\n:\t"a"}}', ['a']],
    ['{"access_token":"quote\\"d"', ['quote"d']],
    ['{"access_token":"back\\\\slash"', ['back\\slash']],
    ['{"access_token":"\\ud800"}', ['\ud800']],
    ['{"access_token":" a "}', [' a ']],
    ['callback({"access_token":"a"})', ['a']],
    ['{"refresh":"a","access_token":"a"', ['a']],
    ['{"access_token":"bad\\escape"', []],
    ['{"access_token":"two\nlines"', []],
    ['{"access_token":" "}', []],
    ['{"access_token":""}', []],
    ['{"access_token":"half', []],
    ['{"access_token":"half\\"', []],
    ['{"access_token":7}', []],
    ['{"my_access_token":"a"}', []],
    ['"access_token" is a field', []],
    ['["access_token", {"name": "a"}]', []],
    ['', []],
  ])('%s are %j', (body, tokens) => {
    expect(findTokens(body, SECRET)).toEqual(tokens);
  });

  test('are found however long, and however far behind', () => {
    const long = 'x'.repeat(1_000_000);
    expect(findTokens(`${' '.repeat(48_000)}{"access_token":"${long}"`, SECRET)).toEqual([long]);
  });

  test('are found up to a thousand of them, of more the last thousand', () => {
    const tokens = Array.from({ length: 1_001 }, (_, index) => `token-${index}`);
    const bodyOf = (values: readonly string[]) => JSON.stringify(values.map((token) => ({ access_token: token })));
    expect(findTokens(bodyOf(tokens.slice(1)), SECRET)).toEqual(tokens.slice(1));
    expect(findTokens(bodyOf(tokens), SECRET)).toEqual(tokens.slice(1));
    const none = ['', ' ', SECRET, `x${SECRET}`, 'token-1000'];
    expect(findTokens(bodyOf([...tokens, ...none]), SECRET)).toEqual(tokens.slice(1));
    const [used, ...others] = tokens;
    const body = JSON.stringify({ access_token: used, others: others.map((token) => ({ access_token: token })) });
    expect(findTokens(body, SECRET)).toEqual([...others.slice(1), used]);
  });
});

describe('the client secret is no token', () => {
  test.each<[name: string, secret: string, token: string]>([
    ['as it is', 'short', 'short'],
    ['with white space around it', 'short', '\t short \n'],
    ['inside a longer token, from eight characters on', '8-letter', 'x8-letterx'],
  ])('%s', (_name, secret, token) => {
    const answer = answerOf({ access_token: token });
    expect(findTokens(answer.body, secret)).toEqual([]);
    expect(() => readToken(answer, secret)).toThrow('holds the client secret in its access_token');
  });

  test.each<[name: string, secret: string, token: string]>([
    ['a secret of seven characters is likely to be in a token by chance', '7-lettr', 'x7-lettrx'],
    ['a token may be a part of the secret', '8-letter', '-letter'],
  ])('but %s', (_name, secret, token) => {
    const answer = answerOf({ access_token: token });
    expect(findTokens(answer.body, secret)).toEqual([token]);
    expect(readToken(answer, secret)).toBe(token);
  });
});

describe('an answer with a token is used', () => {
  test.each<[name: string, body: unknown]>([
    ['the token alone', { access_token: 'a' }],
    ['any printable ASCII', { access_token: '!"#$%&\'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~' }],
    ['bearer', { access_token: 'a', token_type: 'bearer' }],
    ['BEARER', { access_token: 'a', token_type: 'BEARER' }],
    ['an empty type', { access_token: 'a', token_type: '' }],
    ['a blank type', { access_token: 'a', token_type: ' \t' }],
    ['white space around the type', { access_token: 'a', token_type: ' Bearer\n' }],
    ['a type that is null', { access_token: 'a', token_type: null }],
    ['a type that is a number', { access_token: 'a', token_type: 1 }],
    ['an expiry that is text', { access_token: 'a', expires_in: 'soon' }],
    ['an error of null', { access_token: 'a', error: null }],
    ['white space around it', '\r\n {"access_token":"a"}\n'],
    ['a field named __proto__', '{"__proto__":{"token_type":"mac"},"access_token":"a"}'],
  ])('%s', (_name, body) => {
    const answer = answerOf(body);
    const token = readToken(answer, SECRET);
    expect(parseJsonObject(answer.body)?.get('access_token')).toBe(token);
  });

  test('a byte order mark before it', () => {
    expect(readToken(answerOf('\ufeff{"access_token":"a"}'), SECRET)).toBe('a');
  });

  test('the last one counts where a name is there twice, as in JSON', () => {
    expect(readToken(answerOf('{"access_token":"a","access_token":"b"}'), SECRET)).toBe('b');
  });
});

test.each<[name: string, body: unknown, problem: string]>([
  ['a page', ' \n<html>', 'is a page'],
  ['no JSON', 'x', 'is not a JSON object'],
  ['nothing', '', 'is not a JSON object'],
  ['null', 'null', 'is not a JSON object'],
  ['a list', [{ access_token: 'a' }], 'is not a JSON object'],
  ['a text', '"access_token"', 'is not a JSON object'],
  ['no token', {}, 'holds no access_token'],
  ['an empty token', { access_token: '' }, 'holds no access_token'],
  ['a blank token', { access_token: ' \n' }, 'holds no access_token'],
  ['a token that is a number', { access_token: 5 }, 'holds no access_token'],
  ['a token in __proto__', '{"__proto__":{"access_token":"a"}}', 'holds no access_token'],
  ['a space in the token', { access_token: 'a b' }, 'characters that no token may have'],
  ['a space behind the token', { access_token: 'a ' }, 'characters that no token may have'],
  ['a line break behind the token', { access_token: 'a\n' }, 'characters that no token may have'],
  ['a delete character', { access_token: 'a\x7f' }, 'characters that no token may have'],
  ['a letter beyond ASCII', { access_token: 'tökén' }, 'characters that no token may have'],
  ['a byte order mark in the token', { access_token: 'a\ufeff' }, 'characters that no token may have'],
  ['half a character', { access_token: 'a\ud800' }, 'characters that no token may have'],
  ['another type', { access_token: 'a', token_type: 'mac' }, 'token_type other than Bearer'],
  ['a type that only starts as bearer', { access_token: 'a', token_type: 'bearer2' }, 'token_type other than Bearer'],
  ['a type that only ends as bearer', { access_token: 'a', token_type: 'no bearer' }, 'token_type other than Bearer'],
  ['two types', { access_token: 'a', token_type: 'Bearer mac' }, 'token_type other than Bearer'],
])('an answer with %s is refused for good', (_name, body, problem) => {
  const read = () => readToken(answerOf(body), SECRET);
  expect(read).toThrow(Failure);
  expect(read).toThrow(problem);
  expect(read).toThrow(expect.objectContaining({ explanation: expect.objectContaining({ transient: false }) }));
});

const NOON = 'Tue, 24 Nov 2026 12:00:00 GMT';
const NOON_MS = Date.UTC(2026, 10, 24, 12);

describe('when a token expires', () => {
  test('is counted by the clock of the Dashboard, and for this machine by its own', () => {
    const fiveMinutesSlow = NOON_MS - 300_000;
    expect(readExpiry(answerOf({ expires_in: 86_400 }, { date: NOON }), fiveMinutesSlow)).toEqual({
      at: '2026-11-25T12:00:00.000Z',
      hereMs: fiveMinutesSlow + 86_400_000,
    });
  });

  test.each([undefined, '', 'soon', '2026-11-24', 'Tue, 99 Nov 2026'])(
    'is counted from the request where Date is %j',
    (date) => {
      expect(readExpiry(answerOf({ expires_in: 60 }, { date }), 1_000)).toEqual({
        at: '1970-01-01T00:01:01.000Z',
        hereMs: 61_000,
      });
    },
  );

  test.each<[expiresIn: unknown, at: string]>([
    [86_400, '1970-01-02T00:00:00.000Z'],
    ['86400', '1970-01-02T00:00:00.000Z'],
    [' 60 ', '1970-01-01T00:01:00.000Z'],
    [0.5, '1970-01-01T00:00:00.500Z'],
    [253_402_300_800, '+010000-01-01T00:00:00.000Z'],
    ['60 seconds', '1970-01-01T00:01:00.000Z'],
    [8_639_999_999_999, '+275760-09-12T23:59:59.000Z'],
  ])('expires_in %j is read', (expiresIn, at) => {
    expect(readExpiry(answerOf({ expires_in: expiresIn }), 0)?.at).toBe(at);
  });

  test.each(['8640000000000', '8640000000001', '1e13', '1e300', '1e999', '"1e999"'])(
    'expires_in %s is the latest moment there is',
    (number) => {
      const answer = answerOf(`{"expires_in":${number}}`);
      const latest = { at: '+275760-09-13T00:00:00.000Z', hereMs: 8.64e15 };
      expect(readExpiry(answer, 0)).toEqual(latest);
      expect(readExpiry(answer, NOON_MS)).toEqual(latest);
      expect(readExpiry({ ...answer, headers: { date: 'Sat, 13 Sep 275760 00:00:00 GMT' } }, 0)).toEqual(latest);
    },
  );

  test.each<[name: string, body: unknown]>([
    ['no expires_in', {}],
    ['null', { expires_in: null }],
    ['zero', { expires_in: 0 }],
    ['less than zero', { expires_in: -5 }],
    ['a word', { expires_in: 'a day' }],
    ['no text', { expires_in: '' }],
    ['an object', { expires_in: {} }],
    ['a number below all numbers', '{"expires_in":-1e999}'],
    ['text that is less than zero', { expires_in: '-5' }],
    ['no object', '[]'],
    ['no JSON', 'x'],
  ])('is unknown with %s', (_name, body) => {
    expect(readExpiry(answerOf(body), 0)).toBeUndefined();
  });

  test.each<[name: string, value: unknown]>([
    ['true', true],
    ['false', false],
    ['a list', [60]],
    ['a list of text', ['60']],
    ['an object that can not be made a text', { toString: 1 }],
  ])('is unknown with what is neither number nor text: %s', (_name, value) => {
    expect(readExpiry(answerOf({ expires_in: value }), 0)).toBeUndefined();
  });
});

describe('how long to wait', () => {
  const wait = (header: string | undefined, date?: string) =>
    retryAfterMs({ ...(header !== undefined && { 'retry-after': header }), date }, NOON_MS);

  test.each<[header: string | undefined, ms: number | undefined]>([
    [undefined, undefined],
    ['', undefined],
    ['0', 0],
    ['86', 86_000],
    [' 7 ', 7_000],
    ['0007', 7_000],
    ['999999998', 999_999_998_000],
    ['999999999', 999_999_999_000],
    ['1000000000', 999_999_999_000],
    ['9'.repeat(400), 999_999_999_000],
    ['-5', undefined],
    ['+5', undefined],
    ['1.5', undefined],
    ['1e3', undefined],
    ['5 s', undefined],
    ['soon', undefined],
    ['2026', 2_026_000],
    ['2026-11-24T12:00:30Z', undefined],
    ['24 Nov 2026 12:00:30 GMT', undefined],
    ['x Tue, 24 Nov 2026 12:00:30 GMT', undefined],
    ['Tue, 24 Nov 2026 11:59:59 GMT', 0],
    ['Tue, 99 Nov 2026', undefined],
    ['Tue', undefined],
  ])('Retry-After %j is %j ms', (header, ms) => {
    expect(wait(header)).toBe(ms);
  });

  const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
  const inThirtySeconds = DAYS.map((day, index): [day: string, number: string, nowMs: number] => [
    day,
    String(index + 1).padStart(2, '0'),
    Date.UTC(2026, 10, index + 1, 8),
  ]);

  test.each(inThirtySeconds)('a date on a %s is read in all three formats of HTTP', (day, number, nowMs) => {
    const short = day.slice(0, 3);
    const dates = [
      `${short}, ${number} Nov 2026 08:00:30 GMT`,
      `${day}, ${number}-Nov-26 08:00:30 GMT`,
      `${short} Nov ${number.replace(/^0/, ' ')} 08:00:30 2026`,
    ];
    for (const date of dates) {
      expect([date, retryAfterMs({ 'retry-after': date }, nowMs)]).toEqual([date, 30_000]);
    }
  });

  test('a date is reckoned from the Date of the answer, whatever the clock of this machine says', () => {
    expect(wait('Tue, 24 Nov 2026 17:00:03 GMT', 'Tue, 24 Nov 2026 17:00:00 GMT')).toBe(3_000);
    expect(wait('Tue, 24 Nov 2026 12:00:03 GMT', 'no date')).toBe(3_000);
  });
});

describe('a revocation', () => {
  test.each(['', ' \r\n', 'null', '""', '{}', '[]', '{"error":null}', '{"errors":[],"detail":""}', '[{}]'])(
    'is confirmed by %j',
    (body) => {
      expect(isConfirmation(answerOf(body))).toBe(true);
    },
  );

  test.each([
    '<html>',
    'OK',
    'Please sign in',
    '{',
    '0',
    'false',
    '"done"',
    '{"message":"Forbidden"}',
    '{"errors":[{"code":7}]}',
    '{"revoked":false}',
    '{"error":"invalid_client"}',
    '{"data":{"deep":[0]}}',
    '[null,1]',
  ])('is not confirmed by %j', (body) => {
    expect(isConfirmation(answerOf(body))).toBe(false);
  });
});

test('a page starts with an angle bracket, behind white space at most', () => {
  expect(['<html>', '\n\t <!doctype html>', '\ufeff<p>'].every(isPage)).toBe(true);
  expect(['', 'a < b', '{"a":"<p>"}'].some(isPage)).toBe(false);
});
