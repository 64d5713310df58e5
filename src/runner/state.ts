import { parseJson, parseJsonObject } from '../json';
import { StepError } from '../step-error';
import { parseApiUrl, parseTimeout } from './inputs';
import { getState, leaveForRunner } from './toolkit';

/**
 * What the post step needs of the main step's inputs. The runner evaluates the inputs anew for the
 * post step and may get them wrong (actions/runner#3514), so they go through the state. The client
 * secret does not: the state lies in a file that every later step can read.
 */
export interface Settings {
  readonly clientId: string;
  readonly apiUrl: string;
  readonly timeoutSeconds: number;
}

const SETTINGS = 'settings';
const TOKENS = 'tokens';
const EXPIRES_AT = 'expires-at';
const LEAVE_ALIVE = 'leave-alive';

/** @throws StepError if the state file can't be written */
export function saveSettings({ clientId, apiUrl, timeoutSeconds }: Settings): void {
  // Named one by one: what is passed may hold more, the client secret even.
  leaveForRunner('STATE', { [SETTINGS]: JSON.stringify({ clientId, apiUrl, timeoutSeconds }) });
}

/**
 * Saves the tokens that the post step has to revoke, in place of those saved before. There is
 * more than one when a token came in an answer that could not be accepted.
 *
 * @throws StepError if the state file can't be written
 */
export function saveTokens(tokens: readonly string[]): void {
  leaveForRunner('STATE', { [TOKENS]: JSON.stringify(tokens) });
}

/** @throws StepError if the state file can't be written */
export function saveExpiry(expiresAt: string): void {
  leaveForRunner('STATE', { [EXPIRES_AT]: expiresAt });
}

/**
 * Notes that this token, of those saved, is to be left alive.
 *
 * @throws StepError if the state file can't be written
 */
export function saveLeaveAlive(token: string): void {
  leaveForRunner('STATE', { [LEAVE_ALIVE]: token });
}

/**
 * The settings that the main step saved, with the URL checked again: the client secret goes there.
 *
 * @throws StepError if they can't be read
 */
export function loadSettings(): Settings {
  const saved = parseJsonObject(getState(SETTINGS));
  if (saved === undefined) throw new StepError('The state of the main step is lost.');
  return {
    clientId: String(saved.get('clientId')),
    apiUrl: parseApiUrl(String(saved.get('apiUrl'))),
    timeoutSeconds: parseTimeout(String(saved.get('timeoutSeconds'))),
  };
}

/** The tokens that the main step saved: none if it ended before it had one. */
export function loadTokens(): string[] {
  const saved = parseJson(getState(TOKENS));
  return Array.isArray(saved) ? saved.filter((token) => typeof token === 'string') : [];
}

/** When the token expires, ISO 8601 in UTC; undefined if the API did not say. */
export function loadExpiry(): string | undefined {
  const saved = getState(EXPIRES_AT);
  return /^[\d:.TZ-]+$/.test(saved) ? saved : undefined;
}

/** The token that is to be left alive; undefined if all are to be revoked. */
export function loadLeaveAlive(): string | undefined {
  return getState(LEAVE_ALIVE) || undefined;
}
