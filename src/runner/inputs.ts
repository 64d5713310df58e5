import { createHash } from 'node:crypto';
import { StepError } from '../shared/errors';
import type { Settings } from '../shared/types';
import { mask } from './log';

/** A workflow that passes an unset variable gives an empty input: that means the default. */
const DEFAULTS = {
  'client-id': '',
  'client-secret': '',
  'api-url': 'https://api.formlabs.com',
  'skip-token-revoke': 'false',
  'timeout-seconds': '60',
};

const MAX_TIMEOUT_SECONDS = 86_400;

/** Enough to notice a mix-up: one of two secrets passes for the other once in 16 million times. */
const FINGERPRINT_BYTES = 3;

/** Control and format characters, such as a zero-width space: they get in by copy and paste. */
const INVISIBLE = '[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]';

/**
 * Reads and checks all inputs. Masks the client secret before anything else, so that it is masked even when another
 * input is wrong.
 *
 * @throws StepError that names the input, what it accepts, and what to do
 */
export function readInputs() {
  const clientSecret = readClientSecret();
  const settings = parseSettings({
    clientId: read('client-id'),
    apiUrl: read('api-url'),
    timeoutSeconds: read('timeout-seconds'),
  });
  checkCredential('client-secret', clientSecret);
  if (settings.clientId === clientSecret) {
    throw new StepError('Input client-id is the same as client-secret: give the client ID that belongs to the secret.');
  }
  const skipTokenRevoke = parseBoolean('skip-token-revoke', read('skip-token-revoke'));
  return { settings, clientSecret, skipTokenRevoke };
}

/** The client secret as the runner gives it to this step, masked; empty if there is none. */
export function readClientSecret(): string {
  const clientSecret = read('client-secret');
  mask(clientSecret);
  return clientSecret;
}

/**
 * A few bytes of a digest of a secret and where it goes: enough to notice that one of them changed, useless for
 * guessing the secret.
 */
export function fingerprintOf({ clientId, apiUrl }: Settings, clientSecret: string): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([clientId, apiUrl, clientSecret]))
    .digest();
  return digest.subarray(0, FINGERPRINT_BYTES).toString('hex');
}

/**
 * Checks the settings in the inputs, and when they come back from the state: the client secret goes where they say.
 *
 * @throws StepError that names the input, what it accepts, and what to do
 */
export function parseSettings(fields: Readonly<Record<keyof Settings, unknown>>): Settings {
  return {
    clientId: checkCredential('client-id', fields.clientId),
    apiUrl: parseApiUrl(String(fields.apiUrl)),
    timeoutSeconds: parseTimeout(String(fields.timeoutSeconds)),
  };
}

function parseApiUrl(text: string): string {
  const wrong = (problem: string) =>
    new StepError(
      `Input api-url ${problem}: give an absolute https URL without user, query or fragment, such as ` +
        `${DEFAULTS['api-url']}, or leave it out.`,
    );
  const isUrl = /^https?:\/\/[^\s\\]+$/i.test(text) && URL.canParse(text);
  if (!isUrl) throw wrong('is not an absolute URL');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') throw wrong('holds a user or a password');
  if (/[?#]/.test(text)) throw wrong('holds a query or a fragment');
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw wrong('is not https, which would send the client secret in the clear');
  }
  return url.href.replace(/(?<!\/)\/+$/, '');
}

function parseTimeout(text: string): number {
  const seconds = /^\d+$/.test(text) ? Number(text) : 0;
  if (seconds >= 1 && seconds <= MAX_TIMEOUT_SECONDS) return seconds;
  throw new StepError(
    `Input timeout-seconds is not a whole number from 1 to ${MAX_TIMEOUT_SECONDS}: give the seconds that a step may ` +
      `keep trying, such as ${DEFAULTS['timeout-seconds']}, or leave it out.`,
  );
}

function read(name: keyof typeof DEFAULTS): string {
  return process.env[`INPUT_${name.toUpperCase()}`]?.trim() || DEFAULTS[name];
}

function checkCredential(name: 'client-id' | 'client-secret', value: unknown): string {
  if (typeof value !== 'string' || value === '') {
    throw new StepError(
      `Input ${name} is empty: check the name of the secret. A secret of an environment needs "environment" on the ` +
        `job, a reusable workflow needs "secrets: inherit", Dependabot uses its own secrets, and forks get none.`,
    );
  }
  // The first test spares nearly every job the second, for which V8 looks up large Unicode sets.
  if (!/^[ -~]*$/.test(value) && new RegExp(INVISIBLE, 'u').test(value)) {
    throw new StepError(
      `Input ${name} holds a line break or another character that can't be seen: store the value again, as one line.`,
    );
  }
  return value;
}

/** YAML 1.2 booleans, as `getBooleanInput` of the toolkit reads them. */
function parseBoolean(name: string, text: string): boolean {
  if (['true', 'True', 'TRUE'].includes(text)) return true;
  if (['false', 'False', 'FALSE'].includes(text)) return false;
  throw new StepError(`Input ${name} is not a boolean: give true or false, or leave it out.`);
}

/** The URL parser has already brought every spelling of an IPv4 or IPv6 address to its normal form. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
