import { type AddressInfo, createServer, type Socket } from 'node:net';
import { cleanup } from './cleanup';

/** A server that speaks no protocol but what it is told to, to be asked over TLS. */
export async function startTcpServer(onConnection: (socket: Socket) => void): Promise<{ url: string; port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanup(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `https://127.0.0.1:${port}`, port };
}

/** A server that answers every request with this text. */
export function startTextServer(text: string | Buffer): Promise<{ url: string; port: number }> {
  return startTcpServer((socket) => socket.once('data', () => socket.end(text)));
}
