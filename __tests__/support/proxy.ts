import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { cleanup } from './cleanup';

export interface Proxy {
  readonly host: string;
  /** What it was asked to connect to. */
  readonly connects: readonly string[];
  /** Resolves when it has been asked to connect. */
  readonly asked: Promise<void>;
  /** Resolves when the one who asked has closed the connection. */
  readonly left: Promise<void>;
}

export interface ProxyOptions {
  /** Where the hidden host really is. */
  target: { readonly port: number };
  /** `user:password` that it wants. */
  credentials?: string;
  /** The status that it answers instead of a tunnel. */
  refuse?: number;
  /** Takes the connection and never says a word. */
  silent?: boolean;
  tls?: { key: string; cert: string };
}

/** A real CONNECT proxy. Whatever the name that it is asked for, it connects to the target. */
export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const connects: string[] = [];
  const asked = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const server = options.tls ? createTlsServer(options.tls) : createServer();
  const sockets = new Set<Duplex>();

  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    connects.push(request.url ?? '');
    asked.resolve();
    socket.once('end', left.resolve).once('close', left.resolve);
    socket.on('error', () => socket.destroy());
    if (options.silent) return void socket.resume();
    const wanted =
      options.credentials && `Basic ${Buffer.from(options.credentials).toString('base64')}`;
    const status =
      wanted && request.headers['proxy-authorization'] !== wanted ? 407 : (options.refuse ?? 200);
    socket.write(`HTTP/1.1 ${status} ::error::never-shown\r\n\r\n`);
    if (status !== 200) return void socket.end();
    const upstream = connect(options.target.port, '127.0.0.1');
    sockets.add(upstream);
    upstream.on('error', () => socket.destroy());
    socket.pipe(upstream).pipe(socket);
  });
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanup(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  return { host: `127.0.0.1:${port}`, connects, asked: asked.promise, left: left.promise };
}
