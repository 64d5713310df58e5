import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ACTION_DIR } from '../../mock/runner.mts';

/** The lines of .gitignore are names of folders. */
const IGNORED = readFileSync(join(ACTION_DIR, '.gitignore'), 'utf8')
  .split('\n')
  .map((line) => line.replace(/\/$/, ''));

/** Every file of the project, without what is built or installed. Not asked of git: an archive of the sources has none. */
export function projectFiles(folder = ''): string[] {
  return readdirSync(join(ACTION_DIR, folder), { withFileTypes: true })
    .filter(({ name }) => name !== '.git' && !IGNORED.includes(name))
    .flatMap((entry) => {
      const path = `${folder}${entry.name}`;
      return entry.isDirectory() ? projectFiles(`${path}/`) : [path];
    });
}
