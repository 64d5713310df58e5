import { createDashboardClient, type DashboardClient } from './dashboard/client';
import { append } from './runner/files';
import { fingerprintOf, readInputs } from './runner/inputs';
import type { Life } from './runner/lifecycle';
import * as log from './runner/log';
import { openState, type State } from './runner/state';
import { StepError } from './shared/errors';

/** The time for a revocation that the post step can repeat. */
const QUICK_REVOCATION_MS = 1_000;

/**
 * The main step: gets an access token and hands it out.
 *
 * @returns the closing line of the log
 * @throws StepError; a token that was received by then is revoked, or left to the post step to revoke
 */
export async function mainStep(life: Life): Promise<string> {
  const state = openState();
  const { settings, clientSecret, skipTokenRevoke } = readInputs();
  const dashboard = createDashboardClient(settings, clientSecret, life, log);
  try {
    const { token, expiry } = await dashboard.requestToken((tokens, expiry) =>
      state.hold(tokens, { settings, fingerprint: fingerprintOf(settings, clientSecret), expiry }),
    );
    await revokeUnused(state, dashboard, token);
    await life.catchUp();

    // No await from here on, so that no signal can come in between.
    append('OUTPUT', { token, 'expires-at': expiry?.at ?? '' });
    if (skipTokenRevoke) state.letGo(token);
    const validity = expiry ? `valid until ${expiry.at}` : 'and did not say how long it is valid';
    const fate = skipTokenRevoke
      ? 'It stays alive: skip-token-revoke is true.'
      : 'It will be revoked when this job ends.';
    log.info(`${settings.apiUrl} issued an access token, ${validity}.`);
    return `Available as output \`token\`, masked in the log. ${fate}`;
  } catch (error) {
    await revokeUnused(state, dashboard);
    throw error;
  }
}

/**
 * Revokes the tokens that were received and are not handed out. The post step may never come (a runner that shuts down
 * skips it), and may not know of them.
 *
 * @param used the one that is handed out
 * @throws StepError if a token can't be revoked, and the post step does not know of it
 */
async function revokeUnused(state: State, dashboard: DashboardClient, used?: string): Promise<void> {
  const unwanted = state.tokens().filter((token) => token !== used);
  if (unwanted.length === 0) return;
  const { revoked, failure } = await dashboard.revoke(unwanted, state.isSaved() ? QUICK_REVOCATION_MS : undefined);
  state.drop(revoked);
  if (revoked.length > 0) log.info('Revoked an access token that was received but not handed out.');
  if (failure === undefined) return;
  const reason = log.clause(failure);
  if (state.isSaved())
    return log.info(`The post step will revoke an access token that could not be revoked now: ${reason}`);
  throw new StepError(
    'An access token could neither be saved for the post step nor revoked, and stays valid for up to a day. To end ' +
      `it sooner, delete its credentials on the Developer Tools page. The reason: ${reason}`,
    { cause: failure },
  );
}
