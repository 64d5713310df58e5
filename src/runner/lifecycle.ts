import { turns } from '../shared/clock';
import { errorCode, StepError } from '../shared/errors';
import type { Cancellation } from '../shared/types';
import { watchSignals } from './cancellation';
import * as logger from './logger';

const TOO_OLD = 'This action needs Node 20, and was started with an older one: use a newer runner, or another image.';

/**
 * Runs a step. What becomes of it is decided once: by the closing line that it gives, by an error, or by an event loop
 * that runs dry. An error is reported at the given level: as an error it makes the step red, as a warning it does not.
 */
export function runStep(
  step: (cancellation: Cancellation) => Promise<string>,
  level: 'error' | 'warning' = 'error',
): void {
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

async function start(step: (cancellation: Cancellation) => Promise<string>): Promise<string> {
  const { versions, stdout } = process;
  if (Number.parseInt(versions.node, 10) < 20) throw new StepError('this-action-needs-node-20', TOO_OLD);
  const cancellation = watchSignals();
  const errors: Error[] = [];
  stdout.on('error', (error) => errors.push(error));
  const throwIfCancelled = async () => {
    // On Windows it writes to pipes in the background; elsewhere all is written by now, or known not to be.
    if (stdout.writableLength > 0) await new Promise((resolve) => stdout.write('', resolve));
    // Node delivers signals when it polls for events. The second turn of the event loop is sure to come after a poll.
    await turns(2);
    cancellation.stop.throwIfAborted();
    if (errors.length === 0) return;
    const what = `The log can't be written (${errorCode(errors[0])}), so the access token can't be masked and is not`;
    const advice = 'make sure that the runner is up and has space left on its disk';
    throw new StepError('the-log-cant-be-written', `${what} handed out: ${advice}.`, errors[0]);
  };
  return step({ ...cancellation, throwIfCancelled });
}

/** Ends the process now. Even `process.exit` waits for a name lookup: where that hangs, a red step is killed. */
function endProcess(): void {
  const isLookingUp = process.getActiveResourcesInfo().includes('GetAddrInfoReqWrap');
  if (isLookingUp && process.exitCode !== 0) process.kill(process.pid, 'SIGKILL');
  process.exit();
}
