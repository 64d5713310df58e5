import * as http from 'node:http';
import * as https from 'node:https';
import type { Socket } from 'node:net';
import { HttpClient } from '@actions/http-client';
import { now, turns } from '../shared/clock';
import { errorCode } from '../shared/errors';
import { connect, type Stage, type Target, targetOf } from './connection';
import type { TunnelProxy } from './proxy';

/** Product and version; kept equal to package.json by a test. */
const USER_AGENT = 'formlabs-dashboard-token/1.2.0';
/** More of a head or a body than this is not read, in bytes: the answers of the API are far smaller. */
const SIZE_LIMIT = 1_024 * 1_024;
/** How long each address of a host gets at most. Node gives it 250 ms, which is less than one packet may take. */
const ADDRESS_MS = 5_000;
/** Enough turns of the event loop to read as much. */
const LAST_TURNS = 50;
// Certificates are checked always: with this variable Node would send the client secret to anyone in between.
export const INSECURE_WANTED = process.env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0';
delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
const REFUSED_CLIENT = /_ALERT_(?:\w*CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)/;

/** Why an answer is not complete: an error, or a time that was over. */
export interface Problem {
  readonly stage: Stage;
  readonly timeoutMs?: number;
  readonly cause?: unknown;
}

/** What came: an answer; with a problem, a part of one, that of a proxy without a tunnel, or nothing (status 0). */
export interface Response {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  readonly problem: Problem | undefined;
}

/** The way, the moment at which the request ends, and the one at which it does when it is told to stop. */
export interface Limits {
  readonly proxy: TunnelProxy | undefined;
  readonly endsAt: number;
  readonly endsAtStop: (isSent: boolean) => number;
  readonly stop: AbortSignal;
}

type OnSocket = (error: Error | null, socket: Socket) => void;

/** How far a request has come, and what of the answer. */
interface Progress {
  stage: Stage;
  connection?: { destroy: () => unknown };
  fail?: (cause: unknown) => void;
  message?: http.IncomingMessage;
  chunks: Buffer[];
}

/** Whether an answer came in full, and says that the request has worked. */
export function isSuccess({ problem, status }: Response): boolean {
  return problem === undefined && status >= 200 && status < 300;
}

/** Posts a form, once. No redirect is followed, since the form holds the client secret. Never rejects. */
export async function postForm(url: string, form: Record<string, string>, limits: Limits): Promise<Response> {
  const progress: Progress = { stage: 'lookup', chunks: [] };
  const exchanged = exchange(url, new URLSearchParams(form).toString(), limits, progress);
  const problem = await withinLimits(exchanged, limits, progress);
  const { statusCode: status = 0, headers = {} } = progress.message ?? {};
  const response = { status, headers, body: await decode(progress.chunks, problem), problem };
  // No connection is left behind, and an answer that nobody waits for any more does not come in.
  if (!isSuccess(response)) progress.connection?.destroy();
  return response;
}

async function exchange(url: string, body: string, limits: Limits, progress: Progress): Promise<void> {
  // Not 3 minutes, but never: the request has timers of its own.
  const client = new HttpClient(USER_AGENT, [], { socketTimeout: 2 ** 31 - 1 });
  const target = targetOf(url);
  const options = {
    ...target,
    defaultPort: target.isTls ? 443 : 80,
    method: 'POST',
    path: new URL(url).pathname,
    headers: {
      accept: 'application/json',
      'accept-encoding': 'identity',
      'content-type': 'application/x-www-form-urlencoded',
      // The process ends before Node would have closed the connection in order.
      connection: 'keep-alive',
      'user-agent': USER_AGENT,
    },
    maxHeaderSize: SIZE_LIMIT,
    createConnection: (_: unknown, onSocket: OnSocket) => open(target, limits, progress, onSocket),
  };
  // Not request(), whose tunnels take the certificate of a proxy for that of the host behind it.
  const info = { options, parsedUrl: new URL(url), httpModule: target.isTls ? https : http };
  const { message } = await client.requestRaw(info, body);
  progress.message = message;
  // A body that came with its head is there. To the end of the stream Node would see to the connection first.
  const wholeBody = message.complete ? [message.read(message.readableLength) ?? Buffer.alloc(0)] : undefined;
  let size = 0;
  // Not readBody(), which has no limit, and never settles when the connection breaks.
  for await (const chunk of wholeBody ?? message) {
    progress.chunks.push(chunk);
    size += chunk.length;
    if (size > SIZE_LIMIT) return;
  }
}

