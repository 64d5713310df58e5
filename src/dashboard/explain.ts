import { STATUS_CODES } from 'node:http';
import { getSystemErrorMap } from 'node:util';
import { type Explanation, errorCode, type Failure } from '../shared/errors';
import { wholeOf, wordsOf } from '../shared/text';
import type { Logger } from '../shared/types';
import { isOfFirewall, parseJsonObject, retryAfterMs, whyUnusable } from './answers';
import type { Stage } from './connection';
import type { Problem, Response } from './http';
import { type TunnelProxy, through } from './proxy';
import { CHECK_ADDRESS, explainTls } from './tls';

/** What an explanation may look at, besides what came. The odd inputs don't look like credentials of the Dashboard. */
export interface Context {
  readonly url: string;
  readonly proxy: TunnelProxy | undefined;
  readonly oddInputs: readonly string[];
  readonly logger: Logger;
}

const PAGE = 'https://dashboard.formlabs.com/#developer';
const CHECK_CREDENTIALS = `Check that client-id and client-secret belong together and are still listed on ${PAGE}.`;
const NOT_SO = "not its name, an expression, a password manager's reference or a quoted value";
const UNDOCUMENTED = `Its API does not document this. ${CHECK_ADDRESS}`;
const CHECK_NETWORK = 'Check api-url, the proxy variables and the network of the runner.';
const CHECK_PATH = 'Usually api-url names the wrong host or path. Leave it out to use the Dashboard itself.';
const ANOTHER_SERVER = 'Usually a captive portal or another server answers in place of the Dashboard: check api-url.';
const FIREWALL = 'Usually a firewall asks for proof that the client is a browser. Run the job on another network.';
const OUTAGE = 'The Dashboard, or a gateway in front of it, has an outage.';
const FORBIDDEN =
  'Usually a firewall or a proxy blocks the runner, api-url names another server, or the account of the credentials ' +
  `may not use the API: it needs a registered printer, see ${PAGE}.`;
const RATE_LIMIT =
  'The limits are 100 requests a second for an address, 1,500 an hour for a user: start fewer jobs at once.';
const MAY_BE_CHANGED = `Something may be changing the answers. ${CHECK_ADDRESS}`;
const PLAIN_PROXY = 'If the proxy itself speaks plain HTTP, start https_proxy with http://.';
const PAGE_OF_PROXY = 'The proxy may have sent a page of its own, because it blocks the host: ask whoever runs it.';
const REJECTED_BY_PROXY = 'This is the proxy of the runner, not the Dashboard: check user and password in https_proxy.';
const WANTED_BY_PROXY = 'Put user and password into https_proxy: http://user:password@host:port.';
const OTHER_PROXY = 'Ask whoever runs it for a way in with Basic authentication, or with none.';
const REDIRECTED = 'Set api-url to the final address; a sign-in page means a captive portal.';
/** What to do about errors of OAuth (RFC 6749, section 5.2) that are not about the credentials, and which may pass. */
const OAUTH_ERRORS = new Map<unknown, readonly [advice: string, isTransient?: boolean]>([
  ['unauthorized_client', [`These credentials may not use this grant: create new ones on ${PAGE}.`]],
  ['unsupported_grant_type', ['The server does not support the client credentials grant: check api-url.']],
  ['invalid_scope', ['The Dashboard requires no scope, so another server has answered: check api-url.']],
  ['invalid_request', [`The request did not arrive as it was sent. ${CHECK_ADDRESS}`]],
  ...['temporarily_unavailable', 'server_error', 'slow_down'].map((error) => [error, [OUTAGE, true]] as const),
]);
/** The heading for each stage, and what had not come when its time was over. */
const MISSING: Readonly<Record<Stage, readonly [help: string, what: string]>> = {
  'proxy lookup': ['the-name-server-did-not-answer', 'the name server did not answer for the proxy'],
  'proxy connection': ['no-connection', 'no connection to the proxy'],
  'proxy handshake': ['the-tls-handshake-did-not-complete', 'the TLS handshake with the proxy did not complete'],
  'proxy answer': ['the-proxy-did-not-open-a-tunnel', 'the proxy did not open a tunnel'],
  lookup: ['the-name-server-did-not-answer', 'the name server did not answer'],
  connection: ['no-connection', 'no connection'],
  handshake: ['the-tls-handshake-did-not-complete', 'the TLS handshake did not complete'],
  answer: ['no-complete-answer', 'no complete answer'],
};
/** What a support desk asks for. */
const DEBUG_HEADERS =
  'date server via content-type content-length retry-after cf-ray x-request-id x-amzn-requestid x-amzn-waf-action';

