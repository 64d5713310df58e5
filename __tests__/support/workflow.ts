import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { parse } from 'yaml';
import { ACTION_DIR, createJob, createStepFiles, readLog } from '../../mock/runner.mts';
import { cleanup } from './cleanup';

/**
 * Runs the one job of a workflow as the Actions runner does: its steps as they stand in the file, scripts
 * in a real shell, the actions of this repository with their post steps at the end. It knows what the
 * examples use, and throws at anything else rather than leave it out.
 */
export interface JobRun {
  conclusion: 'success' | 'failure';
  /** Main and post steps, in the order in which they ran. */
  steps: readonly StepRun[];
  /** What all steps printed, masked by what was masked by then. */
  log: string;
  /** The secrets that were masked. */
  masks: ReadonlySet<string>;
  /** What the page of the run shows. */
  summary: string;
  workspace: string;
}

export interface StepRun {
  name: string;
  outcome: 'success' | 'failure' | 'skipped';
  outputs: Readonly<Record<string, string>>;
}

type Values = Readonly<Record<string, string>>;

export interface JobOptions {
  secrets?: Values;
  inputs?: Values;
  /** In place of the job's own values of these variables. */
  env?: Values;
  /** Variables of the machine that the job runs on. */
  machine?: Values;
  /** A folder with commands that come before those of the machine. */
  commands?: string;
  /** Arguments for the Node that runs the actions. */
  nodeArgs?: readonly string[];
  /** What stands in for the actions of others. */
  actions?: Readonly<Record<string, (inputs: Values, workspace: string) => unknown>>;
}

interface Step {
  id?: string;
  name?: string;
  if?: string;
  uses?: string;
  with?: Record<string, unknown>;
  env?: Record<string, unknown>;
  run?: string;
  shell?: string;
}

interface Workflow {
  jobs: Record<
    string,
    {
      env?: Record<string, unknown>;
      defaults?: { run?: { shell?: string } };
      steps: Step[];
    }
  >;
}

interface CompositeAction {
  outputs?: Record<string, { value: string }>;
  runs: { steps: Step[] };
}

/** What expressions can name in a job, or in a composite action within it. */
interface Scope {
  contexts: Record<string, Values>;
  steps: Map<string, StepRun>;
  env: Record<string, string>;
  shell?: string | undefined;
}

/** The actions of this repository, and the folder of each. */
const OWN_ACTIONS = new Map([
  ['your-org/formlabs-dashboard-token@v1', ''],
  ['your-org/formlabs-dashboard-token/mock@v1', 'mock'],
]);
const KNOWN_KEYS = new Set(['id', 'name', 'if', 'uses', 'with', 'env', 'run', 'shell']);

/** The command for `shell: powershell`; on Windows it can be set to `powershell`, which is version 5.1. */
export const POWERSHELL = process.env['POWERSHELL'] || 'pwsh';

/** Makes a script one for PowerShell (actions/runner, ScriptHandlerHelpers.cs), and returns the command that runs it. */
function inPowerShell(script: string): [command: string, args: string[]] {
  const content = readFileSync(script, 'utf8');
  // The runner writes UTF-8, which Windows PowerShell reads as the code page of the machine.
  if (/[^ -~\s]/.test(content)) throw new Error('A step for Windows PowerShell has to be ASCII.');
  const end = 'if ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }';
  writeFileSync(`${script}.ps1`, `$ErrorActionPreference = 'stop'\n${content}\n${end}`);
  return [POWERSHELL, ['-command', `. '${script}.ps1'`]];
}

