import * as http from 'node:http';
import * as https from 'node:https';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { HttpClient } from '@actions/http-client';
import { at, now } from '../shared/clock';
import { errorCode } from '../shared/errors';
import { follow, openTunnel, type TunnelProxy, type TunnelStage, withoutBrackets } from './proxy';

/** Product and version; kept equal to package.json by a test. */
const USER_AGENT = 'formlabs-dashboard-token/1.2.0';
/** More of a head or a body than this is not read, in bytes: the answers of the API are far smaller. */
const SIZE_LIMIT = 1_024 * 1_024;
/** How long each address of a host gets at most. Node gives it 250 ms, which is less than one packet may take. */
const ADDRESS_MS = 5_000;

// Certificates are checked, whatever the environment says: with this variable Node would send the client secret to
// anyone in between.
export const INSECURE_WANTED = process.env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0';
delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];

/** In TLS 1.3, a server refuses a client when the handshake has ended. */
const REFUSED_CLIENT = /_ALERT_(?:\w*CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)/;

const STAGES = ['lookup', 'connection', 'handshake', 'answer'] as const;
/** What a request waits for. Nothing of it has been sent before it waits for the answer. */
export type Stage = TunnelStage | (typeof STAGES)[number];

/** Why an answer is not complete: an error, or a time that was over. */
export interface Problem {
  readonly stage: Stage;
  readonly timeoutMs?: number;
  readonly cause?: unknown;
}

/** What came of a request: an answer; or with a problem, a part of one, or nothing, which has the status 0. */
export interface Response {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  /** Whether there was more of the body than is read. */
  readonly isCut: boolean;
  readonly problem: Problem | undefined;
}

/** The way, the moment at which the request ends, and the one at which it does when it is told to stop. */
export interface Limits {
  readonly proxy: TunnelProxy | undefined;
  readonly endsAt: number;
  readonly endsAtStop: (isSent: boolean) => number;
  readonly stop: AbortSignal;
}

type Form = Readonly<Record<string, string>>;
type Target = { host: string; port: number; maxHeaderSize: number; autoSelectFamilyAttemptTimeout: number };
type OnSocket = (error: Error | null, socket: Socket) => void;

/** How far a request has come, what of the answer, and how many events brought it. */
interface Progress {
  stage: Stage;
  events: number;
  connection?: { destroy: () => unknown };
  fail?: (cause: unknown) => void;
  message?: http.IncomingMessage;
  chunks: Buffer[];
  size: number;
}

/** Whether an answer came in full, and says that the request has worked. */
export function isSuccess({ problem, status }: Response): boolean {
  return problem === undefined && status >= 200 && status < 300;
}

/** Posts a form, once. No redirect is followed, since the form holds the client secret. Never rejects. */
export async function postForm(url: string, form: Form, limits: Limits): Promise<Response> {
  const progress: Progress = { stage: 'lookup', events: 0, chunks: [], size: 0 };
  const problem = await withinLimits(exchange(new URL(url), form, limits, progress), limits, progress);
  const { statusCode: status = 0, headers = {} } = progress.message ?? {};
  const body = await decode(progress.chunks, problem);
  const response = { status, headers, body, isCut: progress.size > SIZE_LIMIT, problem };
  // No connection is left behind, and an answer that nobody waits for any more does not come in.
  if (!isSuccess(response)) progress.connection?.destroy();
  return response;
}

