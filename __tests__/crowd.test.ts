import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Failure } from '../src/dashboard/failure';
import { monotonicMs, retry, startBudget } from '../src/dashboard/retry';

const JOBS = 4_000;
const REQUESTS_A_SECOND = 100;

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
});

/** Repeatable chance (mulberry32). */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A limit that is counted in tenths of a second. Who is over it is told to come back at the next full
 * second, as a Retry-After with a date says it: the same moment for all of them.
 */
function rateLimit(): () => void {
  let tenth = 0;
  let count = 0;
  return () => {
    const now = monotonicMs();
    if (Math.floor(now / 100) !== tenth) {
      tenth = Math.floor(now / 100);
      count = 0;
    }
    count += 1;
    if (count <= REQUESTS_A_SECOND / 10) return;
    throw new Failure({
      what: 'throttled',
      advice: '',
      retry: { maxAttempts: Number.POSITIVE_INFINITY, afterMs: 1_000 - (now % 1_000) },
    });
  };
}

/** Starts all jobs within one second, and gives the seconds after which each had its token. */
async function runCrowd(random: () => number, seconds = 60): Promise<number[]> {
  const never = new AbortController().signal;
  const request = rateLimit();
  const start = monotonicMs();
  const finished: number[] = [];
  const jobs = Array.from({ length: JOBS }, async (_, index) => {
    await new Promise((resolve) => setTimeout(resolve, (index / JOBS) * 1_000));
    await retry(async () => request(), {
      budget: startBudget(seconds),
      cancellation: { requested: never, abandoned: never },
      onFailedAttempt: () => undefined,
    });
    finished.push((monotonicMs() - start) / 1_000);
  });
  jest.spyOn(Math, 'random').mockImplementation(random);
  const settled = Promise.allSettled(jobs);
  await jest.advanceTimersByTimeAsync((seconds + 2) * 1_000);
  await settled;
  return finished;
}

describe(`${JOBS} jobs that start within one second, at ${REQUESTS_A_SECOND} requests a second`, () => {
  test.each([1, 2, 3])(
    'all have their token within 60 s (seed %d)',
    async (seed) => {
      const finished = await runCrowd(seededRandom(seed));
      expect(finished).toHaveLength(JOBS);
      expect(Math.max(...finished)).toBeLessThanOrEqual(60);
    },
    60_000,
  );

  test('without jitter on top of Retry-After they collide, and hardly any has one after 20 s', async () => {
    expect((await runCrowd(() => 0, 20)).length).toBeLessThan(JOBS / 10);
  }, 60_000);
});
