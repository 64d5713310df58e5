import { parseJson, parseJsonObject } from '../json';
import { explainUnusable, isPage } from './explain';
import type { Failure } from './failure';
import type { HttpAnswer } from './http';

/** An access token, ready to be handed out. */
export interface AccessToken {
  readonly token: string;
  /** ISO 8601 in UTC with milliseconds; undefined if the API did not say. */
  readonly expiresAt: string | undefined;
}

/** More characters than this no token has. */
const TOKEN_LIMIT = 8_192;

/** No answer has a reason to hold more tokens than this. */
const TOKENS_LIMIT = 8;

/** RFC 6749, appendix A.12, less the space, which no header could carry in a token. */
const PRINTABLE_ASCII = /^[\x21-\x7e]+$/;

/** What stands behind the name of a field that holds a string, in any text: also in a body that broke off there. */
const STRING_VALUE = /^\s*:\s*("(?:[^"\\]|\\.)+")/;

/**
 * Checks the 200 answer of the token endpoint (RFC 6749, section 5.1).
 *
 * @param requestedAt when it was asked for, in milliseconds since the epoch
 * @throws Failure that says what is wrong with it
 */
export function readTokenAnswer(answer: HttpAnswer, requestedAt: number): AccessToken {
  if (answer.bodyTooLong) throw refusal('is longer than 64 KiB');
  const fields = parseJsonObject(answer.body);
  if (fields === undefined) {
    throw refusal(isPage(answer.body) ? 'is a page' : 'is not a JSON object');
  }
  const token = fields.get('access_token');
  if (typeof token !== 'string' || token === '') throw refusal('holds no access_token');
  if (token.length > TOKEN_LIMIT) throw refusal('holds an access_token that is too long');
  if (!PRINTABLE_ASCII.test(token)) {
    throw refusal('holds an access_token with characters that no token may have');
  }
  const type = fields.get('token_type');
  if (type !== undefined && !(typeof type === 'string' && type.toLowerCase() === 'bearer')) {
    throw refusal('holds a token_type other than Bearer');
  }
  return { token, expiresAt: readExpiry(fields.get('expires_in'), requestedAt) };
}

/** Finds every access token in an answer, whether or not it can be accepted or is even complete. */
export function findTokens(body: string): string[] {
  const [, ...rests] = body.split('"access_token"');
  const values = rests.map((rest) => parseJson(STRING_VALUE.exec(rest)?.[1] ?? ''));
  const tokens = [...values, parseJsonObject(body)?.get('access_token')].filter(
    (token) => typeof token === 'string',
  );
  return [...new Set(tokens)]
    .filter((token) => token.trim() !== '' && token.length <= TOKEN_LIMIT)
    .slice(0, TOKENS_LIMIT);
}

function readExpiry(expiresIn: unknown, requestedAt: number): string | undefined {
  if (expiresIn === undefined) return undefined;
  const expiry = new Date(typeof expiresIn === 'number' ? requestedAt + expiresIn * 1_000 : NaN);
  if (Number.isNaN(expiry.getTime()) || expiry.getTime() <= requestedAt) {
    throw refusal('holds an expires_in that is no positive number of seconds');
  }
  return expiry.toISOString();
}

function refusal(problem: string): Failure {
  return explainUnusable(`the answer to the token request ${problem}`);
}
