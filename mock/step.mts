import { appendFileSync } from 'node:fs';

/** What both steps of the action know of the runner. */

/** The one key of the state. A later step can't set a key that the main step has saved. */
const KEY = 'dashboard';

export interface Saved {
  control: string;
  allowLiveTokens: boolean;
}

/** Saves what the post step needs to know; nothing as long as there is no mock Dashboard. */
export function saveState(state?: Saved): void {
  append('GITHUB_STATE', { [KEY]: state === undefined ? '' : JSON.stringify(state) });
}

/** What the main step saved; undefined if it started no mock Dashboard. */
export function loadState(): Saved | undefined {
  const text = process.env[`STATE_${KEY}`] ?? '';
  return text === '' ? undefined : JSON.parse(text);
}

export function setOutputs(values: Readonly<Record<string, string>>): void {
  append('GITHUB_OUTPUT', values);
}

/** Runs a step, and prints what it comes to: a line, or one error. */
export async function runStep(step: () => Promise<string>): Promise<void> {
  try {
    console.log(await step());
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    console.log(`::error::${message.replaceAll(/\s+/g, ' ')}`);
    process.exitCode = 1;
  }
}

/** Appends values of one line each to a file of the runner. @throws Error if that fails */
function append(file: 'GITHUB_STATE' | 'GITHUB_OUTPUT', values: Readonly<Record<string, string>>): void {
  const lines = Object.entries(values).map(([name, value]) => `${name}=${value}\n`);
  try {
    appendFileSync(process.env[file] ?? '', lines.join(''));
  } catch (error) {
    throw new Error(`The file in ${file} can't be written (${(error as NodeJS.ErrnoException).code}).`);
  }
}
