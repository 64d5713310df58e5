import type { Cancellation } from '../cancellation';
import { CancelledError } from '../step-error';
import { Failure } from './failure';

/** One attempt gets at most this much of the budget, connection and body together. */
const ATTEMPT_MS = 10_000;

/** What has to be left of the budget for another wait, and for the attempt behind it. */
const LAST_WAIT_MS = 500;
const LAST_ATTEMPT_MS = 500;

const BACKOFF_BASE_MS = 1_000;
const BACKOFF_CAP_MS = 15_000;

/** The time that a step may take: all attempts, waits and bodies. */
export interface Budget {
  readonly seconds: number;
  /** On the clock of `monotonicMs()`. */
  readonly endsAt: number;
}

export interface RetryPolicy {
  readonly budget: Budget;
  readonly cancellation: Cancellation;
  /** Told of every attempt that failed and is followed by another, in one sentence. */
  readonly onFailedAttempt: (sentence: string) => void;
}

/** An attempt took longer than it may. */
export class AttemptTimeoutError extends Error {
  override readonly name = 'AttemptTimeoutError';

  constructor(ms: number) {
    super(`no complete answer within ${seconds(ms)}`);
  }
}

/** A clock that no change of the time of day moves, in milliseconds. */
export function monotonicMs(): number {
  // Not performance.now(): Node loads a module of its own for it, at the start of every step.
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Starts the budget of a step. */
export function startBudget(seconds: number): Budget {
  return { seconds, endsAt: monotonicMs() + seconds * 1_000 };
}

/**
 * Tries until it works, within the budget.
 *
 * Waits grow from 1 s to 15 s, and each is a random part of that ("full jitter"), so that jobs that
 * failed together don't come back together. What the server asks for with Retry-After
 * (RFC 9110, section 10.2.3) is waited for first, and the jitter comes on top. Near the end of the budget
 * chance gets no more than the time that is left; what the server asks for has to fit.
 *
 * @param attempt does the work once, and rejects with a Failure that says whether to try again
 * @throws Failure if it can't work, or not within the budget
 * @throws CancelledError if the job is cancelled
 */
export async function retry<T>(
  attempt: (signal: AbortSignal) => Promise<T>,
  policy: RetryPolicy,
): Promise<T> {
  const { budget, cancellation } = policy;
  for (let attempts = 1; ; attempts += 1) {
    throwIfCancelled(cancellation);
    let failure: Failure;
    try {
      return await withTimeout(attempt, policy);
    } catch (error) {
      throwIfCancelled(cancellation, error);
      if (!(error instanceof Failure)) throw error;
      failure = error;
    }
    if (failure.retry === undefined || attempts >= failure.retry.maxAttempts) throw failure;

    const leftMs = budget.endsAt - monotonicMs();
    const askedMs = failure.retry.afterMs ?? 0;
    const roomMs = leftMs - askedMs - LAST_ATTEMPT_MS;
    if (roomMs < LAST_WAIT_MS) throw outOfTime(failure, attempts, leftMs, budget);
    const waitMs = askedMs + jitter(attempts, roomMs);

    policy.onFailedAttempt(
      `Attempt ${attempts} failed: ${failure.what}. The next one is in ${seconds(waitMs)}, ${seconds(leftMs)} of the ${budget.seconds} s in timeout-seconds are left.`,
    );
    await sleep(waitMs, cancellation.requested);
  }
}

async function withTimeout<T>(
  attempt: (signal: AbortSignal) => Promise<T>,
  { budget, cancellation }: RetryPolicy,
): Promise<T> {
  const ms = Math.max(0, Math.min(ATTEMPT_MS, budget.endsAt - monotonicMs()));
  const end = new AbortController();
  const abandon = () => end.abort(cancellation.abandoned.reason);
  const timer = setTimeout(() => end.abort(new AttemptTimeoutError(ms)), ms);
  cancellation.abandoned.addEventListener('abort', abandon);
  try {
    return await attempt(end.signal);
  } finally {
    clearTimeout(timer);
    cancellation.abandoned.removeEventListener('abort', abandon);
  }
}

function throwIfCancelled(cancellation: Cancellation, cause?: unknown): void {
  if (cancellation.requested.aborted) {
    throw new CancelledError('The job was cancelled while this step waited for the Dashboard.', {
      cause,
    });
  }
}

function jitter(attempts: number, roomMs: number): number {
  return Math.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (attempts - 1), roomMs);
}

function outOfTime(failure: Failure, attempts: number, leftMs: number, budget: Budget): Failure {
  const left = `the ${seconds(leftMs)} that are left of the ${budget.seconds} s in timeout-seconds are too short`;
  const why = failure.retry?.afterMs
    ? `it asks to wait ${seconds(failure.retry.afterMs)}, for which ${left}`
    : `after ${attempts === 1 ? 'one attempt' : `${attempts} attempts`} ${left} for another`;
  return new Failure({
    what: `${failure.what}; ${why}`,
    advice: failure.advice.replace(/\.$/, ', or raise timeout-seconds.'),
    cause: failure,
  });
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}

function seconds(ms: number): string {
  return `${(Math.max(0, ms) / 1_000).toFixed(1)} s`;
}
