import { expect, test } from '@jest/globals';
import { findTokens, readTokenAnswer } from '../src/dashboard/token-answer';
import { createRedactor, foreignText } from '../src/text';

function read(body: unknown, changes = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return readTokenAnswer(
    { complete: true, status: 200, headers: {}, body: text, bodyTooLong: false, ...changes },
    1_000,
  );
}

test('expires-at is counted from the moment of the request', () => {
  expect(read({ access_token: 'a', expires_in: 60 })).toEqual({
    token: 'a',
    expiresAt: '1970-01-01T00:01:01.000Z',
  });
  expect(read({ access_token: 'a' }).expiresAt).toBeUndefined();
});

test.each<[name: string, body: unknown, changes: object, problem: string]>([
  ['too long', { access_token: 'a' }, { bodyTooLong: true }, 'is longer than 64 KiB'],
  ['a page', '<html>', { headers: { 'content-type': 'text/html; charset=utf-8' } }, 'is a page'],
  ['no JSON', 'x', {}, 'is not a JSON object'],
  ['no token', {}, {}, 'holds no access_token'],
  ['an empty token', { access_token: '' }, {}, 'holds no access_token'],
  ['a token without end', { access_token: 'x'.repeat(8_193) }, {}, 'that is too long'],
  ['a strange token', { access_token: 'a b' }, {}, 'characters that no token may have'],
  ['another type', { access_token: 'a', token_type: 'mac' }, {}, 'token_type other than Bearer'],
  [
    'a type that is no text',
    { access_token: 'a', token_type: 1 },
    {},
    'token_type other than Bearer',
  ],
  ['no number of seconds', { access_token: 'a', expires_in: '1' }, {}, 'no positive number'],
  ['no time at all', { access_token: 'a', expires_in: 0 }, {}, 'no positive number'],
])('an answer that is %s is refused', (_name, body, changes, problem) => {
  expect(() => read(body, changes)).toThrow(problem);
});

test.each<[body: string, tokens: string[]]>([
  ['{"access_token": "a", "access_token": "b"}', ['a', 'b']],
  ['{"access\\u005ftoken":"a"}', ['a']],
  ['[{"access_token":"a"},{"access_token" : "a"}]', ['a']],
  ['{"access_token":"quote\\"d"', ['quote"d']],
  ['{"access_token":"bad\\escape"', []],
  ['{"access_token":" "}', []],
  ['{"access_token":"half', []],
  ['{"access_token":7}', []],
  ['', []],
])('the tokens in %s are %j', (body, tokens) => {
  expect(findTokens(body)).toEqual(tokens);
});

test('an empty secret changes nothing', () => {
  const redactor = createRedactor();
  redactor.add('');
  expect(redactor.redact('text')).toBe('text');
});

test('a secret that is a part of another leaves nothing of it', () => {
  const redactor = createRedactor();
  redactor.add('abc');
  redactor.add('abcdef');
  expect(redactor.redact('xabcdefx abc')).toBe('x***x ***');
});

test('a secret is found where a line break has become a space', () => {
  const redactor = createRedactor();
  redactor.add('a b');
  expect(foreignText('xa\nbx', redactor.redact)).toBe('x***x');
});

test('a long text is cut behind the secrets, not through them', () => {
  const redactor = createRedactor();
  redactor.add('secret');
  expect(foreignText(`${'x'.repeat(197)}secret`, redactor.redact)).toBe(`${'x'.repeat(197)}***`);
  expect(foreignText(`${'x'.repeat(199)}secret`, redactor.redact)).toBe(`${'x'.repeat(199)}…`);
});
