import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Stage } from '../src/dashboard/connection';
import {
  type Context,
  describe as describeAnswer,
  explain,
  explainUnconfirmed,
  explainUnusable,
} from '../src/dashboard/explain';
import type { Response } from '../src/dashboard/http';
import { parseProxy } from '../src/dashboard/proxy';
import { errorOf, type Failure } from '../src/shared/errors';
import { makeCertificate, writePem } from './support/certificate';
import { contextWith, loggerWith, responseOf } from './support/response';

// What is told, and under which heading it is explained. The sentences are tested on the bundle, with their links.

const HOST = 'api.formlabs.com';
const SECRET = 's3cret-word';
const LATER = { headers: { 'retry-after': '7' } };
const logger = loggerWith(SECRET);

const explained = (changes: Partial<Response>, context: Partial<Context> = {}): Failure =>
  explain(responseOf(changes), contextWith({ logger, ...context }));
const adviceOf = ({ explanation: [, , advice] }: Failure) => advice;
const isTransient = ({ explanation }: Failure) => explanation[3] === true;

/** Some words of each message, in their order. What another attempt can't change is final. */
function expectSaid(failure: Failure, end: 'final' | 'passing', help: string, ...words: readonly string[]): void {
  expect([failure.explanation[0], isTransient(failure) ? 'passing' : 'final']).toEqual([help, end]);
  let rest = errorOf(failure).message;
  for (const some of words) {
    expect(rest).toContain(some);
    rest = rest.slice(rest.indexOf(some) + some.length);
  }
}

