import { errorCode, Failure, StepError } from '../shared/errors';
import { hostOf, redact, wordsOf } from '../shared/text';
import { command } from './files';

const secrets = new Set<string>();

/**
 * Masks a value in the log of this and every later step, and keeps it out of everything that this step prints itself.
 * `::add-mask::` is the only line that ever holds it.
 */
export function mask(secret: string): void {
  hide(secret);
  if (secret.trim() !== '') command('add-mask', secret);
}

/** Keeps a value out of what this step prints, without telling the runner. */
export function hide(secret: string): void {
  if (secret !== '') secrets.add(secret);
}

/** What may be shown of a text from elsewhere: its words, and no secret. */
export const words = (text: string): string => wordsOf(text, secrets);

/** What may be shown of a host from elsewhere. */
export const host = (text: string): string => hostOf(text, secrets);

/** Prints a line. */
export function info(line: string): void {
  process.stdout.write(`${redact(line, secrets)}\n`);
}

/** Prints one annotation that says what went wrong, and where the message is explained. */
export function report(level: 'error' | 'warning', error: unknown): void {
  command(level, redact(error instanceof StepError ? error.message : defect(error), secrets));
  pointToHelp();
  if (process.env['RUNNER_DEBUG'] === '1') debugCauses(error);
}

/** What to say of any error behind a colon. */
export function clause(error: unknown): string {
  if (error instanceof Failure) return error.clause;
  return error instanceof StepError ? error.message : defect(error);
}

/** A message of Node's may quote what it worked on, so only its words are shown, and the place. */
function defect(error: unknown): string {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const place = /([\w.-]+:\d+):\d+\)?$/m.exec(String(stack))?.[1] ?? 'an unknown place';
  const what = [`${name} at ${place}`, words(message)].filter(Boolean).join(': ');
  return `This is a bug in the action; please report it with the log of this job: ${what}.`;
}

/**
 * Says where the messages are explained. Only github.com is known to have that page: a server of one's own may have got
 * the action from there, and an action in the workflow's own repository has no name.
 */
function pointToHelp(): void {
  const { GITHUB_SERVER_URL: server, GITHUB_ACTION_REPOSITORY: name, GITHUB_ACTION_REF: ref } = process.env;
  if (server !== 'https://github.com' || !name || !ref) return;
  info(`What this means: ${server}/${name}/blob/${ref}/docs/troubleshooting.md`);
}

/** Names an error and what it was caused by, a line each, for debug logging. */
function debugCauses(error: unknown): void {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth += 1) {
    const { name, message, syscall } = cause as NodeJS.ErrnoException;
    const parts = [name, errorCode(cause), syscall, cause instanceof StepError ? message : words(message)];
    command('debug', redact(parts.filter(Boolean).join(': '), secrets));
  }
}
