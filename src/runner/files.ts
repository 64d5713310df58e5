import { statSync, truncateSync } from 'node:fs';
import { saveState, setOutput } from '@actions/core';
import { errorCode, StepError } from '../shared/errors';

/** Leaves values for the post step or for later steps: all of them, or none. @throws StepError if that fails */
export function append(file: 'STATE' | 'OUTPUT', values: Readonly<Record<string, string>>): void {
  const path = process.env[`GITHUB_${file}`] ?? '';
  let length: number | undefined;
  try {
    // Where there is no file, @actions/core would print the values: a token must not be printed.
    length = statSync(path).size;
    for (const [name, value] of Object.entries(values)) (file === 'STATE' ? saveState : setOutput)(name, value);
  } catch (cause) {
    try {
      // On a full disk a part may have been written, which the runner could not read.
      if (length !== undefined) truncateSync(path, length);
    } catch {} // The error is reported anyway.
    const code = errorCode(cause);
    const reason = code === 'ENOENT' ? `no file in GITHUB_${file}` : code;
    const what = `The runner's ${file.toLowerCase()} file can't be written (${reason})`;
    const advice = "make sure that the runner's temp folder exists, is writable and has space left";
    throw new StepError('the-runners-file-cant-be-written', `${what}: ${advice}.`, cause);
  }
}
