import { leaveForRunner } from './toolkit';

/**
 * Hands the access token out to the later steps of the job.
 *
 * @param expiresAt ISO 8601 in UTC; undefined, where the API did not say, becomes an empty output
 * @throws StepError if the output file can't be written
 */
export function setOutputs(token: string, expiresAt: string | undefined): void {
  leaveForRunner('OUTPUT', { token, 'expires-at': expiresAt ?? '' });
}
