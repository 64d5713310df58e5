/**
 * An error whose message is meant for the person who reads the job's log: one or two sentences that
 * say what happened and what to do. Every other error is a defect of the action.
 */
export class StepError extends Error {
  override readonly name: string = 'StepError';
}

/** The job was cancelled before the step had done its work. */
export class CancelledError extends StepError {
  override readonly name = 'CancelledError';
}
