import type { Cancellation } from './cancellation';
import { connect } from './connection';
import { takeCustody } from './custody';
import { type AccessToken, requestToken } from './dashboard/api';
import { readInputs } from './runner/inputs';
import * as log from './runner/log';
import { setOutputs } from './runner/outputs';
import { saveExpiry, saveLeaveAlive, saveSettings } from './runner/state';
import { CancelledError } from './step-error';

/**
 * The main step: gets an access token and hands it out.
 *
 * @throws StepError; a token that was received by then is revoked, or saved for the post step to revoke
 */
export async function mainStep(cancellation: Cancellation): Promise<void> {
  const inputs = readInputs();
  saveSettings(inputs);

  const connection = connect(inputs, inputs.clientSecret, cancellation);
  const custody = takeCustody(connection);
  let accessToken: AccessToken;
  try {
    accessToken = await requestToken(connection, custody.receive);
  } catch (error) {
    // After a cancellation time is short, and the post step has more of it.
    if (!(error instanceof CancelledError && custody.isSaved())) await custody.revokeNow();
    throw error;
  }
  const { token, expiresAt } = accessToken;
  if (expiresAt !== undefined) saveExpiry(expiresAt);
  await custody.revokeNow(token);
  if (cancellation.requested.aborted) {
    throw new CancelledError(
      'The job was cancelled while the access token was on its way: it is not handed out, and the post step revokes it.',
    );
  }

  setOutputs(token, expiresAt);
  log.info(`${inputs.apiUrl} issued an access token, ${validity(expiresAt)}.`);
  log.info(
    inputs.skipTokenRevoke
      ? 'It is the output token, masked in the log, and stays alive when this job ends, since skip-token-revoke is true.'
      : 'It is the output token, masked in the log, and will be revoked when this job ends.',
  );
  // The very last thing: a token that was not handed out is revoked in any case.
  if (inputs.skipTokenRevoke) saveLeaveAlive(token);
}

function validity(expiresAt: string | undefined): string {
  return expiresAt === undefined
    ? 'and did not say how long it is valid'
    : `valid until ${expiresAt}`;
}
