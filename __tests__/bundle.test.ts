import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { ACTION_DIR } from '../sandbox/runner.mts';

const DIST = join(ACTION_DIR, 'dist');
const STEPS = ['main', 'post'] as const;

function bundle(step: (typeof STEPS)[number]): string {
  return readFileSync(join(DIST, step, 'index.js'), 'utf8');
}

test.each(STEPS)('undici is not in the bundle of %s, and what stands in for it says so', (step) => {
  const code = bundle(step);
  expect(code).not.toMatch(/undici\/lib|kDispatch|class Dispatcher/);
  expect(code).toContain('undici is left out of this bundle');
});

test.each(STEPS)('the bundle of %s needs nothing but Node itself', (step) => {
  const required = [...bundle(step).matchAll(/\brequire\("([^"]+)"\)/g)].map(([, name]) => name);
  expect(new Set(required)).toEqual(
    new Set(['assert', 'crypto', 'events', 'fs', 'http', 'https', 'net', 'os', 'tls', 'util']),
  );
});

test.each(STEPS)(
  'no Unicode category is spelled out in %s: V8 would look it up at every start',
  (step) => {
    expect(bundle(step)).not.toMatch(/\\p\{\w/i);
  },
);

test('dist holds two bundles that can be read, of 320 KiB at most, with the licenses of what is in them', () => {
  const files = readdirSync(DIST, { recursive: true, encoding: 'utf8' }).sort();
  expect(files.map((file) => file.replaceAll('\\', '/'))).toEqual([
    'main',
    'main/index.js',
    'main/licenses.txt',
    'post',
    'post/index.js',
    'post/licenses.txt',
  ]);
  const bytes = STEPS.map((step) => statSync(join(DIST, step, 'index.js')).size);
  expect(bytes.reduce((sum, size) => sum + size)).toBeLessThanOrEqual(320 * 1024);
  for (const step of STEPS) {
    expect(bundle(step)).toContain('async function exchange(');
    const licenses = readFileSync(join(DIST, step, 'licenses.txt'), 'utf8');
    for (const name of ['@actions/core', '@actions/http-client', 'tunnel']) {
      expect(licenses).toContain(name);
    }
  }
});
