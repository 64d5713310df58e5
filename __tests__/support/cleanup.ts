import { afterEach } from '@jest/globals';

const pending: (() => unknown)[] = [];

/** Undoes something when the current test has ended, the last first. */
export function cleanup(undo: () => unknown): void {
  pending.push(undo);
}

afterEach(async () => {
  for (const undo of pending.splice(0).reverse()) await undo();
});
