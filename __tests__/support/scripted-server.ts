import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { cleanup } from './cleanup';

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly form: Readonly<Record<string, string>>;
}

/** What the server does with one request. */
export type Behaviour = (response: ServerResponse, request: ReceivedRequest) => void;

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

export interface Script {
  /** One behaviour a token request; the last one goes on for ever. */
  token?: readonly Behaviour[];
  /** One behaviour a revocation; the last one goes on for ever. */
  revoke?: readonly Behaviour[];
}

export interface ServerOptions {
  host?: string;
  tls?: TlsOptions & { key: string; cert: string };
}

export const TOKEN = 'tok-3nJ0Xq.7_very~secret+token/=';

/** A server that misbehaves on order: one behaviour a request. Otherwise it is a well-behaved Dashboard. */
export async function startServer(
  { token = [issue()], revoke = [empty()] }: Script = {},
  { host = '127.0.0.1', tls }: ServerOptions = {},
): Promise<ScriptedServer> {
  const requests: ReceivedRequest[] = [];
  const revoked: string[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const scripts = { token: [...token], revoke: [...revoke] };

  const onRequest = (message: IncomingMessage, response: ServerResponse) => {
    let body = '';
    message.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    message.on('end', () => {
      const request: ReceivedRequest = {
        method: message.method ?? '',
        path: message.url ?? '',
        headers: message.headers,
        form: Object.fromEntries(new URLSearchParams(body)),
      };
      requests.push(request);
      const script = request.path.endsWith('/revoke_token/') ? scripts.revoke : scripts.token;
      const behaviour = script.length > 1 ? script.shift() : script[0];
      response.on('finish', () => {
        if (script === scripts.revoke && response.statusCode === 200) {
          revoked.push(request.form['token'] ?? '');
        }
      });
      behaviour?.(response, request);
      for (const { count, resolve } of waiting) if (requests.length >= count) resolve();
    });
  };
  const server = tls ? createTlsServer(tls, onRequest) : createServer(onRequest);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  cleanup(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const name = host.includes(':') ? `[${host}]` : host;
  return {
    url: `${tls ? 'https' : 'http'}://${name}:${port}`,
    port,
    requests,
    tokenRequests: () => requests.filter(({ path }) => path.endsWith('/o/token/')).length,
    revoked,
    received: (count) =>
      requests.length >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve })),
  };
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
export function flood(start = '', status = 200): Behaviour {
  const chunk = Buffer.alloc(64 * 1024, 'x');
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
