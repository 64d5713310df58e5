import { errorCode } from '../error-code';
import { parseJsonObject } from '../json';
import { foreignText, type Redact } from '../text';
import { Failure, type Retry } from './failure';
import { type HttpAnswer, type NoAnswer, proxyHost } from './http';
import { AttemptTimeoutError } from './retry';
import { parseRetryAfter } from './retry-after';

const CREDENTIALS_PAGE = 'https://dashboard.formlabs.com/#developer';

const TRY_ON: Retry = { maxAttempts: Number.POSITIVE_INFINITY };
const TRY_THRICE: Retry = { maxAttempts: 3 };

/** Statuses that another attempt may change. */
const PASSING_STATUSES = new Map([
  [408, 'request timeout'],
  [429, 'too many requests'],
  [500, 'internal server error'],
  [502, 'bad gateway'],
  [503, 'service unavailable'],
  [504, 'gateway timeout'],
]);

const CUT_SHORT = 'the connection was cut before the answer was complete';
const UNREACHABLE = 'the host is unreachable';
const LOOKUP_FAILED = 'the name lookup failed';

/** Network errors that another attempt may change, by their code. */
const PASSING_ERRORS = new Map([
  ['ECONNREFUSED', 'the connection was refused'],
  ['ECONNRESET', CUT_SHORT],
  ['ECONNABORTED', CUT_SHORT],
  ['EPIPE', CUT_SHORT],
  ['HPE_INVALID_EOF_STATE', CUT_SHORT],
  ['ERR_STREAM_PREMATURE_CLOSE', CUT_SHORT],
  ['EHOSTUNREACH', UNREACHABLE],
  ['EHOSTDOWN', UNREACHABLE],
  ['ENETUNREACH', UNREACHABLE],
  ['ENETDOWN', UNREACHABLE],
  ['ETIMEDOUT', 'the connection timed out'],
  ['EAI_AGAIN', LOOKUP_FAILED],
  ['EAI_FAIL', LOOKUP_FAILED],
  ['EAI_NODATA', LOOKUP_FAILED],
  ['ESERVFAIL', LOOKUP_FAILED],
]);

/** What OpenSSL and Node call the reasons not to trust a certificate (nodejs.org/api/tls.html, X509 certificate error codes). */
const CERTIFICATE_ERROR =
  /CERT|CRL|ISSUER|LEAF_SIGNATURE|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH/;

/** What the tunnel package says when the proxy does not open a tunnel. */
const TUNNEL_ERROR = /tunneling socket could not be established, (?:statusCode=(\d+)|cause=(.*))/s;

const CERTIFICATE_ADVICE =
  'Where a proxy or a private certificate authority is in between, set NODE_EXTRA_CA_CERTS in the env of the job to the file with its certificate.';
const CONNECTION_ADVICE = 'Check api-url, the proxy variables and the network of the runner.';
const RATE_LIMIT_ADVICE =
  'The limits are 100 requests a second from one IP address and 1,500 an hour for one user: start fewer jobs at once.';
const OUTAGE_ADVICE =
  'The Dashboard, or a gateway before it, has an outage: run the job again later.';

/** Explains an answer that is neither a token nor a confirmed revocation. */
export function explainAnswer(url: string, answer: HttpAnswer, redact: Redact): Failure {
  const { status } = answer;
  const passing = PASSING_STATUSES.get(status);
  if (passing !== undefined) {
    const afterMs = parseRetryAfter(answer.headers['retry-after'], Date.now());
    return new Failure({
      what: `the Dashboard answered ${status} (${passing})${details(answer, redact)}`,
      advice: status === 429 ? RATE_LIMIT_ADVICE : OUTAGE_ADVICE,
      retry: { ...TRY_ON, afterMs },
    });
  }
  if (status >= 300 && status < 400) {
    return new Failure({
      what: `the Dashboard redirected the request (${status}) to ${redirectTarget(url, answer, redact)}, which is not followed, since the request holds the client secret`,
      advice:
        'Set api-url to the address that answers itself; a sign-in page means that the network of the runner is not open.',
    });
  }
  switch (status) {
    case 400:
    case 401:
      return new Failure({
        what: `the Dashboard did not accept the credentials (${status})${details(answer, redact)}`,
        advice: `Check that client-id and client-secret belong together and are still listed on ${CREDENTIALS_PAGE}, where credentials are made.`,
      });
    case 403:
      return new Failure({
        what: `the Dashboard refused the request (403)${details(answer, redact)}`,
        advice: `Usually a firewall or a proxy blocks the runner, api-url names another server, or the account of the credentials may not use the API: it needs a registered printer, see ${CREDENTIALS_PAGE}.`,
      });
    case 404:
      return new Failure({
        what: `there is nothing at ${url} (404)`,
        advice:
          'Usually api-url names the wrong host or path: leave it out for the Dashboard itself.',
      });
    case 407:
      return proxyWantsCredentials(url);
    default:
      return new Failure({
        what: `the Dashboard answered ${status}${details(answer, redact)}, which its API does not document`,
        advice: 'Check api-url, and any proxy or gateway in between.',
      });
  }
}

