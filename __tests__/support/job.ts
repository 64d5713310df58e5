import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { createJob, type Job, type RunningStep, type StepOptions, type StepResult } from '../../mock/runner.mts';
import { cleanup } from './cleanup';

export const CLIENT_ID = 'client-1';
/** With characters that forms, URLs, JSON and HTML spell in other ways. */
export const CLIENT_SECRET = 's3cr3t&+=% "\\<é>';

const SUPPORT = import.meta.dirname;

/** Arguments for Node that take the chance out of waits: each is as short as it can be. */
export const NO_JITTER = ['--require', join(SUPPORT, 'no-jitter.cjs')];

export function newJob(): Job {
  const job = createJob();
  cleanup(job.end);
  return job;
}

export function inputsFor(
  server: { readonly url: string },
  inputs: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    'client-id': CLIENT_ID,
    'client-secret': CLIENT_SECRET,
    'api-url': server.url,
    // Not left to the default, which may change.
    'timeout-seconds': '60',
    ...inputs,
  };
}

export interface RunOptions extends Omit<StepOptions, 'inputs'> {
  job?: Job;
  inputs?: Readonly<Record<string, string>>;
}

/** Runs the main step against a server, as the runner would; waits are as short as they can be. */
export function runMain(
  server: { readonly url: string },
  { job = newJob(), inputs, ...options }: RunOptions = {},
): Promise<StepResult> {
  return job.run('main', { nodeArgs: NO_JITTER, inputs: inputsFor(server, inputs), ...options });
}

/** Runs the post step of a job against a server; waits are as short as they can be. */
export function runPost(
  server: { readonly url: string },
  job: Job,
  { inputs, ...options }: Omit<RunOptions, 'job'> = {},
): Promise<StepResult> {
  return job.run('post', { nodeArgs: NO_JITTER, inputs: inputsFor(server, inputs), ...options });
}

/** Runs both steps of a job against a server. */
export async function runSteps(
  server: { readonly url: string },
  options: Omit<RunOptions, 'job'> = {},
): Promise<{ job: Job; main: StepResult; post: StepResult }> {
  const job = newJob();
  const main = await runMain(server, { job, ...options });
  return { job, main, post: await runPost(server, job, options) };
}

/** Arguments for Node that load files of this folder before the step; `no-jitter` is not among them unless named. */
export function preload(...names: readonly string[]): string[] {
  return names.flatMap((name) => ['--require', join(SUPPORT, `${name}.cjs`)]);
}

/** Resolves when a step has printed this. */
export function printed({ child }: Pick<RunningStep, 'child'>, wanted: string): Promise<void> {
  return new Promise((resolve) => {
    let text = '';
    child.stdout?.on('data', (chunk: string) => {
      text += chunk;
      if (text.includes(wanted)) resolve();
    });
  });
}

/** What a step said of each attempt that failed. */
export function attemptsIn({ log }: StepResult): readonly string[] {
  return log.filter((line) => line.startsWith('Attempt'));
}

/** The step ended red, with one annotation of one or two sentences, and handed nothing out. */
export function expectRed(result: StepResult, message: RegExp | string): void {
  expect(result.annotations).toEqual([{ level: 'error', message: expect.stringMatching(message) }]);
  expect(result.exitCode).toBe(1);
  expect(result.outputs).toEqual({});
  expectReadable(result);
}

/** The step ended well, without an annotation. */
export function expectGreen(result: StepResult): void {
  expect(result.annotations).toEqual([]);
  expect(result.exitCode).toBe(0);
}

/** The step ended well, with one warning. */
export function expectWarning(result: StepResult, message: RegExp | string): void {
  expect(result.annotations).toEqual([{ level: 'warning', message: expect.stringMatching(message) }]);
  expect(result.exitCode).toBe(0);
  expectReadable(result);
}

function expectReadable({ annotations, stderr }: StepResult): void {
  for (const { message } of annotations) {
    expect(message).not.toMatch(/\n|Error:|\bat .+:\d+:\d+|undefined|\[object/);
    expect(message).toMatch(/[.?]$/);
  }
  expect(stderr).toBe('');
}

/** A secret stands on the lines that mask it, and nowhere else in what was printed. */
export function expectUnseen(result: StepResult, ...secrets: readonly string[]): void {
  const printed = result.raw.replaceAll(/^::add-mask::.*$/gm, '');
  for (const secret of secrets) expect(printed).not.toContain(secret);
}

/** All that the job's files hold. */
export function filesOf(job: Job): string {
  return readdirSync(job.tempDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    .join('\n');
}
