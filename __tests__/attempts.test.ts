import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { monotonicMs, tryWithin } from '../src/dashboard/attempts';
import { type Explanation, Failure } from '../src/shared/errors';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
});

function passing(explanation: Partial<Explanation> = {}): Failure {
  return new Failure({ what: 'it failed', advice: 'Wait.', transient: true, ...explanation });
}

/** One attempt: rejects with the failure after so many seconds, or works after them, or goes on for ever. */
type Attempt = { seconds?: number; failure?: Failure; works?: true };

const WORKS: Attempt = { works: true };
const SILENT: Attempt = { seconds: Number.POSITIVE_INFINITY };

interface Trial {
  /** The moments at which attempts began, and the time that each was given, in seconds. */
  moments: number[];
  limits: number[];
  lines: string[];
  end: unknown;
  endedAt: number;
  /** Timers that were still set then. */
  timersLeft: number;
}

/** Tries one attempt after the other, the last one again and again. */
async function trial(
  attempts: readonly Attempt[],
  { seconds = 60, random = 0, stop = new AbortController().signal } = {},
): Promise<Trial> {
  jest.spyOn(Math, 'random').mockReturnValue(random);
  const startedAt = monotonicMs();
  const elapsed = () => inSeconds(monotonicMs() - startedAt);
  const seen: Trial = {
    moments: [],
    limits: [],
    lines: [],
    end: undefined,
    endedAt: Number.NaN,
    timersLeft: Number.NaN,
  };
  const patience = {
    startedAt,
    endsAt: startedAt + seconds * 1_000,
    stop,
    advice: 'Take more time.',
    onRetry: (line: string) => seen.lines.push(line),
  };
  const ended = tryWithin(patience, async (limitMs) => {
    const next = attempts[Math.min(seen.moments.length, attempts.length - 1)] ?? WORKS;
    seen.moments.push(elapsed());
    seen.limits.push(inSeconds(limitMs));
    const takesMs = (next.seconds ?? 0) * 1_000;
    if (takesMs > 0) await new Promise((resolve) => setTimeout(resolve, Math.min(takesMs, limitMs)));
    if (takesMs > limitMs) throw passing({ what: 'no answer', timedOut: 'answer' });
    if (next.works) return 'a result';
    throw next.failure ?? passing();
  }).then(
    (result) => {
      seen.end = result;
    },
    (error: unknown) => {
      seen.end = error;
    },
  );
  void ended.then(() => {
    seen.endedAt = elapsed();
    seen.timersLeft = jest.getTimerCount();
  });
  // One second more than the budget: nothing is to take longer.
  await jest.advanceTimersByTimeAsync(Math.max(0, seconds + 1) * 1_000);
  return seen;
}

/** In tenths: a timer of 0 ms takes one. */
const inSeconds = (ms: number) => Math.round(ms / 100) / 10;

const messageOf = ({ end }: Trial) => (end instanceof Error ? end.message : 'no error');

