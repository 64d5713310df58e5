import type { IncomingMessage, RequestOptions } from 'node:http';
import { getProxyUrl, HttpClient } from '@actions/http-client';
import { StepError } from '../step-error';

/** Product and version; kept equal to package.json by a test. */
export const USER_AGENT = 'formlabs-dashboard-token/1.0.0';

/** More of a body than this is not read: the answers of the API are far smaller. */
export const BODY_LIMIT_BYTES = 64 * 1024;

export interface HttpAnswer {
  readonly complete: true;
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** At most `BODY_LIMIT_BYTES` of the body, decoded as UTF-8. */
  readonly body: string;
  /** Whether the body went on after that. */
  readonly bodyTooLong: boolean;
}

/** No answer, or one that broke off. */
export interface NoAnswer {
  readonly complete: false;
  /** What had come of the body until then. */
  readonly body: string;
  /** Why: an error, or the reason of the signal. */
  readonly cause: unknown;
}

/** The agent of the `tunnel` package, which the client uses for proxies, as far as it is needed here. */
interface TunnelAgent {
  readonly proxyOptions: RequestOptions;
}

/**
 * Posts a form, once: no redirect is followed, since the form holds the client secret, and nothing is
 * tried again. A proxy is taken from the environment by the client itself.
 *
 * @param signal ends connection, request and body
 */
export async function postForm(
  url: string,
  form: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<HttpAnswer | NoAnswer> {
  const client = new HttpClient(USER_AGENT, [requestHandler(signal)], {
    allowRedirects: false,
    // One client makes one request. Asked to close the connection, the server would have the step see to
    // that as well before it ends; kept alive, it ends with the process.
    keepAlive: true,
  });
  const received: Buffer[] = [];
  try {
    signal.throwIfAborted();
    return await rejectOnAbort(exchange(client, url, form, received), signal);
  } catch (error) {
    // Ends the connection, should the request still be under way: an answer that nobody waits for any more
    // must not come in.
    client.dispose();
    const body = Buffer.concat(received).toString();
    return { complete: false, body, cause: signal.aborted ? signal.reason : error };
  }
}

/**
 * Checks the proxy variable. One that the client can't read it would leave out without a word.
 *
 * @throws StepError if requests to this URL may go through a proxy whose address can't be read
 */
export function checkProxy(url: string): void {
  const name = process.env['https_proxy'] ? 'https_proxy' : 'HTTPS_PROXY';
  const proxy = process.env[name] ?? '';
  if (proxy === '' || isProxyUrl(proxy) || new URL(url).protocol !== 'https:') return;
  throw new StepError(
    `${name} is not the address of a proxy: give http://user:password@host:port, with special characters in user and password percent-encoded.`,
  );
}

/** The host and port of the proxy that requests to this URL go through, without its credentials; undefined if there is none. */
export function proxyHost(url: string): string | undefined {
  const proxy = getProxyUrl(url);
  return proxy === '' ? undefined : new URL(proxy).host;
}

/** The proxy's password as it stands in the environment and as it is sent, to be kept out of all messages; none if there is none. */
export function proxyPasswords(url: string): string[] {
  const proxy = getProxyUrl(url);
  const password = proxy === '' ? '' : new URL(proxy).password;
  return password === '' ? [] : [password, decodeURIComponent(password)];
}

function isProxyUrl(text: string): boolean {
  // The client puts http:// before what is no URL without it, such as 192.0.2.1:3128.
  const url = URL.canParse(text) || /^https?:/.test(text) ? text : `http://${text}`;
  try {
    const { protocol, username, password } = new URL(url);
    decodeURIComponent(username + password);
    return /^https?:$/.test(protocol);
  } catch {
    return false;
  }
}

async function exchange(
  client: HttpClient,
  url: string,
  form: Readonly<Record<string, string>>,
  received: Buffer[],
): Promise<HttpAnswer> {
  const { message } = await client.request('POST', url, new URLSearchParams(form).toString(), {
    accept: 'application/json',
    'accept-encoding': 'identity',
    'content-type': 'application/x-www-form-urlencoded',
  });
  let size = 0;
  // Not the client's readBody(): it has no limit, and never settles when the connection breaks.
  for await (const chunk of message.complete ? takeWhole(message) : message) {
    received.push(chunk.subarray(0, BODY_LIMIT_BYTES - size));
    size += chunk.length;
    if (size > BODY_LIMIT_BYTES) break;
  }
  return {
    complete: true,
    status: Number(message.statusCode),
    // Node puts them together when they are looked at, which only a failure does.
    get headers() {
      return message.headers;
    },
    body: Buffer.concat(received).toString(),
    bodyTooLong: size > BODY_LIMIT_BYTES,
  };
}

/**
 * Takes a body that came in one piece with its head. Asked for just the bytes that are there, Node does not
 * go on to make the connection ready for another request, which takes longer than what the step still has
 * to do.
 */
function takeWhole(message: IncomingMessage): Buffer[] {
  const length = message.readableLength;
  return length === 0 ? [] : [message.read(length)];
}

function requestHandler(signal: AbortSignal) {
  return {
    prepareRequest(options: RequestOptions): void {
      options.host = withoutBrackets(options.host);
      const agent: unknown = options.agent;
      if (isTunnelAgent(agent)) {
        // The client disposes of no tunnel, so both the request in it and the tunnel's own to the proxy
        // get the signal. Others go without: Node takes its time to set that up.
        options.signal = signal;
        agent.proxyOptions.signal = signal;
        agent.proxyOptions.host = withoutBrackets(agent.proxyOptions.host);
        // It also uses a deprecated call where the proxy has a password; the warning tells users nothing.
        process.noDeprecation = true;
      }
    },
    canHandleAuthentication: () => false,
    handleAuthentication: () => Promise.reject(new Error('not supported')),
  };
}

function isTunnelAgent(agent: unknown): agent is TunnelAgent {
  return 'proxyOptions' in Object(agent);
}

/** The client passes the host of a URL on as it stands there; Node wants an IPv6 address without brackets. */
function withoutBrackets(host: string | null | undefined): string {
  return String(host).replace(/^\[(.*)\]$/, '$1');
}

/** Settles with the signal even if the request itself never notices it. */
function rejectOnAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
