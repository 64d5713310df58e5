// The two modules of @actions/core that talk to the runner, and not its index: that also loads the job
// summary, OIDC and the running of other programs, which every step would pay for at its start
// (docs/performance.md). It also prints a value as a command where the runner's file is missing: a token
// must not be printed.
import { issueCommand } from '../../node_modules/@actions/core/lib/command.js';
import {
  issueFileCommand,
  prepareKeyValueMessage,
} from '../../node_modules/@actions/core/lib/file-command.js';
import { errorCode } from '../error-code';
import { StepError } from '../step-error';

/** The input, trimmed; empty if it is not set. */
export function getInput(name: string): string {
  return process.env[`INPUT_${name.toUpperCase()}`]?.trim() ?? '';
}

/** The value that the main step saved; empty if it saved none. */
export function getState(name: string): string {
  return process.env[`STATE_${name}`] ?? '';
}

/**
 * Leaves values for the runner to read when the step has ended, in one write: as state for the post
 * step, or as outputs for later steps.
 *
 * @throws StepError if the runner's file can't be written
 */
export function leaveForRunner(
  file: 'STATE' | 'OUTPUT',
  values: Readonly<Record<string, string>>,
): void {
  const messages = Object.entries(values).map(([name, value]) =>
    prepareKeyValueMessage(name, value),
  );
  try {
    issueFileCommand(file, messages.join('\n'));
  } catch (cause) {
    const reason = errorCode(cause) ?? `no file in GITHUB_${file}`;
    throw new StepError(
      `The runner's ${file.toLowerCase()} file can't be written (${reason}): make sure that the runner's temp folder exists, may be written to and has space left.`,
      { cause },
    );
  }
}

/** Asks the runner to mask a value in all that is printed from now on. */
export function addMask(secret: string): void {
  issueCommand('add-mask', {}, secret);
}

/** Prints an annotation, or a line for debug logging. */
export function annotate(level: 'error' | 'warning' | 'debug', message: string): void {
  issueCommand(level, {}, message);
}
