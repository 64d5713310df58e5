import type { Expiry, Journal, Settings, Shutdown } from '../shared/types';
import { findTokens, isConfirmation, readExpiry, readToken } from './answers';
import { monotonicMs, tryWithin } from './attempts';
import { explain, explainUnusable } from './explain';
import { isSuccess, type Limits, type Outcome, postForm } from './http';
import { takeProxy } from './proxy';

// Both end in a slash: without it the answer is 404.
const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';

/** The time for a revocation once the budget is spent, and after a signal, which ends it earlier. */
const LEAST_REVOCATION_MS = 700;
const LAST_REVOCATION_MS = 6_000;

export type DashboardClient = ReturnType<typeof createDashboardClient>;

/**
 * Starts the budget of a step.
 *
 * @returns the two endpoints that this action knows, for one pair of credentials
 * @throws StepError if the proxy variable can't be read
 */
export function createDashboardClient(
  { apiUrl, clientId, timeoutSeconds }: Settings,
  clientSecret: string,
  shutdown: Shutdown,
  journal: Journal,
) {
  const proxy = takeProxy(apiUrl);
  for (const secret of proxy?.secrets ?? []) journal.hide(secret);
  const startedAt = monotonicMs();
  const budget = { startedAt, endsAt: startedAt + timeoutSeconds * 1_000, onRetry: journal.info };

  function post(path: string, fields: Readonly<Record<string, string>>, limits: Omit<Limits, 'proxy'>) {
    const form = { ...fields, client_id: clientId, client_secret: clientSecret };
    return postForm(apiUrl + path, form, { proxy, ...limits });
  }

  function requireSuccess(path: string, answer: Outcome): void {
    if (!isSuccess(answer)) throw explain(answer, { url: apiUrl + path, proxy, clientSecret, journal });
  }

  return {
    /**
     * Requests an access token by the client credentials grant (RFC 6749, section 4.4).
     *
     * @param onReceived told of all tokens in an answer the moment that it has come, before it is known whether one can
     *   be used: from then on they must not be lost. What it throws ends the request.
     * @throws Failure, the reason of the shutdown, or what `onReceived` throws
     */
    requestToken(onReceived: (tokens: readonly string[], expiry: Expiry | undefined) => void) {
      const advice = 'Run the job again later, or raise timeout-seconds.';
      return tryWithin({ ...budget, stop: shutdown.begun, advice }, async (limitMs) => {
        const requestedAt = Date.now();
        const limits = { limitMs, stop: shutdown.begun, signal: shutdown.lastAnswer };
        const answer = await post(TOKEN_PATH, { grant_type: 'client_credentials' }, limits);
        const expiry = readExpiry(answer, requestedAt);
        const tokens = findTokens(answer.body, clientSecret);
        if (tokens.length > 0) onReceived(tokens, expiry);
        requireSuccess(TOKEN_PATH, answer);
        return { token: readToken(answer, clientSecret), expiry };
      });
    },

    /**
     * Revokes access tokens (RFC 7009), all at once, so that none waits for another. One that has expired, or was
     * revoked before, is no failure. Never rejects.
     *
     * @param atMostMs less than the budget, in milliseconds
     * @returns those that were revoked, and a Failure or the reason of the shutdown if one was not
     */
    async revoke(tokens: readonly string[], atMostMs = Number.POSITIVE_INFINITY) {
      const now = monotonicMs();
      const endsAt = shutdown.begun.aborted
        ? now + LAST_REVOCATION_MS
        : Math.max(now + LEAST_REVOCATION_MS, Math.min(budget.endsAt, now + atMostMs));
      const advice = atMostMs === Number.POSITIVE_INFINITY ? 'Raise timeout-seconds to keep trying for longer.' : '';
      const patience = { ...budget, startedAt: now, endsAt, stop: shutdown.over, advice };
      const revokeToken = (token: string) =>
        tryWithin(patience, async (limitMs) => {
          const limits = { limitMs, stop: shutdown.over, signal: shutdown.over };
          const answer = await post(REVOKE_PATH, { token }, limits);
          requireSuccess(REVOKE_PATH, answer);
          if (!isConfirmation(answer)) throw explainUnusable('the revocation was answered, but not confirmed');
          return token;
        });
      const ends = await Promise.allSettled(tokens.map(revokeToken));
      return {
        revoked: ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : [])),
        failure: ends.find((end) => end.status === 'rejected')?.reason as unknown,
      };
    },
  };
}
