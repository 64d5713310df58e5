import { errorCode } from '../error-code';
import { StepError } from '../step-error';

/**
 * Runs one write to a file that the runner reads when the step has ended.
 *
 * @param variable the environment variable that names the file
 * @throws StepError if the file can't be written
 */
export function writeRunnerFile(variable: 'GITHUB_STATE' | 'GITHUB_OUTPUT', write: () => void) {
  const what = variable === 'GITHUB_STATE' ? 'state' : 'output';
  try {
    write();
  } catch (cause) {
    const code = errorCode(cause);
    const reason = code === undefined ? '' : ` (${code})`;
    throw new StepError(
      `The runner's ${what} file can't be written${reason}: make sure that the runner's temp folder exists, may be written to and has space left.`,
      { cause },
    );
  }
}
