import { createHash } from 'node:crypto';
import { getInput } from '@actions/core';
import { StepError } from '../shared/errors';
import type { Settings } from '../shared/types';
import { mask } from './logger';

/** A workflow that passes an unset variable gives an empty input: that means the default. */
const DEFAULTS = {
  'client-id': '',
  'client-secret': '',
  'api-url': 'https://api.formlabs.com',
  'skip-token-revoke': 'false',
  'timeout-seconds': '120',
};
type Name = keyof typeof DEFAULTS;
const MAX_TIMEOUT_SECONDS = 86_400;
/** Enough to notice a mix-up: one of two secrets passes for the other once in 16 million times. */
const FINGERPRINT_DIGITS = 6;
/** Control and format characters, such as a zero-width space: they get in by copy and paste. */
const INVISIBLE = '[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]';
const LOOPBACK = /^(?:localhost|\[::1\]|127\.\d+\.\d+\.\d+)$/;
const WHERE_SECRETS_GET_LOST =
  'check the name of the secret. A reusable workflow gets only what its caller passes, a secret of an environment ' +
  'needs "environment" on the job, Dependabot has its own secrets, forks get none, and the output of a job can hold none';

/** Reads and checks all inputs. Masks the client secret first. @throws StepError that names the input and what to do */
export function readInputs() {
  const clientSecret = readClientSecret();
  const [clientId, apiUrl, timeoutSeconds] = [read('client-id'), read('api-url'), read('timeout-seconds')];
  const settings = parseSettings({ clientId, apiUrl, timeoutSeconds });
  checkCredential('client-secret', clientSecret);
  const isSame = clientId === clientSecret;
  if (isSame) throw wrong('client-id', 'is the same as client-secret', 'give the client ID that belongs to the secret');
  return { settings, clientSecret, skipTokenRevoke: parseBoolean('skip-token-revoke', read('skip-token-revoke')) };
}

/** The client secret as the runner gives it to this step, masked; empty if there is none. */
export function readClientSecret(): string {
  const clientSecret = read('client-secret');
  mask(clientSecret);
  return clientSecret;
}

/** A few digits of a digest: enough to notice that one of the values changed, useless for guessing a random secret. */
export function fingerprintOf({ clientId, apiUrl }: Settings, clientSecret: string): string {
  const text = JSON.stringify([clientId, apiUrl, clientSecret]);
  return createHash('sha256').update(text).digest('hex').slice(0, FINGERPRINT_DIGITS);
}

/** Checks settings, also when they come back from the state: the client secret goes where they say. */
export function parseSettings(fields: Readonly<Record<keyof Settings, unknown>>): Settings {
  return {
    clientId: checkCredential('client-id', fields.clientId),
    apiUrl: parseApiUrl(String(fields.apiUrl)),
    timeoutSeconds: parseTimeout(String(fields.timeoutSeconds)),
  };
}

function parseApiUrl(text: string): string {
  const form = `an absolute https URL without user, query or fragment, such as ${DEFAULTS['api-url']}`;
  const refuse = (problem: string) => wrong('api-url', problem, `give ${form}, or leave it out`);
  if (!/^https?:\/\/[^\s\\]{1,2000}$/i.test(text) || !URL.canParse(text)) throw refuse('is not an absolute URL');
  // A password may hold what looks like the end of a host, so an @ anywhere is refused before the rest is read.
  if (/[@?#]/.test(text)) throw refuse('holds a user, a password, a query or a fragment');
  const { protocol, hostname, href } = new URL(text);
  const isClear = protocol === 'http:' && !LOOPBACK.test(hostname);
  if (isClear) throw refuse('is not https, which would send the client secret in the clear');
  // Formlabs' own description of the API has the path of its version in the base URL.
  return href.replace(/(?<!\/|\/developer\/v1)(?:\/(?:developer\/v1(?=\/|$))?)+$/, '');
}

function parseTimeout(text: string): number {
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (seconds >= 1 && seconds <= MAX_TIMEOUT_SECONDS) return seconds;
  const form = `the seconds that a step may keep trying, such as ${DEFAULTS['timeout-seconds']}`;
  const problem = `is not a whole number from 1 to ${MAX_TIMEOUT_SECONDS}`;
  throw wrong('timeout-seconds', problem, `give ${form}, or leave it out`);
}

function checkCredential(name: Name, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw wrong(name, 'is empty', WHERE_SECRETS_GET_LOST);
  // The first test spares nearly every job the second, for which V8 looks up large Unicode sets.
  const isVisible = /^[ -~]*$/.test(value) || !new RegExp(INVISIBLE, 'u').test(value);
  if (isVisible) return value;
  const problem = "holds a line break or another character that can't be seen";
  throw wrong(name, problem, 'store the value again, on one line');
}

/** YAML 1.2 booleans, as `getBooleanInput` of the toolkit reads them. */
function parseBoolean(name: Name, text: string): boolean {
  if (['true', 'True', 'TRUE'].includes(text)) return true;
  if (['false', 'False', 'FALSE'].includes(text)) return false;
  throw wrong(name, 'is not a boolean', 'give true or false, or leave it out');
}

function read(name: Name): string {
  return getInput(name) || DEFAULTS[name];
}

function wrong(name: Name, problem: string, advice: string): StepError {
  return new StepError(`input-${name}`, `Input ${name} ${problem}: ${advice}.`);
}
