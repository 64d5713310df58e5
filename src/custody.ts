import { type Connection, revokeToken } from './dashboard/api';
import { monotonicMs } from './dashboard/retry';
import * as log from './runner/log';
import { saveTokens } from './runner/state';
import { StepError } from './step-error';

/** What has to go at once gets this much time, in milliseconds, even where the budget is used up. */
const LAST_REVOCATION_MS = 700;

/** The post step gets the state in its environment, where Windows has room for so many characters. */
const STATE_LIMIT = 30_000;

export interface Custody {
  /**
   * Takes tokens in: from here on they are masked, and the post step will revoke them.
   *
   * @throws StepError if they can't be saved as state; then `revokeNow` is to be called
   */
  receive: (tokens: readonly string[]) => void;

  /** Whether the post step will know of all tokens received. */
  isSaved: () => boolean;

  /**
   * Revokes every token received but the one that is kept. What can't be revoked now is left to the
   * post step.
   *
   * @throws StepError if a token can't be revoked and the post step does not know of it
   */
  revokeNow: (kept?: string) => Promise<void>;
}

/** Keeps the tokens of the main step from being lost, whatever happens to it. */
export function takeCustody(connection: Connection): Custody {
  const held = new Set<string>();
  let saved = true;

  return {
    receive: (tokens) => {
      for (const token of tokens) {
        log.mask(token);
        held.add(token);
      }
      saved = false;
      if (JSON.stringify([...held]).length > STATE_LIMIT) {
        throw new StepError(
          'The Dashboard sent more tokens than the state of the runner can keep.',
        );
      }
      saveTokens([...held]);
      saved = true;
    },

    isSaved: () => saved,

    revokeNow: async (kept) => {
      const unwanted = [...held].filter((token) => token !== kept);
      if (unwanted.length > 0) await revokeUnwanted(unwanted);
    },
  };

  async function revokeUnwanted(unwanted: readonly string[]): Promise<void> {
    const last = lastResort(connection, saved);
    let failure: unknown;
    for (const token of unwanted) {
      try {
        await revokeToken(last, token);
        held.delete(token);
        log.info('Revoked a token that was received and cannot be handed out.');
      } catch (error) {
        failure = error;
      }
    }
    if (saved) saveTokens([...held]);
    if (failure === undefined) return;
    const reason = log.clause(failure);
    if (!saved) {
      throw new StepError(
        `A token that could not be saved for the post step was not revoked either and stays valid for up to a day: ${reason}`,
        { cause: failure },
      );
    }
    log.info(`A token that was received is left to the post step to revoke: ${reason}`);
  }
}

/** Goes on after a cancellation until requests have to end; and over the budget, where post knows nothing. */
function lastResort(connection: Connection, saved: boolean): Connection {
  const { abandoned } = connection.cancellation;
  const extra = saved ? 0 : monotonicMs() + LAST_REVOCATION_MS;
  const endsAt = Math.max(connection.budget.endsAt, extra);
  return {
    ...connection,
    budget: { ...connection.budget, endsAt },
    cancellation: { requested: abandoned, abandoned },
  };
}
