import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { expect, test } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { CARTRIDGES, PRINTERS, PRINTS, TANKS } from '../mock/fleet.mts';
import { startPreFormServer } from '../mock/preform-server.mts';
import { ACTION_DIR } from '../mock/runner.mts';
import { cleanup } from './support/cleanup';
import { type Formlabs, startFormlabs } from './support/formlabs';
import { startProxy } from './support/proxy';
import { type JobOptions, type JobRun, POWERSHELL, runWorkflow } from './support/workflow';

// Every example, whole: the steps of its own workflow file, with real shells, curl and jq, and this action
// from its bundle. https://api.formlabs.com is answered by the mock Dashboard; nothing in a script is replaced.

const lacking = ['bash', 'curl', 'jq'].filter((command) => spawnSync(command, ['--version']).error);
const reason =
  process.platform !== 'linux'
    ? 'the examples are for Linux'
    : lacking.length > 0
      ? `install ${lacking.join(' and ')}`
      : '';

/** What needs the internet runs where it is asked for, in CI. */
const offline = process.env['EXAMPLES'] === 'all' ? '' : 'it needs the internet, set EXAMPLES=all';

/** A test that says in its name why it was skipped. */
function example(name: string, run: () => Promise<void>, otherwise = reason): void {
  if (otherwise === '') test(name, run, 60_000);
  else test.skip(`${name} (not run: ${otherwise})`, run);
}

const noPowerShell = spawnSync(POWERSHELL, ['-command', 'exit']).error ? `there is no ${POWERSHELL}` : '';

/** Runs on Windows as well. */
function powershellExample(name: string, run: () => Promise<void>): void {
  example(name, run, noPowerShell);
}

function runOn(formlabs: Formlabs, path: string, options: JobOptions = {}): Promise<JobRun> {
  const { secrets, machine, nodeArgs } = formlabs;
  return runWorkflow(path, { secrets, machine, nodeArgs, ...options });
}

/** The checkout of a repository that has the composite action where its first lines say. */
const STAND_INS: NonNullable<JobOptions['actions']> = {
  'actions/checkout': (_inputs, workspace) =>
    cpSync(join(ACTION_DIR, 'examples/composite-action'), join(workspace, '.github/actions/formlabs-printers'), {
      recursive: true,
    }),
};

/** The settings of a curl that finds nobody at api.formlabs.com. */
async function nobodyListens(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  const folder = mkdtempSync(join(tmpdir(), 'curl-'));
  cleanup(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, '.curlrc'), `connect-to = "api.formlabs.com:443:127.0.0.1:${port}"\n`);
  return folder;
}

interface RecipeStep {
  name?: string;
  shell?: string;
}

/** The workflow that the README starts with, and its recipes, each a list of steps for one shell. */
const [FIRST_WORKFLOW, ...RECIPES] = [
  ...readFileSync(join(ACTION_DIR, 'README.md'), 'utf8').matchAll(/```yaml\n(.*?)```/gs),
].map(([, block = '']) => parse(block)) as [{ jobs: { printers: { steps: RecipeStep[] } } }, ...unknown[]];

const [THE_ACTION] = FIRST_WORKFLOW.jobs.printers.steps;

/** A workflow of these steps, and then of one that the README gives. */
function withRecipe(steps: readonly unknown[], name: string, shell: string): string {
  const recipes: RecipeStep[] = RECIPES.filter(Array.isArray).flat();
  const step = recipes.find((recipe) => recipe.name === name && recipe.shell === shell);
  if (step === undefined) throw new Error(`The README has no step ${name} in ${shell}.`);
  return save({ jobs: { printers: { steps: [...steps, step] } } });
}

/** Writes a workflow to where runWorkflow() finds it. */
function save(workflow: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), 'workflow-'));
  cleanup(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'workflow.yml'), stringify(workflow));
  return relative(ACTION_DIR, join(folder, 'workflow.yml'));
}

/** Has PowerShell find the Dashboard under its name; .NET reads these on Linux only. */
async function forPowerShell(formlabs: Formlabs): Promise<JobOptions> {
  const proxy = await startProxy({ target: formlabs });
  const machine = { https_proxy: `http://${proxy.host}`, SSL_CERT_FILE: formlabs.authority };
  return { machine: { ...formlabs.machine, ...machine } };
}

