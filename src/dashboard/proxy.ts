import { type ClientRequestArgs, type IncomingHttpHeaders, request as overTcp } from 'node:http';
import { request as overTls } from 'node:https';
import type { Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { checkBypass } from '@actions/http-client/lib/proxy';
import { StepError } from '../shared/errors';

type OnSocket = (error: Error | null, socket: Socket) => void;

/** A proxy that opens tunnels. */
export interface TunnelProxy {
  /** Host and port, without credentials. */
  readonly host: string;
  readonly hasCredentials: boolean;
  /** What is to be kept out of the log: the password, or a user name without one, as it stands and as it is sent. */
  readonly secrets: readonly string[];
  /** Opens a tunnel (RFC 9110, section 9.3.6) to a host and port, and TLS in it. Gives a TunnelError if it can't. */
  readonly connect: (target: ClientRequestArgs, own: ClientRequestArgs, onSocket: OnSocket) => void;
}

/** A tunnel that was not opened: what the proxy answered, or as `cause` why it did not. */
export class TunnelError extends Error {
  override readonly name = 'TunnelError';
  readonly answer: { status: number; headers: IncomingHttpHeaders } | undefined;

  constructor(answer: TunnelError['answer'], cause?: unknown) {
    super('the proxy opened no tunnel', { cause });
    this.answer = answer;
  }
}

/**
 * Takes the proxy for a URL out of the environment. Which variable counts, and which hosts go past the proxy, is as
 * `@actions/http-client` has it. The variable is deleted then, because the tunnels of that client take the certificate
 * of a proxy for that of the host behind it. Node's own (`proxyEnv`) are missing before 24.5, hide why a proxy has
 * refused, and can't be aborted.
 *
 * @returns undefined if there is none
 * @throws StepError if the variable can't be read
 */
export function takeProxy(url: string): TunnelProxy | undefined {
  const target = new URL(url);
  if (target.protocol !== 'https:' || checkBypass(target)) return undefined;
  const names = ['https_proxy', 'HTTPS_PROXY'];
  const variables = names.map((name) => ({ name, text: process.env[name]?.trim() ?? '' }));
  for (const name of names) delete process.env[name];
  const variable = variables.find(({ text }) => text !== '');
  return variable && readProxy(variable.name, variable.text);
}

function readProxy(name: string, text: string): TunnelProxy {
  try {
    // As curl and the runner have it, a value without a scheme is the address of a plain proxy.
    const url = new URL(/^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`);
    const credentials = [url.username, url.password].map(decodeURIComponent).join(':');
    if (!/^https?:$/.test(url.protocol)) throw new TypeError('it speaks something other than HTTP');
    const basic = Buffer.from(credentials).toString('base64');
    const hasCredentials = credentials !== ':';
    const secret = url.password || url.username;
    const headers = hasCredentials ? { 'proxy-authorization': `Basic ${basic}` } : {};
    return {
      host: url.host,
      hasCredentials,
      secrets: [secret, decodeURIComponent(secret)],
      connect: (target, own, onSocket) => openTunnel(url, { ...own, headers }, target, onSocket),
    };
  } catch (cause) {
    const form = 'http://user:password@host:port, with special characters percent-encoded';
    throw new StepError(`${name} is not the address of an HTTP proxy: give ${form}.`, { cause });
  }
}

function openTunnel(
  { protocol, hostname, port }: URL,
  { headers, ...own }: ClientRequestArgs,
  target: ClientRequestArgs,
  onSocket: OnSocket,
): void {
  const host = withoutBrackets(hostname);
  const isTls = protocol === 'https:';
  const path = `${String(target.host).replace(/^.*:.*$/, '[$&]')}:${target.port}`;
  const fail = (answer: TunnelError['answer'], cause?: unknown) =>
    onSocket(new TunnelError(answer, cause), undefined as unknown as Socket);
  const connect = (isTls ? overTls : overTcp)({
    ...own,
    method: 'CONNECT',
    host,
    port: port || (isTls ? 443 : 80),
    path,
    agent: false,
    headers: { ...headers, host: path },
    // Node would check the certificate for the name in the Host header, which is not the proxy's.
    ...(isTls && { servername: /^[\d.]+$|:/.test(host) ? '' : host }),
  });
  connect.once('connect', ({ statusCode, headers }, socket: Socket) => {
    const status = Number(statusCode);
    if (status >= 200 && status < 300) {
      return onSocket(null, connectTls({ ...(target as ConnectionOptions), socket }));
    }
    socket.destroy();
    fail({ status, headers });
  });
  connect.on('error', (error) => fail(undefined, error));
  connect.end();
}

/** The host of a URL as Node's connections take it, without the brackets of an IPv6 address. */
export function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}
