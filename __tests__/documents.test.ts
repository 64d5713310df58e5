import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { parse } from 'yaml';
import { ACTION_DIR } from '../mock/runner.mts';
import { readInputs } from '../src/runner/inputs';
import { projectFiles } from './support/files';
import { runMain } from './support/job';
import { slugOf } from './support/markdown';
import { startServer } from './support/scripted-server';

interface Action {
  inputs: Record<string, { required: boolean; default?: string }>;
  outputs: Record<string, unknown>;
}
interface Step {
  uses?: string;
  with?: Record<string, unknown>;
}
interface Workflow {
  jobs?: Record<string, { steps?: Step[] }>;
  runs?: { steps?: Step[] };
}

const FILES = projectFiles();
const documents = files(/\.md$/);
const action = parse(read('action.yml')) as Action;
const inputs = Object.entries(action.inputs);
const manifest = JSON.parse(read('package.json'));
const lock = JSON.parse(read('package-lock.json'));

function read(path: string): string {
  return readFileSync(join(ACTION_DIR, path), 'utf8');
}

function files(name: RegExp): string[] {
  return FILES.filter((path) => name.test(path));
}

function found(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([all, group]) => group ?? all);
}

/** The rows of the table below a heading. */
function table(path: string, heading: string): string[][] {
  const section = read(path).split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = found(section, /^\|(.*)\|$/gm).slice(2);
  return rows.map((row) => row.split('|').map((cell) => cell.trim()));
}

function headings(document: string): string[] {
  return found(document, /^#+ (.+)$/gm).map(slugOf);
}

/** Whether a link in a document leads nowhere. */
function isBroken(path: string, link: string): boolean {
  const [file = '', heading] = link.split('#');
  const target = file === '' ? path : join(dirname(path), file);
  return !existsSync(join(ACTION_DIR, target)) || !(heading === undefined || headings(read(target)).includes(heading));
}

/** The steps of a workflow or of a composite action, or of an excerpt that is a list of steps. */
function stepsOf(text: string): Step[] {
  const content = parse(text) as Workflow | Step[];
  if (Array.isArray(content)) return content;
  return [content.runs ?? {}, ...Object.values(content.jobs ?? {})].flatMap(({ steps = [] }) => steps);
}

afterEach(() => {
  jest.restoreAllMocks();
  for (const name of Object.keys(process.env)) if (name.startsWith('INPUT_')) delete process.env[name];
});

describe('the inputs of action.yml', () => {
  test('stand in the README with their defaults, have a type, and a heading for their errors', () => {
    const rows = inputs.map(([name, input]) => [
      `\`${name}\``,
      input.required ? 'yes' : 'no',
      input.default ? `\`${input.default}\`` : '',
    ]);
    expect(table('README.md', 'Inputs').map((cells) => cells.slice(0, 3))).toEqual(rows);
    expect(Object.keys(parse(read('action-types.yml')).inputs)).toEqual(Object.keys(action.inputs));
    const explained = found(read('docs/troubleshooting.md'), /^### Input (.+)$/gm);
    expect(explained).toEqual(Object.keys(action.inputs));
  });

  test('have the defaults of the code, which an empty input means', () => {
    const readWith = (given: Readonly<Record<string, string | undefined>>) => {
      for (const [name, input] of inputs) {
        process.env[`INPUT_${name.toUpperCase()}`] = given[name] ?? input.default ?? `a ${name}`;
      }
      return readInputs();
    };
    jest.spyOn(process.stdout, 'write').mockReturnValue(true); // the command that masks the secret
    const defaults = inputs.filter(([, input]) => input.default !== undefined);
    for (const [name] of defaults) expect({ [name]: readWith({ [name]: '' }) }).toEqual({ [name]: readWith({}) });
  });
});

test('the outputs of action.yml stand in the README, and have a type', () => {
  const names = Object.keys(action.outputs);
  expect(table('README.md', 'Outputs').map(([name]) => name)).toEqual(names.map((name) => `\`${name}\``));
  expect(Object.keys(parse(read('action-types.yml')).outputs)).toEqual(names);
});

test('a step sets these outputs, and is of the version of package.json, lock file and changelog', async () => {
  const server = await startServer();
  const { outputs } = await runMain(server);
  expect(Object.keys(outputs)).toEqual(Object.keys(action.outputs));
  expect(server.requests[0]?.headers['user-agent']).toBe(`${manifest.name}/${manifest.version}`);
  expect(lock.version).toBe(manifest.version);
  expect(found(read('CHANGELOG.md'), /^## \[(\d+\.\d+\.\d+)\]/gm)[0]).toBe(manifest.version);
});

test('every package in the lock file has an integrity value', () => {
  const packages: [path: string, { integrity?: string; link?: boolean }][] = Object.entries(lock.packages);
  const installed = packages.filter(([path, { link }]) => path.startsWith('node_modules') && !link);
  expect(installed.length).toBeGreaterThan(0);
  expect(installed.filter(([, { integrity }]) => !integrity)).toEqual([]);
});

test.each(documents)('%s: every link into the project leads somewhere, and every command exists', (path) => {
  const text = read(path);
  const links = found(text, /\]\(([^)\s]+)\)/g).filter((target) => !/^[a-z]+:/.test(target));
  const scripts = found(text, /\bnpm (?:run )?(start|test|(?<=run )[a-z:]+)\b/g);
  expect(links.filter((link) => isBroken(path, link))).toEqual([]);
  expect(scripts.filter((name) => !(name in manifest.scripts))).toEqual([]);
  expect(found(text, /(?<![\w/])\.ci\/[a-z-]+/g).filter((file) => !existsSync(join(ACTION_DIR, file)))).toEqual([]);
});

test('the README links to every example', () => {
  for (const path of files(/^examples\/.*\.yml$/)) expect(read('README.md')).toContain(`](${path})`);
});

test('workflows and excerpts that use the action name its inputs', () => {
  const excerpts = documents.flatMap((path) => found(read(path), /```ya?ml\n(.*?)```/gs));
  const steps = [...excerpts, ...files(/^(examples|\.github)\/.*\.yml$/).map(read)].flatMap(stepsOf);
  const uses = steps.filter((step) => /^[\w-]+\/formlabs-dashboard-token@|^\.\/$/.test(step.uses ?? ''));
  expect(uses.length).toBeGreaterThan(10);
  const names = uses.flatMap((step) => Object.keys(step.with ?? {}));
  expect(names.filter((name) => !(name in action.inputs))).toEqual([]);
});

test('every file names the same owner of the repository', () => {
  const texts = files(/\.(md|yml|mts|ts|json|cjs|js|svg)$|^\.ci\/|CODEOWNERS$/).map(read);
  const owners = texts.flatMap((text) => found(text, /(?<![\w$.}-])([\w-]+)\/formlabs-dashboard-token(?![\w*-])/g));
  expect(owners.length).toBeGreaterThan(10);
  expect(new Set(owners).size).toBe(1);
});
