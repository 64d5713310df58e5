import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { parse } from 'yaml';
import { ACTION_DIR } from '../mock/runner.mts';
import { readInputs } from '../src/runner/inputs';
import { projectFiles } from './support/files';
import { runMain } from './support/job';
import { startServer } from './support/scripted-server';

interface Action {
  inputs: Record<string, { required: boolean; default?: string; description: string }>;
  outputs: Record<string, { description: string }>;
}
interface Step {
  run?: string;
  uses?: string;
  with?: Record<string, unknown>;
}
interface Workflow {
  on?: unknown;
  jobs?: Record<string, { steps?: Step[] }>;
  runs?: { steps?: Step[] };
}

function read(path: string): string {
  return readFileSync(join(ACTION_DIR, path), 'utf8');
}

function files(ending: RegExp): string[] {
  return projectFiles().filter((path) => ending.test(path));
}

const action = parse(read('action.yml')) as Action;
const types = parse(read('action-types.yml')) as Record<'inputs' | 'outputs', Record<string, { type: string }>>;
const readme = read('README.md');
const documents = files(/\.md$/);

/** The rows of the table below a heading. */
function table(document: string, heading: string): string[][] {
  const section = document.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('|'));
  return rows.slice(2).map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** What the code reads from inputs: what is given here, the defaults of action.yml, and an ID and a secret. */
function readWith(given: Readonly<Record<string, string>>) {
  for (const [name, input] of Object.entries(action.inputs)) {
    process.env[`INPUT_${name.toUpperCase()}`] = given[name] ?? input.default ?? `a ${name}`;
  }
  jest.spyOn(process.stdout, 'write').mockReturnValue(true); // the command that masks the secret
  return readInputs();
}

afterEach(() => {
  jest.restoreAllMocks();
  for (const name of Object.keys(process.env)) if (name.startsWith('INPUT_')) delete process.env[name];
});

