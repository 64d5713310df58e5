import { now } from '../shared/clock';
import { errorOf } from '../shared/errors';
import type { Cancellation, Logger, Settings } from '../shared/types';
import { findToken, isConfirmation, leavesDoubt, readExpiry } from './answers';
import { describe, explain, explainUnconfirmed, explainUnusable } from './explain';
import { isSuccess, type Limits, postForm } from './http';
import { type TunnelProxy, through } from './proxy';
import { retry } from './retry';

// Both end in a slash: without it the answer is 404.
const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';
/** What a revocation gets at least, and what is kept for one when the runner tells the step to stop. */
const LEAST_REVOCATION_MS = 700;
const LAST_REVOCATION_MS = 2_000;

export type DashboardClient = ReturnType<typeof createDashboardClient>;

/** Starts the time of a step, and gives the two endpoints that this action knows, for one pair of credentials. */
export function createDashboardClient(
  { apiUrl, clientId, timeoutSeconds }: Settings,
  clientSecret: string,
  proxy: TunnelProxy | undefined,
  { stop, over }: Cancellation,
  logger: Logger,
) {
  for (const secret of proxy?.secrets ?? []) logger.hide(secret);
  const dashboard = logger.own(apiUrl) + through(proxy);
  const endsAt = now() + timeoutSeconds * 1_000;
  const retries = { stop, onRetry: logger.info };
  const oddInputs = Object.entries({ 'client-id': clientId, 'client-secret': clientSecret })
    .filter(([, value]) => !/^[A-Za-z\d]*$/.test(value))
    .map(([name]) => name);
  const contextOf = (path: string) => ({ url: apiUrl + path, proxy, oddInputs, logger });
  let isInDoubt = false;

  async function post(path: string, fields: Readonly<Record<string, string>>, limits: Omit<Limits, 'proxy' | 'stop'>) {
    const sentAt = now();
    const form = { ...fields, client_id: clientId, client_secret: clientSecret };
    const response = await postForm(apiUrl + path, form, { proxy, stop, ...limits });
    // Before anything of it is shown: a server may repeat the token in a header.
    logger.hide(findToken(response) ?? '');
    logger.debug(() => describe(response, now() - sentAt, logger));
    return response;
  }

  return {
    /** The moment by which the step has used up its time. */
    endsAt,
    /** Whether a request was sent that may have issued a token which nobody knows: no answer came, or a gateway's. */
    isInDoubt: () => isInDoubt,
    /**
     * Requests an access token by the client credentials grant (RFC 6749, section 4.4). The first that comes ends the
     * asking. It must not be lost from then on, so `onToken` is given it before it is known if it can be used.
     * @throws StepError if there is none that can be used; the reason of `stop`; what `onToken` throws
     */
    async requestToken(onToken: (token: string, expiresAt: string | undefined) => void): Promise<void> {
      logger.info(`Requesting an access token from ${dashboard}.`);
      const advice = 'Run the job again later, or raise timeout-seconds.';
      await retry({ ...retries, endsAt: () => endsAt, advice }, async (attemptEndsAt) => {
        stop.throwIfAborted();
        const requestedAt = Date.now();
        const endsAtStop = (isSent: boolean) => (isSent ? over() - LAST_REVOCATION_MS : now());
        const limits = { endsAt: attemptEndsAt, endsAtStop };
        const response = await post(TOKEN_PATH, { grant_type: 'client_credentials' }, limits);
        const token = findToken(response);
        if (token === undefined) isInDoubt ||= leavesDoubt(response);
        else onToken(token, readExpiry(response, requestedAt));
        stop.throwIfAborted();
        // Behind its token an answer may have broken off.
        const answer = token === undefined ? response : { ...response, problem: undefined };
        if (isSuccess(answer)) return explainUnusable(response, token, logger);
        const failure = explain(answer, contextOf(TOKEN_PATH));
        if (token !== undefined) throw errorOf(failure, '; an access token came with it');
        return failure;
      });
    },

    /** Revokes an access token (RFC 7009), and tries so until a moment. @throws StepError */
    async revoke(token: string, until = endsAt): Promise<void> {
      logger.info(`Revoking the access token at ${dashboard}.`);
      const least = now() + LEAST_REVOCATION_MS;
      const end = () => (stop.aborted ? Math.max(least, over()) : until);
      const advice = until === endsAt ? 'Raise timeout-seconds to keep trying for longer.' : '';
      await retry({ ...retries, endsAt: end, advice }, async (attemptEndsAt) => {
        const response = await post(REVOKE_PATH, { token }, { endsAt: attemptEndsAt, endsAtStop: over });
        if (!isSuccess(response)) return explain(response, contextOf(REVOKE_PATH));
        return isConfirmation(response) ? undefined : explainUnconfirmed(response);
      });
    },
  };
}