async function exchange(url: URL, form: Form, { proxy, endsAt }: Limits, progress: Progress): Promise<void> {
  // Not 3 minutes, but never: the request has timers of its own.
  const client = new HttpClient(USER_AGENT, [], { socketTimeout: 2 ** 31 - 1 });
  const isTls = url.protocol === 'https:';
  const target = {
    host: withoutBrackets(url.hostname),
    port: Number(url.port || (isTls ? 443 : 80)),
    maxHeaderSize: SIZE_LIMIT,
    autoSelectFamilyAttemptTimeout: Math.ceil(Math.min(ADDRESS_MS, Math.max(1, endsAt - now()) / 4)),
  };
  const headers = {
    accept: 'application/json',
    'accept-encoding': 'identity',
    'content-type': 'application/x-www-form-urlencoded',
    // The process ends before Node would have closed the connection in order.
    connection: 'keep-alive',
    'user-agent': client.userAgent,
  };
  const createConnection = (_: unknown, onSocket: OnSocket) => connect(target, isTls, proxy, progress, onSocket);
  const options = {
    ...target,
    defaultPort: isTls ? 443 : 80,
    method: 'POST',
    path: url.pathname,
    headers,
    createConnection,
  };
  // Not request(), whose tunnels take the certificate of a proxy for that of the host behind it.
  const info = { options, parsedUrl: url, httpModule: isTls ? https : http };
  const { message } = await client.requestRaw(info, new URLSearchParams(form).toString());
  progress.message = message;
  progress.events += 1;
  // Not readBody(), which has no limit, and never settles when the connection breaks.
  for await (const chunk of message.complete ? takeWhole(message) : message) {
    progress.chunks.push(chunk.subarray(0, Math.max(0, SIZE_LIMIT - progress.size)));
    progress.size += chunk.length;
    progress.events += 1;
    if (progress.size > SIZE_LIMIT) return;
  }
}

/** Takes a body that came with its head. To its end, Node would see to the connection first (docs/performance.md). */
function takeWhole(message: http.IncomingMessage): Buffer[] {
  const { readableLength } = message;
  return readableLength === 0 ? [] : [message.read(readableLength)];
}

/** Connects, through the proxy if there is one, and follows how far the connection comes. */
function connect(target: Target, isTls: boolean, proxy: TunnelProxy | undefined, progress: Progress, done: OnSocket) {
  const advance = (stage: Stage) => {
    progress.stage = stage;
    progress.events += 1;
  };
  const start = (tunnel?: Socket) => {
    const tls = { servername: isIP(target.host) > 0 ? '' : target.host, ...(tunnel && { socket: tunnel }) };
    const socket = isTls ? connectTls({ ...target, ...tls }) : connectTcp(target);
    follow(socket, target.host, STAGES, advance);
    // Of some ends, such as that after status 101, Node does not tell.
    socket.once('close', () => whenQuiet(progress, () => progress.fail?.(new Error('the connection was closed'))));
    progress.connection = socket;
    return socket;
  };
  if (proxy === undefined) return start();
  progress.connection = openTunnel(proxy, target, USER_AGENT, advance, (error, tunnel) => {
    if (error !== null) return done(error, tunnel);
    done(null, start(tunnel));
    advance('handshake');
  });
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
    const endAt = (moment: number) => {
      const timeoutMs = Math.max(0, moment - startedAt);
      return at(moment, () => whenQuiet(progress, () => end({ stage: progress.stage, timeoutMs })));
    };
    const timers = [endAt(endsAt)];
    const onStop = () => timers.push(endAt(endsAtStop(progress.stage === 'answer')));
    const end = (problem?: Problem) => {
      for (const timer of timers) clearTimeout(timer);
      stop.removeEventListener('abort', onStop);
      resolve(problem);
    };
    progress.fail = (cause) => {
      const isRefusal = REFUSED_CLIENT.test(String(errorCode(cause)));
      end({ stage: isRefusal ? 'handshake' : progress.stage, cause });
    };
    stop.addEventListener('abort', onStop);
    exchanged.then(() => end(), progress.fail);
  });
}

/** Takes first what lies in the socket: where the machine was paused, a timer comes before the turn that brings it. */
function whenQuiet(progress: Progress, then: () => void): void {
  const { events } = progress;
  setImmediate(() => (progress.events > events ? whenQuiet(progress, then) : then()));
}
