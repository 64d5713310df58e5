import { describe, expect, test } from '@jest/globals';
import {
  findToken,
  isConfirmation,
  leavesDoubt,
  readExpiry,
  retryAfterMs,
  whyUnusable,
} from '../src/dashboard/answers';
import { responseOf } from './support/response';

const NOON = 'Tue, 24 Nov 2026 12:00:00 GMT';
const NOON_MS = Date.UTC(2026, 10, 24, 12);

describe('the token of a body', () => {
  test.each<[body: string, token: string | undefined]>([
    ['{"access_token":"a"}', 'a'],
    ['\ufeff \r\n{"access_token" : "a", "access_token": "b"}\n', 'b'],
    ['{"access\\u005ftoken":"a"}', 'a'],
    ['{"__proto__":{"access_token":"a"},"access_token":"b"}', 'b'],
    // Anywhere else it is the first.
    ['[{"access_token":"a"},{"access_token":"b"}]', 'a'],
    ['{"data":{"access_token"\n:\t"a"}}', 'a'],
    ['{"__proto__":{"access_token":"a"}}', 'a'],
    ['callback({"access_token":"a"})', 'a'],
    // A body may have broken off behind it.
    ['{"refresh":"a","access_token":"b"', 'b'],
    ['{"access_token":"quote\\"d"', 'quote"d'],
    ['{"access_token":"back\\\\slash"', 'back\\slash'],
    // Not one that can't be read whole.
    ['{"access_token":"half', undefined],
    ['{"access_token":"half\\"', undefined],
    ['{"access_token":"bad\\escape"', undefined],
    ['{"access_token":"two\nlines"', undefined],
    ['{"access_token":" "}', undefined],
    ['{"access_token":""}', undefined],
    ['{"access_token":7}', undefined],
    ['{"access_token":["a"]}', undefined],
    ['{"my_access_token":"a"}', undefined],
    ['["access_token", {"name": "a"}]', undefined],
    ['"access_token" is a field', undefined],
    ['', undefined],
  ])('%s', (body, token) => {
    expect(findToken(responseOf({ body }))).toBe(token);
  });

  test('is as long as the state has room for', () => {
    const long = 'x'.repeat(30_000);
    expect(findToken(responseOf({ body: `{"access_token":"${long}"` }))).toBe(long);
    expect(findToken(responseOf({ body: `{"access_token":"x${long}"` }))).toBeUndefined();
  });
});

describe('a successful answer', () => {
  const OTHER_CHARACTERS = 'holds an access_token with characters that no token may have';
  const OTHER_TYPE = 'holds a token_type other than Bearer';

  test.each<[body: string, reason: string | undefined]>([
    ['{"access_token":"a"}', undefined],
    ['\ufeff{"access_token":"a","token_type":"bEARER"}', undefined],
    ['{"access_token":"!\\"#$%&\'()*+,-./09:;<=>?@AZ[\\\\]^_`az{|}~"}', undefined],
    ...['""', '" \\t"', '" Bearer\\n"', 'null', '1', '{}'].map((type): [string, undefined] => [
      `{"access_token":"a","token_type":${type}}`,
      undefined,
    ]),
    ['{"__proto__":{"token_type":"mac"},"access_token":"a","error":null,"expires_in":"soon"}', undefined],

    [' \n<html>', 'is not a JSON object'],
    ['{"access_token":"a"', 'is not a JSON object'],
    ['[{"access_token":"a"}]', 'is not a JSON object'],
    ['', 'is not a JSON object'],
    ['null', 'is not a JSON object'],
    ['{}', 'holds no access_token'],
    ['{"access_token":7}', 'holds no access_token'],
    ['{"access_token":" "}', 'holds no access_token'],
    ['{"data":{"access_token":"a"}}', 'holds no access_token'],
    ['{"__proto__":{"access_token":"a"}}', 'holds no access_token'],
    ['{"error":"invalid_client"}', 'holds an error'],
    ['{"error":null,"data":{"access_token":"a"}}', 'holds an error'],
    ...['a b', 'a ', 'a\\n', 'a\\u007f', 'tökén', 'a\ufeff', 'a\\ud800'].map((token): [string, string] => [
      `{"access_token":"${token}"}`,
      OTHER_CHARACTERS,
    ]),
    ...['mac', 'bearer2', 'no bearer', 'Bearer mac'].map((type): [string, string] => [
      `{"access_token":"a","token_type":"${type}"}`,
      OTHER_TYPE,
    ]),
  ])('%s, %s', (body, reason) => {
    const response = responseOf({ body });
    expect(whyUnusable(response, findToken(response))).toBe(reason);
  });

  test.each<[body: string, reason: string | undefined]>([
    [' {"access_token":"a","token_type":"mac', undefined],
    ['{"access_token":"a b"', OTHER_CHARACTERS],
    ['[{"access_token":"a"}', 'is not a JSON object'],
  ])('that broke off: %s, %s', (body, reason) => {
    const response = responseOf({ body, problem: { stage: 'answer', cause: new Error('cut') } });
    expect(whyUnusable(response, findToken(response))).toBe(reason);
  });
});