/** Describes an answer for debug logging. */
export function describe({ status, headers, problem }: Response, ms: number, { secrets }: Logger): string {
  const shown = DEBUG_HEADERS.split(' ').map((name) => [name, wholeOf('header', String(headers[name] ?? ''), secrets)]);
  const lines = shown.filter(([, value]) => value !== '').map((pair) => pair.join(': '));
  const answer = status === 0 ? 'No answer' : `${named(status)}${problem ? ', incomplete,' : ''}`;
  return [`${answer} after ${Math.round(ms)} ms`, ...lines].join('; ');
}

/** Explains a request that did not bring what it should. Only what another attempt can't change is final. */
export function explain(response: Response, context: Context): Failure {
  const { headers, problem } = response;
  const explanation = problem ? explainProblem(response, problem, context) : explainAnswer(response, context);
  const timedOut = problem?.timeoutMs === undefined ? undefined : problem.stage;
  return { explanation, retryAfterMs: retryAfterMs(headers), timedOut, cause: problem?.cause };
}

/** Explains why a successful answer to a token request, and the token in it, can't be used, if they can't. */
export function explainUnusable(response: Response, token: string | undefined, logger: Logger): Failure | undefined {
  const reason = whyUnusable(response, token);
  if (reason === undefined) return undefined;
  const what = `the answer to the token request (${response.status}) ${reason}${detailsOf(response, logger.secrets)}`;
  const error = parseJsonObject(response.body)?.get('error');
  if (typeof error !== 'string') return explainOther(response, 'the-answer-has-no-usable-token', what);
  const [advice = CHECK_CREDENTIALS] = OAUTH_ERRORS.get(error) ?? [];
  return { explanation: ['the-credentials-were-not-accepted', what, advice] };
}

/** Explains an answer that says that a revocation has worked, but not as the standard has it. */
export function explainUnconfirmed(response: Response): Failure {
  const what = `the revocation was answered with ${named(response.status)}, but not confirmed`;
  return explainOther(response, 'the-access-token-could-not-be-revoked', what);
}

function explainOther(response: Response, help: string, what: string): Failure {
  if (isOfFirewall(response)) return { explanation: ['a-firewall-answered', what, FIREWALL] };
  return { explanation: [help, what, ANOTHER_SERVER] };
}

function explainAnswer(response: Response, { url, oddInputs, logger }: Context): Explanation {
  const { status, body } = response;
  const details = detailsOf(response, logger.secrets);
  if ([301, 302, 303, 307, 308].includes(status)) return explainRedirect(response, url, logger);
  // The API answers 401 in JSON, and 400 with an error of OAuth; all else comes from something in between.
  const fields = parseJsonObject(body);
  if (fields !== undefined && (status === 401 || (status === 400 && fields.has('error')))) {
    const [advice, isTransient] = OAUTH_ERRORS.get(fields.get('error')) ?? [];
    const refused = `the Dashboard ${advice ? 'refused the request' : 'did not accept the credentials'} (${status})`;
    const odd = `The value of ${oddInputs.join(' and ')} has more in it than the letters and digits of a credential`;
    const check = `${CHECK_CREDENTIALS}${oddInputs.length > 0 ? ` ${odd}: pass the value itself, ${NOT_SO}.` : ''}`;
    return ['the-credentials-were-not-accepted', refused + details, advice ?? check, isTransient];
  }
  const answered = `the Dashboard answered ${named(status)}${details}`;
  const missing = `there is nothing at ${logger.own(url)} (404)`;
  const isTransient = mayPass(response);
  if (isPassing(status)) return ['a-rate-limit-or-an-outage', answered, status === 429 ? RATE_LIMIT : OUTAGE, true];
  if (isOfFirewall(response)) return ['a-firewall-answered', answered, FIREWALL, isTransient];
  if (status === 403) return ['403-forbidden', answered, FORBIDDEN, isTransient];
  if (status === 404) return ['404-not-found', missing, CHECK_PATH, isTransient];
  return ['an-undocumented-answer', answered, UNDOCUMENTED, isTransient];
}

function explainRedirect({ status, headers }: Response, url: string, { secrets }: Logger): Explanation {
  const { location = '' } = headers;
  const isReadable = location !== '' && location.length <= 2_000 && URL.canParse(location, url);
  const host = isReadable ? wholeOf('host', new URL(location, url).hostname, secrets) : 'an unreadable address';
  const target = host || 'an address that is not shown';
  const what = `the Dashboard redirected the request (${status}) to ${target}; redirects are not followed, since they`;
  return ['the-request-was-redirected', `${what} would carry the client secret`, REDIRECTED];
}

