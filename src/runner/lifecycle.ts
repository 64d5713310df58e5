import { errorCode, StepError } from '../shared/errors';
import type { Shutdown } from '../shared/types';
import * as log from './log';

/** The oldest Node that a step can run on. */
const OLDEST_NODE = 20;

/**
 * After a signal the runner waits 7.5 s before it sends the next one, and kills the process 2.5 s later. Six of them
 * are used: four for an answer that is under way, the rest to revoke what it brought.
 */
const LAST_ANSWER_MS = 4_000;
const OVER_MS = 6_000;

const STOPPED =
  'The runner told this step to stop: the job was cancelled, the step reached its timeout-minutes, or the runner ' +
  'itself is shutting down.';

/**
 * What a step knows of the process that it runs in. `catchUp` lets Node catch up with what came while it was busy, and
 * rejects with a StepError if the step has been told to stop, or nobody reads its output.
 */
export interface Life extends Shutdown {
  readonly catchUp: () => Promise<void>;
}

/**
 * Runs a step from start to end. What becomes of it is decided once: by what the step gives, by an error that nothing
 * caught, or by an event loop that runs dry. That is reported, and nothing that comes later changes it.
 *
 * @param step gives the closing line of the log; rejects with a StepError, or with another error where the action has a
 *   defect
 * @param level what a failure is: an error makes the step red, a warning does not
 */
export function runStep(step: (life: Life) => Promise<string>, level: 'error' | 'warning' = 'error'): void {
  let decided = false;
  const decide = (report: () => void, exitCode: number) => {
    if (decided) return;
    decided = true;
    report();
    process.stdout.write('', () => endProcess(exitCode));
  };
  const succeed = (line: string) => decide(() => log.info(line), 0);
  const fail = (error: unknown) => decide(() => log.report(level, error), level === 'error' ? 1 : 0);

  // Node ends with 0 when its event loop runs dry, even if the step still waits for something.
  process.on('beforeExit', () => fail(new Error('the event loop ran dry')));
  process.on('uncaughtException', fail);
  run(step).then(succeed, fail);
}

async function run(step: (life: Life) => Promise<string>): Promise<string> {
  if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
    throw new StepError(
      `This action needs Node ${OLDEST_NODE} or newer, and was started with ${process.version}: use a newer runner, ` +
        'or another image for its jobs.',
    );
  }
  const shutdown = watchSignals();
  let brokenOutput: Error | undefined;
  process.stdout.on('error', (error) => {
    brokenOutput = error;
  });
  const catchUp = async () => {
    // On Windows it writes to pipes in the background; elsewhere all is written by now, or known not to be.
    if (process.stdout.writableLength > 0) await new Promise((resolve) => process.stdout.write('', resolve));
    // Node delivers signals only when it polls for events. The second turn of the event loop is the first that is sure
    // to come after a poll.
    for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    shutdown.begun.throwIfAborted();
    if (brokenOutput === undefined) return;
    throw new StepError(
      `The log can't be written (${errorCode(brokenOutput)}), so the access token can't be masked and ` +
        'is not handed out: make sure that the runner is up and has space left on its disk.',
      { cause: brokenOutput },
    );
  };
  return step({ ...shutdown, catchUp });
}

function watchSignals(): Shutdown {
  const begun = new AbortController();
  const lastAnswer = new AbortController();
  const over = new AbortController();
  const onSignal = () => {
    const reason = new StepError(STOPPED);
    begun.abort(reason);
    setTimeout(() => lastAnswer.abort(reason), LAST_ANSWER_MS);
    setTimeout(() => over.abort(reason), OVER_MS);
  };
  // On Windows SIGBREAK is what SIGTERM is elsewhere. None of them is ever let go of again: a signal that came late
  // would end the process in the middle of its report.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'] as const) process.on(name, onSignal);
  return { begun: begun.signal, lastAnswer: lastAnswer.signal, over: over.signal };
}

/**
 * Ends the process now. Left to itself, Node would tidy up first, and wait for what is still open.
 *
 * A name lookup can't be aborted, and even `process.exit` waits for it: a name server that is silent would hold the
 * step long past its time. There the process becomes another one that ends at once.
 */
function endProcess(exitCode: number): void {
  if (process.getActiveResourcesInfo().includes('GetAddrInfoReqWrap')) {
    if (process.platform !== 'win32' && process.execve !== undefined) {
      const ends = `process.exitCode = ${exitCode}`;
      process.execve(process.execPath, [process.execPath, '--eval', ends], { ...process.env, NODE_OPTIONS: '' });
    }
    if (exitCode !== 0) process.kill(process.pid, 'SIGKILL');
  }
  process.exit(exitCode);
}