describe('waits', () => {
  test('are 1 s, doubled each time, 15 s at most, and end where the budget does', async () => {
    const seen = await trial([{}], { seconds: 80, random: 1 });
    expect(seen.moments).toEqual([0, 1, 3, 7, 15, 30, 45, 60, 75, 79.5]);
    expect(seen.endedAt).toBe(79.5);
    expect(messageOf(seen)).toBe('It failed; gave up after 10 attempts within 80 s. Wait. Take more time.');
  });

  test('are shortened by chance, to nothing at the least', async () => {
    expect((await trial([{}], { random: 0.5 })).moments.slice(0, 5)).toEqual([0, 0.5, 1.5, 3.5, 7.5]);
    expect((await trial([{}, {}, {}, WORKS])).moments).toEqual([0, 0, 0, 0]);
  });

  test('are what the server asks for first, and chance comes on top', async () => {
    const seen = await trial([{ failure: passing({ retryAfterMs: 20_000 }) }], { random: 1 });
    expect(seen.moments).toEqual([0, 21, 43]);
    expect(seen.lines).toEqual([
      'Attempt 1 failed: it failed. Retrying in 21.0 s (60 s of 60 s left).',
      'Attempt 2 failed: it failed. Retrying in 22.0 s (39 s of 60 s left).',
    ]);
  });

  test('are not made too long by chance', async () => {
    const failure = passing({ retryAfterMs: 40_000 });
    expect((await trial([{ failure }], { seconds: 41.2, random: 1 })).moments).toEqual([0, 40.7]);
  });

  test('are made for as long as they leave 0.5 s for another attempt, behind half a second of chance', async () => {
    const fits = await trial([{ failure: passing({ retryAfterMs: 59_000 }) }, WORKS], { random: 1 });
    expect(fits.moments).toEqual([0, 59.5]);
    expect(fits.end).toBe('a result');
    const tooLong = await trial([{ failure: passing({ retryAfterMs: 59_001 }) }, WORKS], { random: 1 });
    expect(tooLong.moments).toEqual([0]);
    expect(messageOf(tooLong)).toMatch(/^It failed; it asks to wait 59 s, /);
  });

  test.each([
    [59_001, '59 s'],
    [60_000, '60 s'],
    [60_001, '60 s'],
    [86_000, '86 s'],
    [999_999_999_000, '999999999 s'],
  ])('end it at once where the server asks for %d ms, which leave no time for another attempt', async (ms, shown) => {
    const seen = await trial([{ failure: passing({ retryAfterMs: ms }) }], { random: 1 });
    expect([seen.moments, seen.endedAt, seen.lines]).toEqual([[0], 0, []]);
    expect(messageOf(seen)).toBe(
      `It failed; it asks to wait ${shown}, which leaves no time for another attempt. Wait. Take more time.`,
    );
  });

  test('are no time that the server asks for where it asks for none', async () => {
    const seen = await trial([{ failure: passing({ retryAfterMs: 0 }) }], { seconds: 0.999 });
    expect(messageOf(seen)).toMatch(/^It failed; gave up after 1 attempt /);
  });

  test('end when the step is told to stop, and no other attempt is made', async () => {
    const stop = new AbortController();
    const reason = new Error('told to stop');
    setTimeout(() => stop.abort(reason), 10_000);
    const seen = await trial([{ failure: passing({ retryAfterMs: 30_000 }) }], { stop: stop.signal });
    expect([seen.moments, seen.endedAt, seen.end, seen.timersLeft]).toEqual([[0], 10, reason, 0]);
  });
});

describe('an attempt may take', () => {
  test.each([
    [1, [1]],
    [2, [2]],
    [3, [1.5, 1.5]],
    [4, [2, 2]],
    [5, [2.5, 2.5]],
    [20, [10, 10]],
    [60, [30, 30]],
    [300, [150, 150]],
    [86_400, [43_200, 43_200]],
  ])('of %d s that are silent %j', async (seconds, limits) => {
    const seen = await trial([SILENT], { seconds });
    expect(seen.limits).toEqual(limits);
    expect(seen.endedAt).toBe(limits.reduce((sum, limit) => sum + limit));
    const attempts = limits.length === 1 ? '1 attempt' : '2 attempts';
    expect(messageOf(seen)).toBe(`No answer; gave up after ${attempts} within ${seconds} s. Wait. Take more time.`);
  });

  test('all that is left where a half would leave no time for another attempt', async () => {
    const seen = await trial([{ seconds: 0.8 }], { seconds: 4.4 });
    expect(seen.moments).toEqual([0, 0.8, 1.6, 2.4, 3.2]);
    expect(seen.limits).toEqual([2.2, 1.8, 1.4, 2, 1.2]);
  });

  test('half of what is left, again and again, where attempts fail for another reason', async () => {
    const seen = await trial([{ seconds: 9 }]);
    expect(seen.moments).toEqual([0, 9, 18, 27, 36, 45, 52.5]);
    expect(seen.limits).toEqual([30, 25.5, 21, 16.5, 12, 7.5, 7.5]);
  });

  test('half of what is left where no connection is made, which has cost no answer', async () => {
    const failure = passing({ timedOut: 'connection' });
    const seen = await trial([{ seconds: 15, failure }, { seconds: 15, failure }, WORKS]);
    expect(seen.limits).toEqual([30, 22.5, 15]);
  });

  test('all that is left for good, once an answer did not come', async () => {
    const seen = await trial([SILENT, { seconds: 5 }, WORKS]);
    expect(seen.limits).toEqual([30, 30, 25]);
  });

  test('no less than no time, where none is left', async () => {
    expect((await trial([{}], { seconds: -5 })).limits).toEqual([0]);
  });

  test.each([11, 14, 25, 30])('the %d s that an answer takes, of 60 s, the first time', async (seconds) => {
    const seen = await trial([{ seconds, works: true }]);
    expect([seen.moments, seen.end]).toEqual([[0], 'a result']);
  });

  test.each([
    [100, 45],
    [300, 140],
  ])('more where timeout-seconds is raised: with %d s an answer after %d s is taken', async (seconds, takes) => {
    expect((await trial([{ seconds: takes, works: true }])).moments).toHaveLength(2);
    expect((await trial([{ seconds: takes, works: true }], { seconds })).moments).toEqual([0]);
  });
});

