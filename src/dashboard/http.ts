import type { Agent, IncomingHttpHeaders, IncomingMessage, RequestOptions } from 'node:http';
import { HttpClient } from '@actions/http-client';
import { type TunnelProxy, withoutBrackets } from './proxy';

/** Product and version; kept equal to package.json by a test. */
const USER_AGENT = 'formlabs-dashboard-token/1.1.0';

/** More of a head or a body than this is not read: the answers of the API are far smaller. */
const SIZE_LIMIT = 1_024 * 1_024;

/** A connection gets this much of an attempt's time, or half if that is more; each address gets a quarter of it. */
const CONNECTION_MS = 15_000;

// Certificates are checked, whatever the environment says: with this variable Node would send the client secret to
// anyone in between.
export const INSECURE_WANTED = process.env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0';
delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];

/** What came of a request: an answer, a part of one, or nothing. */
export interface Outcome {
  /** 0 if not even the head of an answer came. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Decoded as UTF-8. */
  readonly body: string;
  /** Why the answer is not complete; undefined if it is. */
  readonly cause: unknown;
  /** What the time ran out for; the message of `cause` tells the time then. */
  readonly timedOut: 'connection' | 'answer' | undefined;
}

export interface Limits {
  readonly proxy: TunnelProxy | undefined;
  readonly limitMs: number;
  /** Ends a request that has no connection yet. */
  readonly stop: AbortSignal;
  /** Ends all of it. */
  readonly signal: AbortSignal;
}

/** What has come so far. */
interface Progress {
  /** Counts what comes. */
  events: number;
  readonly agent: Agent;
  message?: IncomingMessage;
  readonly chunks: Buffer[];
}

/** Whether an answer came, and says that the request has worked. */
export function isSuccess({ cause, status }: Outcome): boolean {
  return cause === undefined && status >= 200 && status < 300;
}

/**
 * Posts a form, once: no redirect is followed, since the form holds the client secret, and nothing is tried again.
 * Never rejects.
 */
export async function postForm(url: string, form: Readonly<Record<string, string>>, limits: Limits): Promise<Outcome> {
  const connection = {
    maxHeaderSize: SIZE_LIMIT,
    // Node gives each address but the last 250 ms, which is less than one packet may take.
    autoSelectFamilyAttemptTimeout: Math.ceil(connectionMs(limits) / 4),
  };
  const client = new HttpClient(USER_AGENT, [handler(connection)], {
    allowRedirects: false,
    // With `connection: close` the step would have to wait for the socket to close; kept alive, it ends with the
    // process.
    keepAlive: true,
    // Above the limit of the attempt, which has a timer of its own.
    socketTimeout: limits.limitMs + 60_000,
  });
  const agent = client.getAgent(url) as Agent;
  const { proxy } = limits;
  const ended = new AbortController();
  if (proxy !== undefined) {
    agent.createConnection = (target, onSocket) => {
      proxy.connect(target, { ...connection, signal: ended.signal }, (error, socket) => onSocket?.(error, socket));
      return undefined;
    };
  }
  const progress: Progress = { events: 0, agent, chunks: [] };
  const exchanged = exchange(client, url, new URLSearchParams(form).toString(), progress);
  const outcome = await withinLimits(exchanged, limits, progress);
  if (!isSuccess(outcome)) {
    // No connection is left behind, and an answer that nobody waits for any more does not come in.
    ended.abort();
    client.dispose();
  }
  return outcome;
}

async function exchange(client: HttpClient, url: string, form: string, progress: Progress): Promise<void> {
  const { message } = await client.request('POST', url, form, {
    accept: 'application/json',
    'accept-encoding': 'identity',
    'content-type': 'application/x-www-form-urlencoded',
  });
  progress.message = message;
  progress.events += 1;
  let room = SIZE_LIMIT;
  // Not the client's readBody(): it has no limit, and never settles when the connection breaks.
  for await (const chunk of message.complete ? takeWhole(message) : message) {
    progress.chunks.push(chunk.subarray(0, room));
    progress.events += 1;
    room -= chunk.length;
    if (room < 0) break;
  }
}

/**
 * Takes a body that came in one piece with its head. Asked for just the bytes that are there, Node does not go on to
 * make the connection ready for another request, which would take longer than the rest.
 */
function takeWhole(message: IncomingMessage): Buffer[] {
  const length = message.readableLength;
  return length === 0 ? [] : [message.read(length)];
}

/** A server may compress a body unasked, and without saying so (gzip begins with 0x1f, and no text does). */
async function decode({ message, chunks }: Progress): Promise<string> {
  const body = Buffer.concat(chunks);
  const coding = message?.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (coding === 'identity' && body[0] !== 0x1f) return body.toString();
  const { brotliDecompressSync, constants, unzipSync } = await import('node:zlib');
  const decompress = coding === 'br' ? brotliDecompressSync : unzipSync;
  try {
    // So flushed, a body that broke off gives what it can.
    const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: SIZE_LIMIT };
    return decompress(body, options).toString();
  } catch {
    return body.toString();
  }
}

/** Settles when the exchange does, when the signal comes, or when the time is over. */
function withinLimits(exchanged: Promise<void>, limits: Limits, progress: Progress): Promise<Outcome> {
  const { limitMs, stop, signal } = limits;
  return new Promise((resolve) => {
    const settle = async (cause: unknown, timedOut?: Outcome['timedOut']) => {
      const { statusCode: status = 0, headers = {} } = progress.message ?? {};
      resolve({ status, headers, body: await decode(progress), cause, timedOut });
    };
    const timeOut = (ms: number) => {
      const awaited = isConnected(progress) ? 'answer' : 'connection';
      const what = awaited === 'answer' ? 'no complete answer' : 'no connection';
      const cause = new Error(`${what} within ${(ms / 1_000).toFixed(1)} s`);
      if (awaited === 'connection' || ms === limitMs) void settle(cause, awaited);
    };
    const timers = [connectionMs(limits), limitMs].map((ms) =>
      setTimeout(() => whenQuiet(progress, () => timeOut(ms)), ms),
    );
    const onStop = () => void (isConnected(progress) || settle(stop.reason));
    const onAbort = () => void settle(signal.reason);
    stop.addEventListener('abort', onStop);
    signal.addEventListener('abort', onAbort);
    exchanged.then(settle, settle).finally(() => {
      for (const timer of timers) clearTimeout(timer);
      stop.removeEventListener('abort', onStop);
      signal.removeEventListener('abort', onAbort);
    });
  });
}

/**
 * Takes what already lies in the socket first: where the machine was paused, the timer comes before it. Between the two
 * lies a turn of the event loop that brings nothing new.
 */
function whenQuiet(progress: Progress, then: () => void): void {
  const { events } = progress;
  setImmediate(() => (progress.events > events ? whenQuiet(progress, then) : then()));
}

function connectionMs({ limitMs }: Limits): number {
  return Math.max(Math.min(CONNECTION_MS, limitMs), limitMs / 2);
}

function isConnected({ agent }: Progress): boolean {
  const sockets = Object.values(agent.sockets).flat();
  return sockets.some((socket) => socket?.connecting === false);
}

/** Sets what the client has no option for. */
function handler(connection: RequestOptions) {
  return {
    prepareRequest: (options: RequestOptions) => {
      Object.assign(options, connection, { host: withoutBrackets(String(options.host)) });
    },
    canHandleAuthentication: () => false,
    handleAuthentication: () => Promise.reject(new Error('not supported')),
  };
}
