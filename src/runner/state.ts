import { getState } from '@actions/core';
import { StepError } from '../shared/errors';
import type { Settings } from '../shared/types';
import { append } from './files';
import { parseSettings } from './inputs';

/** The one key. A key that main has not saved could be forged by a later step, through GITHUB_ENV. */
const KEY = 'state';
/** Post gets the state as an environment variable, which Windows limits to about 32,000 characters. */
const STATE_LIMIT = 30_000;

/**
 * Where the main step asked for a token, and post revokes it. The runner evaluates the inputs anew for post, and may get
 * them wrong (actions/runner#3514). Every later step can read this: there is but a fingerprint of the client secret in it.
 */
export interface Origin extends Settings {
  readonly proxyUrl: string | null;
  readonly fingerprint: string;
}

/** What the main step leaves for the post step. All times are in ISO 8601 and UTC. */
export interface State {
  /** What is to be revoked, and where. */
  readonly token?: string;
  readonly origin?: Origin;
  readonly expiresAt?: string | undefined;
  /** The token that was handed out is to stay alive. */
  readonly isLeftAlive?: true;
  /** Until then a token may live that nobody knows, since no answer came. The main step has said so, or not. */
  readonly doubtUntil?: string;
  readonly isDoubtSaid?: true;
}

/** Saves the state in place of what was saved before. @throws StepError if it can't be saved */
export function save(state: State): void {
  const text = JSON.stringify(state);
  if (text.length > STATE_LIMIT) {
    const message = "The access token does not fit in the runner's state, with client-id and api-url: check both.";
    throw new StepError('the-access-token-does-not-fit', message);
  }
  append('STATE', { [KEY]: text });
}

/** Loads what the main step saved: whole, or not at all. @throws StepError if it came back damaged */
export function load(): State {
  // Where main has saved nothing, it has requested nothing.
  if (process.env[`STATE_${KEY}`] === undefined) return {};
  const text = getState(KEY);
  try {
    return parse(JSON.parse(text));
  } catch (cause) {
    const what = `The state that the main step saved ${text === '' ? 'is empty' : "can't be read"}, so an access token`;
    const advice = 'To end it sooner, delete its credentials on the Developer Tools page.';
    throw new StepError('the-state-is-damaged', `${what} may be alive for up to a day. ${advice}`, cause);
  }
}

function parse(value: State): State {
  const { token, origin, expiresAt, isLeftAlive, doubtUntil, isDoubtSaid } = value;
  const isWhole =
    Object.getPrototypeOf(value) === Object.prototype &&
    (token === undefined || (typeof token === 'string' && token !== '')) &&
    (token === undefined) === (origin === undefined) &&
    [expiresAt, doubtUntil].every((time) => time === undefined || new Date(time).toISOString() === time) &&
    [isLeftAlive, isDoubtSaid].every((flag) => flag === undefined || flag === true);
  if (!isWhole) throw new TypeError('a part is missing or of another type');
  return origin === undefined ? value : { ...value, origin: parseOrigin(origin) };
}

function parseOrigin({ proxyUrl, fingerprint, ...settings }: Origin): Origin {
  const isProxy =
    proxyUrl === null || (/^https?:\/\/[^\s@/]{1,300}:[1-9]\d{0,4}$/.test(proxyUrl) && URL.canParse(proxyUrl));
  if (!isProxy || typeof fingerprint !== 'string') throw new TypeError('a part of the origin is of another type');
  return { ...parseSettings(settings), proxyUrl, fingerprint };
}
