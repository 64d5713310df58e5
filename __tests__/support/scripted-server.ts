import {
  type Behaviour,
  type DashboardOptions,
  type ReceivedRequest,
  type Script,
  startDashboard,
} from '../../mock/dashboard.mts';
import { cleanup } from './cleanup';

export type { Behaviour, ReceivedRequest, Script } from '../../mock/dashboard.mts';

export interface ScriptedServer {
  readonly url: string;
  readonly port: number;
  readonly requests: readonly ReceivedRequest[];
  tokenRequests: () => number;
  /** The tokens that a client asked to revoke and was answered 200 for. */
  readonly revoked: readonly string[];
  /** Resolves when the server has received that many requests in all. */
  received: (count: number) => Promise<void>;
}

type ServerOptions = Pick<DashboardOptions, 'host' | 'tls'>;

export const TOKEN = 'tok-3nJ0Xq.7_very~secret+token/=';

/**
 * The mock Dashboard for one test, with a script: by default it issues always the same token, to any
 * client, and revokes any.
 */
export async function startServer(
  { token = [issue()], revoke = [empty()] }: Script = {},
  options: ServerOptions = {},
): Promise<ScriptedServer> {
  const dashboard = await startDashboard({ ...options, script: { token, revoke } });
  cleanup(() => void dashboard.close());
  const { url, receivedRequests: requests, revokedTokens: revoked, received } = dashboard;
  const tokenRequests = () => requests.filter(({ path }) => path.endsWith('/o/token/')).length;
  return { url, port: Number(new URL(url).port), requests, tokenRequests, revoked, received };
}

/** A good token answer, with some fields changed; undefined takes a field away. */
export function tokenBody(fields: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    access_token: TOKEN,
    token_type: 'Bearer',
    expires_in: 86_400,
    scope: 'developer-api',
    ...fields,
  });
}

export function issue(fields: Readonly<Record<string, unknown>> = {}): Behaviour {
  return answer(200, tokenBody(fields), { 'content-type': 'application/json' });
}

export function answer(status: number, body = '', headers: Readonly<Record<string, string>> = {}): Behaviour {
  return (response) => {
    response.writeHead(status, headers).end(body);
  };
}

export function empty(): Behaviour {
  return answer(200, '', { 'content-type': 'text/html' });
}

export function json(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Behaviour {
  return answer(status, JSON.stringify(body), { 'content-type': 'application/json', ...headers });
}

export function page(status: number): Behaviour {
  return answer(status, '<!doctype html><title>Sign in</title><p>Welcome!', {
    'content-type': 'text/html; charset=utf-8',
  });
}

/** Never answers. */
export function hang(): Behaviour {
  return () => undefined;
}

/** Cuts the connection without an answer. */
export function reset(): Behaviour {
  return (response) => {
    response.socket?.resetAndDestroy();
  };
}

/** Announces more of a body than it sends. */
export function cutShort(body: string): Behaviour {
  return (response) => {
    response.writeHead(200, { 'content-length': String(body.length + 10) });
    response.write(body, () => response.socket?.destroy());
  };
}

/** Sends a chunk, and never the last one. */
export function cutChunked(body: string): Behaviour {
  return (response) => {
    response.writeHead(200, { 'transfer-encoding': 'chunked' });
    response.write(body, () => response.socket?.end());
  };
}

/** Sends a byte now and then, for ever. */
export function drip(everyMs = 50): Behaviour {
  return (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const timer = setInterval(() => response.write(' '), everyMs);
    response.on('close', () => clearInterval(timer));
  };
}

/** Never stops sending. */
export function flood(start = '', status = 200, fill = 'x'): Behaviour {
  const chunk = Buffer.alloc(64 * 1024, fill);
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.write(start);
    const more = () => {
      if (response.destroyed) return;
      if (response.write(chunk)) setImmediate(more);
      else response.once('drain', more);
    };
    more();
  };
}