describe('an answer', () => {
  const NOT_ACCEPTED = 'the-credentials-were-not-accepted';
  const UNKNOWN = 'an-undocumented-answer';

  test.each<[status: number, body: string, help: string, words: string[]]>([
    [400, '{"error":"invalid_grant","error_description":"Not so."}', NOT_ACCEPTED, ['grant: Not so. Check that']],
    [401, '{"error":"invalid_client"}', NOT_ACCEPTED, ['(401): invalid_client. ', 'belong together']],
    [401, `{"detail":"Not ${SECRET} found."}`, NOT_ACCEPTED, ['(401): Not … found. ']],
    [401, '{"error":{"a":1},"error_description":7}', NOT_ACCEPTED, ['(401). ']],
    [400, '{"error":null}', NOT_ACCEPTED, ['(400). Check that']],
    [400, '{"error":"unauthorized_client"}', NOT_ACCEPTED, ['unauthorized_client. ', 'create new ones']],
    [400, '{"error":"unsupported_grant_type"}', NOT_ACCEPTED, ['unsupported_grant_type. ', 'check api-url']],
    [400, '{"error":"invalid_scope"}', NOT_ACCEPTED, ['invalid_scope. ', 'check api-url']],
    [401, '{"error":"invalid_request"}', NOT_ACCEPTED, ['invalid_request. ', 'as it was sent']],
    // What is not about the credentials does not send anyone to look for them.
    [400, '{"detail":"Bad host"}', UNKNOWN, ['400 (bad request): Bad host. Its API']],
    [400, '["invalid_client"]', UNKNOWN, ['400 (bad request). Its API']],
    [401, '["invalid_client"]', UNKNOWN, ['401 (unauthorized). Its API']],
    [401, '\n<p>', UNKNOWN, ['401 (unauthorized): an HTML page. Its API']],
    [403, '<p>', '403-forbidden', ['403 (forbidden): an HTML page', 'firewall', 'registered printer']],
    [403, '{"detail":"Not for you."}', '403-forbidden', ['403 (forbidden): Not for you. Usually']],
    [404, '', '404-not-found', [`https://${HOST}/developer/v1/o/token/ (404)`]],
    [202, '', 'a-firewall-answered', ['202 (accepted)']],
    [204, '', UNKNOWN, ['204 (no content)']],
    [304, '', UNKNOWN, ['304 (not modified)']],
    [407, '', UNKNOWN, ['407 (proxy authentication required)', 'any proxy']],
  ])('%d %s is final: %s', (status, body, help, words) => {
    expectSaid(explained({ status, body }), 'final', help, ...words);
  });

  test.each<[status: number, body: string, words: string[]]>([
    [429, '{"detail":"Request was throttled. Wait."}', ['(too many requests): Request was throttled. Wait. ', '1,500']],
    // Of an outage a page is what everyone expects.
    [502, '<html>', ['502 (bad gateway). ', 'outage']],
    [599, '', ['599 (an unknown status). ', 'outage']],
    [408, '', ['408 (request timeout). ']],
    [425, '', ['425 (too early). ']],
  ])('%d %s may pass', (status, body, words) => {
    expectSaid(explained({ status, body }), 'passing', 'a-rate-limit-or-an-outage', ...words);
  });

  test.each(['temporarily_unavailable', 'server_error', 'slow_down'])('400 with %s may pass', (error) => {
    expectSaid(explained({ status: 400, body: JSON.stringify({ error }) }), 'passing', NOT_ACCEPTED, error, 'outage');
  });

  test('that says when to come back may pass too, but for a refusal of the API, and a redirect', () => {
    const mayPass = (status: number, body = '<p>') => isTransient(explained({ status, body, ...LATER }));
    expect([402, 403, 404, 405, 418].map((status) => mayPass(status))).not.toContain(false);
    expect([302, 401, 400].map((status) => mayPass(status, '{"error":"x"}'))).not.toContain(true);
    expect(explained({ status: 429, ...LATER }).retryAfterMs).toBe(7_000);
  });

  test('names the credentials that look like something else', () => {
    const said = (oddInputs: string[]) => adviceOf(explained({ status: 401, body: '{}' }, { oddInputs }));
    expect(said(['client-id', 'client-secret'])).toMatch(/ of client-id and client-secret has .* a quoted value\.$/);
    expect(said([])).not.toMatch(/quotes/);
  });

  test.each<[shown: string, location: string]>([
    ['login.test', 'https://user:password@login.test:8443/path?query#fragment'],
    ['an address that is not shown', `https://${SECRET}.test/`],
    ['login.test', '//login.test/path'],
    [HOST, '/path?query'],
    ['an unreadable address', 'https://['],
    ['an address that is not shown', 'data:text/plain,x'],
    ['an unreadable address', `/${'x'.repeat(2_000)}`],
  ])('of a redirect only the host is told: %s', (shown, location) => {
    for (const status of [301, 302, 303, 307, 308]) {
      expectSaid(explained({ status, headers: { location } }), 'final', 'the-request-was-redirected', ` to ${shown};`);
    }
  });

  test('a redirect without a target does not lead to where it came from', () => {
    expect(explained({ status: 302 }).explanation[1]).toContain('to an unreadable address');
  });

  test.each<[help: string, response: Partial<Response>, words: string[]]>([
    ['the-answer-has-no-usable-token', { body: '<html>' }, ['(200) is not a JSON object: an HTML page', 'portal']],
    ['the-answer-has-no-usable-token', { status: 204, body: '{}' }, ['(204) holds no access_token']],
    ['a-firewall-answered', { status: 202 }, ['(202) is not a JSON object']],
    ['a-firewall-answered', { headers: { 'x-amzn-waf-action': 'challenge' } }, ['is not a JSON object']],
    [NOT_ACCEPTED, { body: '{"error":"invalid_client"}' }, ['an error: invalid_client. ', 'belong together']],
    [NOT_ACCEPTED, { body: '{"error":"invalid_scope"}' }, ['an error: invalid_scope. ', 'check api-url']],
  ])('without a token can not be used: %s %j', (help, response, words) => {
    const failure = explainUnusable(responseOf(response), undefined, logger);
    expectSaid(failure ?? { explanation: ['none', '', ''] }, 'final', help, ...words);
  });

  test('with a token can be used', () => {
    expect(explainUnusable(responseOf({ body: '{"access_token":"a"}' }), 'a', logger)).toBeUndefined();
  });

  test('to a revocation that does not confirm it is named, and what may have answered', () => {
    const said = (status: number) => explainUnconfirmed(responseOf({ status }));
    expectSaid(said(200), 'final', 'the-access-token-could-not-be-revoked', '200 (ok), but not confirmed', 'portal');
    expectSaid(said(202), 'final', 'a-firewall-answered', '202 (accepted), but not confirmed');
  });

  test('is its status, its time and some of its headers for debug logging', () => {
    const headers = {
      server: 'nginx/1.27',
      via: SECRET,
      'set-cookie': ['a=b'],
      'x-request-id': 'a\nb',
      'cf-ray': '8f',
    };
    const shown = (response: Partial<Response>) => describeAnswer(responseOf(response), 12.4, logger);
    expect(shown({ headers })).toBe('200 (ok) after 12 ms; server: nginx/1.27; cf-ray: 8f');
    expect(shown({ problem: { stage: 'answer' } })).toBe('200 (ok), incomplete, after 12 ms');
    expect(shown({ status: 0, problem: { stage: 'answer' } })).toBe('No answer after 12 ms');
  });
});