function isPassing(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429;
}

function mayPass({ status, headers }: Response): boolean {
  return isPassing(status) || (status >= 400 && headers['retry-after'] !== undefined);
}

function explainProblem(response: Response, { stage, cause, timeoutMs }: Problem, context: Context): Explanation {
  const { url, proxy, logger } = context;
  const dashboard = logger.own(new URL(url).host) + through(proxy);
  const [help, missing] = MISSING[stage];
  const noAnswer = (why: string, heading = help): Explanation => {
    return [heading, `no answer from ${dashboard}: ${why}`, CHECK_NETWORK, true];
  };
  if (timeoutMs !== undefined) return noAnswer(`${missing} within ${(timeoutMs / 1_000).toFixed(1)} s`);
  if (stage === 'proxy answer' && proxy && response.status > 0) return explainTunnel(response, proxy);
  const code = errorCode(cause) ?? '';
  const suffix = code && ` (${code})`;
  if (response.status > 0) return noAnswer(`the connection was cut before the answer was complete${suffix}`);
  const isOfProxy = stage.startsWith('proxy');
  const peer = isOfProxy ? `the proxy ${proxy?.name}` : dashboard;
  const { syscall, errno, errors } = Object(cause) as NodeJS.ErrnoException & AggregateError;
  const http = `what came from ${peer} is not valid HTTP (${code})`;
  if (code.startsWith('HPE_')) return ['the-answer-is-not-valid-http', http, MAY_BE_CHANGED];
  const behind = proxy ? PAGE_OF_PROXY : 'Check the host and the port in api-url.';
  // Behind the handshake, an error of TLS is a cut.
  const refusal = stage === 'answer' ? undefined : explainTls(cause, peer, isOfProxy ? PLAIN_PROXY : behind);
  if (refusal !== undefined) return refusal;
  const name = isOfProxy ? 'the host name of the proxy' : 'the host name';
  if (code === 'ENOTFOUND') return noAnswer(`${name} was not found${suffix}`, 'the-host-name-was-not-found');
  const unasked = `the name server could not be reached, or refused${suffix}`;
  if (syscall === 'getaddrinfo') return noAnswer(unasked, 'the-name-server-did-not-answer');
  const reason = getSystemErrorMap().get(errno ?? errors?.[0]?.errno)?.[1] ?? 'the connection was cut';
  return noAnswer(`${reason}${stage.endsWith('handshake') ? ' during the TLS handshake' : ''}${suffix}`);
}

function explainTunnel(response: Response, { name, authorization }: TunnelProxy): Explanation {
  const { status, headers } = response;
  if (status !== 407 && status !== 401) {
    const advice = `Ask whoever runs it${mayPass(response) ? '' : ' to allow this host, or add the host to no_proxy'}.`;
    const what = `the proxy ${name} answered ${named(status)} instead of opening a tunnel`;
    return ['the-proxy-did-not-open-a-tunnel', what, advice, mayPass(response)];
  }
  const schemes = String(headers['proxy-authenticate'] ?? headers['www-authenticate'] ?? 'basic');
  let [how, advice] = ['rejected the credentials', REJECTED_BY_PROXY];
  if (authorization === '') [how, advice] = ['requires credentials', WANTED_BY_PROXY];
  if (!/\bbasic\b/i.test(schemes)) [how, advice] = ['offers no Basic authentication', OTHER_PROXY];
  return ['the-proxy-wants-credentials', `the proxy ${name} ${how} (${status})`, advice];
}

/** Of an error body only the OAuth fields (RFC 6749, section 5.2), or the web framework's `detail`. */
function detailsOf({ status, body }: Response, secrets: Logger['secrets']): string {
  // Of an outage a page is what everyone expects. Elsewhere it tells that something else may have answered.
  if (status < 500 && body.trimStart().startsWith('<')) return ': an HTML page';
  const fields = parseJsonObject(body);
  const [error, text] = [fields?.get('error'), fields?.get('error_description') ?? fields?.get('detail')];
  const code = typeof error === 'string' ? wholeOf('code', error.trim(), secrets) || wordsOf(error, secrets) : '';
  const words = typeof text === 'string' ? wordsOf(text, secrets) : '';
  const details = [code, words].filter((part) => part !== '').join(': ');
  return details === '' ? '' : `: ${details.replace(/\.$/, '')}`;
}

function named(status: number): string {
  return `${status} (${STATUS_CODES[status]?.toLowerCase() ?? 'an unknown status'})`;
}
