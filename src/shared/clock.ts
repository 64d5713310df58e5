/** A moment in milliseconds, on a clock that no change of the time of day moves. All limits are such moments. */
export function now(): number {
  // Not performance.now(): Node loads a module of its own for it, at the start of every step.
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Lets Node take in what came while it was busy, such as signals and data: in turns of its event loop, for 0.2 s. */
export async function turns(count: number): Promise<void> {
  const end = now() + 200;
  for (let turn = 0; turn < 2 || (turn < count && now() < end); turn += 1) await new Promise(setImmediate);
}
