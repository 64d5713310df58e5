import { readFileSync } from 'node:fs';
import { STATUS_CODES } from 'node:http';
import { getSystemErrorMap } from 'node:util';
import { errorCode, Failure } from '../shared/errors';
import type { Journal } from '../shared/types';
import { isPage, parseJsonObject, retryAfterMs } from './answers';
import { INSECURE_WANTED, type Outcome } from './http';
import { TunnelError, type TunnelProxy } from './proxy';

/** What an explanation may look at, besides what came. */
export interface Origin {
  readonly url: string;
  readonly proxy: TunnelProxy | undefined;
  readonly clientSecret: string;
  readonly journal: Journal;
}

/** What happened, what to do, and whether another attempt may end otherwise. */
type Verdict = [what: string, advice: string, transient: boolean];

const CREDENTIALS_PAGE = 'https://dashboard.formlabs.com/#developer';
const ADDRESS_ADVICE = 'Check api-url, and any proxy or gateway in between.';
const OUTAGE_ADVICE = 'The Dashboard, or a gateway in front of it, has an outage.';
const RATE_LIMIT_ADVICE =
  'The limits are 100 requests a second from one IP address and 1,500 an hour for one user: start fewer jobs at once.';
const FORBIDDEN_ADVICE =
  'Usually a firewall or a proxy blocks the runner, api-url names another server, or the account of the credentials ' +
  `may not use the API: it needs a registered printer, see ${CREDENTIALS_PAGE}.`;
const NOTHING_THERE_ADVICE = 'Usually api-url names the wrong host or path: leave it out for the Dashboard itself.';
const PROXY_ADVICE = 'This is the proxy of the runner, not the Dashboard: check user and password in https_proxy.';

/** What to do about errors of OAuth that are not about the credentials (RFC 6749, section 5.2). */
const OAUTH_ADVICE = new Map<unknown, string>([
  ['unauthorized_client', `These credentials may not use this grant: create new ones on ${CREDENTIALS_PAGE}.`],
  ['unsupported_grant_type', 'The server does not support the client credentials grant: check api-url.'],
  ['invalid_scope', 'The Dashboard requires no scope, so another server has answered: check api-url.'],
  ['invalid_request', `The request did not arrive as it was sent. ${ADDRESS_ADVICE}`],
]);

/**
 * How Node and OpenSSL name what is wrong with a certificate (nodejs.org/api/tls.html, X.509 certificate error codes):
 * with an underscore, and without one of the prefixes that other errors have.
 */
const CERTIFICATE_ERROR = /^(?:(?!ERR_|HPE_|EAI_)[A-Z]+_[A-Z_]+|UNSPECIFIED|ERR_TLS_CERT_\w+)$/;

/** A peer that speaks no TLS. What is not about TLS, certificates or HTTP (HPE_) is a network or DNS error. */
const TLS_ERROR = /^(?:EPROTO$|ERR_(?:SSL|TLS|OSSL)_)/;
const TRANSIENT_TLS_ERROR = /bad[_ ]record[_ ]mac|internal[_ ]error/i;

/**
 * Explains a request that did not bring what it should, and says whether another attempt may. Only what another attempt
 * can't change is final; all else is transient.
 */
export function explain(outcome: Outcome, origin: Origin): Failure {
  const { cause, timedOut } = outcome;
  const [what, advice, transient] =
    cause === undefined ? explainAnswer(outcome, origin) : explainNoAnswer(outcome, origin);
  const { headers } = (cause instanceof TunnelError && cause.answer) || outcome;
  return new Failure({ what, advice, transient, retryAfterMs: retryAfterMs(headers, Date.now()), timedOut, cause });
}

/** Explains a successful answer that does not hold what it should. */
export function explainUnusable(what: string): Failure {
  const advice = 'Usually a captive portal, a proxy or a wrong api-url answers in place of the Dashboard.';
  return new Failure({ what, advice, transient: false });
}