export async function runWorkflow(path: string, options: JobOptions = {}): Promise<JobRun> {
  const { jobs } = parse(readFileSync(join(ACTION_DIR, path), 'utf8')) as Workflow;
  const [job, another] = Object.values(jobs);
  if (job === undefined || another !== undefined) throw new Error(`${path} has not one job.`);

  const temp = mkdtempSync(join(tmpdir(), 'workflow-'));
  cleanup(() => rmSync(temp, { recursive: true, force: true }));
  const workspace = join(temp, 'workspace');
  mkdirSync(workspace);

  const ran: StepRun[] = [];
  const lines: string[] = [];
  const masks = new Set(Object.values(options.secrets ?? {}));
  const posts: (() => Promise<void>)[] = [];
  let summary = '';
  let files = 0;
  const failed = () => ran.some(({ outcome }) => outcome === 'failure');

  function record(step: StepRun, scope: Scope, id: string | undefined): void {
    ran.push(step);
    if (id !== undefined) scope.steps.set(id, step);
  }

  async function runSteps(steps: readonly Step[], scope: Scope): Promise<void> {
    for (const step of steps) {
      const unknown = Object.keys(step).filter((key) => !KNOWN_KEYS.has(key));
      if (unknown.length > 0) throw new Error(`This runner does not know ${unknown.join(', ')}.`);
      const name = step.name ?? `Run ${step.uses ?? step.run}`;
      const env = { ...scope.env, ...fillIn(step.env, scope) };
      const condition = step.if ?? 'success()';
      const runs =
        (/\b(always|failure)\(\)/.test(condition) || !failed()) &&
        isTrue(evaluate(condition, { ...scope, env }, failed()));
      if (!runs) record({ name, outcome: 'skipped', outputs: {} }, scope, step.id);
      else if (step.run !== undefined) await runScript(name, step, scope, env);
      else if (OWN_ACTIONS.has(step.uses ?? '')) await runOwnAction(name, step, scope, env);
      else if (step.uses?.startsWith('./')) await runComposite(name, step, step.uses, scope, env);
      else runOther(name, step, scope);
    }
  }

  async function runScript(name: string, step: Step, scope: Scope, env: Values): Promise<void> {
    const shell = step.shell ?? scope.shell;
    if (shell !== undefined && shell !== 'bash' && shell !== 'powershell') throw new Error(`No ${shell} here.`);
    const script = join(temp, `${files++}.sh`);
    const stepFiles = createStepFiles(join(temp, `${files++}`));
    writeFileSync(script, substitute(step.run ?? '', scope));
    const args = shell === 'bash' ? ['--noprofile', '--norc', '-eo', 'pipefail'] : ['-e'];
    const [command, all] = shell === 'powershell' ? inPowerShell(script) : ['bash', [...args, script]];
    const { exitCode, output } = await ended(
      spawn(command, all, {
        cwd: workspace,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          HOME: temp,
          // What a PowerShell that was installed with .NET needs; and it is to call nobody.
          DOTNET_ROOT: process.env['DOTNET_ROOT'],
          POWERSHELL_TELEMETRY_OPTOUT: '1',
          ...options.machine,
          PATH: [options.commands, dirname(process.execPath), process.env['PATH']]
            .filter((folder) => folder !== undefined)
            .join(delimiter),
          ...env,
          GITHUB_ACTIONS: 'true',
          ...stepFiles.env,
          GITHUB_WORKSPACE: workspace,
          RUNNER_TEMP: temp,
        },
      }),
    );
    lines.push(...readLog(output, masks).log);
    const outcome = exitCode === 0 ? 'success' : 'failure';
    const left = stepFiles.read();
    summary += left.summary;
    record({ name, outcome, outputs: left.outputs }, scope, step.id);
  }

  async function runOwnAction(name: string, step: Step, scope: Scope, env: Values): Promise<void> {
    const job = createJob({ action: OWN_ACTIONS.get(step.uses ?? '') ?? '', masks });
    cleanup(job.end);
    const run = async (phase: 'main' | 'post') => {
      // Evaluated anew for the post step, as the runner does.
      const inputs = fillIn(step.with, scope);
      const { nodeArgs = [] } = options;
      const machine = { ...options.machine, ...env };
      const { exitCode, outputs, log } = await job.run(phase, { inputs, nodeArgs, env: machine });
      lines.push(...log);
      return { outcome: exitCode === 0 ? 'success' : 'failure', outputs } as const;
    };
    posts.push(async () => {
      ran.push({ name: `Post ${name}`, ...(await run('post')) });
    });
    record({ name, ...(await run('main')) }, scope, step.id);
  }

  async function runComposite(
    name: string,
    step: Step,
    folder: string,
    outer: Scope,
    env: Record<string, string>,
  ): Promise<void> {
    const file = join(workspace, folder, 'action.yml');
    const action = parse(readFileSync(file, 'utf8')) as CompositeAction;
    const inner: Scope = {
      contexts: { inputs: fillIn(step.with, outer) },
      steps: new Map(),
      env,
    };
    await runSteps(action.runs.steps, inner);
    const outcome = failed() ? 'failure' : 'success';
    const values = Object.entries(action.outputs ?? {}).map(([key, { value }]) => [key, value]);
    record({ name, outcome, outputs: fillIn(Object.fromEntries(values), inner) }, outer, step.id);
  }

  function runOther(name: string, step: Step, scope: Scope): void {
    const stand = options.actions?.[step.uses?.split('@')[0] ?? ''];
    if (stand === undefined) throw new Error(`Nothing stands in for ${step.uses}.`);
    stand(fillIn(step.with, scope), workspace);
    record({ name, outcome: 'success', outputs: {} }, scope, step.id);
  }

  const scope: Scope = {
    contexts: { secrets: options.secrets ?? {}, inputs: options.inputs ?? {} },
    steps: new Map(),
    env: {},
    shell: job.defaults?.run?.shell,
  };
  Object.assign(scope.env, fillIn(job.env, scope));
  for (const [name, value] of Object.entries(options.env ?? {})) {
    if (!(name in scope.env)) throw new Error(`${path} does not set ${name}.`);
    scope.env[name] = value;
  }
  await runSteps(job.steps, scope);
  for (const post of posts.reverse()) await post();

  return {
    conclusion: failed() ? 'failure' : 'success',
    steps: ran,
    log: lines.join('\n'),
    masks,
    summary,
    workspace,
  };
}

