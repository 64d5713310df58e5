import { expect, test } from '@jest/globals';
import { createJob } from '../sandbox/runner.mts';
import { parseTimeout } from '../src/runner/inputs';

test('x', async () => {
  expect(parseTimeout('5')).toBe(5);
  const j = createJob();
  const r = await j.run('main');
  expect(r.exitCode).toBe(1);
  expect(r.annotations.length).toBe(1);
  j.end();
});