function explainAnswer(answer: Outcome, { url, clientSecret, journal }: Origin): Verdict {
  const { status, headers, body } = answer;
  const fields = parseJsonObject(body);
  const details = detailsOf(answer, fields, journal);
  if (status < 400) {
    return [
      `the Dashboard redirected the request (${status}) to ${redirectTarget(url, headers.location, journal)}; ` +
        'redirects are not followed, since they would carry the client secret',
      'Set api-url to the final address; a sign-in page means a captive portal.',
      false,
    ];
  }
  // The API answers 401 in JSON, and 400 with an error of OAuth; all else comes from something in between.
  if (fields !== undefined && (status === 401 || (status === 400 && fields.has('error')))) {
    const advice = OAUTH_ADVICE.get(fields.get('error'));
    if (advice !== undefined) return [`the Dashboard refused the request (${status})${details}`, advice, false];
    const what = `the Dashboard did not accept the credentials (${status})${details}`;
    return [what, credentialsAdvice(clientSecret), false];
  }
  const answered = `the Dashboard answered ${named(status)}${details}`;
  const transient = isTransient(status) || headers['retry-after'] !== undefined;
  if (status === 429) return [answered, RATE_LIMIT_ADVICE, transient];
  if (isTransient(status)) return [answered, OUTAGE_ADVICE, transient];
  if (status === 403) return [`the Dashboard refused the request (403)${details}`, FORBIDDEN_ADVICE, transient];
  if (status === 404) return [`there is nothing at ${url} (404)`, NOTHING_THERE_ADVICE, transient];
  return [`${answered}, which its API does not document`, ADDRESS_ADVICE, transient];
}

function isTransient(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429;
}

function credentialsAdvice(clientSecret: string): string {
  const advice = `Check that client-id and client-secret belong together and are still listed on ${CREDENTIALS_PAGE}.`;
  if (!/^\W|\W$/.test(clientSecret)) return advice;
  return `${advice} client-secret starts or ends with a symbol, such as a quote: make sure that it belongs there.`;
}

function explainNoAnswer({ status, cause, timedOut }: Outcome, { url, proxy }: Origin): Verdict {
  const { host } = new URL(url);
  const way = proxy === undefined ? '' : ` through the proxy ${proxy.host}`;
  const advice = 'Check api-url, the proxy variables and the network of the runner.';
  const because = (reason: string): Verdict => [`no answer from ${host}${way}: ${reason}`, advice, true];

  if (timedOut !== undefined) return because((cause as Error).message);
  if (status > 0) return because(`the connection was cut before the answer was complete${codeOf(cause)}`);
  if (proxy === undefined || !(cause instanceof TunnelError)) {
    const plain = 'Check the host and the port in api-url.';
    return explainError(cause, host, plain, url.endsWith('/o/token/')) ?? because(reasonOf(cause));
  }
  if (cause.answer !== undefined) return explainTunnel(cause.answer, proxy);
  const plain = 'If the proxy itself speaks plain HTTP, start https_proxy with http://.';
  return explainError(cause.cause, `the proxy ${proxy.host}`, plain) ?? because(reasonOf(cause.cause));
}

/** Explains what a proxy answered in place of a tunnel. */
function explainTunnel(
  { status, headers }: NonNullable<TunnelError['answer']>,
  { host, hasCredentials }: TunnelProxy,
): Verdict {
  if (status !== 407 && status !== 401) {
    const transient = isTransient(status) || (status >= 400 && headers['retry-after'] !== undefined);
    const advice = `Ask whoever runs it${transient ? '' : ' to allow this host, or add the host to no_proxy'}.`;
    return [`the proxy ${host} answered ${named(status)} instead of opening a tunnel`, advice, transient];
  }
  const schemes = headers['proxy-authenticate'] ?? headers['www-authenticate'];
  if (schemes !== undefined && !/\bbasic\b/i.test(String(schemes))) {
    const advice = 'The action supports no other scheme: ask whoever runs the proxy for another route.';
    return [`the proxy ${host} offers no Basic authentication (${status})`, advice, false];
  }
  if (hasCredentials) return [`the proxy ${host} rejected the credentials (${status})`, PROXY_ADVICE, false];
  const advice = 'Put user and password into https_proxy: http://user:password@host:port.';
  return [`the proxy ${host} requires credentials (${status})`, advice, false];
}

