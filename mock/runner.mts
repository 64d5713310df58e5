import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';

/** The root folder of the action. */
export const ACTION_DIR = join(import.meta.dirname, '..');

export type StepName = 'main' | 'post';

export interface StepOptions {
  /** The `with:` block; the defaults of action.yml are added, as the runner does. */
  inputs?: Readonly<Record<string, string>>;
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
  outputs: Readonly<Record<string, string>>;
  /** From start to end of the process, in milliseconds. */
  ms: number;
}

export interface RunningStep {
  child: ChildProcess;
  done: Promise<StepResult>;
}

/** A job that uses the action once: its masks and its state live as long as it does. */
export interface Job {
  /** Where the runner keeps its files. */
  tempDir: string;
  state: Readonly<Record<string, string>>;
  masks: ReadonlySet<string>;
  start: (step: StepName, options?: StepOptions) => RunningStep;
  run: (step: StepName, options?: StepOptions) => Promise<StepResult>;
  mask: (text: string) => string;
  /** Removes the job's files. */
  end: () => void;
}

const action = parse(readFileSync(join(ACTION_DIR, 'action.yml'), 'utf8')) as {
  inputs: Record<string, { default?: string }>;
  runs: Record<StepName, string>;
};

/** The commands that the runner knows (actions/runner, ActionCommandManager.cs). */
const COMMANDS = new Set(
  (
    'add-mask add-matcher add-path debug echo endgroup error group notice remove-matcher save-state ' +
    'set-env set-output stop-commands warning'
  ).split(' '),
);

/** Does for one use of the action what the Actions runner does, and no more than that. */
export function createJob(): Job {
  const tempDir = mkdtempSync(join(tmpdir(), 'formlabs-dashboard-token-'));
  const masks = new Set<string>();
  const state: Record<string, string> = {};
  let steps = 0;

  const mask = (text: string) =>
    [...masks].sort((a, b) => b.length - a.length).reduce((masked, m) => masked.replaceAll(m, '***'), text);

  const start = (step: StepName, options: StepOptions = {}): RunningStep => {
    const files = join(tempDir, String(steps++));
    mkdirSync(files);
    const stateFile = join(files, 'state');
    const outputFile = join(files, 'output');
    writeFileSync(stateFile, '');
    writeFileSync(outputFile, '');

    const startedAt = performance.now();
    const child = spawn(process.execPath, [...(options.nodeArgs ?? []), join(ACTION_DIR, action.runs[step])], {
      cwd: tempDir,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...ownEnvironment(),
        GITHUB_STATE: stateFile,
        GITHUB_OUTPUT: outputFile,
        RUNNER_TEMP: tempDir,
        ...(options.debug ? { RUNNER_DEBUG: '1' } : {}),
        ...prefixed('INPUT_', { ...defaults(), ...options.inputs }, (name) => name.replaceAll(' ', '_').toUpperCase()),
        ...(step === 'post' ? prefixed('STATE_', state) : {}),
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
          Object.assign(state, parseFileCommands(readFileSync(stateFile, 'utf8')));
          const outputs = parseFileCommands(readFileSync(outputFile, 'utf8'));
          const raw = stdout + stderr;
          resolve({ exitCode, signal, raw, stderr, outputs, ms, ...readLog(raw, masks, mask) });
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

function readLog(raw: string, masks: Set<string>, mask: (text: string) => string) {
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

function unescapeData(data: string): string {
  return data.replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%25', '%');
}

function defaults(): Record<string, string> {
  return Object.fromEntries(Object.entries(action.inputs).map(([name, input]) => [name, input.default ?? '']));
}

function prefixed(
  prefix: string,
  values: Readonly<Record<string, string>>,
  spell: (name: string) => string = (name) => name,
): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}${spell(name)}`, value]));
}

/** What a step needs of this process's environment; nothing that changes what the action does. */
function ownEnvironment(): Record<string, string | undefined> {
  const names = ['PATH', 'SystemRoot', 'TEMP', 'TMP', 'TMPDIR', 'HOME'];
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}
