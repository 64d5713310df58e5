/**
 * An error whose message is meant for the person who reads the job's log: what happened, then what to do. Every other
 * error is a defect of the action.
 */
export class StepError extends Error {
  override readonly name: string = 'StepError';
}

export interface Explanation {
  /** What happened: a clause that starts in lower case. */
  readonly what: string;
  /** What to do: a sentence. */
  readonly advice: string;
  /** Whether another attempt may end otherwise. */
  readonly transient: boolean;
  /** How long the server asks to wait before it, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** What the time of the attempt ran out for. */
  readonly timedOut?: 'connection' | 'answer' | undefined;
  readonly cause?: unknown;
}

/** A request to the Dashboard that failed. `clause` is its message as it continues after a colon. */
export class Failure extends StepError {
  override readonly name = 'Failure';
  readonly explanation: Explanation;
  readonly clause: string;

  constructor(explanation: Explanation) {
    const clause = `${explanation.what}. ${explanation.advice}`;
    super(clause.charAt(0).toUpperCase() + clause.slice(1), { cause: explanation.cause });
    this.explanation = explanation;
    this.clause = clause;
  }
}

/** The code that Node or the system names an error by, such as ENOSPC; undefined if it has none. */
export function errorCode(error: unknown): string | undefined {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
