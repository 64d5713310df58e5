import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { retry } from '../src/dashboard/retry';
import { now } from '../src/shared/clock';
import type { Explanation, Failure } from '../src/shared/errors';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
});

/** A failure that another attempt may not meet, unless told otherwise. */
function failing({ what = 'it failed', isTransient = true, ...hints }: Failing = {}): Failure {
  return { explanation: ['help', what, 'Wait.', isTransient], ...hints };
}
interface Failing extends Omit<Failure, 'explanation'> {
  what?: Explanation[1];
  isTransient?: boolean;
}

/** One attempt: takes so long, at most all it is given, and then works, or fails. */
interface Attempt {
  seconds?: number;
  failure?: Failure;
  works?: true;
}

const WORKS: Attempt = { works: true };
const SILENT: Attempt = { seconds: Number.POSITIVE_INFINITY };

/** Tries one attempt after the other, the last one again and again. */
async function trial(
  attempts: readonly Attempt[],
  { seconds = 120, random = 0, stopsAfter = Number.POSITIVE_INFINITY, advice = 'Do more.' } = {},
) {
  jest.spyOn(Math, 'random').mockReturnValue(random);
  const startedAt = now();
  // In tenths of a second: a timer of 0 ms takes 1.
  const inSeconds = (ms: number) => Math.round(ms / 100) / 10;
  const elapsed = () => inSeconds(now() - startedAt);
  const stop = new AbortController();
  if (stopsAfter < seconds) setTimeout(() => stop.abort(new Error('told to stop')), stopsAfter * 1_000);
  const [moments, limits, lines]: [number[], number[], string[]] = [[], [], []];
  const seen = { moments, limits, lines, end: undefined as unknown, endedAt: Number.NaN };
  const options = {
    endsAt: () => startedAt + seconds * 1_000,
    stop: stop.signal,
    advice,
    onRetry: (line: string) => lines.push(line),
  };
  void retry(options, async (endsAt) => {
    const next = attempts[Math.min(moments.length, attempts.length - 1)] ?? WORKS;
    const limitMs = endsAt - now();
    moments.push(elapsed());
    limits.push(inSeconds(limitMs));
    const takesMs = (next.seconds ?? 0) * 1_000;
    if (takesMs > 0) await new Promise((resolve) => setTimeout(resolve, Math.min(takesMs, limitMs)));
    if (takesMs > limitMs) return failing({ what: 'no answer', timedOut: 'answer' });
    return next.works ? undefined : (next.failure ?? failing());
  })
    .catch((error: unknown) => error)
    .then((end) => Object.assign(seen, { end, endedAt: elapsed() }));
  await jest.advanceTimersByTimeAsync(Math.max(0, seconds + 1) * 1_000);
  return { ...seen, message: seen.end instanceof Error ? seen.end.message : 'no error' };
}

describe('waits', () => {
  test('grow from 1 s to 15 s, and end where the time does', async () => {
    const { moments, message } = await trial([{}], { seconds: 80, random: 1 });
    expect(moments).toEqual([0, 1, 3, 7, 15, 30, 45, 60, 75, 79.5]);
    expect(message).toBe('It failed; gave up after 10 attempts within 80 s. Wait. Do more.');
  });

  test('are a random part of that', async () => {
    expect((await trial([{}], { random: 0.5 })).moments.slice(0, 5)).toEqual([0, 0.5, 1.5, 3.5, 7.5]);
    expect((await trial([{}, {}, {}, WORKS])).moments).toEqual([0, 0, 0, 0]);
  });

  test('are what the server asks for first, and chance comes on top', async () => {
    const { moments, lines } = await trial([{ failure: failing({ retryAfterMs: 86_000 }) }, {}, WORKS], { random: 1 });
    expect(moments).toEqual([0, 87, 89]);
    expect(lines).toEqual([
      'Attempt 1 failed: it failed. Retrying in 87.0 s (120 s of 120 s left).',
      'Attempt 2 failed: it failed. Retrying in 2.0 s (33 s of 120 s left).',
    ]);
  });

  test('of no time are said to be none', async () => {
    expect((await trial([{}, WORKS])).lines).toEqual([
      'Attempt 1 failed: it failed. Retrying now (120 s of 120 s left).',
    ]);
  });

  test.each<[retryAfterMs: number, moments: number[], message: string]>([
    // Half a second of chance at least, and as much for the attempt.
    [119_000, [0, 119.5], 'no error'],
    [119_001, [0], 'It failed; it asks to wait 119 s, which leaves no time for another attempt. Wait. Do more.'],
    [3_600_000, [0], 'It failed; it asks to wait 3600 s, which leaves no time for another attempt. Wait. Do more.'],
  ])('of %d ms that the server asks for leave time for another attempt, or there is none', async (...row) => {
    const [retryAfterMs, moments, message] = row;
    expect(await trial([{ failure: failing({ retryAfterMs }) }, WORKS], { random: 1 })).toMatchObject({
      moments,
      message,
      endedAt: moments.at(-1),
    });
  });

  test('are none where the time is over, and without advice there is none', async () => {
    const { message } = await trial([{ failure: failing({ retryAfterMs: 0 }) }], { seconds: 0.9, advice: '' });
    expect(message).toBe('It failed; gave up after 1 attempt within 1 s. Wait.');
    expect((await trial([{}, WORKS], { seconds: 1 })).message).toBe('no error');
  });
});

