import { STATUS_CODES } from 'node:http';
import { getSystemErrorMap } from 'node:util';
import { type Explanation, errorCode, RequestError } from '../shared/errors';
import { codeOf, headerOf, hostOf, wordsOf } from '../shared/text';
import type { Logger } from '../shared/types';
import { isOfFirewall, isPage, parseJsonObject, retryAfterMs } from './answers';
import { explainCertificate } from './certificates';
import type { Problem, Response, Stage } from './http';
import { TunnelError, type TunnelProxy, through } from './proxy';

/** What an explanation may look at, besides what came. */
export interface Context {
  readonly apiUrl: string;
  readonly path: string;
  readonly proxy: TunnelProxy | undefined;
  /** The inputs that don't look like credentials of the Dashboard. */
  readonly oddInputs: readonly string[];
  readonly logger: Logger;
}

const PAGE = 'https://dashboard.formlabs.com/#developer';
const CHECK_CREDENTIALS = `Check that client-id and client-secret belong together and are still listed on ${PAGE}.`;
const CHECK_ADDRESS = 'Check api-url, and any proxy or gateway in between.';
const CHECK_NETWORK = 'Check api-url, the proxy variables and the network of the runner.';
const CHECK_PATH = 'Usually api-url names the wrong host or path. Leave it out to use the Dashboard itself.';
const ANOTHER_SERVER =
  'Usually a captive portal, a proxy or another server answers in place of the Dashboard: check api-url.';
const FIREWALL = 'Usually a firewall asks for proof that the client is a browser. Run the job on another network.';
const OUTAGE = 'The Dashboard, or a gateway in front of it, has an outage.';
const FORBIDDEN =
  'Usually a firewall or a proxy blocks the runner, api-url names another server, or the account of the credentials ' +
  `may not use the API: it needs a registered printer, see ${PAGE}.`;
const RATE_LIMIT =
  'The limits are 100 requests a second from one IP address and 1,500 an hour for one user: start fewer jobs at once.';

/** What to do about errors of OAuth that are not about the credentials (RFC 6749, section 5.2). */
const OAUTH_ADVICE = new Map<unknown, string>([
  ['unauthorized_client', `These credentials may not use this grant: create new ones on ${PAGE}.`],
  ['unsupported_grant_type', 'The server does not support the client credentials grant: check api-url.'],
  ['invalid_scope', 'The Dashboard requires no scope, so another server has answered: check api-url.'],
  ['invalid_request', `The request did not arrive as it was sent. ${CHECK_ADDRESS}`],
]);

/** Errors of OAuth that another attempt may not meet. */
const PASSING_ERRORS: readonly unknown[] = ['temporarily_unavailable', 'server_error', 'slow_down'];

/** The heading for each stage, and what had not come when its time was over. */
const MISSING: Readonly<Record<Stage, readonly [help: string, what: string]>> = {
  'proxy lookup': ['the-name-server-did-not-answer', 'the name server did not answer for the proxy'],
  'proxy connection': ['no-connection', 'no connection to the proxy'],
  'proxy handshake': ['the-tls-handshake-did-not-complete', 'the TLS handshake with the proxy did not complete'],
  tunnel: ['the-proxy-did-not-open-a-tunnel', 'the proxy did not open a tunnel'],
  lookup: ['the-name-server-did-not-answer', 'the name server did not answer'],
  connection: ['no-connection', 'no connection'],
  handshake: ['the-tls-handshake-did-not-complete', 'the TLS handshake did not complete'],
  answer: ['no-complete-answer', 'no complete answer'],
};

/** Errors of TLS that are not about certificates; those that may pass; and those of a peer that speaks another TLS. */
const TLS_ERROR = /^(?:EPROTO$|ERR_(?:SSL|TLS|OSSL)_)/;
const PASSING_TLS_ERROR = /bad[_ ]record[_ ]mac|internal[_ ]error/i;
const OTHER_TLS_ERROR = /renegotiation|unsupported|no[_ ]protocols|cipher|dh[_ ]key|signature|group/i;
/** What a support desk asks for. */
const DEBUG_HEADERS =
  'date server via content-type content-length retry-after cf-ray x-request-id x-amzn-requestid x-amzn-waf-action';

