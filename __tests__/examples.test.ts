import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, jest, test } from '@jest/globals';
import { parse } from 'yaml';
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

/** The workflow of an example. */
function workflowOf(file: string): unknown {
  return parse(readFileSync(join(ACTION_DIR, 'examples', file), 'utf8'));
}

/** Runs a workflow, or that of an example, where api.formlabs.com is the mock Dashboard. */
function runOn({ secrets, machine, nodeArgs }: Formlabs, workflow: unknown, options: JobOptions = {}): Promise<JobRun> {
  const parsed = typeof workflow === 'string' ? workflowOf(workflow) : workflow;
  return runWorkflow(parsed, { secrets, machine, nodeArgs, ...options });
}

/** The checkout of a repository that has the composite action where its first lines say. */
const STAND_INS: NonNullable<JobOptions['actions']> = {
  'actions/checkout': (_inputs, workspace) =>
    cpSync(join(ACTION_DIR, 'examples/composite-action'), join(workspace, '.github/actions/formlabs-printers'), {
      recursive: true,
    }),
};

interface RecipeStep {
  name?: string;
  shell?: string;
}

/** The workflow that the README starts with, and its recipes, each a list of steps for one shell. */
const [FIRST_WORKFLOW, ...RECIPES] = [
  ...readFileSync(join(ACTION_DIR, 'README.md'), 'utf8').matchAll(/```yaml\n(.*?)```/gs),
].map(([, block = '']) => parse(block)) as [{ jobs: { printers: { steps: RecipeStep[] } } }, ...unknown[]];