const withCode = (code: string, more: object = {}) => Object.assign(new Error('x'), { code, ...more });
const failedAt = (stage: Stage, cause: unknown, status = 0) => ({ status, problem: { stage, cause } });
const lateAt = (stage: Stage, timeoutMs = 1_000) => ({ status: 0, problem: { stage, timeoutMs } });

const HANDSHAKE = 'the-tls-handshake-did-not-complete';
const NO_TLS = 'no-tls-connection-is-possible';

describe('no answer may pass', () => {
  const [refused] = [...getSystemErrorMap()].find(([, [name]]) => name === 'ECONNREFUSED') ?? [];
  const reset = withCode('ECONNRESET');
  const NO_NAME_SERVER = 'the-name-server-did-not-answer';

  test.each<[help: string, words: string, response: Partial<Response>]>([
    [NO_NAME_SERVER, 'name server did not answer within 1.0 s', lateAt('lookup')],
    ['no-connection', 'no connection within 66.0 s', lateAt('connection', 66_000)],
    [HANDSHAKE, 'complete within 0.5 s', lateAt('handshake', 500)],
    ['no-complete-answer', 'no complete answer within 1.0 s', { ...lateAt('answer'), status: 200 }],
    ['no-connection', 'connection refused (X)', failedAt('connection', withCode('X', { errno: refused }))],
    ['no-connection', 'refused (X)', failedAt('connection', withCode('X', { errors: [{ errno: refused }] }))],
    ['the-host-name-was-not-found', '(ENOTFOUND)', failedAt('lookup', withCode('ENOTFOUND'))],
    [NO_NAME_SERVER, '(EAI_AGAIN)', failedAt('lookup', withCode('EAI_AGAIN', { syscall: 'getaddrinfo' }))],
    ['no-complete-answer', 'the connection was cut. ', failedAt('answer', 'text')],
    ['no-complete-answer', 'the connection was cut (ECONNRESET). ', failedAt('answer', reset)],
    [HANDSHAKE, 'handshake (ECONNRESET). ', failedAt('handshake', reset)],
    ['no-complete-answer', 'before the answer was complete (ECONNRESET). ', failedAt('answer', reset, 301)],
    // The bytes were harmed on their way, or the peer was.
    ...['ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC', 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR'].map(
      (code): [string, string, object] => [HANDSHAKE, `handshake (${code}). `, failedAt('handshake', withCode(code))],
    ),
    ['no-complete-answer', 'cut (ERR_SSL_X). ', failedAt('answer', withCode('ERR_SSL_X'))],
    ...['EADDRNOTAVAIL', 'EMFILE', 'EPROTOTYPE', 'UNKNOWN', 'ERR_STREAM_PREMATURE_CLOSE'].map(
      (code): [string, string, Partial<Response>] => ['no-connection', code, failedAt('connection', withCode(code))],
    ),
  ])('%s: %s', (help, words, response) => {
    expectSaid(explained(response), 'passing', help, `No answer from ${HOST}: `, words);
  });

  test('and tells the next attempt what it has to know, and debug logging the cause', () => {
    for (const stage of ['answer', 'proxy lookup'] as const) expect(explained(lateAt(stage)).timedOut).toBe(stage);
    const error = explained({ ...failedAt('answer', reset, 200), ...LATER });
    expect([error.timedOut, error.retryAfterMs, error.cause]).toEqual([undefined, 7_000, reset]);
  });
});