/** Explains a 200 answer that does not hold what it should. */
export function explainUnusable(what: string): Failure {
  return new Failure({
    what,
    advice:
      'Usually a captive portal, a proxy or a wrong api-url answers in place of the Dashboard.',
  });
}

/** Explains why there was no answer. */
export function explainNoAnswer(url: string, { cause }: NoAnswer, redact: Redact): Failure {
  if (cause instanceof AttemptTimeoutError) {
    return noAnswer(url, `there was ${cause.message}`, TRY_ON, cause);
  }
  const tunnel = TUNNEL_ERROR.exec(String(cause));
  if (tunnel !== null) return explainTunnel(url, tunnel, cause);

  const code = errorCode(cause) ?? 'no error code';
  if (code === 'ENOTFOUND') {
    return noAnswer(url, `the host name does not exist (${code})`, TRY_THRICE, cause);
  }
  if (CERTIFICATE_ERROR.test(code)) {
    return new Failure({
      what: `the certificate of ${hostOf(url)} is not trusted (${code})`,
      advice: CERTIFICATE_ADVICE,
      cause,
    });
  }
  const passing = PASSING_ERRORS.get(code);
  if (passing !== undefined) return noAnswer(url, `${passing} (${code})`, TRY_ON, cause);
  return noAnswer(url, `the request failed (${foreignText(code, redact)})`, undefined, cause);
}

function explainTunnel(url: string, [, status, reason = '']: RegExpExecArray, cause: unknown) {
  if (status === '407') return proxyWantsCredentials(url);
  if (status !== undefined) {
    const retry = PASSING_STATUSES.has(Number(status)) ? TRY_ON : undefined;
    return noAnswer(url, `the proxy answered ${status} instead of a tunnel`, retry, cause);
  }
  if (/certificate/i.test(reason)) {
    return new Failure({
      what: `the certificate of the proxy ${proxyHost(url)} is not trusted`,
      advice: CERTIFICATE_ADVICE,
      cause,
    });
  }
  const retry = reason.includes('ENOTFOUND') ? TRY_THRICE : TRY_ON;
  return noAnswer(url, 'the proxy opened no tunnel', retry, cause);
}

function noAnswer(url: string, reason: string, retry: Retry | undefined, cause: unknown): Failure {
  const proxy = proxyHost(url);
  const way = proxy === undefined ? '' : ` through the proxy ${proxy}`;
  return new Failure({
    what: `no answer from ${hostOf(url)}${way}: ${reason}`,
    advice: CONNECTION_ADVICE,
    retry,
    cause,
  });
}

function proxyWantsCredentials(url: string): Failure {
  return new Failure({
    what: `the proxy ${proxyHost(url) ?? 'in between'} did not accept its credentials (407)`,
    advice:
      'This is the proxy of the runner, not the Dashboard: check user and password in https_proxy.',
  });
}

/** Of an error body only the OAuth fields (RFC 6749, section 5.2), or the web framework's `detail`. */
function details({ status, body }: HttpAnswer, redact: Redact): string {
  // Of an outage a page is what everyone expects. Elsewhere it tells that something else may have answered.
  if (status < 500 && isPage(body)) return ', with a page from it or from something in between';
  const fields = parseJsonObject(body);
  const texts = [fields?.get('error'), fields?.get('error_description') ?? fields?.get('detail')];
  const text = texts.filter((field) => typeof field === 'string').join(': ');
  const shown = foreignText(text, redact);
  return shown === '' ? '' : `: ${shown.replace(/\.$/, '')}`;
}

/** Where a redirect points to, without user, query and fragment, which may hold anything. */
function redirectTarget(url: string, { headers }: HttpAnswer, redact: Redact): string {
  const location = redact(headers.location ?? '');
  if (location === '' || !URL.canParse(location, url)) return 'an address that cannot be read';
  const { protocol, host, pathname } = new URL(location, url);
  return foreignText(`${protocol}//${host}${pathname}`, redact);
}

/** Whether a body is a page: the API answers with JSON, or with nothing. */
export function isPage(body: string): boolean {
  return body.trimStart().startsWith('<');
}

function hostOf(url: string): string {
  return new URL(url).host;
}
