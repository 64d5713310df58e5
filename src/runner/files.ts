// The two modules of @actions/core that talk to the runner, and not its index: that also loads the job summary, OIDC
// and the running of other programs, which every step would pay for at its start (docs/performance.md). It also prints
// a value as a command where the runner's file is missing: a token must not be printed.
import { statSync, truncateSync } from 'node:fs';
import { issueCommand } from '../../node_modules/@actions/core/lib/command.js';
import { issueFileCommand, prepareKeyValueMessage } from '../../node_modules/@actions/core/lib/file-command.js';
import { errorCode, StepError } from '../shared/errors';

/**
 * Leaves values for the runner to read when the step has ended: as state for the post step, or as outputs for later
 * steps. All of them are written, or none.
 *
 * @throws StepError if the runner's file can't be written
 */
export function append(file: 'STATE' | 'OUTPUT', values: Readonly<Record<string, string>>): void {
  const lines = Object.entries(values).map(([name, value]) => prepareKeyValueMessage(name, value));
  const path = process.env[`GITHUB_${file}`] ?? '';
  let length: number | undefined;
  try {
    length = statSync(path, { throwIfNoEntry: false })?.size;
    issueFileCommand(file, lines.join('\n'));
  } catch (cause) {
    try {
      // On a full disk a part may have been written, which the runner could not read.
      truncateSync(path, length);
    } catch {
      // Truncating may fail too; the error is reported anyway.
    }
    const reason = errorCode(cause) ?? `no file in GITHUB_${file}`;
    throw new StepError(
      `The runner's ${file.toLowerCase()} file can't be written (${reason}): make sure that the runner's temp folder ` +
        'exists, is writable and has space left.',
      { cause },
    );
  }
}

/** Gives the runner a command: to mask a value in all that is printed from now on, or to show a message. */
export function command(name: 'add-mask' | 'error' | 'warning' | 'debug', text: string): void {
  issueCommand(name, {}, text);
}