/**
 * Opens the connection of a request. A proxy is asked as curl asks (RFC 9110, section 9.3.6): some refuse a CONNECT
 * without a User-Agent, or hang up at `Connection: close`. Node's own `proxyEnv` hides refusals, and is new in 24.5.
 */
function open(target: Target, { proxy, endsAt }: Limits, progress: Progress, onSocket: OnSocket) {
  const addressMs = Math.ceil(Math.min(ADDRESS_MS, Math.max(1, endsAt - now()) / 4));
  const onStage = (stage: Stage) => Object.assign(progress, { stage });
  const fail = (error: Error) => progress.fail?.(error);
  const start = (tunnel?: Socket) => {
    const socket = connect(target, addressMs, '', onStage, tunnel);
    // Of some ends, such as that after status 101, Node does not tell.
    socket.once('close', () => turns(LAST_TURNS).then(() => fail(new Error('the connection was closed'))));
    progress.connection = socket;
    return socket;
  };
  if (proxy === undefined) return start();
  const { authority: path } = target;
  const credentials = proxy.authorization && { 'proxy-authorization': proxy.authorization };
  const headers = { host: path, ...credentials, 'user-agent': USER_AGENT, 'proxy-connection': 'keep-alive' };
  const createConnection = () => connect(targetOf(proxy.url), addressMs, 'proxy ', onStage);
  const transport = { maxHeaderSize: SIZE_LIMIT, createConnection };
  const request = http.request({ method: 'CONNECT', path, headers, setDefaultHeaders: false, ...transport });
  request.once('connect', (answer, tunnel: Socket, head) => {
    // What came behind the answer belongs to the tunnel.
    tunnel.unshift(head);
    const { statusCode = 0 } = answer;
    if (statusCode >= 200 && statusCode < 300) return onSocket(null, start(tunnel));
    Object.assign(progress, { message: answer, connection: tunnel });
    fail(new Error('the proxy opened no tunnel'));
  });
  progress.connection = request.on('error', fail).end();
  return undefined;
}

/** A server may compress a body unasked, and without saying so: gzip begins with 0x1f8b, and no text does. */
async function decode(chunks: readonly Buffer[], problem: Problem | undefined): Promise<string> {
  const body = Buffer.concat(chunks);
  if (body[0] !== 0x1f || body[1] !== 0x8b) return body.toString();
  const { constants, gunzipSync } = await import('node:zlib');
  try {
    // A body that broke off gives what it can.
    const finishFlush = problem ? constants.Z_SYNC_FLUSH : constants.Z_FINISH;
    return gunzipSync(body, { finishFlush, maxOutputLength: SIZE_LIMIT }).toString();
  } catch {
    return body.toString();
  }
}

/** Resolves when the exchange ends, or has to: with what was wrong, or undefined if nothing was. */
function withinLimits(exchanged: Promise<void>, limits: Limits, progress: Progress): Promise<Problem | undefined> {
  const { endsAt, endsAtStop, stop } = limits;
  const startedAt = now();
  return new Promise((resolve) => {
    const timers: NodeJS.Timeout[] = [];
    const endAt = (moment: number) => {
      const timeoutMs = Math.max(0, moment - startedAt);
      const giveUp = () => end({ stage: progress.stage, timeoutMs });
      // Where the machine was paused, a timer comes before what lies in the socket.
      timers.push(setTimeout(() => turns(LAST_TURNS).then(giveUp), Math.max(0, moment - now())));
    };
    const onStop = () => endAt(endsAtStop(progress.stage === 'answer'));
    const end = (problem?: Problem) => {
      for (const timer of timers) clearTimeout(timer);
      stop.removeEventListener('abort', onStop);
      resolve(problem);
    };
    progress.fail = (cause) => {
      // In TLS 1.3, a server refuses a client when the handshake has ended.
      const isRefusal = REFUSED_CLIENT.test(String(errorCode(cause))) && !progress.stage.startsWith('proxy');
      end({ stage: isRefusal ? 'handshake' : progress.stage, cause });
    };
    endAt(endsAt);
    stop.addEventListener('abort', onStop);
    exchanged.then(() => end(), progress.fail);
  });
}