/** Every printer in a line of its own, and nothing else of what the Dashboard tells. */
function expectPrinters({ log }: JobRun): void {
  const lines = PRINTERS.map(({ serial, printer_status }) => `${serial} ${printer_status.status}`);
  expect(log.replaceAll('\r', '')).toContain(`\n${lines.join('\n')}\n`);
  expect(log).not.toContain('@');
}

/** All steps ended well, and the token is revoked and was never seen. */
function expectHeld(run: JobRun, formlabs: Pick<Formlabs, 'issuedTokens' | 'liveTokens'>): void {
  const wrong = run.steps.filter(({ outcome }) => outcome !== 'success').map(({ name }) => name);
  expect({ wrong, log: wrong.length > 0 ? run.log : '' }).toEqual({ wrong: [], log: '' });
  expect(run.steps.at(-1)?.name).toMatch(/^Post Run /);
  expect([formlabs.issuedTokens(), formlabs.liveTokens()]).toEqual([1, 0]);
}

example('the first workflow of README.md lists serials and status', async () => {
  const formlabs = await startFormlabs();
  const run = await runOn(formlabs, save(FIRST_WORKFLOW));
  expectHeld(run, formlabs);
  expectPrinters(run);
});

example('the first workflow of README.md is red where the Dashboard refuses', async () => {
  const formlabs = await startFormlabs();
  const elsewhere = await startFormlabs();
  const run = await runOn(formlabs, save(FIRST_WORKFLOW), {
    machine: { ...formlabs.machine, CURL_HOME: dirname(elsewhere.authority) },
  });
  expect(run.conclusion).toBe('failure');
  expect(run.log).toMatch(/^curl: \(22\) .* 401/m);
});

example(
  'README.md lists printers in PowerShell',
  async () => {
    const formlabs = await startFormlabs();
    const workflow = withRecipe([THE_ACTION], 'List printers', 'powershell');
    const run = await runOn(formlabs, workflow, await forPowerShell(formlabs));
    expectHeld(run, formlabs);
    expectPrinters(run);
  },
  reason || noPowerShell,
);

for (const shell of ['bash', 'powershell']) {
  example(
    `README.md revokes the token early in ${shell}`,
    async () => {
      const formlabs = await startFormlabs();
      const workflow = withRecipe(FIRST_WORKFLOW.jobs.printers.steps, 'Revoke the token', shell);
      const run = await runOn(formlabs, workflow, await forPowerShell(formlabs));
      expectHeld(run, formlabs);
      const revocations = formlabs.requests().filter((request) => request.endsWith('/revoke_token/'));
      expect(revocations).toHaveLength(2);
    },
    reason || (shell === 'powershell' ? noPowerShell : ''),
  );
}

example('reusable.yml lists serials and status', async () => {
  const formlabs = await startFormlabs();
  const run = await runOn(formlabs, 'examples/reusable.yml');
  expectHeld(run, formlabs);
  expectPrinters(run);
});

example('list-printers.yml puts every printer into the summary', async () => {
  const formlabs = await startFormlabs();
  const run = await runOn(formlabs, 'examples/list-printers.yml');
  expectHeld(run, formlabs);
  expect(run.summary).toBe(`| Serial | Alias | Status |
| --- | --- | --- |
| Form4-EagerOtter | Prototyping 1 | IDLE |
| Form4L-CalmHeron | Production 1 | PRINTING |
| Fuse1-BraveLynx | Nylon | IDLE |
| Form4-WiseBison | Production 2 | PRINTING |
| Form4-ProudCrane | Repair   spare | ERROR |
| Form4-QuietMoth |  | OFFLINE |
`);
});

