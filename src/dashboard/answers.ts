import type { IncomingHttpHeaders } from 'node:http';
import type { Failure } from '../shared/errors';
import type { Expiry } from '../shared/types';
import { explainUnusable } from './explain';
import type { Outcome } from './http';

/** RFC 6749, appendix A.12, less the space, which no header could carry in a token. */
const PRINTABLE_ASCII = /^[\x21-\x7e]+$/;

/** A string value after the name of its field, even in a truncated body. */
const STRING_VALUE = /^\s*:\s*("(?:[^"\\]|\\.)+")/;

/** More tokens than this in one answer are not kept: to revoke them all would take longer than a step has. */
const TOKENS_LIMIT = 1_000;

/** A shorter secret is likely to be a part of a token by chance. */
const SECRET_IN_TOKEN_LENGTH = 8;

/** The date formats of RFC 9110, section 5.6.7, all start with the name of a day. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/;

/** The last moment that a Date can hold, in milliseconds since the epoch. */
const LAST_DATE = 8.64e15;

/** Longer than anyone waits; keeps numbers of any length readable. */
const LONGEST_WAIT_SECONDS = 999_999_999;

/**
 * Finds every access token in a body, whether or not it can be used or is even complete. One that holds the client
 * secret is none: it must get neither into the state nor into the outputs.
 */
export function findTokens(body: string, clientSecret: string): string[] {
  const [, ...rests] = body.split('"access_token"');
  const values = rests.map((rest) => parseJson(STRING_VALUE.exec(rest)?.[1] ?? ''));
  const tokens = [...values, parseJsonObject(body)?.get('access_token')].filter((token) => typeof token === 'string');
  // From the end, so that the one that is to be used is not left out.
  return [...new Set(tokens.reverse())]
    .filter((token) => token.trim() !== '' && !holdsSecret(token, clientSecret))
    .slice(0, TOKENS_LIMIT)
    .reverse();
}

/**
 * Reads the access token of a successful answer (RFC 6749, section 5.1). Nothing else in the answer decides whether it
 * can be used, but a type that is named and is another one (section 7.1).
 *
 * @throws Failure that says what is wrong with it
 */
export function readToken({ body }: Outcome, clientSecret: string): string {
  const fields = parseJsonObject(body);
  if (fields === undefined) throw unusable(isPage(body) ? 'is a page' : 'is not a JSON object');
  const token = fields.get('access_token');
  if (typeof token !== 'string' || token.trim() === '') throw unusable('holds no access_token');
  if (holdsSecret(token, clientSecret)) throw unusable('holds the client secret in its access_token');
  if (!PRINTABLE_ASCII.test(token)) throw unusable('holds an access_token with characters that no token may have');
  const type = fields.get('token_type');
  const isOther = typeof type === 'string' && !/^\s*(?:bearer\s*)?$/i.test(type);
  if (isOther) throw unusable('holds a token_type other than Bearer');
  return token;
}

/**
 * Reads when a token expires. The Dashboard's clock is in the Date of its answer; the clock of this machine may be
 * wrong.
 *
 * @param requestedAt when it was asked for, in milliseconds since the epoch
 * @returns undefined if the answer does not say, or not in a way that can be read
 */
export function readExpiry(answer: Outcome, requestedAt: number): Expiry | undefined {
  const expiresIn = parseJsonObject(answer.body)?.get('expires_in');
  const seconds = typeof expiresIn === 'object' ? Number.NaN : Number.parseFloat(String(expiresIn));
  if (!(seconds > 0)) return undefined;
  const after = (ms: number) => Math.min(ms + seconds * 1_000, LAST_DATE);
  const at = new Date(after(parseDate(answer.headers.date) ?? requestedAt)).toISOString();
  return { at, hereMs: after(requestedAt) };
}

/**
 * Reads the Retry-After of an answer: seconds, or a date (RFC 9110, section 10.2.3), which is reckoned from the
 * answer's own Date, where it has one.
 *
 * @param now by the clock of this machine, in milliseconds since the epoch
 * @returns milliseconds, 0 for a date that has passed; undefined if it is absent or can't be read
 */
export function retryAfterMs(headers: IncomingHttpHeaders, now: number): number | undefined {
  const text = headers['retry-after']?.trim() ?? '';
  if (/^\d+$/.test(text)) return Math.min(Number(text), LONGEST_WAIT_SECONDS) * 1_000;
  const date = parseDate(text);
  return date === undefined ? undefined : Math.max(0, date - (parseDate(headers.date) ?? now));
}

/** Whether an answer confirms a revocation: the Dashboard sends an empty body; empty JSON counts too. */
export function isConfirmation({ body }: Outcome): boolean {
  return body.trim() === '' || holdsNothing(parseJson(body));
}

/** Reads a JSON object into a map, so that no name in it means anything to JavaScript. */
export function parseJsonObject(text: string): ReadonlyMap<string, unknown> | undefined {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return new Map(Object.entries(value));
}

/** Whether a body is a page: the API answers with JSON, or with nothing. */
export function isPage(body: string): boolean {
  return body.trimStart().startsWith('<');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ''));
  } catch {
    return undefined;
  }
}

function holdsNothing(value: unknown): boolean {
  if (value === null || value === '') return true;
  return typeof value === 'object' && Object.values(value).every(holdsNothing);
}

function holdsSecret(token: string, clientSecret: string): boolean {
  if (token.trim() === clientSecret) return true;
  return clientSecret.length >= SECRET_IN_TOKEN_LENGTH && token.includes(clientSecret);
}

function parseDate(text = ''): number | undefined {
  if (!HTTP_DATE.test(text)) return undefined;
  // The asctime format names no time zone, and means UTC.
  const date = Date.parse(/GMT$/.test(text) ? text : `${text} GMT`);
  return Number.isNaN(date) ? undefined : date;
}

function unusable(problem: string): Failure {
  return explainUnusable(`the answer to the token request ${problem}`);
}
