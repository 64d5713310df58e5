import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CARTRIDGES, PRINTERS, PRINTS, TANKS } from './fleet.mts';
import { type Answer, createOAuth, HTML } from './oauth.mts';

/** The embedded Dashboard: what the real one says of tokens, and of printers. */
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
  /** Requests answered so far, by method and path. */
  requests: () => readonly string[];
  close: () => Promise<void>;
}

export interface DashboardOptions {
  /** A free one, unless given. */
  port?: number;
  clientId?: string;
  clientSecret?: string;
  /** Requests that one second has room for; all others are told to come back. No limit unless given. */
  requestsPerSecond?: number;
}

const API = '/developer/v1';
const LISTS: Record<string, readonly unknown[]> = {
  [`${API}/prints/`]: PRINTS,
  [`${API}/tanks/`]: TANKS,
  [`${API}/cartridges/`]: CARTRIDGES,
};

/** However many are asked for, a page has no more: so every list has more pages than one. */
const LONGEST_PAGE = 10;

/** Starts a Dashboard on the loopback interface, with tokens of its own and printers that are made up. */
export async function startDashboard(options: DashboardOptions = {}): Promise<Dashboard> {
  const clientId = options.clientId ?? 'sandbox-client';
  const clientSecret = options.clientSecret ?? randomBytes(24).toString('base64url');
  const oauth = createOAuth(clientId, clientSecret);
  const requests: string[] = [];
  const admit = rateLimiter(options.requestsPerSecond ?? Number.POSITIVE_INFINITY);

  async function respond(request: IncomingMessage): Promise<Answer> {
    const { method = '', headers } = request;
    // As Django behind a server that ends TLS builds the address that a client sees.
    const url = new URL(request.url ?? '', `${headers['x-forwarded-proto'] ?? 'http'}://${headers.host}`);
    if (url.pathname === '/mock/live-tokens') return json(200, { live: oauth.liveTokens() });

    requests.push(`${method} ${request.url}`);
    const retryAfter = admit();
    if (retryAfter > 0) {
      const detail = `Request was throttled. Expected available in ${retryAfter} second.`;
      return { ...json(429, { detail }), headers: { 'retry-after': String(retryAfter) } };
    }
    switch (url.pathname) {
      case `${API}/o/token/`:
        return method === 'POST' ? oauth.token(await readForm(request)) : POST_ONLY;
      case `${API}/o/revoke_token/`:
        return method === 'POST' ? oauth.revoke(await readForm(request)) : POST_ONLY;
    }
    const resource = find(url);
    if (resource === undefined) return { status: 404, headers: HTML, body: '<h1>Not Found</h1>' };
    const answer = refuse(request, oauth.accepts) ?? resource();
    return { ...answer, headers: { allow: 'GET, HEAD, OPTIONS', ...answer.headers } };
  }

  const server = createServer((request, response) => {
    // What fails is a request that broke off, or one whose address is none.
    respond(request).then(
      (answer) => send(response, answer),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    clientId,
    clientSecret,
    issuedTokens: oauth.issuedTokens,
    liveTokens: oauth.liveTokens,
    accepts: oauth.accepts,
    requests: () => requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** What is at this address, for those who may see it. */
function find(url: URL): (() => Answer) | undefined {
  if (url.pathname === `${API}/printers/`) return () => json(200, PRINTERS);
  const list = LISTS[url.pathname];
  if (list !== undefined) return () => page(list, url);
  const serial = /^\/developer\/v1\/printers\/([^/]+)\/$/.exec(url.pathname)?.[1];
  if (serial === undefined) return undefined;
  const printer = PRINTERS.find((candidate) => candidate.serial === decodeURIComponent(serial));
  return () => (printer === undefined ? json(404, { detail: 'Not found.' }) : json(200, printer));
}

/** One page of a list, with the addresses of those beside it, as Django REST framework has them. */
function page(list: readonly unknown[], url: URL): Answer {
  const length = Math.min(Number(url.searchParams.get('per_page')) || LONGEST_PAGE, LONGEST_PAGE);
  const number = Number(url.searchParams.get('page') ?? 1);
  const last = Math.ceil(list.length / length);
  if (!(Number.isInteger(number) && number >= 1 && number <= last)) {
    return json(404, { detail: 'Invalid page.' });
  }
  const address = (wanted: number) => {
    if (wanted < 1 || wanted > last) return null;
    const there = new URL(url);
    if (wanted === 1) there.searchParams.delete('page');
    else there.searchParams.set('page', String(wanted));
    return there.href;
  };
  return json(200, {
    count: list.length,
    next: address(number + 1),
    previous: address(number - 1),
    results: list.slice((number - 1) * length, number * length),
  });
}

/** Why a request may not see what it asks for; undefined if it may. */
function refuse({ method, headers }: IncomingMessage, accepts: (token: string) => boolean): Answer | undefined {
  const token = /^bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1];
  if (token === undefined || !accepts(token)) {
    const reason = token === undefined ? '' : ',error="invalid_token",error_description="The access token is invalid."';
    return {
      ...json(401, { detail: 'Authentication credentials were not provided.' }),
      headers: { 'www-authenticate': `Bearer realm="api"${reason}` },
    };
  }
  if (method === 'GET' || method === 'HEAD') return undefined;
  return json(405, { detail: `Method "${method}" not allowed.` });
}

const POST_ONLY: Answer = { status: 405, headers: { ...HTML, allow: 'POST, OPTIONS' }, body: '' };

/** The fields of a form. What comes as another content type has none, as in Django. */
async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  const isForm = /^application\/x-www-form-urlencoded\b/.test(request.headers['content-type'] ?? '');
  return new URLSearchParams(isForm ? body : '');
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

function json(status: number, body: unknown): Answer {
  return { status, headers: {}, body };
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}
