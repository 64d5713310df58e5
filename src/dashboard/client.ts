import { now } from '../shared/clock';
import type { Cancellation, Logger, Settings } from '../shared/types';
import { findToken, isConfirmation, leavesDoubt, readExpiry, whyUnusable } from './answers';
import { describe, explain, explainUnconfirmed, explainUnusable } from './explain';
import { isSuccess, type Limits, postForm } from './http';
import type { TunnelProxy } from './proxy';
import { retry } from './retry';

// Both end in a slash: without it the answer is 404.
const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';
/** What a revocation gets at least, and what is kept for one when the runner tells the step to stop. */
const LEAST_REVOCATION_MS = 700;
const LAST_REVOCATION_MS = 2_000;
/** A shorter secret is likely to be a part of a token by chance. */
const SECRET_IN_TOKEN_LENGTH = 8;

type OnToken = (token: string, expiresAt: string | undefined, maySave: boolean) => void;
export type DashboardClient = ReturnType<typeof createDashboardClient>;

/** Starts the time of a step, and gives the two endpoints that this action knows, for one pair of credentials. */
export function createDashboardClient(
  { apiUrl, clientId, timeoutSeconds }: Settings,
  clientSecret: string,
  proxy: TunnelProxy | undefined,
  cancellation: Cancellation,
  logger: Logger,
) {
  const { stop, over } = cancellation;
  const startedAt = now();
  const endsAt = startedAt + timeoutSeconds * 1_000;
  const retries = { stop, onRetry: logger.info };
  const odd = Object.entries({ 'client-id': clientId, 'client-secret': clientSecret })
    .filter(([, value]) => !/^[A-Za-z\d]*$/.test(value))
    .map(([name]) => name);
  const context = { apiUrl, proxy, oddInputs: odd, logger };
  let isInDoubt = false;

  async function post(path: string, fields: Readonly<Record<string, string>>, limits: Omit<Limits, 'proxy' | 'stop'>) {
    const sentAt = now();
    const form = { ...fields, client_id: clientId, client_secret: clientSecret };
    const response = await postForm(apiUrl + path, form, { proxy, stop, ...limits });
    logger.debug(describe(response, now() - sentAt, logger));
    return response;
  }

  function holdsSecret(token: string): boolean {
    if (clientSecret.length < SECRET_IN_TOKEN_LENGTH) return token.trim() === clientSecret;
    return token.includes(clientSecret);
  }

  return {
    /** Whether a request was sent that may have issued a token which nobody knows: no answer came, or a gateway's. */
    isInDoubt: () => isInDoubt,

    /**
     * Requests an access token by the client credentials grant (RFC 6749, section 4.4). The first that comes is the only
     * one, and must not be lost from then on.
     *
     * @param onToken given the token, when it expires, and whether it may be saved, before it is known if it can be used
     * @throws RequestError if it can't, or if there is none; the reason of `stop`; what `onToken` throws
     */
    async requestToken(onToken: OnToken): Promise<void> {
      const advice = 'Run the job again later, or raise timeout-seconds.';
      const options = { ...retries, startedAt, endsAt: () => endsAt, givesUpAtStop: true, advice };
      await retry(options, async (attemptEndsAt) => {
        const requestedAt = Date.now();
        const endsAtStop = (isSent: boolean) => (isSent ? over() - LAST_REVOCATION_MS : now());
        const form = { grant_type: 'client_credentials' };
        const response = await post(TOKEN_PATH, form, { endsAt: attemptEndsAt, endsAtStop });
        const token = findToken(response);
        if (token === undefined) {
          isInDoubt ||= leavesDoubt(response);
          if (!isSuccess(response)) throw explain(response, { ...context, path: TOKEN_PATH });
          throw explainUnusable(response, whyUnusable(response, token) ?? '', logger);
        }
        // One that holds the secret must get neither into the state nor into the outputs.
        const isSecret = holdsSecret(token);
        onToken(token, readExpiry(response, requestedAt), !isSecret);
        if (isSecret) throw explainUnusable(response, 'holds the client secret in its access_token', logger);
        // Behind its token an answer may have broken off. If it can't be used, no other is asked for.
        const isGood = isSuccess({ ...response, problem: undefined });
        const reason = isGood ? whyUnusable(response, token) : undefined;
        if (reason !== undefined) throw explainUnusable(response, reason, logger);
        if (!isGood) throw explain(response, { ...context, path: TOKEN_PATH }).with('an access token came with it', '');
      });
    },

    /** Revokes an access token (RFC 7009), once more if need be, in the time of the step. @throws RequestError */
    async revoke(token: string, atLeastMs = LEAST_REVOCATION_MS, atMostMs?: number): Promise<void> {
      const since = now();
      const inTime = () =>
        Math.max(since + atLeastMs, Math.min(endsAt, since + (atMostMs ?? Number.POSITIVE_INFINITY)));
      const end = () => (stop.aborted ? Math.max(since + LEAST_REVOCATION_MS, over()) : inTime());
      const times = { startedAt: since, endsAt: end };
      const advice = atMostMs === undefined ? 'Raise timeout-seconds to keep trying for longer.' : '';
      await retry({ ...retries, ...times, givesUpAtStop: false, advice }, async (attemptEndsAt) => {
        const response = await post(REVOKE_PATH, { token }, { endsAt: attemptEndsAt, endsAtStop: over });
        if (!isSuccess(response)) throw explain(response, { ...context, path: REVOKE_PATH });
        if (!isConfirmation(response)) throw explainUnconfirmed(response);
      });
    },
  };
}