/** Describes an answer for debug logging. */
export function describe({ status, headers, problem }: Response, ms: number, { secrets }: Logger): string {
  const shown = DEBUG_HEADERS.split(' ').map((name) => [name, headerOf(String(headers[name] ?? ''), secrets)]);
  const lines = shown.filter(([, value]) => value !== '').map((pair) => pair.join(': '));
  const answer = status === 0 ? 'No answer' : `${named(status)}${problem ? ', incomplete,' : ''}`;
  return [`${answer} after ${Math.round(ms)} ms`, ...lines].join('; ');
}

/** Explains a request that did not bring what it should. Only what another attempt can't change is final. */
export function explain(response: Response, context: Context): RequestError {
  const { problem } = response;
  const explanation = problem ? explainProblem(response.status, problem, context) : explainAnswer(response, context);
  const { cause, stage, timeoutMs } = problem ?? {};
  const { headers } = (cause instanceof TunnelError && cause.answer) || response;
  const awaited = stage === 'answer' ? 'answer' : 'connection';
  const timedOut = timeoutMs === undefined ? undefined : awaited;
  return new RequestError(explanation, { retryAfterMs: retryAfterMs(headers), timedOut, cause });
}

/** Explains why a successful answer to a token request can't be used. */
export function explainUnusable(response: Response, reason: string, { secrets }: Logger): RequestError {
  const status = response.status === 200 ? '' : `, ${named(response.status)},`;
  const what = `the answer to the token request${status} ${reason}${detailsOf(response, secrets)}`;
  const error = parseJsonObject(response.body)?.get('error');
  if (typeof error !== 'string')
    return new RequestError(ofAnotherServer(response, 'the-answer-has-no-usable-token', what));
  const advice = OAUTH_ADVICE.get(error) ?? CHECK_CREDENTIALS;
  return new RequestError(['the-credentials-were-not-accepted', what, advice]);
}

/** Explains an answer that says that a revocation has worked, but not as the standard has it. */
export function explainUnconfirmed(response: Response): RequestError {
  const status = response.status === 200 ? '' : ` with ${named(response.status)}`;
  const what = `the revocation was answered${status}, but not confirmed`;
  return new RequestError(ofAnotherServer(response, 'the-access-token-could-not-be-revoked', what));
}

function ofAnotherServer(response: Response, help: string, what: string): Explanation {
  return isOfFirewall(response) ? ['a-firewall-answered', what, FIREWALL] : [help, what, ANOTHER_SERVER];
}

function explainAnswer(response: Response, { apiUrl, path, oddInputs, logger }: Context): Explanation {
  const { status, headers, body } = response;
  const details = detailsOf(response, logger.secrets);
  if ([301, 302, 303, 307, 308].includes(status)) {
    const target = redirectTarget(apiUrl, headers.location ?? '', logger.secrets);
    const what = `the Dashboard redirected the request (${status}) to ${target}; redirects are not followed, since they`;
    const advice = 'Set api-url to the final address; a sign-in page means a captive portal.';
    return ['the-request-was-redirected', `${what} would carry the client secret`, advice];
  }
  // The API answers 401 in JSON, and 400 with an error of OAuth; all else comes from something in between.
  const fields = parseJsonObject(body);
  if (fields !== undefined && (status === 401 || (status === 400 && fields.has('error')))) {
    const error = fields.get('error');
    const advice = OAUTH_ADVICE.get(error) ?? (PASSING_ERRORS.includes(error) ? OUTAGE : undefined);
    const what = advice ? 'refused the request' : 'did not accept the credentials';
    const check = `${CHECK_CREDENTIALS}${adviceOn(oddInputs)}`;
    const isTransient = PASSING_ERRORS.includes(error);
    const refused = `the Dashboard ${what} (${status})${details}`;
    return ['the-credentials-were-not-accepted', refused, advice ?? check, isTransient];
  }
  const answered = `the Dashboard answered ${named(status)}${details}`;
  const refused = `the Dashboard refused the request (403)${details}`;
  const missing = `there is nothing at ${logger.own(apiUrl + path)} (404)`;
  const isTransient = isPassing(status) || headers['retry-after'] !== undefined;
  if (isPassing(status)) return ['a-rate-limit-or-an-outage', answered, status === 429 ? RATE_LIMIT : OUTAGE, true];
  if (isOfFirewall(response)) return ['a-firewall-answered', answered, FIREWALL, isTransient];
  if (status === 403) return ['403-forbidden', refused, FORBIDDEN, isTransient];
  if (status === 404) return ['404-not-found', missing, CHECK_PATH, isTransient];
  return ['an-undocumented-answer', `${answered}, which its API does not document`, CHECK_ADDRESS, isTransient];
}

