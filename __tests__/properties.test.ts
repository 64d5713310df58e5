import { afterEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseCommand } from '../mock/runner.mts';
import { findTokens, isConfirmation, readExpiry, readToken, retryAfterMs } from '../src/dashboard/answers';
import { explain } from '../src/dashboard/explain';
import type { Outcome } from '../src/dashboard/http';
import { parseSettings } from '../src/runner/inputs';
import { loadState, type Saved } from '../src/runner/state';
import { Failure, StepError } from '../src/shared/errors';
import { hostOf, redact, wordsOf } from '../src/shared/text';

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
        ),
        fc.constantFrom('\0', 'invalid_grant', 'Error', '403'),
        fc.string(),
      ),
    )
    .map((parts) => parts.join('')),
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
  (secret) => Buffer.from(secret).toString('hex').replaceAll(/../g, '$& ').trim(),
  (secret) => [...Buffer.from(secret)].join(' '),
  (secret) => [...secret].join(' '),
  (secret) => secret.toUpperCase(),
);

/** A text that holds the secret somewhere, in one of these spellings. */
const withSecret = fc.tuple(anyText, secrets, anyText, spellings).map(([before, secret, after, spell]) => ({
  secret,
  spelled: spell(secret),
  text: `${before}${spell(secret)}${after}`,
}));

function answerOf(body: string, headers: Outcome['headers'] = {}, status = 200): Outcome {
  return { status, headers, body, cause: undefined, timedOut: undefined };
}

/** The text may be printed behind one of the action's own words. */
function expectHarmless(text: string, ...unseen: string[]): void {
  expect(text).not.toMatch(/[\n\r\u0085\u2028\u2029]/);
  for (const secret of unseen) expect(text).not.toContain(secret);
  expect(parseCommand(`the Dashboard answered: ${text}`)).toBeUndefined();
  expect(parseCommand(text)).toBeUndefined();
}

test('the words of any text are one harmless line of at most 200 characters, without the secret', () => {
  fc.assert(
    fc.property(withSecret, ({ secret, spelled, text }) => {
      const shown = wordsOf(text, new Set([secret]));
      expectHarmless(shown, secret, spelled);
      expect(shown.length).toBeLessThanOrEqual(200);
      expect(shown).toMatch(/^[ -~…]*$/);
    }),
    { numRuns: 2_000 },
  );
});

test('three numbers, or words of one or two letters, in a row are never shown', () => {
  const short = fc.constantFrom('a', 'I', 'is', 'OK', 'it,', '(so)', '7', '86.', '123456', 'to;', '"an"');
  const words = fc.constantFrom('see', 'there:', 'invalid_grant', 'Error', '…');
  fc.assert(
    fc.property(fc.array(fc.oneof(short, short, words)), (parts) => {
      expect(wordsOf(parts.join(' '), new Set())).not.toMatch(/(?:\W*\b(?:\d+|\w{1,2})\b){3}/);
    }),
    { numRuns: 1_000 },
  );
});

test('the words of words are the same words', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const shown = wordsOf(text, new Set());
      expect(wordsOf(shown, new Set())).toBe(shown);
    }),
  );
});

test('any host is shown without the secret', () => {
  fc.assert(
    fc.property(withSecret, ({ secret, text }) => {
      const location = `https://${text}`;
      if (!URL.canParse(location)) return;
      expectHarmless(hostOf(new URL(location).hostname, new Set([secret])), secret, secret.toLowerCase());
    }),
    { numRuns: 2_000 },
  );
});

test('no secret is left in a text of our own', () => {
  fc.assert(
    fc.property(fc.array(secrets, { minLength: 1 }), fc.array(anyText), (all, texts) => {
      const text = texts.map((part, index) => `${part}${all[index % all.length]}`).join('');
      const shown = redact(text, new Set(all));
      for (const secret of all) expect(shown).not.toContain(secret);
    }),
  );
});

