import { getState } from '@actions/core';
import { StepError } from '../shared/errors';
import type { Settings } from '../shared/types';
import { append } from './files';
import { parseSettings } from './inputs';

/** The one key. A key that main has not saved could be forged by a later step, through GITHUB_ENV. */
const KEY = 'state';
/** Post gets the state as an environment variable, which Windows limits to about 32,000 characters. */
const STATE_LIMIT = 30_000;
const TOO_LONG = "The access token does not fit in the runner's state, with client-id and api-url: check both.";
const PROXY_URL = /^https?:\/\/(?:[\w.-]{1,253}|\[[\da-f:.]{2,45}\]):[1-9]\d{0,4}$/;

/** Where main asked for a token, and post revokes it: post's own inputs may be wrong (actions/runner#3514). */
export interface Origin extends Settings {
  readonly proxyUrl: string | null;
  readonly fingerprint: string;
}

/** What the main step leaves for the post step. All times are in ISO 8601 and UTC. */
export interface State {
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
  if (text.length > STATE_LIMIT) throw new StepError('the-access-token-does-not-fit', TOO_LONG);
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

function parse(state: State): State {
  const { token, origin, expiresAt, isLeftAlive, doubtUntil, isDoubtSaid } = state;
  const isWhole =
    Object.getPrototypeOf(state) === Object.prototype &&
    (token === undefined || (typeof token === 'string' && token !== '')) &&
    (token === undefined) === (origin === undefined) &&
    (origin === undefined || isOrigin(origin)) &&
    [expiresAt, doubtUntil].every((time) => time === undefined || new Date(time).toISOString() === time) &&
    [isLeftAlive, isDoubtSaid].every((flag) => flag === undefined || flag === true);
  if (!isWhole) throw new TypeError('a part is missing or of another type');
  return state;
}

function isOrigin({ proxyUrl, fingerprint, ...settings }: Origin): boolean {
  parseSettings(settings);
  return (proxyUrl === null || (URL.canParse(proxyUrl) && PROXY_URL.test(proxyUrl))) && typeof fingerprint === 'string';
}
