import { errorCode } from '../error-code';
import { StepError } from '../step-error';
import { writeValues } from './toolkit';

/**
 * Leaves values for the runner to read when the step has ended.
 *
 * @throws StepError if the runner's file can't be written
 */
export function leaveForRunner(
  file: 'STATE' | 'OUTPUT',
  values: Readonly<Record<string, string>>,
): void {
  try {
    writeValues(file, values);
  } catch (cause) {
    const code = errorCode(cause);
    const reason = code === undefined ? '' : ` (${code})`;
    throw new StepError(
      `The runner's ${file.toLowerCase()} file can't be written${reason}: make sure that the runner's temp folder exists, may be written to and has space left.`,
      { cause },
    );
  }
}
