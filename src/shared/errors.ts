/** An error that tells the reader of the log what happened and what to do. Every other error is a defect of the action. */
export class StepError extends Error {
  override readonly name: string = 'StepError';
  /** The heading that explains it in docs/troubleshooting.md, as a link has it. */
  readonly help: string;

  constructor(help: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.help = help;
  }
}

/** A heading, what happened (a clause), what to do (a sentence), and whether another attempt may end otherwise. */
export type Explanation = readonly [help: string, what: string, advice: string, isTransient?: boolean];

/** A request to the Dashboard that failed, with what the next attempt has to know. */
export class RequestError extends StepError {
  override readonly name = 'RequestError';
  readonly what: string;
  readonly isTransient: boolean;
  readonly retryAfterMs: number | undefined;
  readonly timedOut: 'connection' | 'answer' | undefined;
  readonly advice: string;

  constructor([help, what, advice, isTransient = false]: Explanation, more: Partial<RequestError> = {}) {
    super(help, `${what.charAt(0).toUpperCase()}${what.slice(1)}. ${advice}`, more.cause);
    this.what = what;
    this.advice = advice;
    this.isTransient = isTransient;
    this.retryAfterMs = more.retryAfterMs;
    this.timedOut = more.timedOut;
  }

  /** The same error, for good: with why nothing else is tried, and what to do about that. */
  with(why: string, advice: string): RequestError {
    return new RequestError([this.help, `${this.what}; ${why}`, `${this.advice} ${advice}`.trim()], this);
  }
}

/** The code that Node or the system names an error by, such as ENOSPC. */
export function errorCode(error: unknown): string | undefined {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
