import type { Cancellation } from './cancellation';
import { connect } from './connection';
import { revokeToken } from './dashboard/api';
import { readClientSecret } from './runner/inputs';
import * as log from './runner/log';
import { loadExpiry, loadLeaveAlive, loadSettings, loadTokens } from './runner/state';
import { CancelledError, StepError } from './step-error';

/**
 * The post step: revokes what the main step handed out. A revocation that fails is a warning, since
 * the work of the job is done by then.
 *
 * @throws CancelledError if the job is cancelled before the token is revoked
 */
export async function postStep(cancellation: Cancellation): Promise<void> {
  const leftAlive = loadLeaveAlive();
  const tokens = loadTokens().filter((token) => token !== leftAlive);
  if (leftAlive !== undefined) {
    log.info(
      `The access token is left alive, since skip-token-revoke is true, and stays valid ${untilExpiry()}.`,
    );
  } else if (tokens.length === 0) {
    log.info('There is no access token to revoke.');
  }
  if (tokens.length === 0) return;

  try {
    await revokeAll(tokens, cancellation);
  } catch (error) {
    if (error instanceof CancelledError) {
      throw new CancelledError(
        `The job was cancelled before the access token was revoked: it stays valid ${untilExpiry()}.`,
        { cause: error },
      );
    }
    const reason = log.clause(error);
    log.warning(
      `The access token could not be revoked and stays valid ${untilExpiry()}: ${reason}`,
    );
    log.pointToHelp();
    log.debugCauses(error);
  }
}

/** Tries every token, whatever becomes of the others. */
async function revokeAll(tokens: readonly string[], cancellation: Cancellation): Promise<void> {
  for (const token of tokens) log.hide(token);
  const clientSecret = readClientSecret();
  if (clientSecret === undefined) {
    throw new StepError(
      'The runner gave the post step no client-secret, as it does in nested composite actions: give the outer action an input of the same name, client-secret, and pass it on.',
    );
  }
  const connection = connect(loadSettings(), clientSecret, cancellation);
  const failures: unknown[] = [];
  for (const token of tokens) {
    await revokeToken(connection, token).catch((error: unknown) => failures.push(error));
  }
  const cancelled = failures.find((failure) => failure instanceof CancelledError);
  if (failures.length > 0) throw cancelled ?? failures[0];
  log.info(`Revoked the access token at ${connection.apiUrl}.`);
}

function untilExpiry(): string {
  const expiresAt = loadExpiry();
  return expiresAt === undefined ? 'for up to a day' : `until ${expiresAt}`;
}