test('any bytes as a body hold no token, and are one harmless sentence', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), secrets, (bytes, secret) => {
      const answer = answerOf(`${Buffer.from(bytes).toString()}${secret}`);
      expect(findTokens(answer.body, secret)).not.toContain(secret);
      expect(readExpiry(answer, 0)).toBeUndefined();
      expect(isConfirmation(answer)).toBe(false);
      expect(() => readToken(answer, secret)).toThrow(Failure);
      try {
        readToken(answer, secret);
      } catch (error) {
        expectHarmless((error as Failure).message, secret);
      }
    }),
    { numRuns: 1_000 },
  );
});

test('any JSON as a body is a token that is held for revoking, or one harmless sentence', () => {
  const fields = fc.record(
    {
      access_token: fc.oneof(anyText, fc.base64String({ minLength: 1 }), fc.jsonValue()),
      token_type: fc.oneof(fc.constant('Bearer'), fc.jsonValue()),
      expires_in: fc.oneof(fc.double(), fc.integer(), fc.jsonValue()),
      __proto__: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  let handedOut = 0;
  fc.assert(
    fc.property(fc.oneof(fields, fc.jsonValue()), (value) => {
      const answer = answerOf(JSON.stringify(value));
      const at = readExpiry(answer, 0)?.at;
      if (at !== undefined) expect(new Date(at).toISOString()).toBe(at);
      try {
        const token = readToken(answer, 'no secret');
        expect(token).toMatch(/^[!-~]+$/);
        expect(findTokens(answer.body, 'no secret')).toContain(token);
        handedOut += 1;
      } catch (error) {
        expect(error).toBeInstanceOf(Failure);
        expectHarmless((error as Failure).message);
      }
    }),
    { numRuns: 2_000, examples: [[{ access_token: 'a', expires_in: { toString: 1 } }]] },
  );
  expect(handedOut).toBeGreaterThan(100);
});

test('a token is found in whatever part of an answer has come, once it is complete', () => {
  fc.assert(
    fc.property(secrets, fc.nat({ max: 40 }), (token, cut) => {
      const body = JSON.stringify({ token_type: 'Bearer', access_token: token, expires_in: 86_400 });
      const end = body.indexOf('"expires_in"') - 1;
      expect(findTokens(body.slice(0, end + cut), 'no secret')).toEqual([token]);
      expect(findTokens(body.slice(0, end - 1 - (cut % 10)), 'no secret')).toEqual([]);
    }),
  );
});

test('a token that holds the client secret is none, whatever is around it', () => {
  fc.assert(
    fc.property(secrets, anyText, anyText, (secret, before, after) => {
      const { body } = answerOf(JSON.stringify({ access_token: `${before}${secret}${after}` }));
      expect(findTokens(body, secret)).toEqual([]);
    }),
  );
});

test('any answer with any error fields and headers is one harmless sentence', () => {
  const body = withSecret.chain(({ secret, spelled, text }) =>
    fc.record({
      unseen: fc.constant([secret, spelled]),
      body: fc.constantFrom(
        text,
        JSON.stringify({ error: text }),
        JSON.stringify({ error_description: text, error: text }),
        JSON.stringify({ detail: text }),
      ),
      location: fc.constantFrom(undefined, text, `/${text}`, `https://elsewhere.test/${text}`),
      retryAfter: fc.constantFrom(undefined, text),
      cause: fc.constantFrom(undefined, new Error(text), text, Object.assign(new Error(text), { code: 'ECONNRESET' })),
    }),
  );
  const status = fc.oneof(fc.constantFrom(0, 302, 400, 401, 403, 429, 503), fc.integer({ min: 100, max: 599 }));
  fc.assert(
    fc.property(status, body, (status, { unseen, location, retryAfter, cause, body }) => {
      const known = new Set(unseen.slice(0, 1));
      const journal = {
        info: () => undefined,
        hide: () => undefined,
        words: (text: string) => wordsOf(text, known),
        host: (text: string) => hostOf(text, known),
      };
      const answer = { ...answerOf(body, { location, 'retry-after': retryAfter }, status), cause };
      const failure = explain(answer, { url: URL_OF_API, proxy: undefined, clientSecret: unseen[0] ?? '', journal });
      expectHarmless(failure.message, ...unseen);
      expectHarmless(failure.clause, ...unseen);
    }),
    { numRuns: 3_000 },
  );
});

test('any header as Retry-After is no wait, or one of milliseconds that a number can hold', () => {
  let waits = 0;
  fc.assert(
    fc.property(
      fc.oneof(
        anyText,
        fc.nat().map(String),
        fc.bigInt({ min: 0n }).map(String),
        fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
      ),
      fc.oneof(
        anyText,
        fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
      ),
      (header, date) => {
        const ms = retryAfterMs({ 'retry-after': header, date }, Date.now());
        if (ms === undefined) return;
        waits += 1;
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(Number.isSafeInteger(ms)).toBe(true);
      },
    ),
    { numRuns: 1_000 },
  );
  expect(waits).toBeGreaterThan(100);
});

function settingsOf(changes: Readonly<Record<string, unknown>>) {
  return parseSettings({ clientId: 'id', apiUrl: 'https://api.formlabs.com', timeoutSeconds: '60', ...changes });
}

test('any api-url is taken as an https or loopback URL, or refused without being shown', () => {
  const urls = fc.oneof(
    anyText,
    fc.webUrl({ withQueryParameters: true, withFragments: true }),
    fc.webAuthority().map((authority) => `http://${authority}`),
  );
  fc.assert(
    fc.property(urls, (text) => {
      try {
        const url = new URL(settingsOf({ apiUrl: text }).apiUrl);
        expect(`${url.username}${url.password}${url.search}${url.hash}`).toBe('');
        if (url.protocol !== 'https:') expect(url.hostname).toMatch(/^(localhost|127\.[\d.]+|\[::1\])$/);
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
        const { timeoutSeconds } = settingsOf({ timeoutSeconds: text });
        expect(Number.isInteger(timeoutSeconds) && timeoutSeconds >= 1 && timeoutSeconds <= 86_400).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(StepError);
      }
    }),
  );
});

afterEach(() => {
  delete process.env['STATE_state'];
});

test('any state is taken whole, or said to be damaged', () => {
  const whole: Saved = {
    tokens: ['a', 'b'],
    settings: { clientId: 'id', apiUrl: 'https://api.formlabs.com', timeoutSeconds: 60 },
    fingerprint: '0a1b2c',
    expiry: { at: '2026-11-25T12:00:00.000Z', hereMs: 1 },
  };
  const text = JSON.stringify(whole);
  const damaged = fc.oneof(
    fc.nat({ max: text.length - 1 }).map((end) => text.slice(0, end)),
    fc.tuple(fc.nat({ max: text.length }), anyText).map(([at, more]) => text.slice(0, at) + more + text.slice(at)),
    fc
      .record({ tokens: fc.jsonValue(), settings: fc.jsonValue(), expiry: fc.jsonValue() })
      .map((v) => JSON.stringify(v)),
    fc.constantFrom(text.replaceAll('"', ''), text.replaceAll('"', '\\"'), text.replaceAll(':', '\\:')),
    fc.jsonValue().map((value) => JSON.stringify(value)),
  );
  fc.assert(
    fc.property(damaged, (value) => {
      // The environment can't hold it.
      process.env['STATE_state'] = value.replaceAll('\0', '');
      try {
        const { tokens, settings, fingerprint } = loadState();
        expect(tokens.every((token) => typeof token === 'string' && token !== '')).toBe(true);
        if (tokens.length > 0) expect([typeof settings?.apiUrl, typeof fingerprint]).toEqual(['string', 'string']);
      } catch (error) {
        expect(error).toBeInstanceOf(StepError);
        expect((error as StepError).message).toMatch(/^The state that the main step saved .* alive/);
      }
    }),
    { numRuns: 2_000 },
  );
  process.env['STATE_state'] = text;
  expect(loadState()).toEqual(whole);
});
