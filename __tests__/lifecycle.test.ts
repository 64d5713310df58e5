import { lookup } from 'node:dns';
import { EOL } from 'node:os';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { runStep } from '../src/runner/lifecycle';
import { turns } from '../src/shared/clock';
import { StepError } from '../src/shared/errors';
import type { Cancellation } from '../src/shared/types';
import { cleanup } from './support/cleanup';

// What a process of its own can't show: events at a moment of the test's choice, and what other systems do.

const EVENTS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK', 'beforeExit', 'uncaughtException'] as const;
type Listener = (...values: unknown[]) => void;

let printed: string;
let ended: Promise<string>;
let before: Map<string, unknown[]>;

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
  printed = '';
  jest.spyOn(process.stdout, 'write').mockImplementation((chunk, ...rest: unknown[]) => {
    printed += String(chunk);
    const done = rest.at(-1);
    if (typeof done === 'function') done();
    return true;
  });
  const { promise, resolve } = Promise.withResolvers<string>();
  ended = promise;
  jest.spyOn(process, 'exit').mockImplementation((() => resolve(`exit ${process.exitCode}`)) as () => never);
  jest.spyOn(process, 'kill').mockImplementation((pid, signal) => {
    resolve(`${signal} to ${pid === process.pid ? 'itself' : 'another'}`);
    return true;
  });
  before = new Map(EVENTS.map((event) => [event, process.rawListeners(event)]));
});

afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
  process.exitCode = undefined;
  for (const event of EVENTS) for (const listener of added(event)) process.removeListener(event, listener);
  process.stdout.removeAllListeners('error');
});

/** What the step has added to hear of an event. The process of the tests has listeners of its own. */
function added(event: (typeof EVENTS)[number]): Listener[] {
  return process.rawListeners(event).filter((listener) => !before.get(event)?.includes(listener)) as Listener[];
}

/** Tells the step alone of an event. */
function emit(event: (typeof EVENTS)[number], value?: unknown): void {
  expect(added(event)).toHaveLength(1);
  for (const listener of added(event)) listener(value);
}

/** Starts a step that ends when the test wants it to. */
function start(level?: 'warning') {
  const { promise, resolve } = Promise.withResolvers<string>();
  let run: Cancellation | undefined;
  runStep((given) => {
    run = given;
    return promise;
  }, level);
  if (run === undefined) throw new Error('The step was not started at once.');
  return { ...run, finish: () => resolve('All is done.') };
}

const succeed = async () => 'All is done.';
const fail = () => Promise.reject(new StepError('help', 'Do this.'));

describe('a step is reported once, by what comes first', () => {
  test('lets nothing change that it has succeeded', async () => {
    start().finish();
    expect(await ended).toBe('exit 0');
    for (const event of EVENTS) emit(event, new Error('too late'));
    await turns(1);
    expect([printed, jest.mocked(process.exit).mock.calls.length]).toEqual([`All is done.${EOL}`, 1]);
  });

  test.each([
    ['beforeExit', undefined, 'exit 1', /^::error::This is a bug in the action.*: the event loop ran dry\.\r?\n$/],
    ['uncaughtException', undefined, 'exit 1', /^::error::This is a bug.* lifecycle\.test\.ts:\d+: it broke/],
    ['uncaughtException', 'warning', 'exit 0', /^::warning::This is a bug in the action/],
  ] as const)('does not wait for it after %s (%s)', async (event, level, end, report) => {
    const { finish } = start(level);
    emit(event, new Error('it broke'));
    finish();
    expect(await ended).toBe(end);
    expect(printed).toMatch(report);
    expect(printed).not.toContain('All is done.');
  });
});

