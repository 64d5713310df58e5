import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';

/** The root folder of the action. */
export const ACTION_DIR = join(import.meta.dirname, '..');

export type StepName = 'main' | 'post';

type Values = Readonly<Record<string, string>>;

export interface JobOptions {
  /** The folder of the action, such as `mock`; the root, unless given. */
  action?: string;
  /** The Node that runs its steps; the one that runs this, unless given. */
  node?: string | undefined;
  /** What the job masks already. What its steps mask is added. */
  masks?: Set<string>;
}

export interface StepOptions {
  /** The `with:` block; the defaults of action.yml are added, as the runner does. */
  inputs?: Values;
  /** More environment variables; undefined takes one away. */
  env?: Readonly<Record<string, string | undefined>>;
  /** As with debug logging on. */
  debug?: boolean;
  /** Arguments for Node itself. */
  nodeArgs?: readonly string[];
}

export interface Annotation {
  level: string;
  message: string;
}

export interface StepResult {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  /** All that was printed, as it was. */
  raw: string;
  stderr: string;
  /** The log as people see it: commands carried out, secrets masked. */
  log: readonly string[];
  annotations: readonly Annotation[];
  /** The names of all commands, in the order of their appearance. */
  commands: readonly string[];
  outputs: Values;
  /** From start to end of the process, in milliseconds. */
  ms: number;
}

export interface RunningStep {
  child: ChildProcess;
  done: Promise<StepResult>;
}

/** A job that uses an action once: its masks and its state live as long as it does. */
export interface Job {
  /** Where the runner keeps its files. */
  tempDir: string;
  state: Values;
  masks: ReadonlySet<string>;
  start: (step: StepName, options?: StepOptions) => RunningStep;
  run: (step: StepName, options?: StepOptions) => Promise<StepResult>;
  mask: (text: string) => string;
  /** Removes the job's files. */
  end: () => void;
}

/** An action, as its action.yml has it. */
export interface Action {
  /** The file that Node runs for a step. */
  script: (step: StepName) => string;
  /** What a step finds in its environment of inputs, with the defaults added, and of state. */
  environment: (inputs?: Values, state?: Values) => Record<string, string>;
}

/** The files in which one step leaves values for the runner. */
export interface StepFiles {
  /** Where the step finds them. */
  env: Record<string, string>;
  read: () => { outputs: Record<string, string>; state: Record<string, string>; summary: string };
}

/** The commands that the runner knows (actions/runner, ActionCommandManager.cs). */
const COMMANDS = new Set(
  (
    'add-mask add-matcher add-path debug echo endgroup error group notice remove-matcher save-state ' +
    'set-env set-output stop-commands warning'
  ).split(' '),
);

/** Does for one use of an action what the Actions runner does, and no more than that. */
export function createJob({ action: folder, node = process.execPath, masks = new Set() }: JobOptions = {}): Job {
  const action = readAction(folder);
  const tempDir = mkdtempSync(join(tmpdir(), 'formlabs-dashboard-token-'));
  const state: Record<string, string> = {};
  let steps = 0;

  const mask = (text: string) => maskAll(text, masks);

  const start = (step: StepName, options: StepOptions = {}): RunningStep => {
    const files = createStepFiles(join(tempDir, String(steps++)));

    const startedAt = performance.now();
    const child = spawn(node, [...(options.nodeArgs ?? []), action.script(step)], {
      cwd: tempDir,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...ownEnvironment(),
        ...files.env,
        RUNNER_TEMP: tempDir,
        ...(options.debug ? { RUNNER_DEBUG: '1' } : {}),
        ...action.environment(options.inputs, step === 'post' ? state : {}),
        ...options.env,
      },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    const done = new Promise<StepResult>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exitCode, signal) => {
        const ms = performance.now() - startedAt;
        try {
          const left = files.read();
          Object.assign(state, left.state);
          const raw = stdout + stderr;
          resolve({ exitCode, signal, raw, stderr, outputs: left.outputs, ms, ...readLog(raw, masks) });
        } catch (error) {
          reject(error);
        }
      });
    });
    return { child, done };
  };

  return {
    tempDir,
    state,
    masks,
    mask,
    start,
    run: (step, options) => start(step, options).done,
    end: () => rmSync(tempDir, { recursive: true, force: true, maxRetries: 5 }),
  };
}

