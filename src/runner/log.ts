import { errorCode } from '../error-code';
import { StepError } from '../step-error';
import { createRedactor, foreignText, type Redact } from '../text';
import { addMask, annotate } from './toolkit';

const redactor = createRedactor();

/**
 * Masks a value in the log of this and every later step, and keeps it out of everything that this
 * step prints itself. `::add-mask::` is the only line that ever holds it.
 */
export function mask(secret: string): void {
  hide(secret);
  if (secret.trim() !== '') addMask(secret);
}

/** Keeps a value out of what this step prints, without telling the runner. */
export function hide(secret: string): void {
  redactor.add(secret);
}

/** Takes every secret that was masked or hidden so far out of a text. */
export const redact: Redact = redactor.redact;

/** Prints a line. */
export function info(message: string): void {
  process.stdout.write(`${redact(message)}\n`);
}

/** Adds an annotation that does not fail the step. */
export function warning(message: string): void {
  annotate('warning', redact(message));
}

/** Ends the step red, with one annotation. */
export function fail(message: string): void {
  process.exitCode = 1;
  annotate('error', redact(message));
}

/** What to say of any error: one or two sentences. */
export function sentence(error: unknown): string {
  if (error instanceof StepError) return error.message;
  const reason = foreignText(error instanceof Error ? error.message : String(error), redact);
  return `This is a defect of the action, please report it with the log of this job: ${reason}.`;
}

/** The same, as it goes on from a colon. */
export function clause(error: unknown): string {
  const text = sentence(error);
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/**
 * Says where the messages are explained. Where the action is one of the workflow's own repository, the
 * runner does not name its repository, and there is nothing to say.
 */
export function pointToHelp(): void {
  const { GITHUB_SERVER_URL, GITHUB_ACTION_REPOSITORY, GITHUB_ACTION_REF } = process.env;
  if (!GITHUB_ACTION_REPOSITORY) return;
  const page = `${GITHUB_SERVER_URL}/${GITHUB_ACTION_REPOSITORY}/blob/${GITHUB_ACTION_REF}/docs/troubleshooting.md`;
  info(`What this means: ${foreignText(page, redact)}`);
}

/** With debug logging on (`RUNNER_DEBUG=1`), tells an error and what it was caused by, a line each. */
export function debugCauses(error: unknown): void {
  if (process.env['RUNNER_DEBUG'] !== '1') return;
  let cause = error;
  for (let depth = 0; depth < 8 && cause instanceof Error; depth += 1) {
    const text = [cause.name, errorCode(cause), cause.message].filter(Boolean).join(': ');
    annotate('debug', foreignText(text, redact));
    cause = cause.cause;
  }
}
