/** An error that says what happened and what to do. Every other error is a defect of the action. */
export class StepError extends Error {
  override readonly name = 'StepError';
  /** The heading that explains it in docs/troubleshooting.md, as a link has it. */
  readonly help: string;

  constructor(help: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.help = help;
  }
}

/** A heading, what happened (a clause), what to do (sentences), and whether another attempt may end otherwise. */
export type Explanation = readonly [help: string, what: string, advice: string, isTransient?: boolean | undefined];

/** A request that failed, and what the next attempt has to know: how long to wait, and what did not come in time. */
export interface Failure {
  readonly explanation: Explanation;
  readonly retryAfterMs?: number | undefined;
  readonly timedOut?: string | undefined;
  readonly cause?: unknown;
}

/** Makes an error of a failure, with why nothing else is tried, and what to do about that. */
export function errorOf({ explanation, cause }: Failure, why = '', more = ''): StepError {
  const [help, what, advice] = explanation;
  return new StepError(help, `${what.charAt(0).toUpperCase()}${what.slice(1)}${why}. ${advice} ${more}`.trim(), cause);
}

/** The code that Node or the system names an error by, such as ENOSPC. */
export function errorCode(error: unknown): string | undefined {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
