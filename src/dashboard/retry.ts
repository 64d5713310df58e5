import { now } from '../shared/clock';
import { RequestError } from '../shared/errors';

/**
 * The part of the time left that an attempt may take, so that one that hangs leaves time for another. With the default
 * of `timeout-seconds`, the first may take a little more than the 60 s after which gateways answer 504.
 */
const SHARE = 0.55;
/** The least that a wait, or an attempt, is worth. */
const LEAST_MS = 500;
const BACKOFF_BASE_MS = 1_000;
const BACKOFF_CAP_MS = 15_000;

export interface RetryOptions {
  /** Moments. The end comes nearer when the runner tells the step to stop, which ends a wait, and maybe all of it. */
  readonly startedAt: number;
  readonly endsAt: () => number;
  readonly stop: AbortSignal;
  readonly givesUpAtStop: boolean;
  /** What to do where the time was too short. */
  readonly advice: string;
  readonly onRetry: (line: string) => void;
}

/**
 * Tries until it works, within the time. The waits between attempts grow from 1 s to 15 s, and each is a random part of
 * that ("full jitter"), so that jobs that failed together don't come back together. What the server asks for with
 * Retry-After (RFC 9110, section 10.2.3) is waited for first.
 *
 * @throws RequestError, of several the last that was no timeout; the reason of `stop`
 */
export async function retry<T>(options: RetryOptions, attempt: (endsAt: number) => Promise<T>): Promise<T> {
  const { startedAt, endsAt, stop, givesUpAtStop, onRetry } = options;
  const msLeft = () => Math.max(0, endsAt() - now());
  let hasWaitedInVain = false;
  let toReport: RequestError | undefined;
  for (let attempts = 1; ; attempts += 1) {
    if (givesUpAtStop) stop.throwIfAborted();
    try {
      const leftMs = msLeft();
      // After one that was not answered in its time, an attempt gets all the time there is.
      const isLast = hasWaitedInVain || leftMs * (1 - SHARE) < 2 * LEAST_MS;
      return await attempt(now() + Math.max(LEAST_MS, isLast ? leftMs : leftMs * SHARE));
    } catch (error) {
      if (givesUpAtStop) stop.throwIfAborted();
      if (!(error instanceof RequestError && error.isTransient)) throw error;
      const { what, retryAfterMs = 0, timedOut } = error;
      hasWaitedInVain ||= timedOut === 'answer';
      if (toReport === undefined || timedOut === undefined) toReport = error;

      const leftMs = msLeft();
      const roomMs = leftMs - retryAfterMs - LEAST_MS;
      const total = inSeconds(Math.max(0, endsAt() - startedAt));
      if (roomMs < LEAST_MS) {
        const gaveUp = `gave up after ${attempts} attempt${attempts === 1 ? '' : 's'} within ${total}`;
        const tooLong = `it asks to wait ${inSeconds(retryAfterMs)}, which leaves no time for another attempt`;
        if (stop.aborted) throw toReport.with('the runner told this step to stop', '');
        throw toReport.with(retryAfterMs === 0 ? gaveUp : tooLong, options.advice);
      }
      const backoffMs = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (attempts - 1), roomMs);
      const waitMs = retryAfterMs + Math.random() * backoffMs;
      const when = waitMs < 50 ? 'now' : `in ${(waitMs / 1_000).toFixed(1)} s`;
      onRetry(`Attempt ${attempts} failed: ${what}. Retrying ${when} (${inSeconds(leftMs)} of ${total} left).`);
      await sleep(waitMs, stop);
    }
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

function inSeconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}
