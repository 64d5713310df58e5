import { type Dashboard, startDashboard } from '../mock/dashboard.mts';
import { createJob, type StepResult } from '../mock/runner.mts';
import { readNumbers } from './options.mts';

/**
 * `npm run load`: many whole jobs, some at a time, on one mock Dashboard with a rate limit. Ends with
 * 0 only if every job held and no token is left alive.
 */
const USAGE = 'Usage: npm run load -- [--jobs 200] [--at-once 16] [--requests-per-second 100]';

/** Logs of jobs that did not hold; more of them would only push the table out of sight. */
const SHOWN_FAILURES = 3;

interface JobResult {
  held: boolean;
  log: readonly string[];
}

async function main(): Promise<void> {
  const options = readNumbers({ jobs: 200, 'at-once': 16, 'requests-per-second': 100 }, USAGE);
  const dashboard = await startDashboard({ requestsPerSecond: options['requests-per-second'] });
  try {
    console.log(
      `${options.jobs} jobs, up to ${options['at-once']} at once, on a Dashboard with room for ` +
        `${options['requests-per-second']} requests a second\n`,
    );
    const startedAt = performance.now();
    const results = await runJobs(dashboard, options.jobs, options['at-once']);
    const seconds = (performance.now() - startedAt) / 1_000;
    report(dashboard, results, seconds);
  } finally {
    await dashboard.close();
  }
}

async function runJobs(dashboard: Dashboard, jobs: number, atOnce: number): Promise<JobResult[]> {
  const results: JobResult[] = [];
  let started = 0;
  const runInTurn = async () => {
    while (started < jobs) {
      started += 1;
      results.push(await runJob(dashboard));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, runInTurn));
  return results;
}

/** The post step runs whatever becomes of the main step, as in a real job. */
async function runJob({ clientId, clientSecret, url }: Dashboard): Promise<JobResult> {
  const inputs = { 'client-id': clientId, 'client-secret': clientSecret, 'api-url': url };
  const job = createJob();
  try {
    const main = await job.run('main', { inputs });
    const post = await job.run('post', { inputs });
    return { held: mainHeld(main) && postHeld(post), log: [...main.log, ...post.log] };
  } finally {
    job.end();
  }
}

function mainHeld({ exitCode, outputs }: StepResult): boolean {
  return exitCode === 0 && (outputs['token'] ?? '') !== '';
}

/** A revocation that failed is only a warning, so the exit code does not tell. */
function postHeld({ exitCode, annotations }: StepResult): boolean {
  return exitCode === 0 && annotations.length === 0;
}

function report(dashboard: Dashboard, results: readonly JobResult[], seconds: number): void {
  const failures = results.filter(({ held }) => !held);
  for (const { log } of failures.slice(0, SHOWN_FAILURES)) {
    console.log(['A job that did not hold:', ...log.map((line) => `  ${line}`), ''].join('\n'));
  }

  const requests = dashboard.requests().length;
  const alive = dashboard.liveTokens();
  const rows: [string, string][] = [
    ['Jobs that held', `${results.length - failures.length} of ${results.length}`],
    ['Tokens issued', `${dashboard.issuedTokens()}`],
    ['Tokens left alive', `${alive}`],
    ['Requests', `${requests}, ${(requests / results.length).toFixed(2)} a job`],
    ['Told to wait (429)', `${countTurnedAway(results)}`],
    ['Wall time', `${seconds.toFixed(1)} s`],
  ];
  for (const [name, value] of rows) console.log(`${name.padEnd(20)}${value}`);
  if (failures.length > 0 || alive > 0) process.exitCode = 1;
}

/** As the jobs tell it in their logs: the Dashboard keeps no count of it. */
function countTurnedAway(results: readonly JobResult[]): number {
  return results.flatMap(({ log }) => log).filter((line) => /\bDashboard answered 429\b/i.test(line)).length;
}

await main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
