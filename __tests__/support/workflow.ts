import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { parse } from 'yaml';
import { createJob, createStepFiles, readLog } from '../../mock/runner.mts';
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
  /** What the page of the run shows. */
  summary: string;
}

export interface StepRun {
  name: string;
  outcome: 'success' | 'failure' | 'skipped';
  outputs: Values;
}

type Values = Readonly<Record<string, string>>;

export interface JobOptions {
  secrets?: Values;
  inputs?: Values;
  /** In place of the job's own values of these variables. */
  env?: Values;
  /** Variables of the machine that the job runs on. */
  machine?: Values;
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

interface Job {
  env?: Record<string, unknown>;
  defaults?: { run?: { shell?: string } };
  steps: Step[];
}

interface CompositeAction {
  outputs?: Record<string, { value: string }>;
  runs: { steps: Step[] };
}

/** What expressions can name in a job, or in a composite action within it. */
interface Scope {
  contexts: Record<string, Values>;
  steps: Map<string, StepRun>;
  env: Values;
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

/** How the runner runs a script in a shell (actions/runner, ScriptHandlerHelpers.cs). */
function commandFor(shell: string | undefined, script: string): [command: string, ...args: string[]] {
  if (shell === undefined) return ['bash', '-e', script];
  if (shell === 'bash') return ['bash', '--noprofile', '--norc', '-eo', 'pipefail', script];
  if (shell !== 'powershell') throw new Error(`No ${shell} here.`);
  const content = readFileSync(script, 'utf8');
  // The runner writes UTF-8, which Windows PowerShell reads as the code page of the machine.
  if (/[^ -~\s]/.test(content)) throw new Error('A step for Windows PowerShell has to be ASCII.');
  const end = 'if ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }';
  writeFileSync(`${script}.ps1`, `$ErrorActionPreference = 'stop'\n${content}\n${end}`);
  return [POWERSHELL, '-command', `. '${script}.ps1'`];
}

export async function runWorkflow(workflow: unknown, options: JobOptions = {}): Promise<JobRun> {
  const { jobs } = workflow as { jobs: Record<string, Job> };
  const [job, another] = Object.values(jobs);
  if (job === undefined || another !== undefined) throw new Error('The workflow has not one job.');

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
  const outcomeOf = (isGood: boolean) => (isGood ? 'success' : 'failure');

  async function runSteps(steps: readonly Step[], scope: Scope): Promise<void> {
    for (const step of steps) {
      const unknown = Object.keys(step).filter((key) => !KNOWN_KEYS.has(key));
      if (unknown.length > 0) throw new Error(`This runner does not know ${unknown.join(', ')}.`);
      const name = step.name ?? `Run ${step.uses ?? step.run}`;
      const condition = step.if ?? 'success()';
      const runs = (!failed() || condition.includes('always()')) && holds(condition, scope);
      const result = runs ? await runOne(step, name, scope) : { outcome: 'skipped' as const, outputs: {} };
      ran.push({ name, ...result });
      if (step.id !== undefined) scope.steps.set(step.id, { name, ...result });
    }
  }

  function runOne(step: Step, name: string, scope: Scope) {
    const env = { ...scope.env, ...fillIn(step.env, scope) };
    if (step.run !== undefined) return runScript(step.run, step.shell ?? scope.shell, scope, env);
    if (OWN_ACTIONS.has(step.uses ?? '')) return runOwnAction(name, step, scope, env);
    if (step.uses?.startsWith('./')) return runComposite(step, step.uses, scope, env);
    return runOther(step, scope);
  }

  async function runScript(run: string, shell: string | undefined, scope: Scope, env: Values) {
    const script = join(temp, `${files++}.sh`);
    const stepFiles = createStepFiles(join(temp, `${files++}`));
    writeFileSync(script, substitute(run, scope));
    const [command, ...args] = commandFor(shell, script);
    const environment = {
      HOME: temp,
      // What a PowerShell that was installed with .NET needs; and it is to call nobody.
      DOTNET_ROOT: process.env['DOTNET_ROOT'],
      POWERSHELL_TELEMETRY_OPTOUT: '1',
      ...options.machine,
      PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH']}`,
      ...env,
      GITHUB_ACTIONS: 'true',
      ...stepFiles.env,
      GITHUB_WORKSPACE: workspace,
      RUNNER_TEMP: temp,
    };
    const isGood = await new Promise<boolean>((resolve) => {
      const child = execFile(command, args, { cwd: workspace, env: environment }, (error, stdout, stderr) => {
        lines.push(...readLog(stdout + stderr, masks).log);
        resolve(error === null);
      });
      child.stdin?.end();
    });
    const { outputs, summary: written } = stepFiles.read();
    summary += written;
    return { outcome: outcomeOf(isGood), outputs } as const;
  }

  async function runOwnAction(name: string, step: Step, scope: Scope, env: Values) {
    const job = createJob({ action: OWN_ACTIONS.get(step.uses ?? '') ?? '', masks });
    cleanup(job.end);
    const run = async (phase: 'main' | 'post') => {
      // Evaluated anew for the post step, as the runner does.
      const inputs = fillIn(step.with, scope);
      const { nodeArgs = [] } = options;
      const { exitCode, outputs, log } = await job.run(phase, {
        inputs,
        nodeArgs,
        env: { ...options.machine, ...env },
      });
      lines.push(...log);
      return { outcome: outcomeOf(exitCode === 0), outputs } as const;
    };
    posts.unshift(async () => {
      ran.push({ name: `Post ${name}`, ...(await run('post')) });
    });
    return run('main');
  }

  async function runComposite(step: Step, folder: string, outer: Scope, env: Values) {
    const action = parse(readFileSync(join(workspace, folder, 'action.yml'), 'utf8')) as CompositeAction;
    const inner: Scope = { contexts: { inputs: fillIn(step.with, outer) }, steps: new Map(), env };
    await runSteps(action.runs.steps, inner);
    const values = Object.entries(action.outputs ?? {}).map(([key, { value }]) => [key, value]);
    return { outcome: outcomeOf(!failed()), outputs: fillIn(Object.fromEntries(values), inner) } as const;
  }

  async function runOther(step: Step, scope: Scope) {
    const stand = options.actions?.[step.uses?.split('@')[0] ?? ''];
    if (stand === undefined) throw new Error(`Nothing stands in for ${step.uses}.`);
    stand(fillIn(step.with, scope), workspace);
    return { outcome: 'success', outputs: {} } as const;
  }

  const contexts = { secrets: options.secrets ?? {}, inputs: options.inputs ?? {} };
  const scope: Scope = { contexts, steps: new Map(), env: {}, shell: job.defaults?.run?.shell };
  const env = fillIn(job.env, scope);
  const strays = Object.keys(options.env ?? {}).filter((name) => !(name in env));
  if (strays.length > 0) throw new Error(`The job does not set ${strays.join(', ')}.`);
  scope.env = { ...env, ...options.env };
  await runSteps(job.steps, scope);
  for (const post of posts) await post();

  return { conclusion: outcomeOf(!failed()), steps: ran, log: lines.join('\n'), summary };
}

function fillIn(values: Record<string, unknown> | undefined, scope: Scope): Values {
  return Object.fromEntries(
    Object.entries(values ?? {}).map(([key, value]) => [key, substitute(String(value), scope)]),
  );
}

function substitute(text: string, scope: Scope): string {
  return text.replaceAll(/\$\{\{(.*?)\}\}/g, (_, expression: string) => evaluate(expression, scope));
}

/** Whether a condition holds, as far as the examples have any: values, `==` with a text, `&&` and `always()`. */
function holds(condition: string, scope: Scope): boolean {
  return condition.split('&&').every((part) => {
    const [left = '', right] = part.split('==').map((side) => side.trim());
    if (/^(?:always|success)\(\)$/.test(left)) return true;
    return right === undefined ? evaluate(left, scope) !== '' : `'${evaluate(left, scope)}'` === right;
  });
}

function evaluate(expression: string, { contexts, steps }: Scope): string {
  const [context = '', name = '', property, output = ''] = expression.trim().split('.');
  const step = context === 'steps' && property === 'outputs' ? steps.get(name) : undefined;
  // An output that was not set is empty; a step that is not there is a mistake.
  const value = step ? (step.outputs[output] ?? '') : contexts[context]?.[name];
  if (value === undefined) throw new Error(`This runner does not know \${{ ${expression} }}.`);
  return value;
}
