import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { ACTION_DIR } from '../sandbox/runner.mts';
import { USER_AGENT } from '../src/dashboard/http';
import { runMain } from './support/job';

interface Action {
  inputs: Record<string, { required: boolean; default?: string; description: string }>;
  outputs: Record<string, { description: string }>;
}
interface Step {
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

/** Every file of the project, as git knows it, without what is built or installed. */
function files(ending: RegExp): string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: ACTION_DIR,
    encoding: 'utf8',
  });
  return listed
    .split('\n')
    .filter((path) => ending.test(path) && existsSync(join(ACTION_DIR, path)));
}

const action = parse(read('action.yml')) as Action;
const types = parse(read('action-types.yml')) as Record<
  'inputs' | 'outputs',
  Record<string, { type: string }>
>;
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

const NONE = { missing: [] };

/** What of the expected texts a file lacks, and which file that is. */
function missing(file: string, text: string, expected: readonly string[]) {
  const lacking = expected.filter((part) => !text.includes(part));
  return lacking.length === 0 ? NONE : { file, missing: lacking };
}

describe('action.yml', () => {
  test('its inputs stand in the table of the README, with the same default and required flag', () => {
    const rows = table(readme, 'Inputs').map((cells) => cells.slice(0, 3));
    const expected = Object.entries(action.inputs).map(([name, input]) => [
      `\`${name}\``,
      input.required ? 'yes' : 'no',
      input.default === undefined ? '' : `\`${input.default}\``,
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
    const code = read('src/runner/inputs.ts');
    const expected = Object.entries(action.inputs)
      .filter(([, input]) => input.default !== undefined)
      .map(([name, input]) => `'${name}': '${input.default}'`);
    expect(missing('DEFAULTS in src/runner/inputs.ts', code, expected)).toEqual(NONE);
  });

  test('its outputs are set by the code', () => {
    const code = read('src/runner/outputs.ts');
    const expected = Object.keys(action.outputs);
    expect(missing('src/runner/outputs.ts', code, expected)).toEqual(NONE);
  });

  test.each(Object.keys(action.inputs))(
    '%s is read, and refused with its name when it is wrong',
    async (name) => {
      const { annotations } = await runMain(
        { url: 'http://127.0.0.1:1' },
        { inputs: { [name]: '\u0001' } },
      );
      expect(annotations.map(({ message }) => message)).toEqual([
        expect.stringContaining(`Input ${name} `),
      ]);
    },
  );

  test('has its inputs in the troubleshooting, with their errors', () => {
    const headings = read('docs/troubleshooting.md');
    expect(missing('docs/troubleshooting.md', headings, Object.keys(action.inputs))).toEqual(NONE);
  });
});

test('package.json, lock file, user agent and changelog name the same version', () => {
  const { version, name } = JSON.parse(read('package.json')) as { version: string; name: string };
  const lock = JSON.parse(read('package-lock.json')) as { version: string };
  const released = [...read('CHANGELOG.md').matchAll(/^## \[(\d+\.\d+\.\d+)\]/gm)].map(
    ([, v]) => v,
  );
  expect(USER_AGENT).toBe(`${name}/${version}`);
  expect(lock.version).toBe(version);
  expect(released[0]).toBe(version);
});

test('the table of dependencies is complete, and names the versions that are installed', () => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const expected = {
    ...manifest['dependencies'],
    ...manifest['devDependencies'],
    ...manifest['optionalDependencies'],
  };
  const rows = table(read('CONTRIBUTING.md'), 'Dependencies');
  const listed = rows.flatMap(([names = '', versions = '']) => {
    const all = versions.split(', ');
    return names.split(', ').map((name, index) => [name.replaceAll('`', ''), all[index] ?? all[0]]);
  });
  expect(Object.fromEntries(listed)).toEqual({
    ...expected,
    undici: 'stubs',
    tunnel: 'stubs',
    'tunnel-itself': 'tunnel@0.0.6',
  });
});

test('every package in the lock file has an integrity value', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { integrity?: string; link?: boolean }>;
  };
  const without = Object.entries(packages)
    .filter(([path, entry]) => path.startsWith('node_modules/') && !entry.integrity && !entry.link)
    .map(([path]) => path);
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

describe('every relative link leads somewhere', () => {
  test.each(documents)('%s', (path) => {
    const text = read(path);
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
    for (const link of links.filter((target) => !/^[a-z]+:/.test(target))) {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? path : join(dirname(path), file);
      expect({ link, exists: existsSync(join(ACTION_DIR, target)) }).toEqual({
        link,
        exists: true,
      });
      if (anchor) expect(anchors(read(target))).toContain(anchor);
    }
  });
});

describe('commands in the documents exist', () => {
  test.each(documents)('%s', (path) => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const used = [
      ...read(path).matchAll(/\bnpm (?:run )?(start|test|[a-z]+:[a-z]+|(?<=run )[a-z]+)\b/g),
    ];
    for (const [, script = ''] of used) expect(Object.keys(scripts)).toContain(script);
    for (const [, file = ''] of read(path).matchAll(/\bbash (\.ci\/[a-z-]+)/g)) {
      expect(existsSync(join(ACTION_DIR, file))).toBe(true);
    }
  });
});

/** The fenced blocks of YAML in a document. */
function yamlBlocks(path: string): string[] {
  return [...read(path).matchAll(/```ya?ml\n(.*?)```/gs)].map(([, block = '']) => block);
}

function stepsOf(text: string): Step[] {
  const content = parse(text) as Workflow | Step[];
  if (Array.isArray(content)) return content;
  const jobs = Object.values(content.jobs ?? {});
  return [...jobs.flatMap(({ steps = [] }) => steps), ...(content.runs?.steps ?? [])];
}

describe('workflows in documents and examples are read, and name only inputs that exist', () => {
  const texts: [string, string][] = [
    ...documents.flatMap((path) =>
      yamlBlocks(path).map((block, index): [string, string] => [`${path} #${index + 1}`, block]),
    ),
    ...files(/^(examples|\.github)\/.*\.yml$/).map((path): [string, string] => [path, read(path)]),
  ];

  test.each(texts)('%s', (_name, text) => {
    for (const { uses = '', with: inputs = {} } of stepsOf(text)) {
      if (!/^(your-org\/formlabs-dashboard-token@|\.\/$)/.test(uses)) continue;
      const names = Object.keys(inputs);
      expect(Object.keys(action.inputs)).toEqual(expect.arrayContaining(names));
      const isExcerpt = !text.includes('jobs:') && !text.includes('runs:');
      if (!isExcerpt) expect(names).toEqual(expect.arrayContaining(['client-id', 'client-secret']));
    }
  });

  test('the README shows every example as it is', () => {
    for (const path of files(/^examples\/.*\.yml$/)) {
      expect(readme).toContain(
        `<code>${path}</code></summary>\n\n\`\`\`yaml\n${read(path).trimEnd()}\n\`\`\``,
      );
    }
  });
});

test('public text has no absolute path of a machine', () => {
  for (const path of files(/\.(md|yml|mts|ts|json|cjs|js|svg)$|^\.ci\//)) {
    expect({ path, found: /(?<![\w.])\/(home|root|Users|work)\/\w/.exec(read(path))?.[0] }).toEqual(
      { path },
    );
  }
});