function isPassing(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429;
}

function adviceOn(oddInputs: readonly string[]): string {
  if (oddInputs.length === 0) return '';
  const odd = `The value of ${oddInputs.join(' and ')} has more in it than letters and digits, unlike the Dashboard's own`;
  const advice = "pass the value itself, not its name, an expression, a password manager's reference or a quoted value";
  return ` ${odd}: ${advice}.`;
}

function explainProblem(status: number, { stage, cause, timeoutMs }: Problem, context: Context): Explanation {
  const { apiUrl, proxy, logger } = context;
  const host = logger.own(new URL(apiUrl).host);
  const way = through(proxy);
  const [help, missing] = MISSING[stage];
  const noAnswer = (why: string, heading = help): Explanation => {
    return [heading, `no answer from ${host}${way}: ${why}`, CHECK_NETWORK, true];
  };
  if (timeoutMs !== undefined) return noAnswer(`${missing} within ${(timeoutMs / 1_000).toFixed(1)} s`);
  if (status > 0) return noAnswer(`the connection was cut before the answer was complete${codeSuffix(cause)}`);
  if (cause instanceof TunnelError && proxy !== undefined) {
    const plain = 'If the proxy itself speaks plain HTTP, start https_proxy with http://.';
    if (cause.answer !== undefined) return explainTunnel(cause.answer, proxy);
    const explained = explainProtocol(cause.cause, `the proxy ${proxy.name}`, '', plain);
    return explained ?? noAnswer(...explainError(cause.cause, stage));
  }
  // Behind the handshake, an error of TLS is a cut.
  const isCut = stage === 'answer' && TLS_ERROR.test(String(errorCode(cause)));
  if (isCut) return noAnswer(...explainError(cause, stage));
  const page =
    'The proxy may have sent a page of its own, for example to say that it blocks the host. Ask whoever runs it.';
  const explained = explainProtocol(cause, host, way, proxy ? page : 'Check the host and the port in api-url.');
  return explained ?? noAnswer(...explainError(cause, stage));
}

/** Explains what a proxy answered in place of a tunnel. */
function explainTunnel({ status, headers }: NonNullable<TunnelError['answer']>, proxy: TunnelProxy): Explanation {
  const it = `the proxy ${proxy.name}`;
  if (status !== 407 && status !== 401) {
    const isTransient = isPassing(status) || (status >= 400 && headers['retry-after'] !== undefined);
    const advice = `Ask whoever runs it${isTransient ? '' : ' to allow this host, or add the host to no_proxy'}.`;
    const what = `${it} answered ${named(status)} instead of opening a tunnel`;
    return ['the-proxy-did-not-open-a-tunnel', what, advice, isTransient];
  }
  const schemes = String(headers['proxy-authenticate'] ?? headers['www-authenticate'] ?? 'basic');
  const help = 'the-proxy-wants-credentials';
  const refused = `${it} offers no Basic authentication (${status})`;
  if (!/\bbasic\b/i.test(schemes))
    return [help, refused, 'Ask whoever runs it for a way in with Basic authentication, or with none.'];
  const give = 'Put user and password into https_proxy: http://user:password@host:port.';
  if (!proxy.authorization) return [help, `${it} requires credentials (${status})`, give];
  const check = 'This is the proxy of the runner, not the Dashboard: check user and password in https_proxy.';
  return [help, `${it} rejected the credentials (${status})`, check];
}

