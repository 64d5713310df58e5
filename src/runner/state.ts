import { StepError } from '../shared/errors';
import type { Expiry, Settings } from '../shared/types';
import { append } from './files';
import { parseSettings } from './inputs';
import { mask } from './log';

/** The one key. A key that main has not saved could be forged by a later step, through GITHUB_ENV. */
const KEY = 'state';

/** Post gets the state as an environment variable, which Windows limits to about 32,000 characters. */
const STATE_LIMIT = 30_000;

/** What the main step leaves for the post step. Only with a token there is more than `tokens` in it. */
export interface Saved {
  /** What the post step has to revoke. */
  readonly tokens: readonly string[];
  readonly settings?: Settings | undefined;
  /** Tells whether post's client secret is the one that main had. */
  readonly fingerprint?: string | undefined;
  readonly expiry?: Expiry | undefined;
  /** Whether the token that was handed out is to stay alive. */
  readonly leftAlive?: boolean | undefined;
}

/** The tokens that the main step holds, and what the post step knows of them. */
export type State = ReturnType<typeof openState>;

/**
 * Opens the state of the main step by saving it for the first time, with nothing in it.
 *
 * @throws StepError if the runner's state file can't be written
 */
export function openState() {
  let held: readonly string[] = [];
  let saved: Saved = { tokens: held };
  const without = (tokens: readonly string[]) => held.filter((token) => !tokens.includes(token));
  const save = (changed: Saved) => {
    const text = JSON.stringify(changed);
    if (text.length > STATE_LIMIT) {
      throw new StepError(
        "The Dashboard sent more tokens, or longer ones, than fit in the runner's state: check api-url.",
      );
    }
    append('STATE', { [KEY]: text });
    saved = changed;
  };
  save(saved);

  return {
    tokens: () => held,
    /** Whether the post step will know of all tokens held. */
    isSaved: () => held.every((token) => saved.tokens.includes(token)),
    /** Takes tokens in: they are masked, and revoked by one of the steps. @throws StepError if they can't be saved */
    hold(tokens: readonly string[], of: Omit<Saved, 'tokens'>): void {
      for (const token of tokens) mask(token);
      // Until the latest expiry one of them may be alive; nobody knows until when if one answer did not say.
      const expiries = held.length === 0 ? [of.expiry] : [saved.expiry, of.expiry];
      const isKnown = expiries.every((expiry) => expiry !== undefined);
      const expiry = isKnown ? expiries.toSorted((a, b) => b.hereMs - a.hereMs)[0] : undefined;
      held = [...without(tokens), ...tokens];
      save({ ...of, expiry, tokens: held });
    },
    /** Lets go of a token that is to stay alive. @throws StepError if that can't be saved */
    letGo(token: string): void {
      save({ ...saved, tokens: without([token]), leftAlive: true });
      held = saved.tokens;
    },
    /** Forgets tokens that have been revoked. */
    drop(tokens: readonly string[]): void {
      held = without(tokens);
      try {
        save({ ...saved, tokens: held });
      } catch {
        // Post revokes them once more, which does no harm (RFC 7009, section 2.2).
      }
    },
  };
}

/**
 * Reads what the main step saved: whole, or not at all. If it saved nothing, it has requested nothing.
 *
 * @throws StepError if it came back damaged
 */
export function loadState(): Saved {
  const text = process.env[`STATE_${KEY}`];
  if (text === undefined) return { tokens: [] };
  try {
    return parseSaved(JSON.parse(text));
  } catch (cause) {
    const problem = text === '' ? 'is empty' : "can't be read";
    throw new StepError(
      `The state that the main step saved ${problem}, so an access token may be alive for up to a day. To end it ` +
        'sooner, delete its credentials on the Developer Tools page.',
      { cause },
    );
  }
}

function parseSaved(value: unknown): Saved {
  const { tokens, settings, fingerprint, expiry, leftAlive } = Object(value) as Partial<Saved>;
  const isWhole =
    Array.isArray(tokens) &&
    tokens.every((token) => typeof token === 'string' && token !== '') &&
    (tokens.length === 0 || (settings !== undefined && typeof fingerprint === 'string')) &&
    (expiry === undefined || new Date(expiry.at).toISOString() === expiry.at) &&
    (expiry === undefined || Number.isFinite(expiry.hereMs)) &&
    (leftAlive === undefined || leftAlive === true);
  if (!isWhole) throw new TypeError('a part is missing or of another type');
  return { tokens, settings: settings && parseSettings(settings), fingerprint, expiry, leftAlive };
}
