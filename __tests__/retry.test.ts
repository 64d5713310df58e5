import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import type { Cancellation } from '../src/cancellation';
import { Failure, type Retry } from '../src/dashboard/failure';
import { AttemptTimeoutError, monotonicMs, retry, startBudget } from '../src/dashboard/retry';
import { parseRetryAfter } from '../src/dashboard/retry-after';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
});

function passing(retry: Partial<Retry> = {}): Failure {
  return new Failure({
    what: 'it failed',
    advice: 'Wait.',
    retry: { maxAttempts: Number.POSITIVE_INFINITY, ...retry },
  });
}

function notCancelled(): Cancellation {
  const never = new AbortController().signal;
  return { requested: never, abandoned: never };
}

/** Retries a fault for as long as it lasts, and gives the moments of the attempts in seconds. */
async function attemptsOf(fault: Failure, seconds: number, random: number) {
  jest.spyOn(Math, 'random').mockReturnValue(random);
  const start = monotonicMs();
  const moments: number[] = [];
  const lines: string[] = [];
  const end = retry(
    async () => {
      moments.push((monotonicMs() - start) / 1_000);
      throw fault;
    },
    {
      budget: startBudget(seconds),
      cancellation: notCancelled(),
      onFailedAttempt: (line) => lines.push(line),
    },
  ).catch((error: Error) => error);
  await jest.advanceTimersByTimeAsync(seconds * 1_000);
  return { moments, lines, end: (await end) as Error };
}

test('waits are 1 s, doubled each time, 15 s at most, and end where the budget does', async () => {
  const { moments, end } = await attemptsOf(passing(), 80, 1);
  expect(moments).toEqual([0, 1, 3, 7, 15, 30, 45, 60, 75, 79.5]);
  expect(end.message).toBe(
    'It failed; after 10 attempts the 0.5 s that are left of the 80 s in timeout-seconds are too short for another. Wait, or raise timeout-seconds.',
  );
});

test('each wait is shortened by chance, to nothing at the least', async () => {
  expect((await attemptsOf(passing(), 60, 0.5)).moments.slice(0, 5)).toEqual([
    0, 0.5, 1.5, 3.5, 7.5,
  ]);
});

test('what the server asks for is waited for first, and the jitter comes on top', async () => {
  const { moments, lines } = await attemptsOf(passing({ afterMs: 20_000 }), 60, 1);
  expect(moments).toEqual([0, 21, 43]);
  expect(lines).toEqual([
    'Attempt 1 failed: it failed. The next one is in 21.0 s, 60.0 s of the 60 s in timeout-seconds are left.',
    'Attempt 2 failed: it failed. The next one is in 22.0 s, 39.0 s of the 60 s in timeout-seconds are left.',
  ]);
});

test('a wait that is asked for and does not fit ends it at once', async () => {
  const { moments, end } = await attemptsOf(passing({ afterMs: 60_000 }), 60, 0);
  expect(moments).toEqual([0]);
  expect(end.message).toMatch(
    /^It failed; it asks to wait 60\.0 s, for which the 60\.0 s that are left of the 60 s in timeout-seconds are too short\. Wait, or raise timeout-seconds\.$/,
  );
});

test('chance does not make a wait that is asked for too long', async () => {
  const { moments } = await attemptsOf(passing({ afterMs: 40_000 }), 41.2, 1);
  expect(moments).toEqual([0, 40.7]);
});

test('a budget that is too short for a second attempt ends it after one', async () => {
  const { end } = await attemptsOf(passing(), 0.9, 1);
  expect(end.message).toBe(
    'It failed; after one attempt the 0.9 s that are left of the 0.9 s in timeout-seconds are too short for another. Wait, or raise timeout-seconds.',
  );
});

test('a number of attempts that is limited is kept', async () => {
  const { moments, end } = await attemptsOf(passing({ maxAttempts: 3 }), 60, 1);
  expect(moments).toHaveLength(3);
  expect(end.message).toBe('It failed. Wait.');
});

test.each([
  [60, [10, 10, 10, 10]],
  [14, [10, 3]],
])('one attempt gets 10 s at most, and no more than is left of %d s', async (seconds, expected) => {
  jest.spyOn(Math, 'random').mockReturnValue(1);
  const reasons: unknown[] = [];
  const end = retry(
    (signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason);
          reject(passing());
        });
      }),
    {
      budget: startBudget(seconds),
      cancellation: notCancelled(),
      onFailedAttempt: () => undefined,
    },
  ).catch((error: Error) => error);
  await jest.advanceTimersByTimeAsync(seconds * 1_000);
  expect(await end).toBeInstanceOf(Failure);
  expect(reasons[0]).toBeInstanceOf(AttemptTimeoutError);
  expect(reasons.slice(0, expected.length).map(String)).toEqual(
    expected.map((s) => `AttemptTimeoutError: no complete answer within ${s.toFixed(1)} s`),
  );
});

test('an error that is no Failure ends it at once', async () => {
  const policy = {
    budget: startBudget(60),
    cancellation: notCancelled(),
    onFailedAttempt: jest.fn(),
  };
  await expect(retry(() => Promise.reject(new Error('a defect')), policy)).rejects.toThrow(
    'a defect',
  );
  expect(policy.onFailedAttempt).not.toHaveBeenCalled();
});

test('nothing is begun when the job was cancelled before', async () => {
  const cancelled = AbortSignal.abort();
  const attempt = jest.fn(async () => undefined);
  const policy = {
    budget: startBudget(60),
    cancellation: { requested: cancelled, abandoned: cancelled },
    onFailedAttempt: jest.fn(),
  };
  await expect(retry(attempt, policy)).rejects.toThrow('cancelled');
  expect(attempt).not.toHaveBeenCalled();
});

const NOW = Date.UTC(2026, 10, 24, 12, 0, 0);

test.each<[header: string | undefined, ms: number | undefined]>([
  [undefined, undefined],
  ['', undefined],
  ['0', 0],
  ['86', 86_000],
  [' 7 ', 7_000],
  ['9'.repeat(400), 999_999_999_000],
  ['-5', undefined],
  ['1.5', undefined],
  ['soon', undefined],
  ['2026', 2_026_000],
  ['Tue, 24 Nov 2026 12:00:30 GMT', 30_000],
  ['Tuesday, 24-Nov-26 12:00:30 GMT', 30_000],
  ['Tue Nov 24 12:00:30 2026', 30_000],
  ['Tue, 24 Nov 2026 11:00:00 GMT', 0],
  ['Tue, 99 Nov 2026', undefined],
  ['Tue', undefined],
])('Retry-After %j is %j ms', (header, ms) => {
  expect(parseRetryAfter(header, NOW)).toBe(ms);
});
