import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider, { type Adapter, type AdapterPayload, type Configuration } from 'oidc-provider';

/** The embedded Dashboard: what the real one says of tokens, and of printers. */
export interface Dashboard {
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Tokens issued so far. */
  issuedTokens: () => number;
  /** Tokens that were issued and neither revoked nor expired. */
  liveTokens: () => number;
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

const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';
const PRINTERS_PATH = '/developer/v1/printers/';
const LIVE_TOKENS_PATH = '/sandbox/live-tokens';

const PRINTERS = [
  { serial: 'Form4-EagerOtter', alias: 'Prototyping 1', printer_status: { status: 'IDLE' } },
  { serial: 'Form4L-CalmHeron', alias: 'Production 1', printer_status: { status: 'PRINTING' } },
  { serial: 'Fuse1-BraveLynx', alias: 'Nylon', printer_status: { status: 'IDLE' } },
];

const ONE_DAY_SECONDS = 86_400;

/**
 * Starts a Dashboard on the loopback interface. Tokens are issued and revoked by `oidc-provider`, a
 * certified OAuth server; the printers are made up.
 */
export async function startDashboard(options: DashboardOptions = {}): Promise<Dashboard> {
  const clientId = options.clientId ?? 'sandbox-client';
  const clientSecret = options.clientSecret ?? randomBytes(24).toString('base64url');
  const tokens = new Map<string, AdapterPayload>();
  const requests: string[] = [];
  let issued = 0;

  const isLive = (payload: AdapterPayload | undefined) =>
    payload !== undefined && (payload.exp ?? 0) * 1_000 > Date.now();
  const liveTokens = () => [...tokens.values()].filter(isLive).length;
  const admit = rateLimiter(options.requestsPerSecond ?? Number.POSITIVE_INFINITY);

  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const provider = new Provider(url, configuration(clientId, clientSecret, tokens));
  provider.on('client_credentials.saved', () => {
    issued += 1;
  });
  const oauth = provider.callback();

  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (request.url === LIVE_TOKENS_PATH) return sendJson(response, 200, { live: liveTokens() });
    requests.push(`${request.method} ${request.url}`);
    const retryAfter = admit();
    if (retryAfter > 0) {
      response.setHeader('retry-after', String(retryAfter));
      const detail = `Request was throttled. Expected available in ${retryAfter} second.`;
      return sendJson(response, 429, { detail });
    }
    if (request.url === PRINTERS_PATH) {
      const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
      return isLive(tokens.get(token))
        ? sendJson(response, 200, PRINTERS)
        : sendJson(response, 401, { detail: 'Authentication credentials were not provided.' });
    }
    if (request.url !== TOKEN_PATH && request.url !== REVOKE_PATH) {
      return sendJson(response, 404, { detail: 'Not found.' });
    }
    return void oauth(request, response);
  });

  return {
    url,
    clientId,
    clientSecret,
    issuedTokens: () => issued,
    liveTokens,
    requests: () => requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function configuration(
  clientId: string,
  clientSecret: string,
  tokens: Map<string, AdapterPayload>,
): Configuration {
  return {
    adapter: (name: string) => memoryAdapter(name === 'ClientCredentials' ? tokens : new Map()),
    // Nothing is signed here, but without a key of its own the server warns of its built-in one.
    jwks: {
      keys: [
        generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
      ],
    },
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        token_endpoint_auth_method: 'client_secret_post',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      devInteractions: { enabled: false },
    },
    routes: { token: TOKEN_PATH, revocation: REVOKE_PATH },
    scopes: ['developer-api'],
    ttl: { ClientCredentials: ONE_DAY_SECONDS },
  };
}

/** What oidc-provider asks of a store, for the few things that the client credentials grant keeps. */
function memoryAdapter(store: Map<string, AdapterPayload>): Adapter {
  const nothing = async () => undefined;
  return {
    upsert: async (id, payload) => void store.set(id, payload),
    find: async (id) => store.get(id),
    destroy: async (id) => void store.delete(id),
    findByUserCode: nothing,
    findByUid: nothing,
    consume: nothing,
    revokeByGrantId: nothing,
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

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
