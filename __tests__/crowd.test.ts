import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { tryWithin } from '../src/dashboard/attempts';
import { Failure } from '../src/shared/errors';

const JOBS = 4_000;
const REQUESTS_A_SECOND = 100;

/** For a slow machine. */
const TIMEOUT_MS = 60_000;

let nowMs: number;
/** What is to happen, by its millisecond. The timers of the test framework take far too long for so many. */
let agenda: (() => void)[][];

beforeEach(() => {
  nowMs = 0;
  agenda = [];
  jest.spyOn(process.hrtime, 'bigint').mockImplementation(() => BigInt(nowMs) * 1_000_000n);
  jest.spyOn(globalThis, 'setTimeout').mockImplementation(((callback: () => void, ms: number) => {
    const atMs = nowMs + Math.max(1, Math.trunc(ms));
    const due = agenda[atMs];
    if (due === undefined) agenda[atMs] = [callback];
    else due.push(callback);
  }) as unknown as typeof setTimeout);
});
afterEach(() => {
  jest.restoreAllMocks();
});

async function runUntil(endMs: number): Promise<void> {
  for (nowMs = 0; nowMs <= endMs; nowMs += 1) {
    const due = agenda[nowMs];
    if (due === undefined) continue;
    for (const callback of due) callback();
    // All that follows without a wait.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

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
 * A limit that is counted in tenths of a second. Who is over it is told to come back at the next full second, as a
 * Retry-After with a date says it: the same moment for all of them.
 */
function rateLimit(): () => void {
  let tenth = 0;
  let count = 0;
  return () => {
    if (Math.floor(nowMs / 100) !== tenth) {
      tenth = Math.floor(nowMs / 100);
      count = 0;
    }
    count += 1;
    if (count <= REQUESTS_A_SECOND / 10) return;
    throw new Failure({ what: 'throttled', advice: '', transient: true, retryAfterMs: 1_000 - (nowMs % 1_000) });
  };
}

/** Starts all jobs within one second, and gives the seconds after which each had its token. */
async function runCrowd(random: () => number, seconds = 60): Promise<number[]> {
  jest.spyOn(Math, 'random').mockImplementation(random);
  const request = rateLimit();
  const finished: number[] = [];
  for (let job = 0; job < JOBS; job += 1) {
    setTimeout(
      async () => {
        const patience = {
          startedAt: nowMs,
          endsAt: nowMs + seconds * 1_000,
          // Each has its own: to look through the listeners of all takes long.
          stop: new AbortController().signal,
          advice: '',
          onRetry: () => undefined,
        };
        const isDone = await tryWithin(patience, async () => request()).then(
          () => true,
          () => false,
        );
        if (isDone) finished.push(nowMs / 1_000);
      },
      (job / JOBS) * 1_000,
    );
  }
  await runUntil((seconds + 2) * 1_000);
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
    TIMEOUT_MS,
  );

  test(
    'without jitter on top of Retry-After they collide, and hardly any has one after 20 s',
    async () => {
      expect((await runCrowd(() => 0, 20)).length).toBeLessThan(JOBS / 10);
    },
    TIMEOUT_MS,
  );
});