test.each<[help: string, cause: Error, words: string[]]>([
  ['the-answer-is-not-valid-http', withCode('HPE_X'), [`${HOST} is`, '(HPE_X)']],
  [NO_TLS, withCode('EPROTO'), [`to ${HOST} is`, '(EPROTO)', 'the host and the port']],
  [NO_TLS, withCode('ERR_SSL_X', { reason: 'wrong version' }), ['(ERR_SSL_X, wrong version)']],
  ...['unsafe legacy renegotiation disabled', 'unsupported protocol', 'dh key too small'].map(
    (reason): [string, Error, string[]] => [NO_TLS, withCode('ERR_TLS_X', { reason }), [`, ${reason})`, 'out of date']],
  ),
  ['the-tls-handshake-was-refused', withCode('ERR_SSL_TLSV13_ALERT_X'), [`with ${HOST}`, 'client certificate']],
  ['the-tls-handshake-was-refused', withCode('EPROTO', { message: 'A:SSL routines:f:an alert x:' }), ['(EPROTO, an']],
  ['the-certificate-has-expired', withCode('CERT_HAS_EXPIRED'), [HOST, '(CERT_HAS_EXPIRED)', 'clock of the runner']],
  ['the-certificate-has-expired', withCode('CERT_NOT_YET_VALID'), ['not valid yet', 'clock of the runner']],
  ['the-certificate-is-for-another-name', withCode('ERR_TLS_CERT_ALTNAME_INVALID'), ['Check api-url']],
  ['the-certificate-is-for-another-name', withCode('HOSTNAME_MISMATCH'), ['Check api-url']],
  ...['UNSPECIFIED', 'EE_KEY_TOO_SMALL', 'INVALID_PURPOSE', 'CERT_REVOKED'].map((code): [string, Error, string[]] => {
    const message = "unsuitable certificate purpose (it's), no; and more";
    const words = ["refused: unsuitable certificate purpose (it's), no (", code];
    return ['the-certificate-was-refused', withCode(code, { message }), words];
  }),
  ['the-certificate-was-refused', withCode('CA_X', { message: '\n' }), [': no reason']],
  ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'].map(
    (code): [string, Error, string[]] => ['the-certificate-is-not-trusted', withCode(code), [code]],
  ),
  ['the-certificate-is-not-trusted', withCode('CERT_UNTRUSTED'), ['(CERT_UNTRUSTED)']],
])('%s: no other attempt changes %j', (help, cause, words) => {
  expectSaid(explained(failedAt('handshake', cause)), 'final', help, ...words);
});