describe('action.yml', () => {
  test('its inputs stand in the table of the README, with the same default and required flag', () => {
    const rows = table(readme, 'Inputs').map((cells) => cells.slice(0, 3));
    const expected = Object.entries(action.inputs).map(([name, input]) => [
      `\`${name}\``,
      input.required ? 'yes' : 'no',
      input.default ? `\`${input.default}\`` : '',
    ]);
    expect({ 'README.md, Inputs': rows }).toEqual({ 'README.md, Inputs': expected });
  });

  test('its outputs stand in the table of the README', () => {
    const names = table(readme, 'Outputs').map(([name]) => name);
    expect(names).toEqual(Object.keys(action.outputs).map((name) => `\`${name}\``));
  });

  test('its inputs and outputs have types that fit their defaults', () => {
    expect(Object.keys(types.inputs)).toEqual(Object.keys(action.inputs));
    expect(Object.keys(types.outputs)).toEqual(Object.keys(action.outputs));
    for (const [name, input] of Object.entries(action.inputs)) {
      if (types.inputs[name]?.type === 'boolean') expect(input.default).toMatch(/^(true|false)$/);
      if (types.inputs[name]?.type === 'integer') expect(input.default).toMatch(/^\d+$/);
    }
  });

  test('its defaults are those of the code, which an empty input means', () => {
    const defaults = Object.entries(action.inputs).filter(([, input]) => input.default !== undefined);
    for (const [name, input] of defaults) {
      expect({ [name]: readWith({ [name]: '' }) }).toEqual({ [name]: readWith({ [name]: input.default ?? '' }) });
    }
  });

  test('its outputs are what a step that ends well sets', async () => {
    const { outputs } = await runMain(await startServer());
    expect(Object.keys(outputs)).toEqual(Object.keys(action.outputs));
  });

  test.each(Object.keys(action.inputs))('%s is read, and refused with its name when it is wrong', async (name) => {
    const { annotations } = await runMain({ url: 'http://127.0.0.1:1' }, { inputs: { [name]: '\u0001' } });
    expect(annotations.map(({ message }) => message)).toEqual([expect.stringContaining(`Input ${name} `)]);
  });

  test('has its inputs in the troubleshooting, with their errors', () => {
    const explained = [...read('docs/troubleshooting.md').matchAll(/^### `Input (\S+) /gm)].map(([, name]) => name);
    expect(explained).toEqual(
      expect.arrayContaining(Object.keys(action.inputs).filter((name) => action.inputs[name]?.default)),
    );
  });
});

test('package.json, lock file, user agent and changelog name the same version', async () => {
  const { version, name } = JSON.parse(read('package.json')) as { version: string; name: string };
  const lock = JSON.parse(read('package-lock.json')) as { version: string };
  const changelog = read('CHANGELOG.md');
  const [newest] = [...changelog.matchAll(/^## \[(\d+\.\d+\.\d+)\]/gm)].map(([, v]) => v);
  const server = await startServer();
  await runMain(server);
  expect(server.requests[0]?.headers['user-agent']).toBe(`${name}/${version}`);
  expect(lock.version).toBe(version);
  expect(newest).toBe(version);
});

test('the table of dependencies names all of them, and nothing else', () => {
  const manifests = files(/(^|\/)package\.json$/).map((path) => JSON.parse(read(path)));
  const dependencies = manifests.flatMap((manifest: Record<string, Record<string, string>>) =>
    ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((kind) => Object.keys(manifest[kind] ?? {})),
  );
  const listed = table(read('CONTRIBUTING.md'), 'Dependencies').flatMap(([names = '']) =>
    [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  );
  expect([...listed].sort()).toEqual([...dependencies].sort());
});

test('no npm script needs another one before or after it, which npm leaves out where ignore-scripts is set', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const hooks = Object.keys(scripts).flatMap((name) => [`pre${name}`, `post${name}`]);
  expect(Object.keys(scripts).filter((name) => hooks.includes(name))).toEqual([]);
});

test('every package in the lock file has an integrity value', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { integrity?: string; link?: boolean }>;
  };
  const installed = Object.entries(packages).filter(([path, { link }]) => path.startsWith('node_modules/') && !link);
  const without = installed.filter(([, { integrity }]) => !integrity).map(([path]) => path);
  expect(installed.length).toBeGreaterThan(0);
  expect(without).toEqual([]);
});

/** How GitHub spells a heading in a link. */
function anchors(document: string): string[] {
  return [...document.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** The targets of all links in a document that lead into the project. */
function relativeLinks(path: string): string[] {
  const links = [...read(path).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return links.filter((target) => !/^[a-z]+:/.test(target));
}

describe('every relative link leads somewhere', () => {
  test.each(documents.filter((path) => relativeLinks(path).length > 0))('%s', (path) => {
    for (const link of relativeLinks(path)) {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? path : join(dirname(path), file);
      expect({ link, exists: existsSync(join(ACTION_DIR, target)) }).toEqual({
        link,
        exists: true,
      });
      if (anchor)
        expect({ link, anchors: anchors(read(target)) }).toEqual({
          link,
          anchors: expect.arrayContaining([anchor]),
        });
    }
  });
});

/** The npm scripts and the files in .ci/ that a document tells its reader to run. */
function commands(path: string): { scripts: string[]; files: string[] } {
  const text = read(path);
  const scripts = text.matchAll(/\bnpm (?:run ([a-z:]+)|(start|test)\b)/g);
  return {
    scripts: [...scripts].map(([, named, short]) => named ?? short ?? ''),
    files: [...text.matchAll(/(?<![\w/])\.ci\/[a-z-]+(?:\.js)?/g)].map(([file]) => file),
  };
}

describe('every command in a document exists', () => {
  const withCommands = documents.filter((path) => Object.values(commands(path)).flat().length > 0);

  test.each(withCommands)('%s', (path) => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const used = commands(path);
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(used.scripts));
    expect(used.files.filter((file) => !existsSync(join(ACTION_DIR, file)))).toEqual([]);
  });

  test('and every npm script stands in CONTRIBUTING.md', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    // Those that another one runs are not meant to be run by hand.
    const own = Object.keys(scripts).filter((name) => !/^build:/.test(name));
    expect(commands('CONTRIBUTING.md').scripts).toEqual(expect.arrayContaining(own));
  });
});

test('the table of tests names files that exist', () => {
  const named = [...read('CONTRIBUTING.md').matchAll(/`([a-z-]+\.test\.ts)`/g)];
  const missing = named.filter(([, file]) => !existsSync(join(ACTION_DIR, `__tests__/${file}`)));
  expect(named.length).toBeGreaterThan(5);
  expect(missing).toEqual([]);
});

describe('the README', () => {
  test('links to all of its headings, in their order', () => {
    const [, contents = ''] = readme.split('**Contents**');
    const linked = [...(contents.split('\n## ')[0] ?? '').matchAll(/\]\(#([^)]+)\)/g)];
    // The title is where one is, and the recipes are linked one by one.
    const headings = anchors(readme)
      .slice(1)
      .filter((anchor) => anchor !== 'recipes');
    expect(linked.map(([, anchor]) => anchor)).toEqual(headings);
  });

  test('links to every example', () => {
    const examples = files(/^examples\/.*\.yml$/);
    expect(examples.length).toBeGreaterThan(0);
    expect(relativeLinks('README.md')).toEqual(expect.arrayContaining(examples));
  });
});

/** The fenced blocks of YAML in a document. */
function yamlBlocks(path: string): string[] {
  return [...read(path).matchAll(/```ya?ml\n(.*?)```/gs)].map(([, block = '']) => block);
}

/** The steps of a workflow or of a composite action, or of an excerpt that is a list of steps. */
function stepsOf(text: string): Step[] {
  const content = parse(text) as Workflow | Step[];
  if (Array.isArray(content)) return content;
  const jobs = Object.values(content.jobs ?? {});
  return [...jobs.flatMap(({ steps = [] }) => steps), ...(content.runs?.steps ?? [])];
}

/** The steps that use this action, by its name or, in this repository, by its path. */
function usesOfTheAction(text: string): Step[] {
  return stepsOf(text).filter(({ uses = '' }) => /^[\w-]+\/formlabs-dashboard-token@|^\.\/$/.test(uses));
}

describe('workflows that use the action name its inputs', () => {
  const blocks = documents.flatMap((path) =>
    yamlBlocks(path).map((block, index): [string, string] => [`${path} #${index + 1}`, block]),
  );
  const workflows = files(/^(examples|\.github)\/.*\.yml$/).map((path): [string, string] => [path, read(path)]);

  test.each([...blocks, ...workflows].filter(([, text]) => usesOfTheAction(text).length > 0))('%s', (_name, text) => {
    const isExcerpt = Array.isArray(parse(text));
    for (const { with: inputs = {} } of usesOfTheAction(text)) {
      const names = Object.keys(inputs);
      expect(Object.keys(action.inputs)).toEqual(expect.arrayContaining(names));
      if (!isExcerpt) {
        expect(names).toEqual(expect.arrayContaining(['client-id', 'client-secret']));
      }
    }
  });

  test('the first of the README is complete', () => {
    const [first = ''] = yamlBlocks('README.md');
    expect(usesOfTheAction(first)).toHaveLength(1);
    expect(Object.keys(parse(first) as Workflow)).toEqual(['name', 'on', 'permissions', 'jobs']);
  });
});

test('workflows install with .ci/install, which leaves out the Node from npm, but for the job that tests it', () => {
  const jobs = files(/^\.github\/workflows\//).flatMap((path) =>
    Object.entries((parse(read(path)) as Workflow).jobs ?? {}),
  );
  const others = jobs.filter(([, { steps = [] }]) => steps.some(({ run = '' }) => /\bnpm (ci|i|install)\b/.test(run)));
  expect(others.map(([name]) => name)).toEqual(['test-from-node-20']);
});

const TEXTS = files(/\.(md|yml|mts|ts|json|cjs|js|svg)$|^\.ci\/|CODEOWNERS$/);

test('every file names the same owner of the repository', () => {
  const owner = (text: string) =>
    [...text.matchAll(/(?<![\w$.}-])([\w-]+)\/formlabs-dashboard-token(?![\w*-])/g)].map(([, name]) => name);
  const owners = TEXTS.flatMap((path) => owner(read(path)));
  expect(owners.length).toBeGreaterThan(10);
  expect([...new Set(owners)]).toEqual(owner(readme).slice(0, 1));
});

test('public text has no absolute path of a machine', () => {
  expect(TEXTS.length).toBeGreaterThan(50);
  for (const path of TEXTS) {
    expect({ path, found: /(?<![\w.])\/(home|root|Users|work)\/\w/.exec(read(path))?.[0] }).toEqual({ path });
  }
});