describe('a signal', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'] as const)('%s leaves six seconds', async (signal) => {
    const { stop, over, throwIfCancelled } = start();
    const at = () => Number(process.hrtime.bigint()) / 1e6;
    expect([stop.aborted, over()]).toEqual([false, Number.POSITIVE_INFINITY]);
    await expect(throwIfCancelled()).resolves.toBeUndefined();
    emit(signal);
    expect(stop.reason).toMatchObject({ name: 'StepError', help: 'the-runner-told-this-step-to-stop' });
    const end = over();
    expect(end - at()).toBeCloseTo(6_000);
    // A second one does not put the end off.
    jest.advanceTimersByTime(3_000);
    emit('SIGTERM');
    expect(over()).toBe(end);
    await expect(throwIfCancelled()).rejects.toBe(stop.reason);
    expect(printed).toBe('');
  });

  // One that has come is known when the event loop next polls, which is between two turns of it.
  test('that comes to be known in the next turn of the event loop is noticed', async () => {
    const { stop, throwIfCancelled } = start();
    const caughtUp = throwIfCancelled();
    setImmediate(() => emit('SIGTERM'));
    await expect(caughtUp).rejects.toThrow(/^The runner told this step to stop/);
    expect(stop.aborted).toBe(true);
  });
});

test('what was printed has been written, or is known not to be, before the step goes on', async () => {
  const { throwIfCancelled } = start();
  Object.defineProperty(process.stdout, 'writableLength', { configurable: true, value: 1 });
  cleanup(() => Reflect.deleteProperty(process.stdout, 'writableLength'));
  const error = Object.assign(new Error('x'), { code: 'ENOSPC' });
  jest.spyOn(process.stdout, 'write').mockImplementation((_chunk, ...rest: unknown[]) => {
    setTimeout(() => {
      process.stdout.emit('error', error);
      (rest.at(-1) as () => void)();
    }, 1_000);
    return true;
  });
  const caughtUp = throwIfCancelled();
  await turns(5);
  jest.advanceTimersByTime(1_000);
  await expect(caughtUp).rejects.toMatchObject({ help: 'the-log-cant-be-written', cause: error });
});

test.each<[server: string, name: string, isThere: boolean]>([
  ['https://github.com', 'owner/name', true],
  ['https://github.test', 'owner/name', false],
  ['https://github.com', '', false],
])('on %s, where the action is %j, that its page is there is %s', async (server, name, isThere) => {
  const env = { GITHUB_SERVER_URL: server, GITHUB_ACTION_REPOSITORY: name, GITHUB_ACTION_REF: 'v1' };
  jest.replaceProperty(process, 'env', { ...process.env, ...env });
  runStep(fail);
  await ended;
  expect(printed.includes('What this means: https://github.com/owner/name/blob/v1/docs/')).toBe(isThere);
  expect(printed.includes('What this means')).toBe(isThere);
});

describe('the process ends', () => {
  test('when all has been printed, and not before', async () => {
    const flushed: (() => void)[] = [];
    jest.spyOn(process.stdout, 'write').mockImplementation((chunk, ...rest: unknown[]) => {
      if (chunk === '') flushed.push(rest.at(-1) as () => void);
      return true;
    });
    runStep(succeed);
    await turns(2);
    expect([jest.mocked(process.exit).mock.calls, flushed.length]).toEqual([[], 1]);
    flushed[0]?.();
    expect(await ended).toBe('exit 0');
  });

  test.each<[active: string, name: string, step: () => Promise<string>, level: 'error' | 'warning', end: string]>([
    ['GetAddrInfoReqWrap', 'red', fail, 'error', 'SIGKILL to itself'],
    // It would be red then.
    ['GetAddrInfoReqWrap', 'green', succeed, 'error', 'exit 0'],
    ['GetAddrInfoReqWrap', 'green, with a warning', fail, 'warning', 'exit 0'],
    ['TCPSocketWrap', 'red', fail, 'error', 'exit 1'],
  ])('while %s is under way, and the step is %s', async (active, _name, step, level, end) => {
    jest.spyOn(process, 'getActiveResourcesInfo').mockReturnValue(['Timeout', active]);
    runStep(step, level);
    expect(await ended).toBe(end);
    if (end.startsWith('exit')) expect(process.kill).not.toHaveBeenCalled();
  });

  test('with Node naming a lookup that is under way as expected', async () => {
    const done = new Promise((resolve) => lookup('localhost', resolve));
    expect(process.getActiveResourcesInfo()).toContain('GetAddrInfoReqWrap');
    await done;
    await turns(1);
    expect(process.getActiveResourcesInfo()).not.toContain('GetAddrInfoReqWrap');
  });
});
