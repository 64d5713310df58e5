import type { Redact } from '../text';
import { explainAnswer, explainNoAnswer, explainUnusable } from './explain';
import { type HttpAnswer, NoAnswerError, postForm } from './http';
import { type RetryPolicy, retry } from './retry';
import { type AccessToken, findTokens, readTokenAnswer } from './token-answer';

export type { AccessToken };

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
  const url = `${connection.apiUrl}/developer/v1/o/token/`;
  const form = { grant_type: 'client_credentials', ...credentials(connection) };
  const receive = (body: string) => {
    const tokens = findTokens(body);
    if (tokens.length > 0) onReceived(tokens);
  };
  return retry(async (signal) => {
    const requestedAt = Date.now();
    let answer: HttpAnswer;
    try {
      answer = await postForm(url, form, signal);
    } catch (error) {
      if (error instanceof NoAnswerError) receive(error.partialBody);
      throw explainNoAnswer(url, error, connection.redact);
    }
    receive(answer.body);
    if (answer.status !== 200) throw explainAnswer(url, answer, connection.redact);
    return readTokenAnswer(answer, requestedAt);
  }, connection);
}

/**
 * Revokes an access token (RFC 7009). One that has expired, or was revoked before, is no failure.
 *
 * @throws Failure, CancelledError
 */
export function revokeToken(connection: Connection, token: string): Promise<void> {
  const url = `${connection.apiUrl}/developer/v1/o/revoke_token/`;
  const form = { token, ...credentials(connection) };
  return retry(async (signal) => {
    let answer: HttpAnswer;
    try {
      answer = await postForm(url, form, signal);
    } catch (error) {
      throw explainNoAnswer(url, error, connection.redact);
    }
    if (answer.status !== 200) throw explainAnswer(url, answer, connection.redact);
    // The Dashboard answers with an empty body. A page comes from something in between.
    if (answer.body.trimStart().startsWith('<')) {
      throw explainUnusable('the answer to the revocation is a page');
    }
  }, connection);
}

function credentials({ clientId, clientSecret }: Connection) {
  return { client_id: clientId, client_secret: clientSecret };
}
