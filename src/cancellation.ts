/** The two moments of a cancelled job. */
export interface Cancellation {
  /** Aborted when the job is cancelled: nothing new is begun, waits end. */
  readonly requested: AbortSignal;
  /** Aborted when a request that was under way then may not go on any longer. */
  readonly abandoned: AbortSignal;
}

/**
 * Lets Node deliver the signals that came while it was busy. It does so only when it polls for events, and
 * the second turn of the loop is the first that is sure to come after a poll.
 */
export async function deliverSignals(): Promise<void> {
  for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
