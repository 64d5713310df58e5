import { createDashboardClient } from './dashboard/client';
import { recallProxy, through } from './dashboard/proxy';
import { fingerprintOf, readClientSecret } from './runner/inputs';
import type { Run } from './runner/lifecycle';
import * as logger from './runner/logger';
import { load, type Origin } from './runner/state';
import { StepError } from './shared/errors';

const NOT_REVOKED = 'the-access-token-could-not-be-revoked';
const ANOTHER_SECRET =
  'client-secret is not what the main step was given, so nothing was sent. Either the env behind it changed, or the ' +
  'action is nested in composite actions: name the input client-secret in every one around it.';

/**
 * The post step: revokes the token that the main step saved for it. Gives the closing line of the log.
 *
 * @throws StepError if it can't be revoked, or if one may live that the main step said nothing of
 */
export async function postStep(run: Run): Promise<string> {
  const { origin, token, expiresAt, isLeftAlive, doubtUntil, isDoubtSaid } = load();
  const doubt = `An access token that nobody knows may have been issued; it is valid until about ${doubtUntil}.`;
  const ended = `The main step was killed while it requested an access token. ${doubt}`;
  if (doubtUntil !== undefined && !isDoubtSaid && !token) throw new StepError('the-main-step-was-killed', ended);
  if (doubtUntil !== undefined) logger.info(doubt);
  const validity = expiresAt === undefined ? 'for up to a day' : `until ${expiresAt}`;
  const leftAlive = `The access token is left alive, since skip-token-revoke is true, and stays valid ${validity}.`;
  if (isLeftAlive) return leftAlive;
  if (origin === undefined || token === undefined) return 'There is no access token to revoke.';
  try {
    return await revoke(token, origin, run);
  } catch (error) {
    const isOver = expiresAt !== undefined && Date.now() > Date.parse(expiresAt);
    const over = isOver ? ' By the clock of this machine it has expired.' : '';
    const message = `The access token could not be revoked and stays valid ${validity}: ${logger.clause(error)}${over}`;
    throw new StepError(NOT_REVOKED, message, error);
  }
}

async function revoke(token: string, origin: Origin, run: Run): Promise<string> {
  logger.hide(token);
  const clientSecret = readClientSecret();
  if (fingerprintOf(origin, clientSecret) !== origin.fingerprint) throw new StepError(NOT_REVOKED, ANOTHER_SECRET);
  const proxy = recallProxy(origin.proxyUrl);
  for (const secret of proxy?.secrets ?? []) logger.hide(secret);
  const apiUrl = logger.own(origin.apiUrl);
  logger.info(`Revoking the access token at ${apiUrl}${through(proxy)}.`);
  await createDashboardClient(origin, clientSecret, proxy, run, logger).revoke(token);
  return `Revoked the access token at ${apiUrl}.`;
}