example('export.yml keeps every page of every list', async () => {
  const formlabs = await startFormlabs();
  const kept: string[] = [];
  const run = await runOn(formlabs, 'examples/export.yml', {
    actions: {
      'actions/upload-artifact': ({ path = '' }, workspace) => {
        for (const name of readdirSync(join(workspace, path)).sort()) {
          const lines = readFileSync(join(workspace, path, name), 'utf8')
            .trim()
            .split('\n');
          const ids = lines.map((line) => JSON.parse(line)).map(({ serial, guid }) => serial ?? guid);
          kept.push(`${name}: ${new Set(ids).size}`);
        }
      },
    },
  });
  expectHeld(run, formlabs);
  expect(kept).toEqual([
    `cartridges.jsonl: ${CARTRIDGES.length}`,
    `printers.jsonl: ${PRINTERS.length}`,
    `prints.jsonl: ${PRINTS.length}`,
    `tanks.jsonl: ${TANKS.length}`,
  ]);
  expect(formlabs.requests()).toContain('GET /developer/v1/prints/?per_page=100&page=3');
});

example('composite.yml and composite-action/ list serials', async () => {
  const formlabs = await startFormlabs();
  const run = await runOn(formlabs, 'examples/composite.yml', { actions: STAND_INS });
  expectHeld(run, formlabs);
  expect(run.log).toContain(PRINTERS.map(({ serial }) => serial).join('\n'));
});

example('proxy.yml does everything through a proxy that opens TLS', async () => {
  const formlabs = await startFormlabs();
  const proxy = await startProxy({ target: formlabs });
  const run = await runWorkflow('examples/proxy.yml', {
    secrets: formlabs.secrets,
    env: { https_proxy: `http://${proxy.host}`, NODE_EXTRA_CA_CERTS: formlabs.authority },
  });
  expectHeld(run, formlabs);
  expect(proxy.connects).toEqual(Array(3).fill('api.formlabs.com:443'));
  expectPrinters(run);
});

/** A PreFormServer with a .form file on its machine, and what the workflow that prints needs to use both. */
async function startPrinting(options: { silentAt?: string; form?: string; printer?: string; printNow?: string } = {}) {
  const { silentAt, form = 'form', printer = 'Form4-EagerOtter', printNow = 'false' } = options;
  const formlabs = await startFormlabs();
  const server = await startPreFormServer(formlabs.accepts, silentAt === undefined ? {} : { silentAt });
  cleanup(server.close);
  const file = join(dirname(formlabs.authority), 'Prüfling ½.form');
  writeFileSync(file, form);
  const run = await runOn(formlabs, 'examples/remote-print.yml', {
    inputs: { 'form-file': file, printer, 'job-name': 'Prüfling "½"', 'print-now': printNow },
    // A proxy that answers nobody.
    machine: { ...formlabs.machine, http_proxy: 'http://127.0.0.1:9', HTTP_PROXY: 'http://127.0.0.1:9' },
    env: { PREFORM_SERVER: server.url, ...(silentAt !== undefined && { REQUEST_SECONDS: '1' }) },
  });
  return { formlabs, server, file, run };
}

/** Nothing was printed, the step that prints is red, and the rest was cleaned up. */
function expectNotPrinted({ formlabs, server, run }: Awaited<ReturnType<typeof startPrinting>>): void {
  expect(server.jobs).toEqual([]);
  expect(run.steps.map(({ outcome }) => outcome)).toEqual(['success', 'failure', 'success', 'success']);
  expect(server.isLoggedIn()).toBe(false);
  expect(formlabs.liveTokens()).toBe(0);
}

for (const printNow of ['true', 'false']) {
  const name = `remote-print.yml uploads a scene with print-now: ${printNow}, and logs out`;
  powershellExample(name, async () => {
    const { formlabs, server, file, run } = await startPrinting({ printNow });
    expectHeld(run, formlabs);
    expect(server.jobs).toEqual([
      { printer: 'Form4-EagerOtter', name: 'Prüfling "½"', file, printNow: printNow === 'true' },
    ]);
    expect(server.isLoggedIn()).toBe(false);
  });
}

powershellExample('remote-print.yml shows why a file was refused, and logs out', async () => {
  const printing = await startPrinting({ form: '' });
  expectNotPrinted(printing);
  expect(printing.run.log).toMatch(/^(?:::error::|Error: )\/load-form\/ failed: .*400.*INVALID_FILE/m);
  expect(printing.run.log).toContain(`The file ${printing.file} is empty.`);
});