describe('when a token expires', () => {
  const LATEST = '+275760-09-13T00:00:00.000Z';

  test.each<[expiresIn: string, date: string | undefined, expiry: string | undefined]>([
    // By the clock of the Dashboard, if it is there: 300 s before it is asked for here.
    ['86400', NOON, '2026-11-25T12:00:00.000Z'],
    ...[undefined, '', 'soon', '2026-11-24', 'Tue, 99 Nov 2026 12:00:00 GMT'].map(
      (date): [string, string | undefined, string] => ['60', date, '2026-11-24T12:06:00.000Z'],
    ),
    ['" 60 "', NOON, '2026-11-24T12:01:00.000Z'],
    ['"60 seconds"', NOON, '2026-11-24T12:01:00.000Z'],
    ['0.5', NOON, '2026-11-24T12:00:00.500Z'],
    ['8640000000000', NOON, LATEST],
    ['1e999', undefined, LATEST],
    ['"1e999"', 'Sat, 13 Sep 275760 00:00:00 GMT', LATEST],
    ...['null', '0', '-5', '"-5"', '"a day"', '""', '{}', '[60]', '{"toString":1}', 'true', '-1e999'].map(
      (expiresIn): [string, string, undefined] => [expiresIn, NOON, undefined],
    ),
  ])('expires_in %s, Date %s: %s', (expiresIn, date, expiry) => {
    const response = responseOf({ body: `{"expires_in":${expiresIn}}`, headers: { date } });
    expect(readExpiry(response, NOON_MS + 300_000)).toBe(expiry);
  });

  test('is unknown where the answer does not say, or is no object', () => {
    for (const body of ['{}', '[]', 'x', '60']) expect(readExpiry(responseOf({ body }), 0)).toBeUndefined();
  });
});

describe('how long to wait', () => {
  test.each<[header: string | undefined, ms: number | undefined]>([
    ['0', 0],
    ['86', 86_000],
    [' 007 ', 7_000],
    ['2026', 2_026_000],
    ['999999999', 999_999_999_000],
    ['9999999999', 999_999_999_000],
    // The three formats of a date in HTTP.
    ['Tue, 24 Nov 2026 12:00:30 GMT', 30_000],
    ['Tuesday, 24-Nov-26 12:00:30 GMT', 30_000],
    ['Tue Nov 24 12:00:30 2026', 30_000],
    ['Tue, 24 Nov 2026 11:59:59 GMT', 0],
    ...[undefined, '', '-5', '+5', '1.5', '1e3', '5 s', 'soon', 'Tue'].map(
      (header): [string | undefined, undefined] => [header, undefined],
    ),
    ...['2026-11-24T12:00:30Z', '24 Nov 2026 12:00:30 GMT', 'x Tue, 24 Nov 2026 12:00:30 GMT'].map(
      (header): [string, undefined] => [header, undefined],
    ),
  ])('Retry-After %s is %s ms', (header, ms) => {
    expect(retryAfterMs({ 'retry-after': header, date: NOON })).toBe(ms);
  });

  test.each(['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'])('a date on a %s is one', (day) => {
    expect(retryAfterMs({ 'retry-after': `${day}, 24 Nov 2026 12:00:01 GMT`, date: NOON })).toBeGreaterThan(0);
  });

  test.each([undefined, 'no date'])('a date counts from the clock of this machine where Date is %s', (date) => {
    const ms = retryAfterMs({ 'retry-after': new Date(Date.now() + 60_000).toUTCString(), date }) ?? 0;
    expect(ms).toBeGreaterThan(50_000);
    expect(ms).toBeLessThanOrEqual(60_000);
  });
});

test.each<[isConfirmed: boolean, changes: Parameters<typeof responseOf>[0]]>([
  ...['', ' \r\n', 'null', '""', '{}', '[]'].map((body): [boolean, object] => [true, { body }]),
  ...[201, 202, 204, 299].map((status): [boolean, object] => [false, { status }]),
  [false, { body: ' '.repeat(200) }],
  [false, { headers: { 'x-amzn-waf-action': 'challenge' } }],
  ...['<html>', 'OK', '{', '0', 'false', '"done"', '[{}]', '{"error":null}', '{"revoked":true}'].map(
    (body): [boolean, object] => [false, { body }],
  ),
])('that it confirms a revocation is %s of %j', (isConfirmed, changes) => {
  expect(isConfirmation(responseOf(changes))).toBe(isConfirmed);
});

test.each<[isInDoubt: boolean, changes: Parameters<typeof responseOf>[0]]>([
  [true, { status: 0, problem: { stage: 'answer', cause: 'cut' } }],
  [true, { status: 401, problem: { stage: 'answer', timeoutMs: 1 } }],
  [false, { status: 0, problem: { stage: 'handshake', timeoutMs: 1 } }],
  [false, { status: 0, problem: { stage: 'proxy answer', cause: 'cut' } }],
  ...[502, 504, 520, 524].map((status): [boolean, object] => [true, { status }]),
  ...[302, 401, 403, 429, 500, 503].map((status): [boolean, object] => [false, { status, body: 'x' }]),
  ...['{"access', ' {"access_token": "x', 'not \0 text', '\ufffd'].map((body): [boolean, object] => [true, { body }]),
  ...['', ' ', 'Welcome', '[]', '{}', '{"error":"x"}', '<html>'].map((body): [boolean, object] => [false, { body }]),
])('that a token may have been issued unseen is %s behind %j', (isInDoubt, changes) => {
  expect(leavesDoubt(responseOf(changes))).toBe(isInDoubt);
});
