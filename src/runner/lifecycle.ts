import type { Cancellation } from '../cancellation';
import { StepError } from '../step-error';
import { watchCancellation } from './cancellation';
import * as log from './log';

/**
 * Runs a step from start to end and reports its failure: one annotation, a non-zero exit code.
 *
 * @param step resolves when the step has done its work; rejects with a StepError, or with another
 *   error where the action has a defect
 */
export async function runStep(step: (cancellation: Cancellation) => Promise<void>): Promise<void> {
  const cancellation = watchCancellation();
  const onIdle = () => fail(new Error('the event loop ran dry before the step was finished'));
  const onDefect = (error: unknown) => {
    fail(error);
    finish();
  };
  const finish = () => {
    cancellation.stop();
    process.off('beforeExit', onIdle);
    process.off('uncaughtException', onDefect);
    endProcess();
  };
  // Node ends with 0 when its event loop runs dry, even if the step still waits for something.
  process.once('beforeExit', onIdle);
  process.once('uncaughtException', onDefect);

  try {
    await step(cancellation).finally(catchUp);
    if (cancellation.requested.aborted) {
      throw new StepError('The job was cancelled while this step ran.');
    }
  } catch (error) {
    fail(error);
  } finally {
    finish();
  }
}

function fail(error: unknown): void {
  log.fail(log.sentence(error));
  log.pointToHelp();
  log.debugCauses(error);
}

/**
 * Lets Node catch up with what came while it was busy. It delivers signals only when it polls for events,
 * and a name lookup that has just failed counts as under way until then. The second turn of the loop is the
 * first that is sure to come after a poll.
 */
async function catchUp(): Promise<void> {
  for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/**
 * Ends the process as soon as all that was printed is written. Left to itself, Node would tidy up first.
 *
 * A name lookup can't be aborted, and even `process.exit` waits for it: a resolver that is silent would
 * hold the step long past its time. There a step that has failed ends the hard way.
 */
function endProcess(): void {
  process.stdout.write('', () => {
    if (process.exitCode === 1 && isLookingUpName()) process.kill(process.pid, 'SIGKILL');
    else process.exit();
  });
}

function isLookingUpName(): boolean {
  return process.getActiveResourcesInfo().includes('GetAddrInfoReqWrap');
}
