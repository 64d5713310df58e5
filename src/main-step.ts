import { createDashboardClient, type DashboardClient } from './dashboard/client';
import { chooseProxy } from './dashboard/proxy';
import { append } from './runner/files';
import { fingerprintOf, readInputs } from './runner/inputs';
import * as logger from './runner/logger';
import { type State, save } from './runner/state';
import { now } from './shared/clock';
import { StepError } from './shared/errors';
import type { Cancellation } from './shared/types';

/** The time for a revocation that the post step can repeat, and the least for one that it can't. */
const QUICK_REVOCATION_MS = 1_000;
const ONLY_REVOCATION_MS = 10_000;
const ONE_DAY_MS = 24 * 60 * 60 * 1_000;
const IN_DOUBT =
  'The answer to a request did not arrive in full, so an access token that nobody knows may have been issued; it is ' +
  'valid for up to a day.';
const ECHO = 'The answer to the token request holds the client secret in its access_token. Check api-url.';
const LOST = 'An access token could neither be saved nor revoked: delete its credentials, or it stays valid for a day.';

/**
 * The main step: gets an access token and hands it out. Gives the closing line of the log.
 * @throws StepError; a token that was received by then is revoked, or left to the post step to revoke
 */
export async function mainStep(cancellation: Cancellation): Promise<string> {
  const doubtUntil = new Date(Date.now() + ONE_DAY_MS).toISOString();
  // Where this step is killed from here on, the post step knows that a token may live.
  save({ doubtUntil });
  let dashboard: DashboardClient | undefined;
  let held: Pick<State, 'token' | 'expiresAt'> = {};
  let isSaved = false;
  const doubt = (): State => (dashboard?.isInDoubt() ? { doubtUntil, isDoubtSaid: true } : {});
  try {
    const { settings, clientSecret, skipTokenRevoke } = readInputs();
    const proxy = chooseProxy(settings.apiUrl);
    const origin = { ...settings, proxyUrl: proxy?.url ?? null, fingerprint: fingerprintOf(settings, clientSecret) };
    dashboard = createDashboardClient(settings, clientSecret, proxy, cancellation, logger);
    await dashboard.requestToken((token, expiresAt) => {
      held = { token, expiresAt };
      logger.mask(token);
      const isEcho = clientSecret.length > 7 && token.includes(clientSecret);
      if (isEcho) throw new StepError('the-answer-has-no-usable-token', ECHO);
      save({ origin, ...held, ...doubt() });
      isSaved = true;
    });
    await cancellation.throwIfCancelled();
    // No await from here on, so that no signal can come in between.
    const { token = '', expiresAt } = held;
    append('OUTPUT', { token, 'expires-at': expiresAt ?? '' });
    if (skipTokenRevoke) save({ expiresAt, isLeftAlive: true, ...doubt() });
    const validity = expiresAt ? `valid until ${expiresAt}` : 'but did not say how long it is valid';
    logger.info(`${logger.own(settings.apiUrl)} issued an access token, ${validity}.`);
    if (dashboard.isInDoubt()) logger.info(IN_DOUBT);
    const fate = skipTokenRevoke ? 'stays valid: skip-token-revoke is true' : 'will be revoked when this job ends';
    return `Available as output \`token\`, masked in the log. It ${fate}.`;
  } catch (error) {
    if (held.token && !isSaved) replaceState({ doubtUntil, isDoubtSaid: true });
    const isGone = !dashboard || !held.token || (await revokeUnused(dashboard, held.token, isSaved));
    if (isGone) replaceState(doubt());
    if (!(dashboard?.isInDoubt() && error instanceof StepError)) throw error;
    throw new StepError(error.help, `${error.message} ${IN_DOUBT}`, error);
  }
}

/** Revokes a token that is not handed out, if it can. @throws StepError if the post step does not know of it either */
async function revokeUnused(dashboard: DashboardClient, token: string, isSaved: boolean): Promise<boolean> {
  try {
    const longest = Math.max(dashboard.endsAt, now() + ONLY_REVOCATION_MS);
    await dashboard.revoke(token, isSaved ? now() + QUICK_REVOCATION_MS : longest);
    logger.info('Revoked an access token that was received but not handed out.');
    return true;
  } catch (error) {
    const { message } = logger.asStepError(error);
    if (!isSaved) throw new StepError('an-access-token-was-lost', `${LOST} ${message}`, error);
    logger.info(`The post step will revoke an access token that could not be revoked now. ${message}`);
    return false;
  }
}

function replaceState(state: State): void {
  try {
    save(state);
  } catch {
    // Post then revokes a token once more, which does no harm (RFC 7009, section 2.2), or warns without need.
  }
}