describe('an attempt may take', () => {
  test.each([
    [1, [1]],
    [2, [2]],
    [4, [2.2, 1.8]],
    [60, [33, 27]],
    // More than the 60 s after which gateways answer 504.
    [120, [66, 54]],
    [86_400, [47_520, 38_880]],
  ])('of %d s that are silent %j', async (seconds, limits) => {
    const trialled = await trial([SILENT], { seconds });
    expect(trialled.limits).toEqual(limits);
    const attempts = limits.length === 1 ? '1 attempt' : '2 attempts';
    expect(trialled.message).toBe(`No answer; gave up after ${attempts} within ${seconds} s. Wait. Do more.`);
  });

  test('the same part of what is left, again and again, where something else failed', async () => {
    const stalled = { seconds: 16, failure: failing({ timedOut: 'connection' }) };
    expect((await trial([stalled, { seconds: 10 }, stalled, WORKS])).limits).toEqual([66, 57.2, 51.7, 42.9]);
  });

  test('all that is left, once an answer did not come', async () => {
    expect((await trial([SILENT, { seconds: 5 }, WORKS])).limits).toEqual([66, 54, 49]);
  });

  test('half a second at least, also where no time is left', async () => {
    expect((await trial([WORKS], { seconds: -5 })).limits).toEqual([0.5]);
  });
});

test.each<[name: string, failures: readonly Failure[], message: RegExp]>([
  ['the last of several', [failing(), failing({ what: 'it is out of order' })], /^It is out of order;/],
  ['no timeout behind it', [failing(), failing({ timedOut: 'answer' })], /^It failed;/],
  ['no timeout before it', [failing({ what: 'x', timedOut: 'connection' }), failing()], /^It failed;/],
  ['the first timeout, where there is nothing else', [failing({ timedOut: 'answer' })], /^It failed;/],
])('the reason that is told is %s', async (_name, failures, message) => {
  const trialled = await trial(failures.map((failure) => ({ seconds: 10, failure })));
  expect(trialled.message).toMatch(message);
  expect(trialled.end).toMatchObject({ help: 'help' });
});

test('a failure that another attempt can not change ends it at once', async () => {
  const failure = failing({ isTransient: false, retryAfterMs: 1_000 });
  expect(await trial([{}, { failure }], { random: 1 })).toMatchObject({ moments: [0, 1], message: 'It failed. Wait.' });
});

test('when the runner tells the step to stop, a wait ends at once, and so does all where the time is over', async () => {
  const late = { failure: failing({ retryAfterMs: 30_000 }) };
  expect(await trial([late, {}, WORKS], { stopsAfter: 10 })).toMatchObject({
    moments: [0, 10, 10],
    message: 'no error',
  });
  const { message } = await trial([late, {}], { stopsAfter: 10, seconds: 50 });
  expect(message).toBe('It failed; the runner told this step to stop. Wait.');
});
