import { lookup } from 'node:dns';
import { EOL } from 'node:os';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { type Life, runStep } from '../src/runner/lifecycle';
import { StepError } from '../src/shared/errors';

const EVENTS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK', 'beforeExit', 'uncaughtException'] as const;
const STOPPED = 'The runner told this step to stop';
const DEFECT = 'This is a bug in the action; please report it with the log of this job:';

let printed: string;
let listeners: Map<string, ReturnType<typeof process.rawListeners>>;
let ended: Promise<string>;

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
  jest.spyOn(process, 'exit').mockImplementation((code) => resolve(`exit ${code}`) as never);
  jest.spyOn(process, 'kill').mockImplementation((pid, signal) => {
    resolve(`${signal} to ${pid === process.pid ? 'itself' : 'another'}`);
    return true;
  });
  listeners = new Map(EVENTS.map((event) => [event, process.rawListeners(event)]));
});

afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
  for (const restore of restores.splice(0)) restore();
  for (const event of EVENTS) for (const listener of added(event)) process.removeListener(event, listener);
  process.stdout.removeAllListeners('error');
  for (const name of Object.keys(process.env)) {
    if (name.startsWith('GITHUB_') || name === 'RUNNER_DEBUG') delete process.env[name];
  }
});

const restores: (() => void)[] = [];

/** Gives an object another value, for this test, of a property that can't be assigned to. */
function replace<T extends object>(object: T, name: keyof T, value: unknown): void {
  const descriptor = Object.getOwnPropertyDescriptor(object, name);
  restores.push(() => {
    if (descriptor === undefined) Reflect.deleteProperty(object, name);
    else Object.defineProperty(object, name, descriptor);
  });
  Object.defineProperty(object, name, { configurable: true, value });
}

type Listener = (...values: unknown[]) => void;

/** What the step has added to hear of an event. The process of the tests has listeners of its own. */
function added(event: (typeof EVENTS)[number]): Listener[] {
  return process.rawListeners(event).filter((listener) => !listeners.get(event)?.includes(listener)) as Listener[];
}

/** Tells the step alone of an event. */
function emit(event: (typeof EVENTS)[number], ...values: readonly unknown[]): void {
  const heard = added(event);
  expect(heard).toHaveLength(1);
  for (const listener of heard) listener(...values);
}

/** Starts a step that never ends, and gives what it knows of its process. */
function startWaiting(): Life {
  let life: Life | undefined;
  runStep((given) => {
    life = given;
    return new Promise<never>(() => undefined);
  });
  if (life === undefined) throw new Error('The step was not started at once.');
  return life;
}

/** One annotation, as the toolkit writes it. */
function annotation(level: string, message: string): string {
  return `::${level}::${message}${EOL}`;
}

describe('runStep', () => {
  test('prints the closing line of a step that ends well, and ends the process with 0', async () => {
    runStep(async () => 'All is done.');
    expect(await ended).toBe('exit 0');
    expect(printed).toBe('All is done.\n');
  });

  test.each<[name: string, error: unknown, message: RegExp]>([
    ['a StepError', new StepError('Do this.'), /^Do this\.$/],
    ['any other error', new TypeError('it broke'), /^TypeError at lifecycle\.test\.ts:\d+: it broke\.$/],
    ['what is no error', 'text', /^Error at [\w.]+:\d+: text\.$/],
    ['an error without a place', Object.assign(new Error('it broke'), { stack: '' }), /^Error at an unknown place: it/],
  ])('reports %s as one error, and ends the process with 1', async (_name, error, message) => {
    runStep(() => Promise.reject(error));
    expect(await ended).toBe('exit 1');
    const text = printed.replace(EOL, '').replace('::error::', '');
    expect(text.replace(`${DEFECT} `, '')).toMatch(message);
    expect(text.startsWith(DEFECT)).toBe(!(error instanceof StepError));
  });

  test('reports an error without a word in its message without a colon that nothing follows', async () => {
    runStep(() => Promise.reject(new Error('1+1=3')));
    await ended;
    expect(printed).not.toMatch(/: \./);
  });

  test('reports a warning instead, and ends the process with 0, where that is what a failure means', async () => {
    runStep(() => Promise.reject(new StepError('Do this.')), 'warning');
    expect(await ended).toBe('exit 0');
    expect(printed).toBe(annotation('warning', 'Do this.'));
  });

  test.each([
    ['beforeExit', 'the event loop ran dry'],
    ['uncaughtException', 'it broke'],
  ] as const)('does not wait for a step after %s', async (event, what) => {
    startWaiting();
    emit(event, new Error('it broke'));
    expect(await ended).toBe('exit 1');
    expect(printed).toMatch(new RegExp(`^::error::${DEFECT} Error at \\S+: ${what}\\.${EOL}$`));
  });

  test('lets nothing change what has been decided', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    runStep(() => promise);
    resolve('All is done.');
    expect(await ended).toBe('exit 0');
    for (const event of EVENTS) emit(event, new Error('too late'));
    await new Promise((done) => setImmediate(done));
    expect(printed).toBe('All is done.\n');
    expect(process.exit).toHaveBeenCalledTimes(1);
  });

  test('decides once, also where the step ends after an error that nothing caught', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    runStep(() => promise, 'warning');
    emit('uncaughtException', new StepError('Do this.'));
    resolve('All is done.');
    expect(await ended).toBe('exit 0');
    await new Promise((done) => setImmediate(done));
    expect(printed).toBe(annotation('warning', 'Do this.'));
  });

  test('ends the process only when all has been printed', async () => {
    const flushed: (() => void)[] = [];
    jest.spyOn(process.stdout, 'write').mockImplementation((chunk, ...rest: unknown[]) => {
      if (chunk === '') flushed.push(rest.at(-1) as () => void);
      return true;
    });
    runStep(async () => 'All is done.');
    await new Promise((done) => setImmediate(done));
    expect(process.exit).not.toHaveBeenCalled();
    expect(flushed).toHaveLength(1);
    flushed[0]?.();
    expect(await ended).toBe('exit 0');
  });

  test.each(['v18.20.8', 'v19.9.0', 'v20.0.0', 'v24.21.0'])('runs on Node 20 or newer alone (%s)', async (version) => {
    replace(process, 'version', version);
    replace(process, 'versions', { ...process.versions, node: version.slice(1) });
    const step = jest.fn(async () => 'All is done.');
    runStep(step);
    const isOld = /^v1/.test(version);
    expect(await ended).toBe(isOld ? 'exit 1' : 'exit 0');
    expect(step).toHaveBeenCalledTimes(isOld ? 0 : 1);
    if (isOld)
      expect(printed).toContain(`::error::This action needs Node 20 or newer, and was started with ${version}:`);
  });
});

