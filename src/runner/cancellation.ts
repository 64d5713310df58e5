import { now } from '../shared/clock';
import { StepError } from '../shared/errors';

/** After a signal the runner waits 7.5 s before it sends the next one, and kills the process 2.5 s later. */
const TIME_TO_STOP_MS = 6_000;
const STOPPED =
  'The runner told this step to stop: the job was cancelled, the step reached its timeout-minutes, or the runner ' +
  'itself is shutting down.';

/** Watches for the signals by which the runner tells a step to stop. */
export function watchSignals() {
  const stop = new AbortController();
  let over = Number.POSITIVE_INFINITY;
  // None is let go of again: a late signal would end the process in the middle of its report. SIGBREAK is for Windows.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'] as const) {
    process.on(name, () => {
      over = Math.min(over, now() + TIME_TO_STOP_MS);
      stop.abort(new StepError('the-runner-told-this-step-to-stop', STOPPED));
    });
  }
  return { stop: stop.signal, over: () => over };
}
