import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** What a request waits for, through a proxy or not. Nothing of it has been sent before it waits for the answer. */
export type Stage = `${Whose}${'lookup' | 'connection' | 'handshake' | 'answer'}`;
type Whose = '' | 'proxy ';
export type OnStage = (stage: Stage) => void;
export type Target = ReturnType<typeof targetOf>;

/** Reads where a URL leads to. */
export function targetOf(url: string) {
  const { protocol, hostname, port: given } = new URL(url);
  const isTls = protocol === 'https:';
  const port = Number(given || (isTls ? 443 : 80));
  // Node takes an IPv6 address without the brackets.
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port, authority: `${hostname}:${port}`, isTls };
}

/** Connects to a host or a proxy, through a tunnel if there is one, and tells how far that comes. */
export function connect(target: Target, addressMs: number, whose: Whose, onStage: OnStage, tunnel?: Socket): Socket {
  const { host, port, isTls } = target;
  const isName = isIP(host) === 0;
  const tcp = { host, port, autoSelectFamilyAttemptTimeout: addressMs };
  const tls = { ...tcp, servername: isName ? host : '', ...(tunnel && { socket: tunnel }) };
  const socket = isTls ? connectTls(tls) : connectTcp(tcp);
  const first = isName ? 'lookup' : 'connection';
  onStage(tunnel ? 'handshake' : `${whose}${first}`);
  socket.once('lookup', () => onStage(`${whose}connection`));
  socket.once('connect', () => onStage(`${whose}${isTls ? 'handshake' : 'answer'}`));
  socket.once('secureConnect', () => onStage(`${whose}answer`));
  return socket;
}
