import type { IncomingHttpHeaders } from 'node:http';
import type { Response } from './http';

/** RFC 6749, appendix A.12, less the space, which no header could carry in a token. */
const PRINTABLE_ASCII = /^[\x21-\x7e]+$/;
/** The field that holds a token, and its value whole, wherever it stands. The state has no room for longer ones. */
const TOKEN_FIELD = /"access_token"\s{0,99}:\s{0,99}("(?:[^"\\]|\\.){1,30000}")/;
/** The date formats of RFC 9110, section 5.6.7, all start with the name of a day. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun).{10,30}$/;
/** The last moment that a Date can hold, in milliseconds since the epoch. */
const LAST_DATE = 8.64e15;
/** An object that is not whole, or what is no text: compressed in another way, say. */
const DAMAGED_OBJECT = /^\s{0,99}\{|[\0\ufffd]/;
const EMPTY_BODIES = ['', '{}', 'null', '""', '[]'];
/** How gateways say that they got no answer, or one that they don't understand. The last two are Cloudflare's. */
const GATEWAY_STATUSES = [502, 504, 520, 524];
/** Longer than anyone waits; keeps numbers of any length readable. */
const LONGEST_WAIT_SECONDS = 999_999_999;

/** Finds the token of an answer, usable or not: that at its usual place, or else the first that is complete. */
export function findToken({ body }: Response): string | undefined {
  const token = parseJsonObject(body)?.get('access_token') ?? parseJson(TOKEN_FIELD.exec(body)?.[1] ?? '');
  return typeof token === 'string' && token.trim() !== '' ? token : undefined;
}

/**
 * Says why a successful answer to a token request (RFC 6749, section 5.1) can't be used, as a clause without its
 * subject. Besides the token, nothing decides this but a type that is named and is another one (section 7.1). Behind the
 * token the answer may have broken off.
 */
export function whyUnusable({ body, problem }: Response, token: string | undefined): string | undefined {
  const fields = parseJsonObject(body);
  const isBrokenOff = problem !== undefined && body.trimStart().startsWith('{');
  if (fields === undefined && !isBrokenOff) return isPage(body) ? 'is a page' : 'is not a JSON object';
  const isAtItsPlace = fields === undefined || fields.get('access_token') === token;
  if (token === undefined || !isAtItsPlace) return fields?.has('error') ? 'holds an error' : 'holds no access_token';
  if (!PRINTABLE_ASCII.test(token)) return 'holds an access_token with characters that no token may have';
  const type = fields?.get('token_type');
  const isOther = typeof type === 'string' && !/^(?:bearer)?$/i.test(type.trim());
  return isOther ? 'holds a token_type other than Bearer' : undefined;
}

/**
 * Reads when a token expires, in ISO 8601 and UTC, if the answer says so: by the Dashboard's clock, which is in its Date,
 * or else from when it was requested, in milliseconds since the epoch.
 */
export function readExpiry({ headers, body }: Response, requestedAt: number): string | undefined {
  const expiresIn = parseJsonObject(body)?.get('expires_in');
  const seconds = typeof expiresIn === 'object' ? Number.NaN : Number.parseFloat(String(expiresIn));
  if (!(seconds > 0)) return undefined;
  return new Date(Math.min((parseDate(headers.date) ?? requestedAt) + seconds * 1_000, LAST_DATE)).toISOString();
}

/** Reads Retry-After (RFC 9110, section 10.2.3), in milliseconds. A date is reckoned from the Date of the same answer. */
export function retryAfterMs(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['retry-after']?.trim() ?? '';
  if (/^\d{1,400}$/.test(text)) return Math.min(Number(text), LONGEST_WAIT_SECONDS) * 1_000;
  const date = parseDate(text);
  return date === undefined ? undefined : Math.max(0, date - (parseDate(headers.date) ?? Date.now()));
}

/** Whether an answer confirms a revocation: 200, and nothing in the body (RFC 7009, section 2.2). */
export function isConfirmation(response: Response): boolean {
  const { status, body, isCut } = response;
  return status === 200 && !isCut && !isOfFirewall(response) && EMPTY_BODIES.includes(body.trim());
}

/** Whether an answer is that of AWS WAF, which wants a browser to solve a challenge. */
export function isOfFirewall({ status, headers }: Response): boolean {
  return status === 202 || headers['x-amzn-waf-action'] !== undefined;
}

/** Whether a token may have been issued that did not come: no answer, that of a gateway, or one that can't be read. */
export function leavesDoubt({ status, body, problem }: Response): boolean {
  if (problem !== undefined) return problem.stage === 'answer';
  if (status < 200 || status >= 300) return GATEWAY_STATUSES.includes(status);
  return parseJsonObject(body) === undefined && DAMAGED_OBJECT.test(body);
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

function parseDate(text = ''): number | undefined {
  if (!HTTP_DATE.test(text)) return undefined;
  // The asctime format names no time zone, and means UTC.
  const date = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
  return Number.isNaN(date) ? undefined : date;
}