powershellExample('remote-print.yml shows that a printer is unknown, and logs out', async () => {
  const printing = await startPrinting({ printer: 'Süd-1' });
  expectNotPrinted(printing);
  expect(printing.run.log).toMatch(/^(?:::error::|Error: )\/scene\/.*\/print\/ failed: .*400.*PRINTER_NOT_FOUND/m);
  expect(printing.run.log).toContain('There is no printer Süd-1.');
});

powershellExample('remote-print.yml gives up on a server that is silent, and logs out', async () => {
  const printing = await startPrinting({ silentAt: '/load-form/' });
  expectNotPrinted(printing);
  expect(printing.run.log).toMatch(/^(?:::error::|Error: )\/load-form\/ failed: .*(time|Timeout)/m);
});

powershellExample('remote-print.yml does not log out whoever it did not log in', async () => {
  const { formlabs, run } = await startPrinting({ silentAt: '/login/' });
  expect(run.steps.map(({ outcome }) => outcome)).toEqual(['success', 'failure', 'skipped', 'success']);
  expect(formlabs.liveTokens()).toBe(0);
});

example('python-client.yml lists every printer', pythonClient, reason || offline);

async function pythonClient(): Promise<void> {
  const formlabs = await startFormlabs();
  const run = await runOn(formlabs, 'examples/python-client.yml', {
    actions: {
      'actions/checkout': ({ repository, ref = '' }, workspace) => {
        const git = (...args: string[]) => execFileSync('git', args, { cwd: workspace });
        git('init', '--quiet');
        git('fetch', '--quiet', '--depth=1', `https://github.com/${repository}`, ref);
        git('checkout', '--quiet', 'FETCH_HEAD');
      },
    },
  });
  expectHeld(run, formlabs);
  for (const { serial, printer_status } of PRINTERS) {
    expect(run.log).toContain(`${serial} ${printer_status.status}`);
  }
}

example('sandbox.yml lists the printers of a mock Dashboard, which ends with the job', async () => {
  const run = await runWorkflow('examples/sandbox.yml');
  expect({ conclusion: run.conclusion, log: run.log }).toMatchObject({ conclusion: 'success' });
  for (const { serial, printer_status } of PRINTERS) {
    expect(run.log).toContain(`\n${serial} ${printer_status.status}\n`);
  }
  expect(run.log).toMatch(/It issued 1 access token and got 3 requests\.\nNo access token was left alive\.$/);
});

// Whoever copies an example reads this first when something is wrong.
for (const name of ['list-printers', 'export', 'composite']) {
  example(`${name}.yml is red with curl's own words where it gets no answer`, async () => {
    const formlabs = await startFormlabs();
    const run = await runOn(formlabs, `examples/${name}.yml`, {
      machine: { ...formlabs.machine, CURL_HOME: await nobodyListens() },
      actions: STAND_INS,
    });
    expect(run.conclusion).toBe('failure');
    expect(run.log).toMatch(/^curl: \(7\) /m);
    expect(run.log).not.toContain('No such file');
    expect(formlabs.liveTokens()).toBe(0);
  });
}

example('an example shows the answer of a Dashboard that refuses', async () => {
  const formlabs = await startFormlabs();
  const elsewhere = await startFormlabs();
  const run = await runOn(formlabs, 'examples/list-printers.yml', {
    machine: { ...formlabs.machine, CURL_HOME: dirname(elsewhere.authority) },
  });
  expect(run.conclusion).toBe('failure');
  expect(run.log).toContain('"detail":"Authentication credentials were not provided."');
});

example('an example waits where the Dashboard asks it to', async () => {
  const formlabs = await startFormlabs({ requestsPerSecond: 1 });
  const run = await runOn(formlabs, 'examples/list-printers.yml');
  expectHeld(run, formlabs);
  // What was refused is no part of what was asked for.
  expect(formlabs.requests().filter((request) => request.startsWith('GET'))).toHaveLength(2);
  expect(run.summary).toMatch(/^\| Serial .*\n.*\n\| Form4-EagerOtter/);
});

test('every example is run here', () => {
  const source = readFileSync(import.meta.filename, 'utf8');
  for (const name of readdirSync(join(ACTION_DIR, 'examples'))) {
    expect(source).toMatch(new RegExp(`^(?:powershellE|e)xample\\('(?:.* )?${name}/? `, 'm'));
  }
});
