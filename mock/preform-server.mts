import { randomUUID } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PRINTERS } from './fleet.mts';

/**
 * Stands in for PreFormServer as far as the example that prints needs it, with the answers that its
 * Local API documents. It loads and prints nothing: it is there to run the example's commands. That it
 * takes the action's token says nothing of the real one, where nobody has tried it.
 */
export interface PreFormServer {
  readonly url: string;
  /** What was sent to a printer, in order. */
  readonly jobs: readonly PrintJob[];
  isLoggedIn: () => boolean;
  close: () => Promise<void>;
}

export interface PrintJob {
  printer: string;
  name: string;
  file: string;
  /** Whether to start at once; if undefined, PreFormServer starts it if the printer is ready. */
  printNow: boolean | undefined;
}

export interface PreFormServerOptions {
  /** A path that it never answers. */
  silentAt?: string;
}

/** @param accepts whether the Dashboard takes this access token */
export async function startPreFormServer(
  accepts: (token: string) => boolean,
  { silentAt }: PreFormServerOptions = {},
): Promise<PreFormServer> {
  const scenes = new Map<string, string>();
  const jobs: PrintJob[] = [];
  let login = '';

  function respond(path: string, body: Record<string, unknown>): [status: number, body?: unknown] {
    if (path === '/login/') {
      const token = String(body['access_token'] ?? '');
      if (!accepts(token)) return failure('LOGIN_FAILED', 'The access token was not accepted.');
      login = token;
      return [200, { access_token: token, refresh_token: '' }];
    }
    if (path === '/logout/') {
      login = '';
      return [200];
    }
    if (path === '/load-form/') {
      const file = String(body['file'] ?? '');
      if (!existsSync(file)) return failure('FILE_NOT_FOUND', `There is no file ${file}.`);
      if (statSync(file).size === 0) return failure('INVALID_FILE', `The file ${file} is empty.`);
      const id = randomUUID();
      scenes.set(id, file);
      return [200, { id, layer_count: 900, models: [] }];
    }
    const file = scenes.get(/^\/scene\/([^/]+)\/print\/$/.exec(path)?.[1] ?? '');
    if (file === undefined) return [404];
    const [printer, name] = [String(body['printer'] ?? ''), String(body['job_name'] ?? '')];
    if (name === '') return failure('INVALID_REQUEST', 'job_name is missing.');
    if (!accepts(login)) return failure('NOT_LOGGED_IN', 'Nobody is logged in.');
    if (!PRINTERS.some(({ serial, group }) => [serial, group?.id].includes(printer))) {
      return failure('PRINTER_NOT_FOUND', `There is no printer ${printer}.`);
    }
    const printNow = typeof body['print_now'] === 'boolean' ? body['print_now'] : undefined;
    jobs.push({ printer, name, file, printNow });
    return [200, { job_id: randomUUID() }];
  }

  async function answer(request: IncomingMessage): Promise<[status: number, body?: unknown]> {
    if (request.method !== 'POST') return [405];
    // Not every server reads a POST that doesn't say how long it is.
    if (request.headers['content-length'] === undefined) return [411];
    return respond(request.url ?? '', await readJson(request));
  }

  const server = createServer(async (request, response) => {
    const [status, body] = await answer(request);
    if (request.url === silentAt) return;
    const text = body === undefined ? '' : JSON.stringify(body);
    // One answer does not say how long it is: Windows PowerShell reads a refusal in another way then.
    const length = request.url === '/load-form/' ? {} : { 'content-length': Buffer.byteLength(text) };
    response.writeHead(status, { 'content-type': 'application/json', ...length });
    response.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    jobs,
    isLoggedIn: () => login !== '',
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function failure(code: string, message: string): [number, unknown] {
  return [400, { error: { code, message } }];
}

/** The fields of a JSON object; none where it was sent as something else. */
async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) return {};
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}
