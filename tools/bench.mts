import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import { ACTION_DIR, createStepFiles, readAction } from '../mock/runner.mts';
import { readNumbers } from './options.mts';

/**
 * `npm run bench`: what a step costs from its start to its end, beside a plain script that does the same
 * (floor.cjs). All arms run in turn, in many rounds, so that a slow moment of the machine hits all of
 * them, and each run is compared with the floor of its own round. The turn is another one in each round,
 * since what ran before leaves the processor's caches warm or cold. A table in Markdown comes out.
 */
const USAGE = 'Usage: npm run bench -- [--rounds 150]';

/** Memory is measured in rounds of its own, since asking for it takes time. A few will do: it hardly varies. */
const MEMORY_ROUNDS = 5;

const CLIENT_ID = 'bench-client';
const SECRET = 'bench-secret';

const action = readAction();

/**
 * Loaded before the script of a memory round. Linux counts the memory of the process that started this
 * one in maxRSS (it is taken over in exec), but not in VmHWM. Both are in KiB.
 */
const MEMORY_PROBE = `
const { readFileSync, writeSync } = require('node:fs');
process.on('exit', () => {
  const peak = process.platform === 'linux'
    ? /VmHWM:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]
    : process.resourceUsage().maxRSS;
  writeSync(3, String(peak));
});
`;

interface Arm {
  name: string;
  nodeArgs: string[];
  state?: Record<string, string>;
  /** Whether the run did what it should. */
  worked: (run: Run) => boolean;
  ms: number[];
  kib: number[];
}

interface Run {
  stdout: string;
  state: Record<string, string>;
  outputs: Record<string, string>;
  ms: number;
  /** Peak memory; NaN where it was not asked for. */
  kib: number;
}

async function main(): Promise<void> {
  const { rounds } = readNumbers({ rounds: 150 }, USAGE);
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }],
  });
  const tempDir = mkdtempSync(join(tmpdir(), 'formlabs-dashboard-token-bench-'));
  const server = fork(join(import.meta.dirname, 'bench-server.mts'));
  try {
    server.send({ host: 'localhost', tls: { cert, key }, clientId: CLIENT_ID, clientSecret: SECRET });
    const gone = new AbortController();
    server.once('exit', () => gone.abort());
    const [port] = await once(server, 'message', { signal: gone.signal });
    const run = createRunner(tempDir, cert, `https://localhost:${port}`);
    const arms = listArms(run);
    for (let round = 0; round <= rounds; round += 1) {
      for (const arm of shuffled(arms)) {
        const { ms } = run(arm);
        // The first round only warms up.
        if (round > 0) arm.ms.push(ms);
      }
    }
    for (let round = 0; round < MEMORY_ROUNDS; round += 1) {
      for (const arm of arms) arm.kib.push(run(arm, true).kib);
    }
    report(arms, rounds);
  } finally {
    server.kill();
    rmSync(tempDir, { recursive: true, force: true });
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

function listArms(run: (arm: Arm) => Run): Arm[] {
  const arm = (name: string, nodeArgs: string[], worked: Arm['worked']): Arm => {
    return { name, nodeArgs, worked, ms: [], kib: [] };
  };
  const gotToken = ({ stdout, state, outputs }: Run) =>
    /^[A-Za-z0-9]{30}$/.test(outputs['token'] ?? '') &&
    JSON.stringify(state).includes(outputs['token'] ?? '') &&
    stdout.startsWith('::add-mask::');

  const main = arm('main', [action.script('main')], gotToken);
  const post = arm('post', [action.script('post')], ({ stdout }) => /^Revoked the access token/m.test(stdout));
  return [
    arm('floor', [join(import.meta.dirname, 'floor.cjs')], gotToken),
    main,
    { ...post, state: run(main).state },
    arm('post, nothing to revoke', [action.script('post')], ({ stdout }) =>
      stdout.startsWith('There is no access token'),
    ),
    arm('node -e 0', ['-e', '0'], ({ stdout }) => stdout === ''),
  ];
}

/** Runs an arm once, with pipes for its output as the Actions runner has them. */
function createRunner(tempDir: string, cert: string, apiUrl: string) {
  const fileNamed = (name: string) => join(tempDir, name);
  const ca = fileNamed('ca.pem');
  const probe = fileNamed('memory-probe.cjs');
  writeFileSync(ca, cert);
  writeFileSync(probe, MEMORY_PROBE);

  return (arm: Arm, withMemory = false): Run => {
    const files = createStepFiles(fileNamed('files'));
    const nodeArgs = [...(withMemory ? ['--require', probe] : []), ...arm.nodeArgs];
    const inputs = { 'client-id': CLIENT_ID, 'client-secret': SECRET, 'api-url': apiUrl };
    const env = {
      PATH: process.env['PATH'],
      NODE_EXTRA_CA_CERTS: ca,
      ...files.env,
      ...action.environment(inputs, arm.state),
    };
    const startedAt = performance.now();
    const { status, output, stdout, stderr, error } = spawnSync(process.execPath, nodeArgs, {
      env,
      stdio: ['ignore', 'pipe', 'pipe', ...(withMemory ? (['pipe'] as const) : [])],
      encoding: 'utf8',
    });
    const ms = performance.now() - startedAt;
    const run = {
      stdout,
      ...files.read(),
      ms,
      kib: Number(output?.[3] ?? Number.NaN),
    };
    const measured = !withMemory || run.kib > 0;
    if (status !== 0 || stderr !== '' || !measured || !arm.worked(run)) {
      throw new Error(`${arm.name} failed (${error ?? status}):\n${stdout}${stderr}`);
    }
    return run;
  };
}

function report(arms: readonly Arm[], rounds: number): void {
  const [floor] = arms;
  if (floor === undefined) return;
  const ratio = (values: number[], base: number[]) =>
    median(values.map((value, round) => value / (base[round] ?? Number.NaN))).toFixed(2);
  console.log(`| arm | wall time, ms | × floor | peak memory, MiB | × floor |
| --- | ---: | ---: | ---: | ---: |`);
  for (const { name, ms, kib } of arms) {
    const cells = [
      name,
      median(ms).toFixed(1),
      ratio(ms, floor.ms),
      (median(kib) / 1_024).toFixed(1),
      ratio(kib, floor.kib),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
  const dist = join(ACTION_DIR, 'dist');
  const bytes = readdirSync(dist, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.js'))
    .reduce((sum, file) => sum + statSync(join(dist, file)).size, 0);
  console.log(`\nJavaScript in dist, both steps: ${(bytes / 1_024).toFixed(1)} KiB`);
  console.log(
    `Node ${process.version}, ${process.platform} ${process.arch}, ${cpus()[0]?.model.trim()} ` +
      `(${cpus().length} cores), medians of ${rounds} rounds`,
  );
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  return (at(Math.floor((sorted.length - 1) / 2)) + at(Math.ceil((sorted.length - 1) / 2))) / 2;
}

await main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