describe('a signal', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'] as const)(
    '%s leaves four seconds to listen and six in all',
    (signal) => {
      const { begun, lastAnswer, over } = startWaiting();
      const aborted = () => [begun, lastAnswer, over].map((moment) => moment.aborted);
      expect(aborted()).toEqual([false, false, false]);
      emit(signal);
      expect(aborted()).toEqual([true, false, false]);
      jest.advanceTimersByTime(3_999);
      expect(aborted()).toEqual([true, false, false]);
      jest.advanceTimersByTime(1);
      expect(aborted()).toEqual([true, true, false]);
      jest.advanceTimersByTime(1_999);
      expect(aborted()).toEqual([true, true, false]);
      jest.advanceTimersByTime(1);
      expect(aborted()).toEqual([true, true, true]);
      for (const moment of [begun, lastAnswer, over]) {
        expect(moment.reason).toBeInstanceOf(StepError);
        expect(String(moment.reason)).toContain(STOPPED);
      }
    },
  );

  test('that comes second does not put the end off', () => {
    const { over } = startWaiting();
    emit('SIGINT');
    jest.advanceTimersByTime(5_000);
    emit('SIGTERM');
    jest.advanceTimersByTime(1_000);
    expect(over.aborted).toBe(true);
  });

  test('does not end a step by itself', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    runStep(() => promise);
    emit('SIGINT');
    await new Promise((done) => setImmediate(done));
    expect(printed).toBe('');
    resolve('All is done.');
    expect(await ended).toBe('exit 0');
  });
});

