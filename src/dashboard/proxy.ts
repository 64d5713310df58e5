import { checkBypass } from '@actions/http-client/lib/proxy';
import { StepError } from '../shared/errors';
import { targetOf } from './connection';

/** Scheme, credentials, host, port and at most a slash. The credentials end at the last @: a password may hold one. */
const ADDRESS =
  /^(?:(https?):\/\/)?(?![^/@:]*:\/\/)(?:(.*)@)?([a-z\d_][\w.-]{0,252}|\[[\da-f:.]+\])(:[1-9]\d{0,4})?\/?$/is;

/** A proxy that opens tunnels: scheme, host and port; host and port, for messages; and its credentials, or ''. */
export interface TunnelProxy {
  readonly url: string;
  readonly name: string;
  readonly authorization: string;
  readonly secrets: readonly string[];
}

/** Chooses the environment's proxy, unless `no_proxy` excludes the host. @throws StepError that shows none of it */
export function chooseProxy(apiUrl: string): TunnelProxy | undefined {
  const [name, value] = proxyVariable();
  const target = new URL(apiUrl);
  if (value === '' || target.protocol !== 'https:' || checkBypass(target)) return undefined;
  const proxy = parseProxy(value);
  if (proxy !== undefined) return proxy;
  const form = 'http://user:password@host:port, with special characters percent-encoded';
  throw new StepError('the-proxy-address-is-not-valid', `${name} is not the address of an HTTP proxy: give ${form}.`);
}

/** Finds the proxy of the main step again, for post. The environment gives its credentials, if it still names it. */
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

/** Reads the address of a proxy; undefined if it is anything else. */
export function parseProxy(text: string): TunnelProxy | undefined {
  const [, scheme = 'http', credentials = '', host = '', port = ''] = ADDRESS.exec(text) ?? [];
  const address = `${scheme}://${host}${port}`;
  if (!URL.canParse(address)) return undefined;
  const { protocol, hostname } = new URL(address);
  // A name that a URL reads otherwise is a number: 3128 would be 0.0.12.56.
  if (hostname !== host.toLowerCase() && !host.startsWith('[')) return undefined;
  const name = targetOf(address).authority;
  const [, user = '', password = ''] = /^([^:]*):?(.*)$/s.exec(credentials) ?? [];
  // A user without a password may be a token.
  const secret = password || user;
  try {
    const basic = Buffer.from(`${decodeURIComponent(user)}:${decodeURIComponent(password)}`).toString('base64');
    return {
      url: `${protocol}//${name}`,
      name,
      authorization: secret && `Basic ${basic}`,
      secrets: secret === '' ? [] : [secret, decodeURIComponent(secret), basic],
    };
  } catch {
    return undefined;
  }
}
