import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { explain, explainUnusable, type Origin } from '../src/dashboard/explain';
import type { Outcome } from '../src/dashboard/http';
import { TunnelError, type TunnelProxy } from '../src/dashboard/proxy';
import type { Explanation } from '../src/shared/errors';
import { writePem } from './support/certificate';

const SECRET = 's3cret';
const HOST = 'api.formlabs.com';

const ORIGIN: Origin = {
  url: `https://${HOST}/developer/v1/o/token/`,
  proxy: undefined,
  clientSecret: SECRET,
  journal: {
    info: () => undefined,
    hide: () => undefined,
    words: (text) => text.replaceAll('odd', '…'),
    host: (text) => text.replaceAll('odd', '…'),
  },
};

const PROXY: TunnelProxy = {
  host: 'proxy.test:3128',
  hasCredentials: false,
  secrets: [],
  connect: () => undefined,
};

function explained(outcome: Partial<Outcome>, origin: Partial<Origin> = {}): Explanation {
  const nothing = { status: 0, headers: {}, body: '', cause: undefined, timedOut: undefined };
  return explain({ ...nothing, ...outcome }, { ...ORIGIN, ...origin }).explanation;
}

function answered(status: number, body = '', headers: Outcome['headers'] = {}): Explanation {
  return explained({ status, body, headers });
}

function failed(cause: unknown, origin: Partial<Origin> = {}): Explanation {
  return explained({ cause }, origin);
}

function withCode(code: string, more: object = {}): Error {
  return Object.assign(new Error('x'), { code }, more);
}

/** The number that an error of the system has on this one. */
function errnoOf(name: string): number | undefined {
  return [...getSystemErrorMap()].find(([, [known]]) => known === name)?.[0];
}

function refusedByProxy(
  status: number,
  headers: Outcome['headers'] = {},
  proxy: Partial<TunnelProxy> = {},
): Explanation {
  return failed(new TunnelError({ status, headers }), { proxy: { ...PROXY, ...proxy } });
}

describe('an answer is final', () => {
  test.each([300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 413, 414, 415])(
    '%d',
    (status) => expect(answered(status).transient).toBe(false),
  );

  test.each([301, 307])('%d, also with Retry-After', (status) => {
    expect(answered(status, '', { 'retry-after': '1' }).transient).toBe(false);
  });

  test.each([400, 401])('%d in JSON, also with Retry-After', (status) => {
    expect(answered(status, '{"error":"invalid_client"}', { 'retry-after': '1' }).transient).toBe(false);
  });
});

describe('an answer may pass', () => {
  test.each([408, 425, 429, 500, 501, 502, 503, 504, 505, 511, 520, 522, 524, 525, 526, 530, 599])('%d', (status) =>
    expect(answered(status).transient).toBe(true),
  );

  test.each([400, 401, 402, 403, 404, 405, 407, 418, 451])('%d with Retry-After, that is not of the API', (status) => {
    expect(answered(status, '<html>', { 'retry-after': '7' })).toMatchObject({ transient: true, retryAfterMs: 7_000 });
  });
});

