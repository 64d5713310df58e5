import { execFileSync } from 'node:child_process';
import { parseArgs, styleText } from 'node:util';
import { type Dashboard, startDashboard } from './dashboard.mts';
import { createJob, type StepResult } from './runner.mts';

/**
 * `npm start`: one job from start to end, as people see it in its log. On the mock Dashboard, or on the
 * real one with FORMLABS_CLIENT_ID and FORMLABS_CLIENT_SECRET in the environment. Ends with 0 only if the
 * token was issued, used, revoked and refused.
 */
const USAGE = `Usage: npm start -- [--node PATH] [--brief]
  --node PATH  run the steps with this Node, from 20 on
  --brief      show nothing of the printers, for a log that is public`;

const CELL_WIDTH = 16;

interface Options {
  node?: string | undefined;
  brief: boolean;
}

interface Printer {
  serial?: string;
  alias?: string | null;
  printer_status?: { status?: string };
}

async function main(): Promise<void> {
  const options = readOptions();
  const { FORMLABS_CLIENT_ID: clientId, FORMLABS_CLIENT_SECRET: clientSecret } = process.env;
  if (clientId && clientSecret) {
    say(`One job with the action, on the Dashboard of Formlabs`);
    await runJob({ 'client-id': clientId, 'client-secret': clientSecret }, 'https://api.formlabs.com', options);
    return;
  }
  const dashboard = await startDashboard();
  try {
    say(`One job with the action, on a mock Dashboard at ${dashboard.url}`);
    await runJob(inputsFor(dashboard), dashboard.url, options);
    expect(dashboard.liveTokens() === 0, 'a token is still alive on the Dashboard');
    say(`Tokens issued: ${dashboard.issuedTokens()}. Tokens alive: ${dashboard.liveTokens()}.`);
  } finally {
    await dashboard.close();
  }
}

function readOptions(): Options {
  try {
    const { values } = parseArgs({
      options: {
        node: { type: 'string' },
        brief: { type: 'boolean', default: false },
      },
    });
    return values;
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
}

async function runJob(inputs: Record<string, string>, apiUrl: string, { node, brief }: Options): Promise<void> {
  if (node !== undefined)
    say(`The steps run on Node ${execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()}`);
  const job = createJob({ node });
  try {
    heading('Run your-org/formlabs-dashboard-token@v1');
    const main = await job.run('main', { inputs });
    show(main);
    expect(main.exitCode === 0, 'the main step failed');
    const token = main.outputs['token'] ?? '';
    expect(token !== '', 'there is no token');
    expect(job.mask(token) === '***', 'the token is not masked');

    heading('Run a later step, with the token in its environment');
    print(job.mask(`FORMLABS_ACCESS_TOKEN=${token}`));
    const printers = await listPrinters(apiUrl, token);
    expect(printers.status === 200, `the token was refused (${printers.status})`);
    if (brief) print(`The token is accepted (${printers.status}).`);
    else showPrinters((await printers.json()) as Printer[]);

    heading('Post Run your-org/formlabs-dashboard-token@v1');
    const post = await job.run('post', { inputs });
    show(post);
    expect(post.exitCode === 0 && post.annotations.length === 0, 'the post step failed');

    heading('After the job');
    const { status } = await listPrinters(apiUrl, token);
    expect([401, 403].includes(status), `the token still works (${status})`);
    print(`The token is refused now (${status}).`);
    const printed = main.raw.replaceAll(/^::add-mask::.*$/gm, '') + post.raw.replaceAll(/^::add-mask::.*$/gm, '');
    expect(!printed.includes(token), 'the token was printed');
    say('The token was issued, used, revoked and refused, and never appeared in the log.');
  } finally {
    job.end();
  }
}

function listPrinters(apiUrl: string, token: string): Promise<Response> {
  return fetch(`${apiUrl}/developer/v1/printers/`, {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(30_000),
  });
}

function inputsFor({ clientId, clientSecret, url }: Dashboard): Record<string, string> {
  return { 'client-id': clientId, 'client-secret': clientSecret, 'api-url': url };
}

function show({ log }: StepResult): void {
  for (const line of log) print(line);
}

function showPrinters(printers: readonly Printer[]): void {
  for (const { serial, alias, printer_status } of printers) {
    const cells = [serial, alias ?? '', printer_status?.status].map((cell) => String(cell).padEnd(CELL_WIDTH));
    print(cells.join('  ').trimEnd());
  }
}

function heading(text: string): void {
  console.log(`\n${styleText('bold', `▸ ${text}`)}`);
}

function print(line: string): void {
  console.log(`  ${line}`);
}

function say(text: string): void {
  console.log(`\n${text}`);
}

function expect(held: boolean, otherwise: string): asserts held {
  if (!held) throw new Error(`Check failed: ${otherwise}.`);
}

await main().catch((error: Error) => {
  console.error(`\n${error.message}`);
  process.exitCode = 1;
});
