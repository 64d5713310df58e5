import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Dashboard, startDashboard } from './dashboard.mts';

/**
 * The process that main-step.mts leaves behind: a mock Dashboard, which lives until post-step.mts ends it. It tells the
 * main step where it is, and lives on only if that says so. If the main step ends before, this process ends with it.
 */
export interface Started {
  url: string;
  clientId: string;
  clientSecret: string;
  /** A POST to this URL ends the mock Dashboard, and gives its counts. Its path can't be guessed. */
  control: string;
}

export interface Counts {
  issued: number;
  live: number;
  requests: number;
}

/** The end of a job whose post step never runs. A token lives no longer either. */
const LONGEST_LIFE_MS = 24 * 3_600_000;

let stays = false;
process.once('message', () => {
  stays = true;
  process.disconnect();
});
process.once('disconnect', () => {
  if (!stays) process.exit();
});
setTimeout(() => process.exit(), LONGEST_LIFE_MS).unref();

try {
  const dashboard = await startDashboard();
  const { url, clientId, clientSecret } = dashboard;
  process.send?.({ url, clientId, clientSecret, control: await startControl(dashboard) } satisfies Started);
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  process.send?.({ error: message }, () => process.disconnect());
}

/** Waits for the post step. When that has its answer, nobody listens any more, and the process ends by itself. */
async function startControl(dashboard: Dashboard): Promise<string> {
  const path = `/${randomBytes(24).toString('base64url')}`;
  const server = createServer(async (request, response) => {
    response.setHeader('connection', 'close');
    if (request.method !== 'POST' || request.url !== path) {
      response.writeHead(404).end();
      return;
    }
    server.close();
    await dashboard.close();
    const { issuedTokens, liveTokens, requests } = dashboard;
    const counts: Counts = { issued: issuedTokens(), live: liveTokens(), requests: requests().length };
    response.end(JSON.stringify(counts));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
}
