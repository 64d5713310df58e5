import { errorCode, StepError } from '../shared/errors';
import type { Cancellation } from '../shared/types';
import { watchSignals } from './cancellation';
import * as logger from './logger';

const OLDEST_NODE = 20;

export interface Run extends Cancellation {
  /** Lets Node catch up with what came while it was busy. Rejects with a StepError if the step is not to go on. */
  readonly throwIfCancelled: () => Promise<void>;
}

/**
 * Runs a step from start to end. What becomes of it is decided once: by the closing line that it gives, by an error, or by
 * an event loop that runs dry. That is reported, and nothing that comes later changes it.
 *
 * @param level what a failure is: an error makes the step red, a warning does not
 */
export function runStep(step: (run: Run) => Promise<string>, level: 'error' | 'warning' = 'error'): void {
  let isDecided = false;
  const decide = (report: () => void, exitCode: number) => {
    if (isDecided) return;
    isDecided = true;
    process.exitCode = exitCode;
    report();
    // A lookup that has just failed counts as one under way until the next turn of the event loop.
    process.stdout.write('', () => setImmediate(endProcess));
  };
  const succeed = (line: string) => decide(() => logger.info(line), 0);
  const fail = (error: unknown) => decide(() => logger.report(level, error), level === 'error' ? 1 : 0);
  // Node ends with 0 when its event loop runs dry, even if the step still waits for something.
  process.on('beforeExit', () => fail(new Error('the event loop ran dry')));
  process.on('uncaughtException', fail);
  start(step).then(succeed, fail);
}

async function start(step: (run: Run) => Promise<string>): Promise<string> {
  const { version, versions, stdout } = process;
  if (Number.parseInt(versions.node, 10) < OLDEST_NODE) {
    const what = `This action needs Node ${OLDEST_NODE} or newer, and was started with ${version}`;
    throw new StepError('this-action-needs-node-20', `${what}: use a newer runner, or another image for its jobs.`);
  }
  const cancellation = watchSignals();
  let outputError: Error | undefined;
  stdout.on('error', (error) => {
    outputError = error;
  });
  const throwIfCancelled = async () => {
    // On Windows it writes to pipes in the background; elsewhere all is written by now, or known not to be.
    if (stdout.writableLength > 0) await new Promise((resolve) => stdout.write('', resolve));
    // Node delivers signals when it polls for events. The second turn of the event loop is sure to come after a poll.
    for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    cancellation.stop.throwIfAborted();
    if (outputError === undefined) return;
    const what = `The log can't be written (${errorCode(outputError)}), so the access token can't be masked and is not`;
    const advice = 'make sure that the runner is up and has space left on its disk';
    throw new StepError('the-log-cant-be-written', `${what} handed out: ${advice}.`, outputError);
  };
  return step({ ...cancellation, throwIfCancelled });
}

/**
 * Ends the process now, and not when all that is open has ended. Even `process.exit` waits for a name lookup: where a name
 * server is silent, a red step is killed, so as not to wait past its time.
 */
function endProcess(): void {
  const isLookingUp = process.getActiveResourcesInfo().includes('GetAddrInfoReqWrap');
  if (isLookingUp && process.exitCode !== 0) process.kill(process.pid, 'SIGKILL');
  process.exit();
}