function fillIn(values: Record<string, unknown> | undefined, scope: Scope): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values ?? {}).map(([key, value]) => [key, substitute(String(value), scope)]),
  );
}

function substitute(text: string, scope: Scope): string {
  return text.replaceAll(/\$\{\{(.*?)\}\}/g, (_, expression: string) => String(evaluate(expression, scope, false)));
}

/** Evaluates what the examples have of expressions: names, strings, `==`, `&&` and `always()`. */
function evaluate(text: string, scope: Scope, hasFailed: boolean): string | boolean {
  const expression = text.trim();
  const all = expression.split('&&');
  if (all.length > 1) return all.every((part) => isTrue(evaluate(part, scope, hasFailed)));
  const [left = '', right] = expression.split('==');
  if (right !== undefined) {
    return evaluate(left, scope, hasFailed) === evaluate(right, scope, hasFailed);
  }
  const literal = /^'([^']*)'$/.exec(expression)?.[1];
  if (literal !== undefined) return literal;
  if (expression === 'always()') return true;
  if (expression === 'success()') return !hasFailed;
  const [context = '', name = '', property, output] = expression.split('.');
  const step = context === 'steps' ? scope.steps.get(name) : undefined;
  const value =
    property === 'outputs'
      ? // An output that was not set is empty; a step that is not there is a mistake.
        step && (step.outputs[output ?? ''] ?? '')
      : property === 'outcome'
        ? step?.outcome
        : { ...scope.contexts, env: scope.env }[context]?.[name];
  if (value === undefined) throw new Error(`This runner does not know \${{ ${expression} }}.`);
  return value;
}

function isTrue(value: string | boolean): boolean {
  return value !== '' && value !== false;
}

async function ended(child: ChildProcess): Promise<{ exitCode: number | null; output: string }> {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
  }
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  return { exitCode, output };
}
