import { createDashboardClient } from './dashboard/client';
import { fingerprintOf, readClientSecret } from './runner/inputs';
import type { Life } from './runner/lifecycle';
import * as log from './runner/log';
import { loadState } from './runner/state';
import { StepError } from './shared/errors';

const ANOTHER_SECRET =
  'client-secret is not what the main step was given, so nothing was sent. Either the env behind it changed, or the ' +
  'action is nested in composite actions: name the input client-secret in every one around it.';

/**
 * The post step: revokes what the main step saved for it.
 *
 * @returns the closing line of the log
 * @throws StepError if a token can't be revoked
 */
export async function postStep(life: Life): Promise<string> {
  const { tokens, settings, fingerprint, expiry, leftAlive } = loadState();
  const validity = expiry === undefined ? 'for up to a day' : `until ${expiry.at}`;
  const kept = `The access token is left alive, since skip-token-revoke is true, and stays valid ${validity}.`;
  if (settings === undefined || tokens.length === 0) return leftAlive ? kept : 'There is no access token to revoke.';
  if (leftAlive) log.info(kept);
  for (const token of tokens) log.hide(token);

  try {
    const clientSecret = readClientSecret();
    if (fingerprintOf(settings, clientSecret) !== fingerprint) throw new StepError(ANOTHER_SECRET);
    const { failure } = await createDashboardClient(settings, clientSecret, life, log).revoke(tokens);
    if (failure !== undefined) throw failure;
    return `Revoked the access token at ${settings.apiUrl}.`;
  } catch (error) {
    // By both clocks: one of them may be wrong.
    const isOver = expiry !== undefined && Date.now() > Math.max(expiry.hereMs, Date.parse(expiry.at));
    if (isOver) return `The access token expired at ${expiry.at}.`;
    const message = `The access token could not be revoked and stays valid ${validity}: ${log.clause(error)}`;
    throw new StepError(message, { cause: error });
  }
}
