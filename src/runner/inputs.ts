import { StepError } from '../step-error';
import { charactersOf } from '../text';
import { mask } from './log';
import { getInput } from './toolkit';

/** What the main step was asked for, checked. */
export interface Inputs {
  readonly clientId: string;
  readonly clientSecret: string;
  /** Base URL without a trailing slash. */
  readonly apiUrl: string;
  readonly skipTokenRevoke: boolean;
  readonly timeoutSeconds: number;
}

/** A workflow that passes an unset variable gives an empty input: that means the default. */
const DEFAULTS = {
  'api-url': 'https://api.formlabs.com',
  'skip-token-revoke': 'false',
  'timeout-seconds': '60',
};

const MAX_TIMEOUT_SECONDS = 86_400;

/**
 * Reads and checks all inputs. Masks the client secret before anything else, so that it is masked
 * even when another input is wrong.
 *
 * @throws StepError that names the input, what it accepts, and what to do
 */
export function readInputs(): Inputs {
  const clientSecret = getInput('client-secret');
  mask(clientSecret);
  return {
    clientId: checkCredential('client-id', getInput('client-id')),
    clientSecret: checkCredential('client-secret', clientSecret),
    apiUrl: parseApiUrl(read('api-url')),
    skipTokenRevoke: parseBoolean('skip-token-revoke', read('skip-token-revoke')),
    timeoutSeconds: parseTimeout(read('timeout-seconds')),
  };
}

/**
 * Reads the one input that the post step can't do without, and masks it.
 *
 * @returns the client secret, or undefined where the runner gave the post step none
 * @throws StepError if it holds a control character
 */
export function readClientSecret(): string | undefined {
  const clientSecret = getInput('client-secret');
  mask(clientSecret);
  return clientSecret === '' ? undefined : checkCredential('client-secret', clientSecret);
}

/**
 * Checks the base URL of the API.
 *
 * @returns the URL in its normal form, without a trailing slash
 * @throws StepError if it is not an absolute https URL without user, query or fragment; http is
 *   accepted for loopback hosts
 */
export function parseApiUrl(text: string): string {
  const wrong = (problem: string) =>
    new StepError(
      `Input api-url ${problem}: give an absolute https URL without user, query or fragment, such as ${DEFAULTS['api-url']}, or leave it out.`,
    );
  if (!/^https?:\/\/[^\s\\]+$/i.test(text) || !URL.canParse(text)) {
    throw wrong('is not an absolute URL');
  }
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') throw wrong('holds a user or a password');
  if (/[?#]/.test(text)) throw wrong('holds a query or a fragment');
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw wrong('is not https, which would send the client secret in the clear');
  }
  return url.href.replace(/(?<!\/)\/+$/, '');
}

/**
 * @returns seconds
 * @throws StepError if it is not a whole number from 1 to 86400
 */
export function parseTimeout(text: string): number {
  const seconds = /^\d+$/.test(text) ? Number(text) : 0;
  if (seconds < 1 || seconds > MAX_TIMEOUT_SECONDS) {
    throw new StepError(
      `Input timeout-seconds is not a whole number from 1 to ${MAX_TIMEOUT_SECONDS}: give the seconds that a step may keep trying, such as ${DEFAULTS['timeout-seconds']}, or leave it out.`,
    );
  }
  return seconds;
}

function read(name: keyof typeof DEFAULTS): string {
  return getInput(name) || DEFAULTS[name];
}

function checkCredential(name: 'client-id' | 'client-secret', value: string): string {
  if (value === '') {
    throw new StepError(
      `Input ${name} is empty: check the name of the secret. The secret of an environment needs "environment" on the job, a reusable workflow needs "secrets: inherit", and GitHub passes no secrets to workflows started from forks or by Dependabot.`,
    );
  }
  // Format characters too (a zero-width space, say): they get in by copy and paste and can't be seen.
  // The first test spares nearly every job the second, which is costly to set up.
  if (!/^[ -~]*$/.test(value) && charactersOf('Cc', 'Cf', 'Zl', 'Zp').test(value)) {
    throw new StepError(
      `Input ${name} holds a line break or another character that can't be seen: store the value again, as one line, copied from the Developer Tools page.`,
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
