import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseCommand } from '../mock/runner.mts';
import { findToken, isConfirmation, readExpiry } from '../src/dashboard/answers';
import { describe, explain, explainUnusable } from '../src/dashboard/explain';
import { parseProxy } from '../src/dashboard/proxy';
import { errorOf } from '../src/shared/errors';
import { redact, wholeOf, wordsOf } from '../src/shared/text';
import { contextWith, loggerWith, responseOf } from './support/response';

/** Any text, with commands and control characters more often than chance would have them. */
const pieces = '\n|\r|\u2028|\0| |::|##[|]|#|::error::|##[add-mask]|"|\\|%0A|@|/|invalid_grant|Error|403'.split('|');
const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string())).map((parts) => parts.join('')),
);

/** A secret as credentials may be: long enough to be told from other text. */
const secrets = fc
  .string({ minLength: 6, unit: fc.constantFrom(...'abcXYZ019+/=&%"\\ ~é🔑') })
  .map((text) => `S${text}S`);

/** Some of the ways in which a server may spell what it was sent; there are more. */
const spellings = fc.constantFrom<((secret: string) => string)[]>(
  String,
  encodeURIComponent,
  JSON.stringify,
  (secret) => Buffer.from(secret).toString('base64'),
  (secret) => Buffer.from(secret).toString('base64url'),
  (secret) => Buffer.from(secret).toString('hex'),
  (secret) => [...Buffer.from(secret)].join(' '),
  (secret) => [...secret].join(' '),
  (secret) => secret.toUpperCase(),
);

/** A text that holds the secret somewhere, in one of these spellings. */
const withSecret = fc
  .tuple(anyText, secrets, anyText, spellings)
  .map(([before, secret, after, spell]) => ({ secret, spelled: spell(secret), text: before + spell(secret) + after }));

/** It may be printed behind one of the action's own words, and alone. */
function expectHarmless(text: string, ...unseen: string[]): void {
  expect(text).not.toMatch(/[\n\r\u0085\u2028\u2029]/);
  for (const secret of unseen) expect(text).not.toContain(secret);
  expect(parseCommand(`the Dashboard answered: ${text}`)).toBeUndefined();
  expect(parseCommand(text)).toBeUndefined();
}

test('what is shown of any text, code, header or host is one harmless line without the secret', () => {
  fc.assert(
    fc.property(withSecret, ({ secret, spelled, text }) => {
      const known = new Set([secret]);
      const words = wordsOf(text, known);
      expect(words).toMatch(/^[ -~…]{0,200}$/);
      for (const shown of [words, wholeOf('code', text, known)]) expectHarmless(shown, secret, spelled);
      expectHarmless(`server: ${wholeOf('header', text, known)}`, secret);
      expectHarmless(wholeOf('host', text.toLowerCase(), known), secret, secret.toLowerCase());
      expect(redact(text, known)).not.toContain(secret);
    }),
    { numRuns: 1_000 },
  );
});

test('any body of an answer holds a token that a header can carry, or is one harmless sentence', () => {
  const fields = fc.record(
    {
      access_token: fc.oneof(anyText, fc.base64String({ minLength: 1 }), fc.jsonValue()),
      token_type: fc.oneof(fc.constant('Bearer'), fc.jsonValue()),
      expires_in: fc.oneof(fc.double(), fc.integer(), fc.jsonValue()),
      error: fc.oneof(anyText, fc.jsonValue()),
      __proto__: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  const bytes = fc.uint8Array({ maxLength: 300 }).map((all) => Buffer.from(all).toString());
  const json = fc.oneof(fields, fc.jsonValue()).map((value) => JSON.stringify(value));
  let usable = 0;
  fc.assert(
    fc.property(fc.oneof(json, json, json, bytes), (body) => {
      const response = responseOf({ body });
      const expiry = readExpiry(response, 0);
      if (expiry !== undefined) expect(new Date(expiry).toISOString()).toBe(expiry);
      const token = findToken(response);
      const failure = explainUnusable(response, token, loggerWith());
      if (failure !== undefined) return expectHarmless(errorOf(failure).message);
      expect(token).toMatch(/^[!-~]+$/);
      expect(isConfirmation(response)).toBe(false);
      usable += 1;
    }),
    { numRuns: 1_000, examples: [['{"access_token":"a","expires_in":{"toString":1}}']] },
  );
  expect(usable).toBeGreaterThan(20);
});

test('any answer, with any error fields, headers and errors, is one harmless sentence', () => {
  const answers = withSecret.chain(({ secret, spelled, text }) =>
    fc.record({
      unseen: fc.constant([secret, spelled]),
      status: fc.oneof(fc.constantFrom(0, 302, 400, 401, 403, 429, 503), fc.integer({ min: 100, max: 599 })),
      body: fc.constantFrom(
        text,
        JSON.stringify({ error: text }),
        JSON.stringify({ error_description: text, error: text }),
        JSON.stringify({ detail: text }),
      ),
      location: fc.constantFrom(undefined, text, `/${text}`, `https://${text}`, `https://elsewhere.test/${text}`),
      cause: fc.constantFrom(undefined, text, Object.assign(new Error(text), { code: 'ECONNRESET' })),
      stage: fc.constantFrom('answer', 'handshake', 'proxy answer'),
    }),
  );
  fc.assert(
    fc.property(answers, ({ unseen, status, body, location, cause, stage }) => {
      const headers = { location, server: location, 'retry-after': location, 'proxy-authenticate': location };
      const problem = cause === undefined ? undefined : ({ stage, cause } as const);
      const response = responseOf({ status, body, headers, problem });
      const logger = loggerWith(unseen[0] ?? '');
      const proxy = parseProxy('user:pass@proxy.test:3128');
      const failure = explain(response, contextWith({ logger, proxy }));
      for (const shown of [errorOf(failure).message, failure.explanation[1]]) expectHarmless(shown, ...unseen);
      expectHarmless(describe(response, 1, logger), unseen[0] ?? '');
    }),
    { numRuns: 1_000 },
  );
});

test('any user and any password are those of a proxy, unencoded or encoded, or it is refused; none is in its URL', () => {
  const encodings = fc.constantFrom<((text: string) => string)[]>(encodeURIComponent, String);
  let taken = 0;
  fc.assert(
    fc.property(anyText, anyText, encodings, (user, password, encode) => {
      const proxy = parseProxy(`http://${encode(user)}:${encode(password)}@proxy.test:3128`);
      if (encode === encodeURIComponent) expect(proxy).toBeDefined();
      if (proxy === undefined) return;
      taken += 1;
      expect(proxy.url).toBe('http://proxy.test:3128');
      if (encode !== encodeURIComponent || `${user}${password}` === '') return;
      expect(proxy.authorization).toBe(`Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`);
      expect(proxy.secrets).toContain(password || user);
    }),
    { numRuns: 1_000, examples: [['svc', '52173#Winter', String]] },
  );
  expect(taken).toBeGreaterThan(500);
});
