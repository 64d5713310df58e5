import * as http from 'node:http';
import * as https from 'node:https';
import { isIP, type Socket } from 'node:net';
import { checkBypass } from '@actions/http-client/lib/proxy';
import { StepError } from '../shared/errors';

const HOST_AND_PORT = /^(\[[\da-f:.]+\]|[a-z\d_][\w.-]{0,252})(?::(\d{1,5}))?\/?$/i;
const STAGES = ['proxy lookup', 'proxy connection', 'proxy handshake', 'tunnel'] as const;

export type TunnelStage = (typeof STAGES)[number];

/** A proxy that opens tunnels: its scheme, host and port; its name for messages; and its credentials. */
export interface TunnelProxy {
  readonly url: string;
  readonly name: string;
  /** The value of Proxy-Authorization, or nothing. */
  readonly authorization: string;
  readonly secrets: readonly string[];
}

/** A tunnel that was not opened: what the proxy answered, or as `cause` why it did not. */
export class TunnelError extends Error {
  override readonly name = 'TunnelError';
  readonly answer: { readonly status: number; readonly headers: http.IncomingHttpHeaders } | undefined;

  constructor(answer: TunnelError['answer'], cause?: unknown) {
    super('the proxy opened no tunnel', { cause });
    this.answer = answer;
  }
}

/**
 * Chooses the proxy of the main step: that of the environment, unless `no_proxy` excludes the host.
 *
 * @throws StepError if the variable can't be read; nothing of it is shown then
 */
export function chooseProxy(apiUrl: string): TunnelProxy | undefined {
  const [name, value] = proxyVariable();
  const target = new URL(apiUrl);
  if (value === '' || target.protocol !== 'https:' || checkBypass(target)) return undefined;
  const proxy = parseProxy(value);
  if (proxy !== undefined) return proxy;
  const form = 'http://user:password@host:port, with special characters percent-encoded';
  throw new StepError('the-proxy-address-is-not-valid', `${name} is not the address of an HTTP proxy: give ${form}.`);
}

/** Finds the proxy of the main step again, for post. The environment only gives the credentials, if it still names it. */
export function recallProxy(url: string | null): TunnelProxy | undefined {
  if (url === null) return undefined;
  const proxy = parseProxy(proxyVariable()[1]);
  return proxy?.url === url ? proxy : parseProxy(url);
}

function proxyVariable(): readonly [name: string, value: string] {
  const variables = ['https_proxy', 'HTTPS_PROXY'].map((name) => [name, process.env[name]?.trim() ?? ''] as const);
  return variables.find(([, value]) => value !== '') ?? ['', ''];
}

/** The way to the Dashboard, as messages have it. */
export function through(proxy: TunnelProxy | undefined): string {
  return proxy === undefined ? '' : ` through the proxy ${proxy.name}`;
}

/**
 * Reads the address of a proxy: scheme, credentials, host, port and at most a slash; undefined if it is anything else. The
 * credentials end at the last `@`, since a password may hold one.
 */
export function parseProxy(text: string): TunnelProxy | undefined {
  const [, scheme = 'http', rest = ''] = /^(?:([^:/@]*):\/\/)?(.*)$/s.exec(text) ?? [];
  const protocol = scheme.toLowerCase();
  const end = rest.lastIndexOf('@');
  const [, user = '', password = ''] = /^([^:]*):?(.*)$/s.exec(rest.slice(0, Math.max(end, 0))) ?? [];
  const [, host = '', digits] = HOST_AND_PORT.exec(rest.slice(end + 1)) ?? [];
  const port = Number(digits ?? (protocol === 'https' ? 443 : 80));
  if (!(/^https?$/.test(protocol) && isHost(host) && port >= 1 && port <= 65_535)) return undefined;
  const name = `${host.toLowerCase()}:${port}`;
  // A user without a password may be a token.
  const secret = password || user;
  try {
    const credentials = `${decodeURIComponent(user)}:${decodeURIComponent(password)}`;
    return {
      url: `${protocol}://${name}`,
      name,
      authorization: secret && `Basic ${Buffer.from(credentials).toString('base64')}`,
      secrets: secret === '' ? [] : [secret, decodeURIComponent(secret)],
    };
  } catch {
    return undefined;
  }
}

/** A host that a URL has as it is: a name that is no number, or an IP address. */
function isHost(host: string): boolean {
  if (host.startsWith('[')) return isIP(withoutBrackets(host)) === 6;
  if (host.includes('..')) return false;
  return URL.canParse(`http://${host}`) && new URL(`http://${host}`).hostname === host.toLowerCase();
}

/**
 * Opens a tunnel through a proxy (RFC 9110, section 9.3.6), by a request like that of curl: proxies refuse one without a
 * User-Agent, and hang up at `Connection: close` before anyone can authenticate. Node's own proxies (`proxyEnv`) are
 * missing before 24.5, hide why a proxy has refused, and can't be aborted.
 */
export function openTunnel(
  proxy: TunnelProxy,
  { host: targetHost, port: targetPort, ...own }: http.ClientRequestArgs & { host: string; port: number },
  userAgent: string,
  onStage: (stage: TunnelStage) => void,
  onSocket: (error: TunnelError | null, socket: Socket) => void,
): http.ClientRequest {
  const { protocol, hostname, port } = new URL(proxy.url);
  const isTls = protocol === 'https:';
  const host = withoutBrackets(hostname);
  const path = `${isIP(targetHost) === 6 ? `[${targetHost}]` : targetHost}:${targetPort}`;
  const authorization = proxy.authorization && { 'proxy-authorization': proxy.authorization };
  const headers = { host: path, ...authorization, 'user-agent': userAgent, 'proxy-connection': 'keep-alive' };
  // Node would check the certificate for the name in the Host header, which is not the proxy's.
  const tls = isTls && { servername: isIP(host) > 0 ? '' : host };
  const connection = { ...own, ...tls, host, port: port || (isTls ? 443 : 80), agent: false };
  const options = { ...connection, method: 'CONNECT', path, headers, setDefaultHeaders: false };
  const fail = (error: TunnelError) => onSocket(error, undefined as unknown as Socket);
  const request = (isTls ? https : http).request(options);
  request.once('socket', (socket) => follow(socket, host, STAGES, onStage));
  request.once('connect', ({ statusCode: status = 0, headers }, socket: Socket, head) => {
    // What came behind the answer belongs to the tunnel.
    socket.unshift(head);
    if (status >= 200 && status < 300) return onSocket(null, socket);
    socket.destroy();
    fail(new TunnelError({ status, headers }));
  });
  request.on('error', (error) => fail(new TunnelError(undefined, error)));
  return request.end();
}

/** Tells how far a connection comes: by a name for each stage. */
export function follow<T>(
  socket: Socket,
  host: string,
  [lookup, connection, handshake, connected]: readonly [T, T, T, T],
  onStage: (stage: T) => void,
): void {
  onStage(isIP(host) > 0 ? connection : lookup);
  socket.once('lookup', () => onStage(connection));
  socket.once('connect', () => onStage('encrypted' in socket ? handshake : connected));
  socket.once('secureConnect', () => onStage(connected));
}

/** The host of a URL as Node's connections take it, without the brackets of an IPv6 address. */
export function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}
