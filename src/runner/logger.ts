import * as core from '@actions/core';
import { StepError } from '../shared/errors';
import { redact, wordsOf } from '../shared/text';

/** What the runner masks, and what is to be taken out of texts from elsewhere. */
const masked = new Set<string>();
export const secrets = new Set<string>();
export const info = core.info;

/** Masks a value in the log of this and every later step. `::add-mask::` is the only line that ever holds it. */
export function mask(secret: string): void {
  if (secret.trim() === '') return;
  core.setSecret(secret);
  masked.add(secret);
  hide(secret);
}

/** Keeps a value out of what this step shows of texts from elsewhere, without telling the runner. */
export const hide = (secret: string) => void (secret && secrets.add(secret));

/** What may be shown of a value of our own, such as an input. */
export function own(value: string): string {
  return redact(value, masked);
}

/** Prints a line if debug logging is on, and makes it only then. */
export function debug(line: () => string): void {
  if (core.isDebug()) core.debug(line());
}

/** Prints one annotation that says what went wrong, and where the message is explained. */
export function report(level: 'error' | 'warning', thrown: unknown): void {
  const { message, help } = asStepError(thrown);
  (level === 'error' ? core.error : core.warning)(message);
  // Only github.com is known to have the page, and an action in the workflow's own repository has no name.
  const { GITHUB_SERVER_URL: server, GITHUB_ACTION_REPOSITORY: name, GITHUB_ACTION_REF: ref } = process.env;
  const isThere = server === 'https://github.com' && name && ref;
  if (isThere) info(`What this means: ${server}/${name}/blob/${ref}/docs/troubleshooting.md#${help}`);
  for (let cause = thrown, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth += 1) {
    const { name, code, syscall, message } = cause as NodeJS.ErrnoException;
    const shown = cause instanceof StepError ? message : wordsOf(message, secrets);
    debug(() => [name, code, syscall, shown].filter(Boolean).join(': '));
  }
}

/** What to say of any error. A defect may quote what Node worked on: only its words are shown, and the place. */
export function asStepError(thrown: unknown): StepError {
  if (thrown instanceof StepError) return thrown;
  const { name, message, stack } = thrown instanceof Error ? thrown : new Error(String(thrown));
  const place = /([\w.-]{1,99}:\d{1,9}):\d{1,9}\)?$/m.exec(String(stack).slice(0, 10_000))?.[1] ?? 'an unknown place';
  const what = [`${name} at ${place}`, wordsOf(message, secrets)].filter(Boolean).join(': ');
  const request = 'This is a bug in the action; please report it with the log of this job';
  return new StepError('this-is-a-bug-in-the-action', `${request}: ${what}.`, thrown);
}