export function readAction(folder = ''): Action {
  const path = resolve(ACTION_DIR, folder);
  const { inputs = {}, runs } = parse(readFileSync(join(path, 'action.yml'), 'utf8')) as {
    inputs?: Record<string, { default?: string }>;
    runs: Record<StepName, string>;
  };
  const defaults = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.default ?? '']));
  return {
    script: (step) => join(path, runs[step]),
    environment: (given = {}, state = {}) => ({
      ...prefixed('INPUT_', { ...defaults, ...given }, (name) => name.replaceAll(' ', '_').toUpperCase()),
      ...prefixed('STATE_', state),
    }),
  };
}

/** Makes a folder with the files of one step, all of them empty. */
export function createStepFiles(folder: string): StepFiles {
  mkdirSync(folder, { recursive: true });
  const [output, state, summary] = [join(folder, 'output'), join(folder, 'state'), join(folder, 'summary')];
  for (const file of [output, state, summary]) writeFileSync(file, '');
  const read = (file: string) => readFileSync(file, 'utf8');
  return {
    env: { GITHUB_OUTPUT: output, GITHUB_STATE: state, GITHUB_STEP_SUMMARY: summary },
    read: () => ({
      outputs: parseFileCommands(read(output)),
      state: parseFileCommands(read(state)),
      summary: read(summary),
    }),
  };
}

/**
 * Reads the file in which a step leaves outputs or state: `name=value` or `name<<delimiter`, the value,
 * the delimiter (actions/runner, FileCommandManager.cs). What comes last counts.
 */
export function parseFileCommands(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  const lines = text.split(/\r?\n/);
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? '';
    if (line === '') continue;
    const [, name = '', operator, rest = ''] = /^(.*?)(=|<<)(.*)$/.exec(line) ?? [];
    if (operator === undefined) throw new Error(`Invalid format '${line}'`);
    if (operator === '=') {
      values[name] = rest;
      continue;
    }
    const end = lines.indexOf(rest, index + 1);
    if (end < 0) throw new Error(`Matching delimiter not found '${rest}'`);
    values[name] = lines.slice(index + 1, end).join('\n');
    index = end;
  }
  return values;
}

/** Finds a command in a line as the runner does (actions/runner, ActionCommand.cs). */
export function parseCommand(line: string): { name: string; data: string } | undefined {
  const current = /^\s*::([a-z-]+)(?: [^:]*(?::(?!:)[^:]*)*)?::(.*)$/i.exec(line);
  const old = /##\[([a-z-]+)(?: [^\]]*)?\](.*)$/i.exec(line);
  for (const match of [current, old]) {
    const name = match?.[1]?.toLowerCase() ?? '';
    if (COMMANDS.has(name)) return { name, data: unescapeData(match?.[2] ?? '') };
  }
  return undefined;
}

/** Reads what a step printed: carries its commands out, and masks the rest. */
export function readLog(raw: string, masks: Set<string>): Pick<StepResult, 'log' | 'annotations' | 'commands'> {
  const mask = (text: string) => maskAll(text, masks);
  const log: string[] = [];
  const annotations: Annotation[] = [];
  const commands: string[] = [];
  for (const line of raw.split(/\r\n|\r|\n/)) {
    if (line === '') continue;
    const command = parseCommand(line);
    if (command === undefined) {
      log.push(mask(line));
      continue;
    }
    commands.push(command.name);
    if (command.name === 'add-mask') masks.add(command.data);
    else if (['error', 'warning', 'notice'].includes(command.name)) {
      const message = mask(command.data);
      annotations.push({ level: command.name, message });
      log.push(`${command.name.charAt(0).toUpperCase()}${command.name.slice(1)}: ${message}`);
    } else if (command.name === 'debug') log.push(`##[debug]${mask(command.data)}`);
  }
  return { log, annotations, commands };
}

function maskAll(text: string, masks: ReadonlySet<string>): string {
  return [...masks].sort((a, b) => b.length - a.length).reduce((masked, m) => masked.replaceAll(m, '***'), text);
}

function unescapeData(data: string): string {
  return data.replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%25', '%');
}

function prefixed(
  prefix: string,
  values: Values,
  spell: (name: string) => string = (name) => name,
): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}${spell(name)}`, value]));
}

/** What a step needs of this process's environment; nothing that changes what the action does. */
function ownEnvironment(): Record<string, string | undefined> {
  const names = ['PATH', 'SystemRoot', 'TEMP', 'TMP', 'TMPDIR', 'HOME'];
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}