/** Explains an error that another attempt can't change, if it is one. @param isIssued whether a token may have been */
function explainError(error: unknown, peer: string, plainAdvice: string, isIssued = false): Verdict | undefined {
  const code = errorCode(error) ?? '';
  if (CERTIFICATE_ERROR.test(code)) {
    const [problem, advice] = explainCertificate(code);
    return [`the certificate of ${peer} ${problem} (${code})`, advice, false];
  }
  if (TLS_ERROR.test(code) && !TRANSIENT_TLS_ERROR.test(`${code} ${error}`)) {
    const [what, advice] = /alert/i.test(`${code} ${error}`)
      ? [`the TLS handshake with ${peer} was refused`, `It may require a client certificate. ${ADDRESS_ADVICE}`]
      : [`no TLS connection to ${peer} is possible`, plainAdvice];
    return [`${what} (${code})`, advice, false];
  }
  if (!code.startsWith('HPE_')) return undefined;
  const advice = `Something may alter the answers${isIssued ? '; a token may have been issued' : ''}.`;
  return [`what came from ${peer} is not valid HTTP (${code})`, `${advice} ${ADDRESS_ADVICE}`, false];
}

function explainCertificate(code: string): [problem: string, advice: string] {
  const insecure = INSECURE_WANTED
    ? ' NODE_TLS_REJECT_UNAUTHORIZED=0 is ignored: anyone in between could read the client secret.'
    : '';
  const renew = `Check the clock of the runner; if it is right, the host has to renew it.${insecure}`;
  if (code.includes('NOT_YET_VALID')) return ['is not valid yet', renew];
  if (code.includes('EXPIRED')) return ['has expired', renew];
  if (/ALTNAME|HOSTNAME/.test(code)) return ['is for another name', ADDRESS_ADVICE + insecure];
  if (/^UNSPECIFIED$|TOO_SMALL|TOO_WEAK/.test(code)) {
    return ['is too weak', `The host has to get one with a stronger key and signature.${insecure}`];
  }
  return ['is not trusted', trustAdvice() + insecure];
}

/** Looks at what the job has been told to trust before it says what to do. */
function trustAdvice(): string {
  const file = process.env['NODE_EXTRA_CA_CERTS'];
  const other = 'NODE_USE_SYSTEM_CA=1 needs no file: it uses the certificates of the system.';
  if (!file) {
    const what = 'set NODE_EXTRA_CA_CERTS in the env of the job to the PEM file of that authority';
    return `If a proxy or a server uses a private certificate authority, ${what}. ${other}`;
  }
  try {
    const isPem = /-----BEGIN [A-Z\d ]*CERTIFICATE-----/.test(readFileSync(file, 'utf8'));
    const problem = isPem ? 'lacks the authority that signed it' : 'holds no certificate in PEM format';
    return `The file in NODE_EXTRA_CA_CERTS ${problem}. ${other}`;
  } catch (error) {
    const place = 'in a container, the path is inside it';
    return `The file in NODE_EXTRA_CA_CERTS can't be read${codeOf(error)}; ${place}. ${other}`;
  }
}

/** Why there was no connection, or no longer one. */
function reasonOf(error: unknown): string {
  const { syscall, errno, errors } = Object(error) as NodeJS.ErrnoException & AggregateError;
  const reason = getSystemErrorMap().get(errno ?? errors?.[0]?.errno)?.[1] ?? 'the connection was cut';
  return `${syscall === 'getaddrinfo' ? 'the host name was not found' : reason}${codeOf(error)}`;
}

/** Of an error body only the OAuth fields (RFC 6749, section 5.2), or the web framework's `detail`. */
function detailsOf({ status, body }: Outcome, fields: ReturnType<typeof parseJsonObject>, journal: Journal): string {
  // Of an outage a page is what everyone expects. Elsewhere it tells that something else may have answered.
  if (status < 500 && isPage(body)) return ', with an HTML page';
  const texts = [fields?.get('error'), fields?.get('error_description') ?? fields?.get('detail')];
  const shown = journal.words(texts.filter((field) => typeof field === 'string').join(': '));
  return shown === '' ? '' : `: ${shown.replace(/\.$/, '')}`;
}

/** Where a redirect leads. The rest of the address may hold anything. */
function redirectTarget(url: string, location: string | undefined, { host }: Journal): string {
  const target = location && URL.canParse(location, url) ? new URL(location, url).hostname : '';
  return target === '' ? 'an unreadable address' : host(target);
}

function named(status: number): string {
  return `${status} (${STATUS_CODES[status]?.toLowerCase() ?? 'an unknown status'})`;
}

function codeOf(error: unknown): string {
  const code = errorCode(error);
  return code === undefined ? '' : ` (${code})`;
}
