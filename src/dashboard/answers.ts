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
/** Nothing, or what some frameworks send in its place. */
const EMPTY_BODY = /^\s{0,99}(?:\{\}|null|""|\[\])?\s{0,99}$/;

/** Finds the token of an answer, usable or not: that at its usual place, or else the first that is complete. */
export function findToken({ body }: Response): string | undefined {
  const token = parseJsonObject(body)?.get('access_token') ?? parseJson(TOKEN_FIELD.exec(body)?.[1] ?? '');
  return typeof token === 'string' && token.trim() !== '' ? token : undefined;
}

/** Says why a successful answer to a token request can't be used, if so (RFC 6749, sections 5.1 and 7.1): a clause. */
export function whyUnusable({ body, problem }: Response, token: string | undefined): string | undefined {
  const fields = parseJsonObject(body);
  // Behind the token the answer may have broken off.
  const isObject = fields !== undefined || (problem !== undefined && token && body.trimStart().startsWith('{'));
  if (!isObject) return 'is not a JSON object';
  const isAtItsPlace = fields === undefined || fields.get('access_token') === token;
  if (token === undefined || !isAtItsPlace) return fields?.has('error') ? 'holds an error' : 'holds no access_token';
  if (!PRINTABLE_ASCII.test(token)) return 'holds an access_token with characters that no token may have';
  const type = fields?.get('token_type');
  const isOther = typeof type === 'string' && !/^(?:bearer)?$/i.test(type.trim());
  return isOther ? 'holds a token_type other than Bearer' : undefined;
}

/** Reads when a token expires, in ISO 8601: by the Date of the answer, or else from `requestedAt` (Unix time in ms). */
export function readExpiry({ headers, body }: Response, requestedAt: number): string | undefined {
  const expiresIn = parseJsonObject(body)?.get('expires_in');
  const seconds = typeof expiresIn === 'object' ? Number.NaN : Number.parseFloat(String(expiresIn));
  if (!(seconds > 0)) return undefined;
  return new Date(Math.min((parseDate(headers.date) ?? requestedAt) + seconds * 1_000, LAST_DATE)).toISOString();
}

/** Reads Retry-After (RFC 9110, section 10.2.3), in milliseconds. A date counts from the Date of the same answer. */
export function retryAfterMs(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['retry-after']?.trim() ?? '';
  if (/^\d{1,400}$/.test(text)) return Math.min(Number(text), 999_999_999) * 1_000;
  const date = parseDate(text);
  return date === undefined ? undefined : Math.max(0, date - (parseDate(headers.date) ?? Date.now()));
}

/** Whether an answer confirms a revocation: 200, and nothing in the body (RFC 7009, section 2.2). */
export function isConfirmation(response: Response): boolean {
  return response.status === 200 && EMPTY_BODY.test(response.body) && !isOfFirewall(response);
}

/** Whether an answer is that of AWS WAF, which wants a browser to solve a challenge. */
export function isOfFirewall({ status, headers }: Response): boolean {
  return status === 202 || headers['x-amzn-waf-action'] !== undefined;
}

/** Whether a token may have been issued that did not come: no answer, that of a gateway, or one that can't be read. */
export function leavesDoubt({ status, body, problem }: Response): boolean {
  if (problem !== undefined) return problem.stage === 'answer';
  // How gateways say that they got no answer, or one that they don't understand. The last two are Cloudflare's.
  if (status < 200 || status >= 300) return [502, 504, 520, 524].includes(status);
  return parseJsonObject(body) === undefined && DAMAGED_OBJECT.test(body);
}

/** Reads a JSON object into a map, so that no name in it means anything to JavaScript. */
export function parseJsonObject(text: string): ReadonlyMap<string, unknown> | undefined {
  const value = parseJson(text);
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? new Map(Object.entries(value)) : undefined;
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
