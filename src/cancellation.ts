/** The two moments of a cancelled job. */
export interface Cancellation {
  /** Aborted when the job is cancelled: nothing new is begun, waits end. */
  readonly requested: AbortSignal;
  /** Aborted when a request that was under way then may not go on any longer. */
  readonly abandoned: AbortSignal;
}
