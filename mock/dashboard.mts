import { randomBytes } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { type Answer, HTML, json } from './answer.mts';
import { createOAuth, type Form } from './oauth.mts';
import { API, findResource } from './web-api.mts';

/** The mock Dashboard: answers as the real one does, of tokens and of printers, and misbehaves on order. */
export interface Dashboard {
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Tokens issued so far. */
  issuedTokens: () => number;
  /** Tokens that were issued and neither revoked nor expired. */
  liveTokens: () => number;
  /** Whether this token is one of the live ones. */
  accepts: (token: string) => boolean;
  /** The tokens that a client asked to revoke and was answered 200 for. */
  readonly revokedTokens: readonly string[];
  readonly receivedRequests: readonly ReceivedRequest[];
  /** The requests received so far, by method and path. */
  requests: () => readonly string[];
  /** Resolves when that many requests have been received in all. */
  received: (count: number) => Promise<void>;
  close: () => Promise<void>;
}

export interface DashboardOptions {
  /** A free one, unless given. */
  port?: number;
  /** The address that it listens on; 127.0.0.1 unless given. */
  host?: string;
  /** Has it answer https in place of http. */
  tls?: TlsOptions;
  clientId?: string;
  clientSecret?: string;
  /** Requests that one second has room for; all others are told to come back. No limit unless given. */
  requestsPerSecond?: number;
  script?: Script;
}

/**
 * What it does in place of what the Dashboard would do, one behaviour a request; the last one goes on for
 * ever. An endpoint without behaviours does as the Dashboard does. A base path before the API's own is fine.
 */
export interface Script {
  token?: readonly Behaviour[];
  revoke?: readonly Behaviour[];
}

/** What the server does with one request. */
export type Behaviour = (response: ServerResponse, request: ReceivedRequest) => void;

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly form: Form;
}

const TOKEN = '/o/token/';
const REVOKE = '/o/revoke_token/';

/** Starts a Dashboard with tokens of its own, and with printers that are made up. */
export async function startDashboard(options: DashboardOptions = {}): Promise<Dashboard> {
  const { port = 0, host = '127.0.0.1', tls, clientId = 'mockClient' } = options;
  // Letters and digits like the Dashboard's own, since the action takes anything else for a likely mistake.
  const clientSecret = options.clientSecret ?? randomBytes(16).toString('hex');
  const scheme = tls ? 'https' : 'http';
  const oauth = createOAuth(clientId, clientSecret);
  const admit = rateLimiter(options.requestsPerSecond ?? Number.POSITIVE_INFINITY);
  const nextBehaviour = follow(options.script ?? {});
  const receivedRequests: ReceivedRequest[] = [];
  const revokedTokens: string[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];

  function handle(request: ReceivedRequest, response: ServerResponse): void {
    // For who looks on from outside, and no request of a client.
    if (request.path === '/mock/live-tokens') {
      send(response, json(200, { live: oauth.liveTokens() }));
      return;
    }
    receivedRequests.push(request);
    response.once('finish', () => {
      if (request.path.endsWith(REVOKE) && response.statusCode === 200) revokedTokens.push(request.form['token'] ?? '');
    });
    const retryAfter = admit();
    if (retryAfter > 0) send(response, throttled(retryAfter));
    else (nextBehaviour(request.path) ?? asUsual)(response, request);
    for (const { count, resolve } of waiting) if (receivedRequests.length >= count) resolve();
  }

  const asUsual: Behaviour = (response, request) => send(response, respond(request));

  function respond({ method, path, headers, form }: ReceivedRequest): Answer {
    // As Django behind a server that ends TLS builds the address that a client sees.
    const url = URL.parse(path, `${scheme}://${headers.host}`);
    if (url?.pathname === API + TOKEN) return postOnly(method, () => oauth.token(form));
    if (url?.pathname === API + REVOKE) return postOnly(method, () => oauth.revoke(form));
    const resource = url && findResource(url);
    if (!resource) return { status: 404, headers: HTML, body: '<h1>Not Found</h1>' };
    const answer = refuse(headers, oauth.accepts) ?? resource.answer(method);
    return { ...answer, headers: { allow: resource.allow, ...answer.headers } };
  }

  const onRequest = (message: IncomingMessage, response: ServerResponse) => {
    receive(message)
      .then((request) => handle(request, response))
      // A request that broke off.
      .catch(() => response.destroy());
  };
  const server = tls ? createTlsServer(tls, onRequest) : createServer(onRequest);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });

  return {
    url: `${scheme}://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`,
    clientId,
    clientSecret,
    issuedTokens: oauth.issuedTokens,
    liveTokens: oauth.liveTokens,
    accepts: oauth.accepts,
    revokedTokens,
    receivedRequests,
    requests: () => receivedRequests.map(({ method, path }) => `${method} ${path}`),
    received: (count) =>
      receivedRequests.length >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve })),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Reads a request whole. What comes as another content type than a form's has no fields, as in Django. */
async function receive(message: IncomingMessage): Promise<ReceivedRequest> {
  const { method = '', url: path = '', headers } = message;
  let body = '';
  for await (const chunk of message.setEncoding('utf8')) body += chunk;
  const isForm = /^application\/x-www-form-urlencoded\b/.test(headers['content-type'] ?? '');
  return { method, path, headers, form: Object.fromEntries(new URLSearchParams(isForm ? body : '')) };
}

/** Gives the behaviour for the next request to this path, if the script has one. */
function follow(script: Script): (path: string) => Behaviour | undefined {
  const token = [...(script.token ?? [])];
  const revoke = [...(script.revoke ?? [])];
  return (path) => {
    const behaviours = path.endsWith(TOKEN) ? token : path.endsWith(REVOKE) ? revoke : [];
    return behaviours.length > 1 ? behaviours.shift() : behaviours[0];
  };
}

/** Counts requests in windows of one second. Gives the seconds to wait, 0 for a request that has room. */
function rateLimiter(requestsPerSecond: number): () => number {
  let windowStart = 0;
  let count = 0;
  return () => {
    const now = Date.now();
    if (now - windowStart >= 1_000) {
      windowStart = now;
      count = 0;
    }
    count += 1;
    return count <= requestsPerSecond ? 0 : 1;
  };
}

function throttled(retryAfter: number): Answer {
  const detail = `Request was throttled. Expected available in ${retryAfter} second.`;
  return json(429, { detail }, { 'retry-after': String(retryAfter) });
}

function postOnly(method: string, answer: () => Answer): Answer {
  if (method === 'POST') return answer();
  return { status: method === 'OPTIONS' ? 200 : 405, headers: { ...HTML, allow: 'POST, OPTIONS' }, body: '' };
}

/** Why a request may not see what it asks for; undefined if it may. */
function refuse({ authorization = '' }: IncomingHttpHeaders, accepts: (token: string) => boolean): Answer | undefined {
  const token = /^bearer (\S+)$/i.exec(authorization)?.[1];
  if (token !== undefined && accepts(token)) return undefined;
  const reason = token === undefined ? '' : ',error="invalid_token",error_description="The access token is invalid."';
  const detail = 'Authentication credentials were not provided.';
  return json(401, { detail }, { 'www-authenticate': `Bearer realm="api"${reason}` });
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}
