/** A moment in milliseconds, on a clock that no change of the time of day moves. All limits are such moments. */
export function now(): number {
  // Not performance.now(): Node loads a module of its own for it, at the start of every step.
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Sets a timer for a moment. If it has passed, the timer is due at once. */
export function at(moment: number, then: () => void): NodeJS.Timeout {
  return setTimeout(then, Math.max(0, moment - now()));
}
