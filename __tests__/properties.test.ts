import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseCommand } from '../sandbox/runner.mts';
import { explainAnswer } from '../src/dashboard/explain';
import { Failure } from '../src/dashboard/failure';
import type { HttpAnswer } from '../src/dashboard/http';
import { parseRetryAfter } from '../src/dashboard/retry-after';
import { findTokens, readTokenAnswer } from '../src/dashboard/token-answer';
import { parseApiUrl, parseTimeout } from '../src/runner/inputs';
import { StepError } from '../src/step-error';
import { createRedactor, foreignText } from '../src/text';

const URL_OF_API = 'https://api.formlabs.com/developer/v1/o/token/';

/** Any text, commands and control characters more often than chance would have them. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc
    .array(
      fc.oneof(
        fc.constantFrom(
          '::',
          '\n',
          '\r',
          '##[',
          ']',
          '#',
          '::error::',
          '##[add-mask]',
          '\u2028',
          '"',
          '\\',
          '%0A',
          ' ',
          '\0',
        ),
        fc.string(),
      ),
    )
    .map((parts) => parts.join('')),
);

/** A secret as credentials may be: long enough to be told from other text. */
const secrets = fc
  .string({ minLength: 6, unit: fc.constantFrom(...'abcXYZ019+/=&%"\\ ~é🔑') })
  .map((text) => `S${text}S`);

/** A text that holds the secret somewhere, in one of the ways that a server may spell it. */
const withSecret = fc
  .tuple(anyText, secrets, anyText, fc.constantFrom(String, encodeURIComponent, JSON.stringify))
  .map(([before, secret, after, spell]) => ({ secret, text: `${before}${spell(secret)}${after}` }));

function answerOf(body: string, headers: HttpAnswer['headers'] = {}, status = 200): HttpAnswer {
  return { complete: true, status, headers, body, bodyTooLong: false };
}

/** The text may be printed behind one of the action's own words. */
function expectHarmless(text: string, secret: string): void {
  expect(text).not.toMatch(/[\n\r\u0085\u2028\u2029]/);
  expect(text).not.toContain(secret);
  expect(parseCommand(`the Dashboard answered: ${text}`)).toBeUndefined();
  expect(parseCommand(text)).toBeUndefined();
}

test('foreign text is one harmless line of at most 200 characters', () => {
  fc.assert(
    fc.property(withSecret, ({ secret, text }) => {
      const redactor = createRedactor();
      redactor.add(secret);
      const shown = foreignText(text, redactor.redact);
      expectHarmless(shown, secret);
      expect([...shown].length).toBeLessThanOrEqual(200);
    }),
    { numRuns: 2_000 },
  );
});

test('any bytes as a body are a token or one harmless sentence', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), secrets, (bytes, secret) => {
      const answer = answerOf(`${Buffer.from(bytes).toString()}${secret}`);
      findTokens(answer.body);
      try {
        readTokenAnswer(answer, 0);
      } catch (error) {
        expect(error).toBeInstanceOf(Failure);
        expectHarmless((error as Failure).message, secret);
      }
    }),
    { numRuns: 1_000 },
  );
});

test('any JSON as a body is a token or one harmless sentence', () => {
  const fields = fc.record(
    {
      access_token: fc.oneof(anyText, fc.jsonValue()),
      token_type: fc.oneof(fc.constant('Bearer'), fc.jsonValue()),
      expires_in: fc.oneof(fc.double(), fc.integer(), fc.jsonValue()),
      __proto__: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fields, fc.jsonValue()), (value) => {
      const answer = answerOf(JSON.stringify(value));
      try {
        const { token, expiresAt } = readTokenAnswer(answer, 0);
        expect(token).toMatch(/^[!-~]+$/);
        expect(findTokens(answer.body)).toContain(token);
        if (expiresAt !== undefined) expect(Date.parse(expiresAt)).toBeGreaterThan(0);
      } catch (error) {
        expect(error).toBeInstanceOf(Failure);
        expectHarmless((error as Failure).message, 'no secret');
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a token is found in whatever part of an answer has come, once it is complete', () => {
  fc.assert(
    fc.property(secrets, fc.nat({ max: 40 }), (token, cut) => {
      const body = JSON.stringify({
        token_type: 'Bearer',
        access_token: token,
        expires_in: 86_400,
      });
      const end = body.indexOf('"expires_in"') - 1;
      expect(findTokens(body.slice(0, end + cut))).toEqual([token]);
      expect(findTokens(body.slice(0, end - 1 - (cut % 10)))).toEqual([]);
    }),
  );
});

test('any status with any error fields and headers is one harmless sentence', () => {
  const body = withSecret.chain(({ secret, text }) =>
    fc.record({
      secret: fc.constant(secret),
      body: fc.constantFrom(
        text,
        JSON.stringify({ error: text }),
        JSON.stringify({ error_description: text, error: text }),
        JSON.stringify({ detail: text }),
      ),
      location: fc.constantFrom(undefined, text, `/${text}`, `https://elsewhere.test/${text}`),
      retryAfter: fc.constantFrom(undefined, text),
    }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 599 }), body, (status, { secret, ...rest }) => {
      const redactor = createRedactor();
      redactor.add(secret);
      const headers = { location: rest.location, 'retry-after': rest.retryAfter };
      const failure = explainAnswer(
        URL_OF_API,
        answerOf(rest.body, headers, status),
        redactor.redact,
      );
      expectHarmless(failure.message, secret);
      expectHarmless(failure.what, secret);
    }),
    { numRuns: 3_000 },
  );
});

test('any header as Retry-After is no wait or one of milliseconds', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        anyText,
        fc.nat().map(String),
        fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
      ),
      (header) => {
        const ms = parseRetryAfter(header, Date.now());
        if (ms !== undefined) expect(ms).toBeGreaterThanOrEqual(0);
      },
    ),
    { numRuns: 1_000 },
  );
});

test('any api-url is taken as an https or loopback URL, or refused without being shown', () => {
  const urls = fc.oneof(
    anyText,
    fc.webUrl({ withQueryParameters: true, withFragments: true }),
    fc.webAuthority().map((authority) => `http://${authority}`),
  );
  fc.assert(
    fc.property(urls, (text) => {
      try {
        const url = new URL(parseApiUrl(text));
        expect(`${url.username}${url.password}${url.search}${url.hash}`).toBe('');
        if (url.protocol !== 'https:')
          expect(url.hostname).toMatch(/^(localhost|127\.[\d.]+|\[::1\])$/);
      } catch (error) {
        expect(error).toBeInstanceOf(StepError);
        if (text.length > 12) expect((error as StepError).message).not.toContain(text);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('any timeout is a whole number from 1 to 86400, or refused', () => {
  fc.assert(
    fc.property(fc.oneof(anyText, fc.integer().map(String), fc.double().map(String)), (text) => {
      try {
        const seconds = parseTimeout(text);
        expect(Number.isInteger(seconds) && seconds >= 1 && seconds <= 86_400).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(StepError);
      }
    }),
  );
});
