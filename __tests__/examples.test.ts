import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { CARTRIDGES, PRINTERS, PRINTS, TANKS } from '../mock/fleet.mts';
import { startPreFormServer } from '../mock/preform-server.mts';
import { ACTION_DIR } from '../mock/runner.mts';
import { cleanup } from './support/cleanup';
import { type Formlabs, startFormlabs } from './support/formlabs';
import { startProxy } from './support/proxy';
import { type JobOptions, type JobRun, runWorkflow } from './support/workflow';

// Every example, whole: the steps of its own workflow file, with real shells, curl and jq, and this action
// from its bundle. https://api.formlabs.com is answered by the sandbox; nothing in a script is replaced.

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

/** All steps ended well, and the token is revoked and was never seen. */
function expectHeld(run: JobRun, formlabs: Pick<Formlabs, 'issuedTokens' | 'liveTokens'>): void {
  const wrong = run.steps.filter(({ outcome }) => outcome !== 'success').map(({ name }) => name);
  expect({ wrong, log: wrong.length > 0 ? run.log : '' }).toEqual({ wrong: [], log: '' });
  expect(run.steps.at(-1)?.name).toMatch(/^Post Run /);
  expect([formlabs.issuedTokens(), formlabs.liveTokens()]).toEqual([1, 0]);
}

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
  expect(run.log).toContain('"serial":"Form4-EagerOtter"');
});

example('remote-print.yml sends a scene to a printer, and logs out', async () => {
  const formlabs = await startFormlabs();
  const server = await startPreFormServer(formlabs.accepts);
  cleanup(server.close);
  const file = join(dirname(formlabs.authority), 'part.form');
  writeFileSync(file, '');
  const inputs = { 'form-file': file, printer: 'Form4-EagerOtter', 'job-name': 'A "part"' };
  const run = await runOn(formlabs, 'examples/remote-print.yml', {
    inputs,
    env: { PREFORM_SERVER: server.url },
  });
  expectHeld(run, formlabs);
  expect(server.jobs).toEqual([{ printer: 'Form4-EagerOtter', name: 'A "part"', file }]);
  expect(server.isLoggedIn()).toBe(false);
});

example('remote-print.yml logs out and revokes where nothing could be printed', async () => {
  const formlabs = await startFormlabs();
  const server = await startPreFormServer(formlabs.accepts);
  cleanup(server.close);
  const inputs = { 'form-file': '/missing.form', printer: 'Form4-EagerOtter', 'job-name': 'Part' };
  const run = await runOn(formlabs, 'examples/remote-print.yml', {
    inputs,
    env: { PREFORM_SERVER: server.url },
  });
  expect(run.steps.map(({ outcome }) => outcome)).toEqual([
    'success',
    'success',
    'failure',
    'skipped',
    'success',
    'success',
  ]);
  expect(run.log).toContain('FILE_NOT_FOUND');
  expect(server.isLoggedIn()).toBe(false);
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
    expect(source).toMatch(new RegExp(`^example\\('(?:.* )?${name}/? `, 'm'));
  }
});
