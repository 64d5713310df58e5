import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { ACTION_DIR, createJob, type JobOptions, type StepName } from '../mock/runner.mts';
import { cleanup } from './support/cleanup';
import { expectGreen, inputsFor } from './support/job';
import { startServer, TOKEN } from './support/scripted-server';

const DIST = join(ACTION_DIR, 'dist');
const STEPS = ['main', 'post'] as const;

function bundle(step: StepName): string {
  return readFileSync(join(DIST, step, 'index.js'), 'utf8');
}

/** Runs both steps of a job that goes well, with a Node or a copy of the action of one's own. */
async function runJob(options: JobOptions): Promise<void> {
  const server = await startServer();
  const job = createJob(options);
  cleanup(job.end);

  const main = await job.run('main', { inputs: inputsFor(server) });
  expectGreen(main);
  expect(main.stderr).toBe('');
  expect(main.outputs).toMatchObject({ token: TOKEN });

  const post = await job.run('post', { inputs: inputsFor(server) });
  expectGreen(post);
  expect(post.stderr).toBe('');
  expect(server.revoked).toEqual([TOKEN]);
}

describe('dist', () => {
  test('holds two bundles, what each has in it, and the kind of module that they are', () => {
    const files = readdirSync(DIST, { recursive: true, encoding: 'utf8' }).map((file) => file.replaceAll('\\', '/'));
    const bundles = STEPS.flatMap((step) => [step, `${step}/index.js`, `${step}/licenses.txt`]);
    expect(files.sort()).toEqual([...bundles, 'package.json'].sort());
    expect(JSON.parse(readFileSync(join(DIST, 'package.json'), 'utf8'))).toEqual({ type: 'commonjs' });
  });

  test('is of 320 KiB at most, and can be read', () => {
    const bytes = STEPS.map((step) => statSync(join(DIST, step, 'index.js')).size);
    expect(bytes.reduce((sum, size) => sum + size)).toBeLessThanOrEqual(320 * 1_024);
    for (const step of STEPS) expect(bundle(step).includes('async function exchange(')).toBe(true);
  });

  test('runs below a package.json that says that all modules are ES modules', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bundle-'));
    cleanup(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    for (const part of ['action.yml', 'dist']) cpSync(join(ACTION_DIR, part), join(folder, part), { recursive: true });
    await runJob({ action: folder });
  });
});

describe.each(STEPS)('the bundle of %s', (step) => {
  test('needs nothing but Node itself', () => {
    const required = [...bundle(step).matchAll(/\b(?:require|import)\("([^"]+)"\)/g)].map(([, name = '']) => name);
    expect(required).toEqual(expect.arrayContaining(['node:fs', 'https']));
    expect(required.filter((name) => !isBuiltin(name))).toEqual([]);
  });

  test('has no Unicode category in a regular expression, which V8 would look up at every start', () => {
    // In a string, its backslash is doubled: a regular expression is made of it when it is needed.
    expect(bundle(step).match(/(?<!\\)\\p\{\w/gi)).toBeNull();
  });

  test('comes with the license of each package in it, and its copyright', () => {
    const texts = readFileSync(join(DIST, step, 'licenses.txt'), 'utf8');
    const names = ['@actions/core', '@actions/http-client', 'left-out-of-the-bundle'];
    const parts = texts.split(/^(@?[\w./-]+)\nMIT\n/m).slice(1);
    expect(parts.filter((_, index) => index % 2 === 0)).toEqual(names);
    // What stands in for others is of this project, whose license is at its root.
    for (const text of [parts[1], parts[3]])
      expect(text).toMatch(/^Copyright .*GitHub.*Permission is hereby granted/ms);
    expect(readFileSync(join(ACTION_DIR, 'LICENSE'), 'utf8')).toMatch(/^MIT License\n\nCopyright \(c\) \d{4} /);
  });
});

describe('undici, tunnel and @actions/exec are left out', () => {
  const require = createRequire(import.meta.url);
  const standIn: Record<string, () => unknown> = require('../stubs/index.js');

  test('of both bundles, for one package that stands in for them', () => {
    for (const step of STEPS) {
      expect(bundle(step).match(/undici\/lib|kDispatch|class Dispatcher|TunnelingAgent|class ToolRunner/g)).toBeNull();
      expect(bundle(step).match(/function leftOutOfTheBundle\(/g)).toHaveLength(1);
    }
  });

  test('it has all that the toolkit takes of them, and says so to whoever calls it', () => {
    const read = (file: string) => readFileSync(join(ACTION_DIR, 'node_modules/@actions', file), 'utf8');
    const client = read('http-client/lib/index.js');
    const taken = [
      ...[...client.matchAll(/\btunnel\.(\w+)/g)].map(([, name = '']) => [name, 'tunnel']),
      ...[...client.matchAll(/import \{ (\w+) \} from 'undici'/g)].map(([, name = '']) => [name, 'undici']),
      ...[...read('core/lib/platform.js').matchAll(/\bexec\.(\w+)/g)].map(([, name = '']) => [name, '@actions/exec']),
    ];
    const packages: Record<string, string> = Object.fromEntries(taken);
    expect(Object.keys(standIn).sort()).toEqual(Object.keys(packages).sort());
    for (const [name, call] of Object.entries(standIn)) {
      expect(call).toThrow(`${packages[name]} is left out of this bundle`);
    }
  });
});

/** A Node of another line than the one that runs this, among those that the machine has. */
async function findNode20(): Promise<string | undefined> {
  const name = process.platform === 'win32' ? 'node.exe' : 'node';
  const candidates = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, name));
  for (const candidate of candidates.filter((path) => existsSync(path))) {
    const { stdout } = await promisify(execFile)(candidate, ['--version']);
    if (stdout.startsWith('v20.')) return candidate;
  }
  return undefined;
}

const node20 = await findNode20();

const name = 'on Node 20 a whole job goes well';
if (node20 === undefined) test.skip(`${name} (not run: no Node 20 is on the PATH)`, () => {});
else test(name, () => runJob({ node: node20 }));