describe('what an answer means', () => {
  test('the OAuth error is told, and its description', () => {
    const body = { error: 'invalid_grant', error_description: 'Invalid odd given.', detail: 'not told' };
    expect(answered(400, JSON.stringify(body))).toMatchObject({
      what: 'the Dashboard did not accept the credentials (400): invalid_grant: Invalid … given',
      advice: expect.stringMatching(/belong together/),
    });
  });

  test.each<[name: string, body: string, details: string]>([
    ['the detail of the web framework', '{"detail":"Request was throttled. Wait."}', ': Request was throttled. Wait'],
    ['nothing of other types', '{"error":{"a":1},"error_description":7}', ''],
    ['nothing of no JSON', 'error', ''],
    ['nothing of a page that comes with an outage', '<html>error', ''],
  ])('of an outage it tells %s', (_name, body, details) => {
    expect(answered(503, body).what).toBe(`the Dashboard answered 503 (service unavailable)${details}`);
  });

  test.each([
    ['unauthorized_client', /grant: create new ones/],
    ['unsupported_grant_type', /client credentials grant: check api-url/],
    ['invalid_scope', /scope.*check api-url/],
    ['invalid_request', /did not arrive as it was sent/],
    ['invalid_client', /belong together/],
    ['invalid_grant', /belong together/],
  ])('%s has advice of its own', (error, advice) => {
    for (const status of [400, 401]) expect(answered(status, JSON.stringify({ error })).advice).toMatch(advice);
  });

  test('400 with JSON that holds no error of OAuth is no word about the credentials', () => {
    const { what, advice } = answered(400, '{"detail":"Bad odd host"}');
    expect(what).toBe('the Dashboard answered 400 (bad request): Bad … host, which its API does not document');
    expect(`${what} ${advice}`).not.toMatch(/credentials|client-secret/);
    expect(answered(401, '{"detail":"x"}').what).toMatch(/did not accept the credentials \(401\): x$/);
  });

  test.each([400, 401])('%d with a page, or with no JSON, is no word about the credentials', (status) => {
    for (const body of ['\n<html>', '', 'Bad Request']) {
      const { what, advice } = answered(status, body);
      expect(what).toMatch(/^the Dashboard answered 40\d \([a-z ]+\).*, which its API does not document$/);
      expect(what.includes('with an HTML page')).toBe(body.includes('<'));
      expect(`${what} ${advice}`).not.toMatch(/credentials|client-secret/);
    }
  });

  test.each(['"quoted"', "'quoted", 'quoted"', ' spaced', '«quoted»'])(
    '401 asks what is around the secret %j',
    (clientSecret) => {
      const { advice } = explained({ status: 401, body: '{"error":"invalid_client"}' }, { clientSecret });
      expect(advice).toMatch(/starts or ends with a symbol, such as a quote/);
      expect(advice).not.toContain('quoted');
    },
  );

  test.each(['plain', 'with"inside', '_under_'])('401 asks nothing about the secret %j', (clientSecret) => {
    const { advice } = explained({ status: 401, body: '{}' }, { clientSecret });
    expect(advice).not.toMatch(/quote/);
  });

  test.each<[status: number, what: RegExp, advice: RegExp]>([
    [403, /^the Dashboard refused the request \(403\)$/, /firewall.*registered printer/],
    [
      404,
      /^there is nothing at https:\/\/api\.formlabs\.com\/developer\/v1\/o\/token\/ \(404\)$/,
      /wrong host or path/,
    ],
    [407, /^the Dashboard answered 407 \(proxy authentication required\), which its API does not document$/, /proxy/],
    [418, /^the Dashboard answered 418 \(i'm a teapot\), which its API does not document$/, /Check api-url/],
    [429, /^the Dashboard answered 429 \(too many requests\)$/, /1,500 an hour/],
    [502, /^the Dashboard answered 502 \(bad gateway\)$/, /outage/],
    [599, /^the Dashboard answered 599 \(an unknown status\)$/, /outage/],
  ])('%d', (status, what, advice) => {
    expect(answered(status)).toMatchObject({
      what: expect.stringMatching(what),
      advice: expect.stringMatching(advice),
    });
  });

  test.each<[location: string | undefined, shown: string]>([
    ['https://user:password@login.test:8443/path?query#fragment', 'login.test'],
    ['https://odd.test/', '….test'],
    ['//login.test/path', 'login.test'],
    ['/path?query', HOST],
    ['https://[', 'an unreadable address'],
    ['data:text/plain,x', 'an unreadable address'],
    ['', 'an unreadable address'],
    [undefined, 'an unreadable address'],
  ])('of a redirect to %j only the host is told', (location, shown) => {
    const { what } = answered(302, '', { location });
    expect(
      what.startsWith(`the Dashboard redirected the request (302) to ${shown}; redirects are not followed, `),
    ).toBe(true);
  });

  test('that it holds no token is final, and points to what may be in between', () => {
    expect(explainUnusable('the answer is a page').explanation).toMatchObject({
      what: 'the answer is a page',
      advice: expect.stringMatching(/captive portal/),
      transient: false,
    });
  });
});

describe('no answer may pass', () => {
  test.each([
    'EADDRINUSE',
    'EADDRNOTAVAIL',
    'EAFNOSUPPORT',
    'EAI_AGAIN',
    'EAI_FAIL',
    'EAI_MEMORY',
    'EAI_NODATA',
    'EACCES',
    'ECONNABORTED',
    'ECONNREFUSED',
    'ECONNRESET',
    'EHOSTDOWN',
    'EHOSTUNREACH',
    'EMFILE',
    'ENETDOWN',
    'ENETUNREACH',
    'ENOBUFS',
    'ENOENT',
    'ENOTFOUND',
    'EPERM',
    'EPIPE',
    'ETIMEDOUT',
    'UNKNOWN',
    'ERR_STREAM_PREMATURE_CLOSE',
    'ERR_SOCKET_CLOSED',
  ])('%s', (code) => {
    const { what, transient } = failed(withCode(code));
    expect(transient).toBe(true);
    expect(what).toMatch(new RegExp(`^no answer from api\\.formlabs\\.com: .+ \\(${code}\\)$`));
  });

  test.each<[name: string, error: unknown, reason: string]>([
    ['the system', withCode('ECONNREFUSED', { errno: errnoOf('ECONNREFUSED') }), 'connection refused (ECONNREFUSED)'],
    [
      'several addresses',
      withCode('ETIMEDOUT', { errors: [{ errno: errnoOf('ETIMEDOUT') }] }),
      'connection timed out (ETIMEDOUT)',
    ],
    ['the resolver', withCode('ENOTFOUND', { syscall: 'getaddrinfo' }), 'the host name was not found (ENOTFOUND)'],
    ['a connection that ended', withCode('ECONNRESET'), 'the connection was cut (ECONNRESET)'],
    ['nobody', new Error('x'), 'the connection was cut'],
    ['a text', 'text', 'the connection was cut'],
  ])('as %s names it', (_name, error, reason) => {
    expect(failed(error).what).toBe(`no answer from ${HOST}: ${reason}`);
  });

  test.each([
    ['connection', 'no connection within 1.0 s'],
    ['answer', 'no complete answer within 1.0 s'],
  ] as const)('the time was over for the %s', (timedOut, reason) => {
    expect(explained({ cause: new Error(reason), timedOut })).toMatchObject({
      what: `no answer from ${HOST}: ${reason}`,
      transient: true,
      timedOut,
    });
  });

  test('an answer that broke off after its head, whatever its status and the error', () => {
    for (const [status, code] of [
      [200, 'ECONNRESET'],
      [404, 'ERR_STREAM_PREMATURE_CLOSE'],
      [301, 'ECONNRESET'],
    ] as const) {
      expect(explained({ status, cause: withCode(code), headers: { 'retry-after': '3' } })).toMatchObject({
        what: `no answer from ${HOST}: the connection was cut before the answer was complete (${code})`,
        transient: true,
        retryAfterMs: 3_000,
      });
    }
  });
});

describe('a peer that does not speak TLS or HTTP is final', () => {
  test.each([
    'EPROTO',
    'ERR_SSL_WRONG_VERSION_NUMBER',
    'ERR_SSL_PACKET_LENGTH_TOO_LONG',
    'ERR_SSL_UNEXPECTED_MESSAGE',
    'ERR_TLS_HANDSHAKE_TIMEOUT',
    'ERR_OSSL_ASN1_X',
  ])('%s: there is no TLS that works', (code) => {
    expect(failed(withCode(code))).toMatchObject({
      what: `no TLS connection to ${HOST} is possible (${code})`,
      advice: expect.stringMatching(/the host and the port/),
      transient: false,
    });
  });

  test.each([
    ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', 'x'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'x'],
    ['EPROTO', 'write EPROTO 0A000410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure'],
  ])('%s, %s: it refused the handshake', (code, message) => {
    const error = Object.assign(new Error(message), { code });
    expect(failed(error)).toMatchObject({
      what: `the TLS handshake with ${HOST} was refused (${code})`,
      advice: expect.stringMatching(/client certificate/),
      transient: false,
    });
  });

  test.each(['HPE_INVALID_CONSTANT', 'HPE_HEADER_OVERFLOW', 'HPE_UNEXPECTED_CONTENT_LENGTH'])('%s', (code) => {
    expect(failed(withCode(code))).toMatchObject({
      what: `what came from ${HOST} is not valid HTTP (${code})`,
      advice: expect.stringMatching(/a token may have been issued/),
      transient: false,
    });
  });

  test.each([
    ['ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC', 'x'],
    ['ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR', 'x'],
    ['EPROTO', 'write EPROTO 0A000438:SSL routines:ssl3_read_bytes:tlsv1 alert internal error'],
  ])('%s, %s, may pass: the bytes were harmed on their way, or the peer was', (code, message) => {
    const { what, transient } = failed(Object.assign(new Error(message), { code }));
    expect(transient).toBe(true);
    expect(what).toBe(`no answer from ${HOST}: the connection was cut (${code})`);
  });

  test('of HTTP that answers a revocation nobody fears that a token was issued', () => {
    const { advice } = failed(withCode('HPE_X'), { url: `https://${HOST}/developer/v1/o/revoke_token/` });
    expect(advice).not.toMatch(/a token may have been issued/);
  });

  test.each(['ERR_SOCKET_SSL_X', 'EPROTOTYPE', 'EPROTONOSUPPORT'])('%s is not such a peer', (code) => {
    expect(failed(withCode(code)).transient).toBe(true);
  });
});

describe('a certificate is final', () => {
  beforeEach(() => void delete process.env['NODE_EXTRA_CA_CERTS']);
  afterEach(() => void delete process.env['NODE_EXTRA_CA_CERTS']);

  test.each<[code: string, problem: string, advice: RegExp]>([
    ['CERT_HAS_EXPIRED', 'has expired', /clock of the runner/],
    ['CERT_NOT_YET_VALID', 'is not valid yet', /clock of the runner/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'is for another name', /Check api-url/],
    ['HOSTNAME_MISMATCH', 'is for another name', /Check api-url/],
    ['UNSPECIFIED', 'is too weak', /stronger key/],
    ['EE_KEY_TOO_SMALL', 'is too weak', /stronger key/],
    ['CA_MD_TOO_WEAK', 'is too weak', /stronger key/],
    ...[
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'CERT_CHAIN_TOO_LONG',
      'CERT_REVOKED',
      'CERT_UNTRUSTED',
      'INVALID_CA',
      'INVALID_PURPOSE',
    ].map((code): [string, string, RegExp] => [
      code,
      'is not trusted',
      /set NODE_EXTRA_CA_CERTS .*NODE_USE_SYSTEM_CA=1/,
    ]),
  ])('%s: it %s', (code, problem, advice) => {
    expect(failed(withCode(code))).toMatchObject({
      what: `the certificate of ${HOST} ${problem} (${code})`,
      advice: expect.stringMatching(advice),
      transient: false,
    });
  });

  test('NODE_TLS_REJECT_UNAUTHORIZED=0 is named where it was set when the step began, and taken away', async () => {
    const said = 'NODE_TLS_REJECT_UNAUTHORIZED=0 is ignored';
    expect(failed(withCode('CERT_HAS_EXPIRED')).advice).not.toContain(said);
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    jest.resetModules();
    const anew = await import('../src/dashboard/explain');
    expect(process.env).not.toHaveProperty('NODE_TLS_REJECT_UNAUTHORIZED');
    for (const code of ['CERT_HAS_EXPIRED', 'HOSTNAME_MISMATCH', 'UNSPECIFIED', 'DEPTH_ZERO_SELF_SIGNED_CERT']) {
      const outcome = { status: 0, headers: {}, body: '', cause: withCode(code), timedOut: undefined };
      expect(anew.explain(outcome, ORIGIN).explanation.advice).toContain(said);
    }
  });

  test('NODE_EXTRA_CA_CERTS is empty, which is as good as not set', () => {
    process.env['NODE_EXTRA_CA_CERTS'] = '';
    expect(failed(withCode('SELF_SIGNED_CERT_IN_CHAIN')).advice).toMatch(/set NODE_EXTRA_CA_CERTS/);
  });

  test.each<[problem: string, file: () => string, advice: RegExp]>([
    ['is not there', () => join(import.meta.dirname, 'nowhere.pem'), /can't be read \(ENOENT\); in a container/],
    ['is a folder', () => import.meta.dirname, /can't be read \(E[A-Z]+\)/],
    ['is no PEM', () => writePem('MIIB'), /holds no certificate in PEM format/],
    ['holds a key', () => writePem('-----BEGIN PRIVATE KEY-----\n'), /holds no certificate in PEM format/],
    ['holds another', () => writePem('# x\n-----BEGIN CERTIFICATE-----\n'), /lacks the authority that signed it/],
    [
      'holds a trusted one',
      () => writePem('-----BEGIN TRUSTED CERTIFICATE-----'),
      /lacks the authority that signed it/,
    ],
    ['holds an old kind', () => writePem('-----BEGIN X509 CERTIFICATE-----'), /lacks the authority that signed it/],
  ])('the file in NODE_EXTRA_CA_CERTS %s', (_problem, file, problem) => {
    process.env['NODE_EXTRA_CA_CERTS'] = file();
    const { advice } = failed(withCode('SELF_SIGNED_CERT_IN_CHAIN'));
    expect(advice).toMatch(problem);
    expect(advice).toMatch(/NODE_USE_SYSTEM_CA=1/);
    expect(advice).not.toMatch(/set NODE_EXTRA_CA_CERTS/);
  });
});

describe('through a proxy', () => {
  const throughProxy = { proxy: PROXY };

  test('the way is named', () => {
    expect(failed(withCode('ECONNRESET'), throughProxy).what).toBe(
      `no answer from ${HOST} through the proxy proxy.test:3128: the connection was cut (ECONNRESET)`,
    );
    expect(explained({ cause: new Error('late'), timedOut: 'answer' }, throughProxy).what).toMatch(
      / through the proxy /,
    );
  });

  test('the certificate of the Dashboard is its own', () => {
    expect(failed(withCode('CERT_HAS_EXPIRED'), throughProxy).what).toMatch(
      /^the certificate of api\.formlabs\.com has/,
    );
  });

  test.each<[status: number, headers: Outcome['headers'], hasCredentials: boolean, what: string, advice: RegExp]>([
    [407, {}, false, 'requires credentials (407)', /Put user and password into https_proxy/],
    [407, { 'proxy-authenticate': 'Basic realm="x"' }, false, 'requires credentials (407)', /Put user and password/],
    [407, { 'proxy-authenticate': 'Negotiate, basic' }, true, 'rejected the credentials (407)', /https_proxy/],
    [407, { 'proxy-authenticate': 'NTLM' }, true, 'offers no Basic authentication (407)', /another route/],
    [
      407,
      { 'proxy-authenticate': 'Digest realm="basics"' },
      false,
      'offers no Basic authentication (407)',
      /another route/,
    ],
    [401, {}, false, 'requires credentials (401)', /Put user and password into https_proxy/],
    [401, { 'www-authenticate': 'Bearer' }, true, 'offers no Basic authentication (401)', /another route/],
    [401, { 'www-authenticate': 'Basic' }, true, 'rejected the credentials (401)', /https_proxy/],
    [403, {}, true, 'answered 403 (forbidden) instead of opening a tunnel', /allow this host.*no_proxy/],
    [302, {}, true, 'answered 302 (found) instead of opening a tunnel', /allow this host/],
    [404, {}, true, 'answered 404 (not found) instead of opening a tunnel', /allow this host/],
  ])(
    'a proxy that answers %d with %j says no: credentials given: %p',
    (status, headers, hasCredentials, what, advice) => {
      expect(refusedByProxy(status, headers, { hasCredentials })).toMatchObject({
        what: `the proxy proxy.test:3128 ${what}`,
        advice: expect.stringMatching(advice),
        transient: false,
      });
    },
  );

  test.each([408, 425, 429, 500, 502, 503, 504, 522])('a proxy that answers %d may open a tunnel later', (status) => {
    expect(refusedByProxy(status)).toMatchObject({
      what: expect.stringMatching(`^the proxy proxy.test:3128 answered ${status} .* instead of opening a tunnel$`),
      transient: true,
    });
  });

  test('a proxy that refuses with Retry-After may open a tunnel later', () => {
    expect(refusedByProxy(403, { 'retry-after': '7' }).transient).toBe(true);
  });

  test('what a proxy asks to wait is waited for', () => {
    expect(refusedByProxy(503, { 'retry-after': '7' }).retryAfterMs).toBe(7_000);
  });

  test('a proxy that refuses the credentials is not asked again, also with Retry-After', () => {
    expect(refusedByProxy(407, { 'retry-after': '7' }, { hasCredentials: true })).toMatchObject({
      what: 'the proxy proxy.test:3128 rejected the credentials (407)',
      transient: false,
    });
  });

  test.each<[code: string, what: string, transient: boolean]>([
    ['CERT_HAS_EXPIRED', 'the certificate of the proxy proxy.test:3128 has expired (CERT_HAS_EXPIRED)', false],
    ['EPROTO', 'no TLS connection to the proxy proxy.test:3128 is possible (EPROTO)', false],
    ['HPE_X', 'what came from the proxy proxy.test:3128 is not valid HTTP (HPE_X)', false],
    [
      'ENOTFOUND',
      `no answer from ${HOST} through the proxy proxy.test:3128: the host name was not found (ENOTFOUND)`,
      true,
    ],
    [
      'ECONNRESET',
      `no answer from ${HOST} through the proxy proxy.test:3128: the connection was cut (ECONNRESET)`,
      true,
    ],
  ])('a tunnel that failed with %s is told by its cause', (code, what, transient) => {
    const cause = withCode(code, code === 'ENOTFOUND' ? { syscall: 'getaddrinfo' } : {});
    expect(failed(new TunnelError(undefined, cause), throughProxy)).toMatchObject({ what, transient });
  });

  test('of a proxy that speaks no HTTP nobody fears that a token was issued', () => {
    const { advice } = failed(new TunnelError(undefined, withCode('HPE_INVALID_CONSTANT')), throughProxy);
    expect(advice).not.toMatch(/a token may have been issued/);
  });
});

test('the cause is kept, for debug logging', () => {
  const cause = withCode('ECONNRESET');
  expect(failed(cause).cause).toBe(cause);
});

describe('what to do stands in whole', () => {
  const PAGE = 'https://dashboard.formlabs.com/#developer';

  test.each<[name: string, explanation: () => Explanation, what: string, advice: string]>([
    [
      'a redirect',
      () => answered(302, '', { location: 'https://login.test/' }),
      'the Dashboard redirected the request (302) to login.test; redirects are not followed, ' +
        'since they would carry the client secret',
      'Set api-url to the final address; a sign-in page means a captive portal.',
    ],
    [
      'a refusal that is not about the credentials',
      () => answered(400, '{"error":"unauthorized_client"}', { 'retry-after': '1' }),
      'the Dashboard refused the request (400): unauthorized_client',
      `These credentials may not use this grant: create new ones on ${PAGE}.`,
    ],
    [
      'a network error',
      () => failed(withCode('ECONNRESET')),
      `no answer from ${HOST}: the connection was cut (ECONNRESET)`,
      'Check api-url, the proxy variables and the network of the runner.',
    ],
    [
      'a proxy that speaks no TLS',
      () => failed(new TunnelError(undefined, withCode('EPROTO')), { proxy: PROXY }),
      'no TLS connection to the proxy proxy.test:3128 is possible (EPROTO)',
      'If the proxy itself speaks plain HTTP, start https_proxy with http://.',
    ],
    [
      'a proxy that is out of order',
      () => refusedByProxy(503),
      'the proxy proxy.test:3128 answered 503 (service unavailable) instead of opening a tunnel',
      'Ask whoever runs it.',
    ],
    [
      'a proxy that speaks no HTTP',
      () => failed(new TunnelError(undefined, withCode('HPE_INVALID_CONSTANT')), { proxy: PROXY }),
      'what came from the proxy proxy.test:3128 is not valid HTTP (HPE_INVALID_CONSTANT)',
      'Something may alter the answers. Check api-url, and any proxy or gateway in between.',
    ],
    [
      'a certificate that has expired',
      () => failed(withCode('CERT_HAS_EXPIRED')),
      `the certificate of ${HOST} has expired (CERT_HAS_EXPIRED)`,
      'Check the clock of the runner; if it is right, the host has to renew it.',
    ],
  ])('for %s', (_name, explanation, what, advice) => {
    expect(explanation()).toMatchObject({ what, advice });
  });

  test('and a refusal is final, whatever it is about', () => {
    expect(answered(400, '{"error":"unauthorized_client"}', { 'retry-after': '1' }).transient).toBe(false);
  });

  test('of a page that comes with status 500 nothing is said', () => {
    expect(answered(500, '<html>').what).toBe('the Dashboard answered 500 (internal server error)');
    expect(answered(499, '<html>').what).toMatch(/, with an HTML page, which its API does not document$/);
  });

  test('a proxy that redirects is final, and one that answers 400 with Retry-After is not', () => {
    expect(refusedByProxy(302, { 'retry-after': '1' }).transient).toBe(false);
    expect(refusedByProxy(400, { 'retry-after': '1' }).transient).toBe(true);
  });
});
