import { createDashboardClient } from './dashboard/client';
import { recallProxy } from './dashboard/proxy';
import { fingerprintOf, readClientSecret } from './runner/inputs';
import * as logger from './runner/logger';
import { load, type Origin } from './runner/state';
import { StepError } from './shared/errors';
import type { Cancellation } from './shared/types';

const NOT_REVOKED = 'the-access-token-could-not-be-revoked';
const ANOTHER_SECRET =
  'Input client-secret is not what the main step was given, so nothing was sent. Either the env behind it changed or ' +
  'the action is nested in composite actions: name the input client-secret in every one around it.';

/**
 * The post step: revokes the token that the main step saved for it. Gives the closing line of the log.
 * @throws StepError if it can't be revoked, or if one may live that the main step said nothing of
 */
export async function postStep(cancellation: Cancellation): Promise<string> {
  const { origin, token, expiresAt, isLeftAlive, doubtUntil, isDoubtSaid } = load();
  const doubt = `An access token that nobody knows may have been issued; it is valid until about ${doubtUntil}.`;
  const ended = `The main step was killed while it requested an access token. ${doubt}`;
  if (doubtUntil !== undefined && !isDoubtSaid && !token) throw new StepError('the-main-step-was-killed', ended);
  if (doubtUntil !== undefined) logger.info(doubt);
  const validity = expiresAt === undefined ? 'for up to a day' : `until ${expiresAt}`;
  if (isLeftAlive)
    return `The access token is left alive, since skip-token-revoke is true, and stays valid ${validity}.`;
  if (origin === undefined || token === undefined) return 'There is no access token to revoke.';
  try {
    return await revoke(token, origin, cancellation);
  } catch (error) {
    const over = expiresAt && Date.now() > Date.parse(expiresAt) ? ' By the clock of this machine it has expired.' : '';
    const reason = `${logger.asStepError(error).message}${over}`;
    throw new StepError(
      NOT_REVOKED,
      `The access token could not be revoked and stays valid ${validity}. ${reason}`,
      error,
    );
  }
}

async function revoke(token: string, origin: Origin, cancellation: Cancellation): Promise<string> {
  logger.hide(token);
  const clientSecret = readClientSecret();
  if (fingerprintOf(origin, clientSecret) !== origin.fingerprint) throw new StepError(NOT_REVOKED, ANOTHER_SECRET);
  await createDashboardClient(origin, clientSecret, recallProxy(origin.proxyUrl), cancellation, logger).revoke(token);
  return `Revoked the access token at ${logger.own(origin.apiUrl)}.`;
}
