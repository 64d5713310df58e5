import type { Cancellation } from '../cancellation';

/**
 * How long a request that is under way when the job is cancelled may still take. The runner sends
 * SIGINT, 7.5 s later SIGTERM, and kills the process 2.5 s after that.
 */
const LAST_REQUEST_MS = 6_000;

/**
 * Listens for the runner's cancellation.
 *
 * @returns the two moments, and `stop`, which gives the signals their usual effect back
 */
export function watchCancellation(): Cancellation & { stop: () => void } {
  const requested = new AbortController();
  const abandoned = new AbortController();
  let timer: NodeJS.Timeout | undefined;

  const onSignal = () => {
    if (requested.signal.aborted) return;
    requested.abort();
    timer = setTimeout(() => abandoned.abort(), LAST_REQUEST_MS);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);

  return {
    requested: requested.signal,
    abandoned: abandoned.signal,
    stop: () => {
      clearTimeout(timer);
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}
