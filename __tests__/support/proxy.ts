import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { cleanup } from './cleanup';

/** What a proxy does with one request for a tunnel; an object is the text that it says before it hangs up. */
export type OnConnect = 'open' | 'hang' | 'close' | { readonly says: string };

export interface TestProxy {
  readonly host: string;
  readonly port: number;
  /** What it was asked to connect to. */
  readonly connects: readonly string[];
  /** With which headers. */
  readonly headers: readonly IncomingHttpHeaders[];
}

export interface ProxyOptions {
  /** Where the hidden host really is. */
  target: { readonly port: number };
  /** `user:password` that it wants. */
  credentials?: string;
  /** One for each time that it is asked, once it has its credentials; the last one goes on for ever. */
  script?: readonly OnConnect[];
  /** The address that it listens on. */
  address?: string;
  tls?: { key: string; cert: string };
}

/** An answer in place of a tunnel. No more of it than the status is ever to be shown. */
export function refusal(status: number, headers: Readonly<Record<string, string>> = {}): OnConnect {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return { says: `HTTP/1.1 ${status} ::error::never-shown\r\n${lines.join('')}\r\n` };
}

/** A real CONNECT proxy. Whatever the name that it is asked for, it connects to the target. */
export async function startProxy({ address = '127.0.0.1', ...options }: ProxyOptions): Promise<TestProxy> {
  const connects: string[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const server = options.tls ? createTlsServer(options.tls) : createServer();
  const sockets = new Set<Duplex>();
  const script: OnConnect[] = options.script ? [...options.script] : ['open'];
  const wanted = options.credentials && `Basic ${Buffer.from(options.credentials).toString('base64')}`;

  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    connects.push(request.url ?? '');
    headers.push(request.headers);
    socket.on('error', () => socket.destroy());
    const isKnown = !wanted || request.headers['proxy-authorization'] === wanted;
    const next = isKnown ? (script.length > 1 ? script.shift() : script[0]) : refusal(407);
    if (next === 'hang') return void socket.resume();
    if (next === 'close') return void socket.destroy();
    if (typeof next === 'object') return void socket.end(next.says);
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    const upstream = connect(options.target.port, '127.0.0.1');
    sockets.add(upstream);
    upstream.on('error', () => socket.destroy());
    socket.pipe(upstream).pipe(socket);
  });
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  cleanup(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  const host = `${address.includes(':') ? `[${address}]` : address}:${port}`;
  return { host, port, connects, headers };
}
