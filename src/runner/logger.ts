import * as core from '@actions/core';
import { errorCode, StepError } from '../shared/errors';
import { redact, wordsOf } from '../shared/text';

/** What the runner masks, and what is to be taken out of texts from elsewhere. */
const masked = new Set<string>();
export const secrets = new Set<string>();

/** Masks a value in the log of this and every later step. `::add-mask::` is the only line that ever holds it. */
export function mask(secret: string): void {
  if (secret.trim() === '') return;
  core.setSecret(secret);
  masked.add(secret);
  hide(secret);
}

/** Keeps a value out of what this step shows of texts from elsewhere, without telling the runner. */
export function hide(secret: string): void {
  secrets.add(secret);
}

/** What may be shown of a value of our own, such as an input. */
export function own(value: string): string {
  return redact(value, masked);
}

export const info = core.info;

/** Prints a line if debug logging is on. */
export function debug(line: string): void {
  if (core.isDebug()) core.debug(line);
}

/** Prints one annotation that says what went wrong, and where the message is explained. */
export function report(level: 'error' | 'warning', thrown: unknown): void {
  const { message, help } = asStepError(thrown);
  (level === 'error' ? core.error : core.warning)(message);
  // Only github.com is known to have the page: another server may have got the action from there, and an action in the
  // workflow's own repository has no name.
  const { GITHUB_SERVER_URL: server, GITHUB_ACTION_REPOSITORY: name, GITHUB_ACTION_REF: ref } = process.env;
  const isThere = server === 'https://github.com' && name && ref;
  if (isThere) info(`What this means: ${server}/${name}/blob/${ref}/docs/troubleshooting.md#${help}`);
  for (let cause = thrown, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth += 1) {
    const { syscall } = cause as NodeJS.ErrnoException;
    const shown = cause instanceof StepError ? cause.message : wordsOf(cause.message, secrets);
    debug([cause.name, errorCode(cause), syscall, shown].filter(Boolean).join(': '));
  }
}

/** What to say of any error behind a colon. */
export function clause(thrown: unknown): string {
  const { message } = asStepError(thrown);
  return message.charAt(0).toLowerCase() + message.slice(1);
}

/** The message of a defect may quote what Node worked on, so only its words are shown, and the place. */
function asStepError(thrown: unknown): StepError {
  if (thrown instanceof StepError) return thrown;
  const { name, message, stack } = thrown instanceof Error ? thrown : new Error(String(thrown));
  const place = /([\w.-]{1,99}:\d{1,9}):\d{1,9}\)?$/m.exec(String(stack).slice(0, 10_000))?.[1] ?? 'an unknown place';
  const what = [`${name} at ${place}`, wordsOf(message, secrets)].filter(Boolean).join(': ');
  const request = 'This is a bug in the action; please report it with the log of this job';
  return new StepError('this-is-a-bug-in-the-action', `${request}: ${what}.`, thrown);
}