/** A step that the README gives for a shell. */
function recipe(name: string, shell: string): RecipeStep {
  const recipes: RecipeStep[] = RECIPES.filter(Array.isArray).flat();
  const step = recipes.find((one) => one.name === name && one.shell === shell);
  if (step === undefined) throw new Error(`The README has no step ${name} in ${shell}.`);
  return step;
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
function expectHeld(run: JobRun, formlabs: Formlabs): void {
  const wrong = run.steps.filter(({ outcome }) => outcome !== 'success').map(({ name }) => name);
  expect({ wrong, log: wrong.length > 0 ? run.log : '' }).toEqual({ wrong: [], log: '' });
  expect(run.steps.at(-1)?.name).toMatch(/^Post Run /);
  expect([formlabs.issuedTokens(), formlabs.liveTokens()]).toEqual([1, 0]);
}

for (const shell of ['bash', 'powershell']) {
  example(
    `the first workflow of README.md lists printers, and its token is revoked early, in ${shell}`,
    async () => {
      const formlabs = await startFormlabs();
      const [theAction, list] = FIRST_WORKFLOW.jobs.printers.steps;
      const steps = [theAction, shell === 'bash' ? list : recipe('List printers', shell)];
      const workflow = { jobs: { printers: { steps: [...steps, recipe('Revoke the token', shell)] } } };
      const run = await runOn(formlabs, workflow, shell === 'bash' ? {} : await forPowerShell(formlabs));
      expectHeld(run, formlabs);
      expectPrinters(run);
      const revocations = formlabs.requests().filter((request) => request.endsWith('/revoke_token/'));
      expect(revocations).toHaveLength(2);
    },
    reason || (shell === 'powershell' ? noPowerShell : ''),
  );
}

example('reusable.yml lists serials and status', async () => {
  const formlabs = await startFormlabs();
  const run = await runOn(formlabs, 'reusable.yml');
  expectHeld(run, formlabs);
  expectPrinters(run);
});

example('list-printers.yml puts every printer into the summary, and waits where the Dashboard asks it to', async () => {
  const formlabs = await startFormlabs({ requestsPerSecond: 1 });
  // The Dashboard's clock stands still, so that no load on the machine matters: a second passes once the first GET has
  // been refused, and another before the post step asks.
  const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.now());
  for (const count of [2, 3]) formlabs.received(count).then(() => clock.mockReturnValue(Date.now() + 1_000));
  cleanup(() => jest.restoreAllMocks());
  const run = await runOn(formlabs, 'list-printers.yml');
  expectHeld(run, formlabs);
  expect(formlabs.requests().filter((request) => request.startsWith('GET'))).toHaveLength(2);
  // What was refused is no part of what was asked for.
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
  const run = await runOn(formlabs, 'export.yml', {
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
  const run = await runOn(formlabs, 'composite.yml', { actions: STAND_INS });
  expectHeld(run, formlabs);
  expect(run.log).toContain(PRINTERS.map(({ serial }) => serial).join('\n'));
});

example('proxy.yml does everything through a proxy that opens TLS', async () => {
  const formlabs = await startFormlabs();
  const proxy = await startProxy({ target: formlabs });
  const run = await runWorkflow(workflowOf('proxy.yml'), {
    secrets: formlabs.secrets,
    env: { https_proxy: `http://${proxy.host}`, NODE_EXTRA_CA_CERTS: formlabs.authority },
  });
  expectHeld(run, formlabs);
  expect(proxy.connects).toEqual(Array(3).fill('api.formlabs.com:443'));
  expectPrinters(run);
});

/** A PreFormServer with a .form file on its machine, and what the workflow that prints needs to use both. */
async function startPrinting(options: { silentAt?: string; printer?: string; printNow?: string } = {}) {
  const { silentAt, printer = 'Form4-EagerOtter', printNow = 'false' } = options;
  const formlabs = await startFormlabs();
  const server = await startPreFormServer(formlabs.accepts, silentAt === undefined ? {} : { silentAt });
  cleanup(server.close);
  const file = join(formlabs.folder, 'Prüfling ½.form');
  writeFileSync(file, 'form');
  const run = await runOn(formlabs, 'remote-print.yml', {
    inputs: { 'form-file': file, printer, 'job-name': 'Prüfling "½"', 'print-now': printNow },
    // A proxy that answers nobody.
    machine: { ...formlabs.machine, http_proxy: 'http://127.0.0.1:9', HTTP_PROXY: 'http://127.0.0.1:9' },
    env: { PREFORM_SERVER: server.url, ...(silentAt !== undefined && { REQUEST_SECONDS: '1' }) },
  });
  return { formlabs, server, file, run };
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

type Failure = [name: string, options: Parameters<typeof startPrinting>[0], logOut: string, shows: RegExp];
const FAILURES: Failure[] = [
  [
    'a printer is unknown',
    { printer: 'Süd-1' },
    'success',
    /\/print\/ failed: .*400.*PRINTER_NOT_FOUND.* no printer Süd-1\./,
  ],
  // Whoever it did not log in is not logged out either.
  ['a login is not answered', { silentAt: '/login/' }, 'skipped', /\/login\/ failed: .*(time|Timeout)/],
];
for (const [name, options, logOut, shows] of FAILURES) {
  powershellExample(`remote-print.yml is red and prints nothing where ${name}, and cleans up`, async () => {
    const { formlabs, server, run } = await startPrinting(options);
    expect(server.jobs).toEqual([]);
    expect(run.steps.map(({ outcome }) => outcome)).toEqual(['success', 'failure', logOut, 'success']);
    expect([server.isLoggedIn(), formlabs.liveTokens()]).toEqual([logOut === 'skipped', 0]);
    const errors = run.log.split('\n').filter((line) => /^(?:::error::|Error: )/.test(line));
    expect(errors).toEqual([expect.stringMatching(shows)]);
  });
}

example('python-client.yml lists every printer', pythonClient, reason || offline);

async function pythonClient(): Promise<void> {
  const formlabs = await startFormlabs();
  const run = await runOn(formlabs, 'python-client.yml', {
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
  const run = await runWorkflow(workflowOf('sandbox.yml'));
  expect({ conclusion: run.conclusion, log: run.log }).toMatchObject({ conclusion: 'success' });
  for (const { serial, printer_status } of PRINTERS) {
    expect(run.log).toContain(`\n${serial} ${printer_status.status}\n`);
  }
  expect(run.log).toMatch(/It issued 1 access token and got 3 requests\.\nNo access token was left alive\.$/);
});

// Whoever copies an example reads this first when something is wrong.
example("examples are red with curl's own words where they get no answer", async () => {
  const formlabs = await startFormlabs();
  writeFileSync(join(formlabs.folder, '.curlrc'), 'connect-to = "api.formlabs.com:443:127.0.0.1:1"\n');
  const files = ['list-printers.yml', 'export.yml', 'composite.yml'];
  const runs = await Promise.all(files.map((file) => runOn(formlabs, file, { actions: STAND_INS })));
  for (const { conclusion, log } of runs) {
    expect(conclusion).toBe('failure');
    expect(log).toMatch(/^curl: \(7\) /m);
    expect(log).not.toContain('No such file');
  }
  expect(formlabs.liveTokens()).toBe(0);
});

example('examples are red and say why where the Dashboard refuses', async () => {
  const [formlabs, another] = await Promise.all([startFormlabs(), startFormlabs()]);
  const options = { machine: { ...formlabs.machine, CURL_HOME: another.folder } };
  const workflows = [FIRST_WORKFLOW, 'list-printers.yml'];
  const runs = await Promise.all(workflows.map((workflow) => runOn(formlabs, workflow, options)));
  expect(runs).toMatchObject([
    { conclusion: 'failure', log: expect.stringMatching(/^curl: \(22\) .* 401/m) },
    { conclusion: 'failure', log: expect.stringContaining('"detail":"Authentication credentials were not provided."') },
  ]);
});
