import { parseJsonObject } from '../json';
import type { Redact } from '../text';
import { explainAnswer, explainNoAnswer, explainUnusable } from './explain';
import { type HttpAnswer, postForm } from './http';
import { type RetryPolicy, retry } from './retry';
import { type AccessToken, findTokens, readTokenAnswer } from './token-answer';

export type { AccessToken };

// Both end in a slash: without it the answer is 404.
const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';

/** Where the Dashboard is, who asks, and how long to try. */
export interface Connection extends RetryPolicy {
  /** Base URL without a trailing slash. */
  readonly apiUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly redact: Redact;
}

/**
 * Requests an access token by the client credentials grant (RFC 6749, section 4.4).
 *
 * @param onReceived told of every token the moment that it is received, before it is known whether it
 *   can be accepted: from then on it must not be lost. What it throws ends the request.
 * @throws Failure, CancelledError, or what `onReceived` throws
 */
export function requestToken(
  connection: Connection,
  onReceived: (tokens: readonly string[]) => void,
): Promise<AccessToken> {
  const form = { grant_type: 'client_credentials', ...credentials(connection) };
  return retry(async (signal) => {
    const requestedAt = Date.now();
    const answer = await post(connection, TOKEN_PATH, form, signal, (body) => {
      // A server that sends the client secret back must not bring it into the state or the outputs.
      const tokens = findTokens(body).filter((token) => token !== connection.clientSecret);
      if (tokens.length > 0) onReceived(tokens);
    });
    const accessToken = readTokenAnswer(answer, requestedAt);
    if (accessToken.token === connection.clientSecret) {
      throw explainUnusable(
        'the answer to the token request holds the client secret as access_token',
      );
    }
    return accessToken;
  }, connection);
}

/**
 * Revokes an access token (RFC 7009). One that has expired, or was revoked before, is no failure.
 *
 * @throws Failure, CancelledError
 */
export function revokeToken(connection: Connection, token: string): Promise<void> {
  const form = { token, ...credentials(connection) };
  return retry(async (signal) => {
    const { body } = await post(connection, REVOKE_PATH, form, signal);
    if (!isConfirmation(body)) {
      throw explainUnusable('the revocation was answered with something other than a confirmation');
    }
  }, connection);
}

/** Posts a form once. Gives an answer with status 200, after telling of any body that came. */
async function post(
  { apiUrl, redact }: Connection,
  path: string,
  form: Readonly<Record<string, string>>,
  signal: AbortSignal,
  onBody: (body: string) => void = () => undefined,
): Promise<HttpAnswer> {
  const url = apiUrl + path;
  const answer = await postForm(url, form, signal);
  onBody(answer.body);
  if (!answer.complete) throw explainNoAnswer(url, answer, redact);
  if (answer.status !== 200) throw explainAnswer(url, answer, redact);
  return answer;
}

/** The Dashboard confirms with an empty body. What is no JSON, or names an error, comes from something in between. */
function isConfirmation(body: string): boolean {
  if (body.trim() === '') return true;
  const fields = parseJsonObject(body);
  return fields !== undefined && !fields.has('error') && !fields.has('detail');
}

function credentials({ clientId, clientSecret }: Connection) {
  return { client_id: clientId, client_secret: clientSecret };
}
