import { now } from '../shared/clock';
import { errorOf, type Failure } from '../shared/errors';

/** The part of the time left that an attempt may take: of 120 s, more than the 60 s after which gateways answer 504. */
const SHARE = 0.55;
/** The least that a wait, or an attempt, is worth. */
const LEAST_MS = 500;
const BACKOFF_BASE_MS = 1_000;
const BACKOFF_CAP_MS = 15_000;

export interface RetryOptions {
  /** A moment, which comes nearer when the runner tells the step to stop. That also ends a wait. */
  readonly endsAt: () => number;
  readonly stop: AbortSignal;
  readonly advice: string;
  readonly onRetry: (line: string) => void;
}

/**
 * Tries until it works, within the time. The waits grow from 1 s to 15 s, each a random part of that ("full jitter"),
 * so that jobs that failed together don't come back together. What Retry-After asks for is waited for first.
 * @throws StepError, of several failures for the last that was no timeout
 */
export async function retry(options: RetryOptions, attempt: (endsAt: number) => Promise<Failure | undefined>) {
  const { endsAt, stop, advice, onRetry } = options;
  const startedAt = now();
  const stopped = new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
  const msLeft = () => Math.max(0, endsAt() - now());
  let hasWaitedInVain = false;
  let toReport: Failure | undefined;
  for (let attempts = 1; ; attempts += 1) {
    // After one that was not answered in its time, an attempt gets all the time there is.
    const isLast = hasWaitedInVain || msLeft() * (1 - SHARE) < 2 * LEAST_MS;
    const failure = await attempt(now() + Math.max(LEAST_MS, msLeft() * (isLast ? 1 : SHARE)));
    if (failure === undefined) return;
    const { explanation, retryAfterMs = 0, timedOut } = failure;
    const [, what, , isTransient] = explanation;
    if (!isTransient) throw errorOf(failure);
    hasWaitedInVain ||= timedOut === 'answer';
    if (toReport === undefined || timedOut === undefined) toReport = failure;
    const roomMs = msLeft() - retryAfterMs - LEAST_MS;
    const total = inSeconds(endsAt() - startedAt);
    if (roomMs < LEAST_MS) {
      if (stop.aborted) throw errorOf(toReport, '; the runner told this step to stop');
      const gaveUp = `; gave up after ${attempts} attempt${attempts === 1 ? '' : 's'} within ${total}`;
      const tooLong = `; it asks to wait ${inSeconds(retryAfterMs)}, which leaves no time for another attempt`;
      throw errorOf(toReport, retryAfterMs === 0 ? gaveUp : tooLong, advice);
    }
    const backoffMs = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (attempts - 1), roomMs);
    const waitMs = retryAfterMs + Math.random() * backoffMs;
    const when = waitMs < 50 ? 'now' : `in ${(waitMs / 1_000).toFixed(1)} s`;
    onRetry(`Attempt ${attempts} failed: ${what}. Retrying ${when} (${inSeconds(msLeft())} of ${total} left).`);
    const wait = new Promise((resolve) => setTimeout(resolve, waitMs));
    await (stop.aborted ? wait : Promise.race([wait, stopped]));
  }
}

function inSeconds(ms: number): string {
  return `${Math.round(Math.max(0, ms) / 1_000)} s`;
}