describe('catchUp', () => {
  test('resolves where nothing has happened', async () => {
    await expect(startWaiting().catchUp()).resolves.toBeUndefined();
  });

  test('rejects after a signal', async () => {
    const life = startWaiting();
    emit('SIGTERM');
    await expect(life.catchUp()).rejects.toThrow(STOPPED);
  });

  // A signal that has come is known when the event loop next polls, which is between two turns of it.
  test('notices a signal that comes to be known in the next turn of the event loop', async () => {
    const life = startWaiting();
    const caughtUp = life.catchUp();
    setImmediate(() => emit('SIGTERM'));
    await expect(caughtUp).rejects.toThrow(STOPPED);
  });

  test('rejects where what was printed can not be written, and says what to do', async () => {
    const life = startWaiting();
    const error = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
    process.stdout.emit('error', error);
    await expect(life.catchUp()).rejects.toThrow(/can't be written \(EPIPE\).*not handed out: make sure/);
    await expect(life.catchUp()).rejects.toMatchObject({ cause: error });
  });

  test('waits until what was printed has been written', async () => {
    const life = startWaiting();
    replace(process.stdout, 'writableLength', 1);
    jest.spyOn(process.stdout, 'write').mockImplementation((_chunk, ...rest: unknown[]) => {
      setImmediate(() => {
        process.stdout.emit('error', Object.assign(new Error('write ENOSPC'), { code: 'ENOSPC' }));
        (rest.at(-1) as () => void)();
      });
      return true;
    });
    await expect(life.catchUp()).rejects.toThrow('ENOSPC');
  });
});

describe('while a name lookup is under way', () => {
  const execve = jest.fn<(file: string, args: readonly string[], env: object) => never>();

  function onSystem(platform: string, hasExecve = true): void {
    execve.mockReset().mockImplementation(() => process.exit(-1));
    jest.spyOn(process, 'getActiveResourcesInfo').mockReturnValue(['GetAddrInfoReqWrap']);
    replace(process, 'platform', platform);
    replace(process, 'execve', hasExecve ? execve : undefined);
  }

  const succeed = async () => 'All is done.';
  const fail = () => Promise.reject(new StepError('Do this.'));

  test('Node names it as the ending expects', async () => {
    const done = new Promise((resolve) => lookup('localhost', resolve));
    expect(process.getActiveResourcesInfo()).toContain('GetAddrInfoReqWrap');
    await done;
    await new Promise((resolve) => setImmediate(resolve));
    expect(process.getActiveResourcesInfo()).not.toContain('GetAddrInfoReqWrap');
  });

  test.each([
    ['well', succeed, 0],
    ['badly', fail, 1],
  ])('a step that ended %s becomes a process that ends at once, with the same exit code', async (_how, step, code) => {
    onSystem('linux');
    runStep(step);
    await ended;
    expect(execve.mock.calls).toEqual([
      [
        process.execPath,
        [process.execPath, '--eval', `process.exitCode = ${code}`],
        { ...process.env, NODE_OPTIONS: '' },
      ],
    ]);
  });

  test.each([
    ['win32', true],
    ['linux', false],
  ])('it is killed where it can not become another one and has failed (%s, execve %s)', async (platform, hasExecve) => {
    onSystem(platform, hasExecve);
    runStep(fail);
    expect(await ended).toBe('SIGKILL to itself');
    expect(execve).not.toHaveBeenCalled();
  });

  test('a green step is never killed', async () => {
    onSystem('win32');
    runStep(succeed);
    expect(await ended).toBe('exit 0');
    expect(process.kill).not.toHaveBeenCalled();
    expect(execve).not.toHaveBeenCalled();
  });

  test('without one, the process just exits', async () => {
    onSystem('linux');
    jest.spyOn(process, 'getActiveResourcesInfo').mockReturnValue(['TCPSocketWrap', 'Timeout']);
    runStep(fail);
    expect(await ended).toBe('exit 1');
    expect(execve).not.toHaveBeenCalled();
    expect(process.kill).not.toHaveBeenCalled();
  });
});

describe('below the annotation', () => {
  const from = (variables: Readonly<Record<string, string>>) => Object.assign(process.env, variables);
  const GITHUB = {
    GITHUB_SERVER_URL: 'https://github.com',
    GITHUB_ACTION_REPOSITORY: 'owner/name',
    GITHUB_ACTION_REF: 'v1',
  };

  async function report(): Promise<string> {
    runStep(() => Promise.reject(new StepError('Top.')));
    await ended;
    return printed.replace(annotation('error', 'Top.'), '');
  }

  test('stands where the message is explained, if that is known', async () => {
    from(GITHUB);
    expect(await report()).toBe('What this means: https://github.com/owner/name/blob/v1/docs/troubleshooting.md\n');
  });

  test.each<[name: string, variables: Readonly<Record<string, string>>]>([
    ['GitHub Enterprise Server', { ...GITHUB, GITHUB_SERVER_URL: 'https://github.example.com' }],
    ['Gitea', { ...GITHUB, GITHUB_SERVER_URL: 'https://gitea.example.com' }],
    ['no server', { ...GITHUB, GITHUB_SERVER_URL: '' }],
    ['the workflow in the repository of the action', { ...GITHUB, GITHUB_ACTION_REPOSITORY: '' }],
    ['no ref', { ...GITHUB, GITHUB_ACTION_REF: '' }],
    ['no runner', {}],
  ])('stands no link that leads nowhere: %s', async (_name, variables) => {
    from(variables);
    expect(await report()).toBe('');
  });

  test('stand the causes, with debug logging on, and of texts from elsewhere the words', async () => {
    from({ RUNNER_DEBUG: '1' });
    const root = Object.assign(new Error('connect failed\n::error::x'), { code: 'ECODE', syscall: 'connect' });
    const cause = new StepError('In the middle: as it is.', { cause: root });
    runStep(() => Promise.reject(new StepError('Top.', { cause })));
    await ended;
    expect(printed).toBe(
      [
        annotation('error', 'Top.'),
        annotation('debug', 'StepError: Top.'),
        annotation('debug', 'StepError: In the middle: as it is.'),
        annotation('debug', 'Error: ECODE: connect: connect failed …'),
      ].join(''),
    );
  });

  test('stand no more than eight causes, of which one may cause itself', async () => {
    from({ RUNNER_DEBUG: '1' });
    const error = new StepError('Top.');
    Object.assign(error, { cause: error });
    runStep(() => Promise.reject(error));
    await ended;
    expect(printed.match(/^::debug::/gm)).toHaveLength(8);
  });

  test('stand no causes otherwise', async () => {
    from({ RUNNER_DEBUG: '0' });
    expect(await report()).toBe('');
  });
});