describe('the reason that is told', () => {
  const timeout = passing({ what: 'no answer', timedOut: 'answer' });
  const telling = passing({ what: 'it is out of order' });

  test.each<[name: string, failures: readonly Failure[], message: RegExp]>([
    [
      'is the first timeout, where there is nothing else',
      [timeout, passing({ timedOut: 'connection' })],
      /^No answer;/,
    ],
    ['is no timeout that came after another reason', [telling, timeout], /^It is out of order;/],
    ['is no timeout that came before another reason', [timeout, telling], /^It is out of order;/],
    ['is the last of several', [passing(), telling], /^It is out of order;/],
    ['is not lost between timeouts', [timeout, telling, timeout], /^It is out of order;/],
  ])('%s', async (_name, failures, message) => {
    const seen = await trial(failures.map((failure) => ({ seconds: 10, failure })));
    expect(messageOf(seen)).toMatch(message);
    expect(seen.end).toMatchObject({ name: 'Failure', cause: expect.any(Failure) });
  });
});

describe('it ends at once', () => {
  test('with a failure that another attempt can not change, as it is', async () => {
    const failure = passing({ transient: false, retryAfterMs: 1_000 });
    const seen = await trial([{}, { failure }], { random: 1 });
    expect([seen.moments, seen.end]).toEqual([[0, 1], failure]);
  });

  test('with an error that is no Failure', async () => {
    const defect = new TypeError('a defect');
    const end = tryWithin(
      { startedAt: 0, endsAt: monotonicMs() + 60_000, stop: new AbortController().signal, advice: '', onRetry: fail },
      () => Promise.reject(defect),
    );
    await expect(end).rejects.toBe(defect);
  });

  test('before the first attempt where the step has been told to stop', async () => {
    const reason = new Error('told to stop');
    const seen = await trial([WORKS], { stop: AbortSignal.abort(reason) });
    expect([seen.moments, seen.end]).toEqual([[], reason]);
  });

  test('with the reason to stop, and not with what failed meanwhile', async () => {
    const stop = new AbortController();
    const reason = new Error('told to stop');
    setTimeout(() => stop.abort(reason), 1_000);
    const seen = await trial([{ seconds: 2, failure: passing({ transient: false }) }], { stop: stop.signal });
    expect([seen.moments, seen.end, seen.endedAt]).toEqual([[0], reason, 2]);
  });

  test('after one attempt where the budget is too short for a second', async () => {
    const seen = await trial([{}], { seconds: 0.999 });
    expect(messageOf(seen)).toBe('It failed; gave up after 1 attempt within 1 s. Wait. Take more time.');
    expect((await trial([{}, WORKS], { seconds: 1 })).end).toBe('a result');
  });
});

test('what works while the step is told to stop is not lost', async () => {
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error('told to stop')), 1_000);
  expect((await trial([{ seconds: 2, works: true }], { stop: stop.signal })).end).toBe('a result');
});

test('a signal that is not used any more is let go of', async () => {
  const { signal } = new AbortController();
  const added = jest.spyOn(signal, 'addEventListener');
  const removed = jest.spyOn(signal, 'removeEventListener');
  await trial([{}, {}, WORKS], { random: 1, stop: signal });
  expect(added).toHaveBeenCalledTimes(2);
  expect(removed.mock.calls).toEqual(added.mock.calls);
});

function fail(line: string): never {
  throw new Error(`another attempt was announced: ${line}`);
}

test('the time is told from the start of the budget, and nothing is added where no more is to be advised', async () => {
  await jest.advanceTimersByTimeAsync(5_000);
  const startedAt = monotonicMs();
  const patience = { startedAt, endsAt: startedAt + 900, stop: new AbortController().signal, advice: '' };
  const end = tryWithin({ ...patience, onRetry: () => undefined }, () => Promise.reject(passing()));
  await expect(end).rejects.toThrow(/^It failed; gave up after 1 attempt within 1 s\. Wait\.$/);
});