/** Explains an error of TLS or HTTP that another attempt can't change, if it is one. */
function explainProtocol(error: unknown, host: string, way: string, plainAdvice: string): Explanation | undefined {
  const certificate = explainCertificate(error, host, way);
  if (certificate !== undefined) return certificate;
  const peer = host + way;
  const code = errorCode(error) ?? '';
  const http = `what came from ${peer} is not valid HTTP (${code})`;
  if (code.startsWith('HPE_'))
    return ['the-answer-is-not-valid-http', http, `Something may be changing the answers. ${CHECK_ADDRESS}`];
  // OpenSSL's own words are fixed texts.
  const { reason = /:SSL routines:[^:]*:([\w ]{1,80}):/.exec(String(error))?.[1] } = Object(error) as {
    reason?: string;
  };
  const text = `${code} ${reason ?? error}`;
  if (!TLS_ERROR.test(code) || PASSING_TLS_ERROR.test(text)) return undefined;
  const shown = reason === undefined ? code : `${code}, ${reason}`;
  const refused = `the TLS handshake with ${peer} was refused (${shown})`;
  const client = `It may require a client certificate. ${CHECK_ADDRESS}`;
  if (/alert/i.test(text)) return ['the-tls-handshake-was-refused', refused, client];
  const advice = OTHER_TLS_ERROR.test(text) ? 'Its TLS is out of date, or that of something in between.' : plainAdvice;
  return ['no-tls-connection-is-possible', `no TLS connection to ${peer} is possible (${shown})`, advice];
}

/** Why there was no connection, or no longer one. */
function explainError(error: unknown, stage: Stage): [why: string, help?: string] {
  const { syscall, errno, errors } = Object(error) as NodeJS.ErrnoException & AggregateError;
  const suffix = codeSuffix(error);
  const name = stage.startsWith('proxy') ? 'the host name of the proxy' : 'the host name';
  const unasked = `the name server could not be reached, or refused${suffix}`;
  if (errorCode(error) === 'ENOTFOUND') return [`${name} was not found${suffix}`, 'the-host-name-was-not-found'];
  if (syscall === 'getaddrinfo') return [unasked, 'the-name-server-did-not-answer'];
  const reason = getSystemErrorMap().get(errno ?? errors?.[0]?.errno)?.[1] ?? 'the connection was cut';
  return [`${reason}${stage.endsWith('handshake') ? ' during the TLS handshake' : ''}${suffix}`];
}

/** Of an error body only the OAuth fields (RFC 6749, section 5.2), or the web framework's `detail`. */
function detailsOf({ status, body }: Response, secrets: Logger['secrets']): string {
  // Of an outage a page is what everyone expects. Elsewhere it tells that something else may have answered.
  if (status >= 300 && status < 500 && isPage(body)) return ', with an HTML page';
  const fields = parseJsonObject(body);
  const [error, text] = [fields?.get('error'), fields?.get('error_description') ?? fields?.get('detail')];
  const code = typeof error === 'string' ? codeOf(error.trim(), secrets) : '';
  const words = typeof text === 'string' ? wordsOf(text, secrets) : '';
  const details = [code, words].filter((part) => part !== '').join(': ');
  return details === '' ? '' : `: ${details.replace(/\.$/, '')}`;
}

/** Where a redirect leads. The rest of the address may hold anything. */
function redirectTarget(url: string, location: string, secrets: Logger['secrets']): string {
  const isReadable = location !== '' && location.length <= 2_000 && URL.canParse(location, url);
  const host = isReadable ? new URL(location, url).hostname : '';
  return host === '' ? 'an unreadable address' : hostOf(host, secrets);
}

function named(status: number): string {
  return `${status} (${STATUS_CODES[status]?.toLowerCase() ?? 'an unknown status'})`;
}

function codeSuffix(error: unknown): string {
  const code = errorCode(error);
  return code === undefined ? '' : ` (${code})`;
}