describe('a certificate that is not trusted', () => {
  beforeEach(() => void delete process.env['NODE_EXTRA_CA_CERTS']);
  afterEach(() => void delete process.env['NODE_EXTRA_CA_CERTS']);
  const BEGIN = '-----BEGIN CERTIFICATE-----\n';

  test.each<[advised: RegExp, file: (cert: string) => string]>([
    [/ set NODE_EXTRA_CA_CERTS/, () => ''],
    [/can't be read \(ENOENT\)/, () => join(import.meta.dirname, 'nowhere.pem')],
    [/can't be read \(E[A-Z]+\)/, () => import.meta.dirname],
    [/holds no certificate/, () => writePem('-----BEGIN PRIVATE KEY-----\nMIIB')],
    [/holds 1 certificate.*lacks the authority/, (cert) => writePem(cert)],
    [/holds 2 cert/, (cert) => writePem(`# x\n${cert}\n${cert.replaceAll(' CERTIFICATE', ' X509 CERTIFICATE')}`)],
    [/holds 1 cert/, (cert) => writePem(cert.replaceAll(' CERTIFICATE', ' TRUSTED CERTIFICATE'))],
    [/damaged from certificate 1 of 1/, () => writePem(`${BEGIN}MIIB`)],
    [/damaged from certificate 2 of 3/, (cert) => writePem(`${cert}\n${BEGIN}MIIB\n${cert}`)],
  ])('is looked for where the job was told to: %s', async (advised, file) => {
    process.env['NODE_EXTRA_CA_CERTS'] = file((await makeCertificate()).cert);
    const advice = adviceOf(explained(failedAt('handshake', withCode('SELF_SIGNED_CERT_IN_CHAIN'))));
    expect(advice).toMatch(advised);
    expect(advice).toContain('NODE_USE_SYSTEM_CA=1');
  });

  test('is not let pass by NODE_TLS_REJECT_UNAUTHORIZED=0, which is named then', async () => {
    const expired = failedAt('handshake', withCode('CERT_HAS_EXPIRED'));
    expect(adviceOf(explained(expired))).not.toContain('NODE_TLS_REJECT_UNAUTHORIZED');
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    jest.resetModules();
    const anew = await import('../src/dashboard/explain');
    expect(process.env).not.toHaveProperty('NODE_TLS_REJECT_UNAUTHORIZED');
    expect(adviceOf(anew.explain(responseOf(expired), contextWith()))).toContain('NODE_TLS_REJECT_UNAUTHORIZED=0 is');
  });
});

describe('through a proxy', () => {
  const NAME = 'proxy.test:3128';
  const WAY = `through the proxy ${NAME}`;
  const open = parseProxy(NAME);
  const refused = (code: string) => failedAt('proxy answer', withCode(code));
  const EXPIRED = 'the-certificate-has-expired';
  const NO_TUNNEL = 'the-proxy-did-not-open-a-tunnel';

  test.each<[end: 'final' | 'passing', help: string, words: string[], response: Partial<Response>]>([
    ['passing', 'the-name-server-did-not-answer', [`${WAY}: `, 'for the proxy within'], lateAt('proxy lookup')],
    ['passing', 'no-connection', [`${WAY}: `, 'to the proxy within 1.0 s'], lateAt('proxy connection')],
    ['passing', HANDSHAKE, [`${WAY}: `, 'with the proxy'], lateAt('proxy handshake')],
    ['passing', NO_TUNNEL, [`${WAY}: `, 'a tunnel within 1.0 s'], lateAt('proxy answer')],
    ['passing', 'no-complete-answer', [`${WAY}: `], lateAt('answer')],
    ['passing', NO_TUNNEL, [`${WAY}: `, '(ECONNRESET)'], refused('ECONNRESET')],
    ['final', EXPIRED, [`of ${HOST} ${WAY} has`], failedAt('handshake', withCode('CERT_HAS_EXPIRED'))],
    ['final', EXPIRED, [`of the proxy ${NAME} has`], refused('CERT_HAS_EXPIRED')],
    ['final', NO_TLS, [`the proxy ${NAME} is`, 'with http://'], refused('EPROTO')],
    ['final', NO_TLS, [HOST, WAY, 'a page of'], failedAt('handshake', withCode('EPROTO'))],
    ['final', 'the-answer-is-not-valid-http', [`the proxy ${NAME} is`], refused('HPE_X')],
    ['passing', 'the-host-name-was-not-found', ['of the proxy'], failedAt('proxy lookup', withCode('ENOTFOUND'))],
  ])('%s: %s %j', (end, help, words, response) => {
    expectSaid(explained(response, { proxy: open }), end, help, ...words);
  });

  const WANTS = 'the-proxy-wants-credentials';
  const basic = { 'proxy-authenticate': 'Negotiate, basic', ...LATER.headers };

  test.each<[status: number, headers: Response['headers'], user: string, end: 'final' | 'passing', words: string[]]>([
    [407, {}, '', 'final', ['requires credentials (407)', 'Put user and password']],
    [407, basic, 'user:pass@', 'final', ['rejected the credentials (407)', 'check user and password']],
    [407, { 'proxy-authenticate': 'Digest realm="basics"' }, '', 'final', ['offers no Basic authentication (407)']],
    [401, { 'www-authenticate': 'NTLM' }, '', 'final', ['offers no Basic authentication (401)']],
    [401, { 'www-authenticate': 'basic' }, '', 'final', ['requires credentials (401)']],
    [403, {}, '', 'final', ['answered 403 (forbidden)', 'allow this host', 'no_proxy']],
    [302, LATER.headers, '', 'final', ['answered 302 (found)', 'allow this host']],
    [403, LATER.headers, '', 'passing', ['answered 403 (forbidden)', 'Ask whoever runs it.']],
    [408, {}, '', 'passing', ['answered 408 (request timeout)']],
    [503, LATER.headers, '', 'passing', ['answered 503 (service unavailable)', 'Ask whoever runs it.']],
  ])('one that answers %d with %j, asked by %j', (status, headers, user, end, words) => {
    const response = { ...failedAt('proxy answer', new Error('refused'), status), headers };
    const error = explained(response, { proxy: parseProxy(user + NAME) });
    expectSaid(error, end, [401, 407].includes(status) ? WANTS : NO_TUNNEL, `he proxy ${NAME} `, ...words);
    expect(error.retryAfterMs).toBe(headers['retry-after'] && 7_000);
  });
});
