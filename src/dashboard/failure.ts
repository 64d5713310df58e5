import { StepError } from '../step-error';

/** Whether and how a request that failed may be tried again. */
export interface Retry {
  /** How many attempts there may be in all. */
  readonly maxAttempts: number;
  /** How long the server asks to wait, in milliseconds. */
  readonly afterMs?: number | undefined;
}

interface Explanation {
  /** What happened: a clause that starts in lower case. */
  readonly what: string;
  /** What to do: a sentence. */
  readonly advice: string;
  /** Absent where another attempt would fail the same way. */
  readonly retry?: Retry | undefined;
  readonly cause?: unknown;
}

/** A request to the Dashboard that failed, explained for the person who reads the job's log. */
export class Failure extends StepError {
  override readonly name = 'Failure';
  readonly what: string;
  readonly advice: string;
  readonly retry: Retry | undefined;

  constructor({ what, advice, retry, cause }: Explanation) {
    super(`${what.charAt(0).toUpperCase()}${what.slice(1)}. ${advice}`, { cause });
    this.what = what;
    this.advice = advice;
    this.retry = retry;
  }
}
