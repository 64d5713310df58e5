import { Failure } from '../shared/errors';

/** What has to be left of the budget for another wait, and for the attempt after it. */
const LAST_WAIT_MS = 500;
const LAST_ATTEMPT_MS = 500;

const BACKOFF_BASE_MS = 1_000;
const BACKOFF_CAP_MS = 15_000;

export interface Patience {
  /** Both on the clock of `monotonicMs()`. */
  readonly startedAt: number;
  readonly endsAt: number;
  /** Ends waits, and keeps new attempts from being made. */
  readonly stop: AbortSignal;
  /** What to do where the time was too short, besides what the failure advises. */
  readonly advice: string;
  /** Told of every attempt that failed and is followed by another. */
  readonly onRetry: (line: string) => void;
}

/** A clock that no change of the time of day moves, in milliseconds. */
export function monotonicMs(): number {
  // Not performance.now(): Node loads a module of its own for it, at the start of every step.
  return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * Tries until it works, within the budget.
 *
 * An attempt may take half of what is left, so that one that hangs leaves time for another; after one that got no
 * answer, all of it. The waits between them grow from 1 s to 15 s, and each is a random part of that ("full jitter"),
 * so that jobs that failed together don't come back together. What the server asks for with Retry-After (RFC 9110,
 * section 10.2.3) is waited for first.
 *
 * @param attempt does the work once, within a limit in milliseconds; rejects with a Failure that says whether another
 *   attempt may help
 * @throws Failure if it can't work, or not within the budget; a timeout only where no attempt failed for another reason
 * @throws the reason of `stop` if that comes first
 */
export async function tryWithin<T>(
  { startedAt, endsAt, stop, advice, onRetry }: Patience,
  attempt: (limitMs: number) => Promise<T>,
): Promise<T> {
  const msLeft = () => Math.max(0, endsAt - monotonicMs());
  const total = seconds(endsAt - startedAt);
  let toReport: Failure | undefined;
  let waitedInVain = false;
  for (let attempts = 1; ; attempts += 1) {
    stop.throwIfAborted();
    let failure: Failure;
    try {
      const leftMs = msLeft();
      const isLast = waitedInVain || leftMs / 2 <= LAST_WAIT_MS + LAST_ATTEMPT_MS;
      return await attempt(isLast ? leftMs : leftMs / 2);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failure = error;
    }
    stop.throwIfAborted();
    const { what, transient, retryAfterMs = 0, timedOut } = failure.explanation;
    if (!transient) throw failure;
    waitedInVain ||= timedOut === 'answer';
    if (toReport === undefined || timedOut === undefined) toReport = failure;

    const leftMs = msLeft();
    const roomMs = leftMs - retryAfterMs - LAST_ATTEMPT_MS;
    if (roomMs < LAST_WAIT_MS) {
      const why =
        retryAfterMs > 0
          ? `it asks to wait ${seconds(retryAfterMs)}, which leaves no time for another attempt`
          : `gave up after ${attempts} attempt${attempts === 1 ? '' : 's'} within ${total}`;
      const { explanation } = toReport;
      const said = { what: `${explanation.what}; ${why}`, advice: `${explanation.advice} ${advice}`.trim() };
      throw new Failure({ ...explanation, ...said, cause: toReport });
    }
    const backoffMs = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (attempts - 1), roomMs);
    const waitMs = retryAfterMs + Math.random() * backoffMs;
    const when = `in ${(waitMs / 1_000).toFixed(1)} s (${seconds(leftMs)} of ${total} left)`;
    onRetry(`Attempt ${attempts} failed: ${what}. Retrying ${when}.`);
    await sleep(waitMs, stop);
  }
}

/** Ends early, and not with an error, when the signal comes. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}
