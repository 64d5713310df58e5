import { describe, expect, test } from '@jest/globals';
import { explainAnswer, explainNoAnswer } from '../src/dashboard/explain';
import type { Failure } from '../src/dashboard/failure';
import { AttemptTimeoutError } from '../src/dashboard/retry';

const API = 'https://api.formlabs.com/developer/v1/o/token/';

function answered(status: number, headers = {}, body = ''): Failure {
  return explainAnswer(API, { complete: true, status, headers, body, bodyTooLong: false }, String);
}

function failed(cause: unknown): Failure {
  return explainNoAnswer(API, { complete: false, body: '', cause }, String);
}

function withCode(code: string, message = 'x'): Error {
  return Object.assign(new Error(message), { code });
}

describe('which statuses are tried again', () => {
  test.each([408, 429, 500, 502, 503, 504])('%d', (status) => {
    expect(answered(status, { 'retry-after': '7' }).retry).toEqual({
      maxAttempts: Number.POSITIVE_INFINITY,
      afterMs: 7_000,
    });
  });

  test.each([
    201, 204, 206, 301, 304, 307, 400, 401, 402, 403, 404, 405, 407, 410, 421, 425, 501, 505, 511,
  ])('not %d', (status) => {
    expect(answered(status).retry).toBeUndefined();
  });
});

describe('which network errors are tried again', () => {
  test.each([
    'ECONNREFUSED',
    'ECONNRESET',
    'ECONNABORTED',
    'EPIPE',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ETIMEDOUT',
    'EAI_AGAIN',
    'HPE_INVALID_EOF_STATE',
    'ERR_STREAM_PREMATURE_CLOSE',
  ])('%s', (code) => {
    expect(failed(withCode(code)).retry?.maxAttempts).toBe(Number.POSITIVE_INFINITY);
  });

  test('an attempt that took too long', () => {
    const failure = failed(new AttemptTimeoutError(10_000));
    expect(failure.message).toMatch(
      /^No answer from api\.formlabs\.com: there was no complete answer within 10\.0 s\./,
    );
    expect(failure.retry?.maxAttempts).toBe(Number.POSITIVE_INFINITY);
  });

  test('a host name that does not exist, three times', () => {
    expect(failed(withCode('ENOTFOUND')).retry?.maxAttempts).toBe(3);
  });

  test.each([
    'CERT_HAS_EXPIRED',
    'CERT_NOT_YET_VALID',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'INVALID_CA',
    'HOSTNAME_MISMATCH',
  ])('not %s, which is about a certificate', (code) => {
    expect(failed(withCode(code)).retry).toBeUndefined();
    expect(failed(withCode(code)).message).toMatch(/NODE_EXTRA_CA_CERTS/);
  });

  test.each([withCode('EPROTO'), withCode('HPE_HEADER_OVERFLOW'), new Error('x'), 'text'])(
    'not %s',
    (cause) => {
      expect(failed(cause).retry).toBeUndefined();
    },
  );
});

describe('what a proxy says instead of opening a tunnel', () => {
  const tunnel = (reason: string) =>
    failed(withCode('ECONNRESET', `tunneling socket could not be established, ${reason}`));

  test('407 is about its credentials', () => {
    expect(tunnel('statusCode=407').message).toMatch(
      /^The proxy in between did not accept its credentials/,
    );
    expect(tunnel('statusCode=407').retry).toBeUndefined();
  });

  test('a status that may pass is tried again, another is not', () => {
    expect(tunnel('statusCode=503').retry?.maxAttempts).toBe(Number.POSITIVE_INFINITY);
    expect(tunnel('statusCode=403').retry).toBeUndefined();
  });

  test('one that can not be reached is tried again, and three times where its name does not exist', () => {
    expect(tunnel('cause=connect ECONNREFUSED 127.0.0.1:1').retry?.maxAttempts).toBe(
      Number.POSITIVE_INFINITY,
    );
    expect(tunnel('cause=getaddrinfo ENOTFOUND proxy').retry?.maxAttempts).toBe(3);
  });

  test('one whose certificate is not trusted is not tried again', () => {
    expect(tunnel('cause=self-signed certificate').retry).toBeUndefined();
  });
});

test('a page in place of an error is told, but for an outage, where it is usual', () => {
  expect(answered(401, {}, '\n<html>').what).toContain('(401), with a page from it or from');
  expect(answered(503, {}, '<html>').what).toBe('the Dashboard answered 503 (service unavailable)');
});

test('a redirect is named without user, query and fragment', () => {
  const shown = (location?: string) => answered(302, { location }).what;
  expect(shown('https://u:p@login.test/a?b#c')).toContain('to https://login.test/a, which');
  expect(shown('/a?b')).toContain('to https://api.formlabs.com/a, which');
  expect(shown('https://[')).toContain('to an address that cannot be read, which');
  expect(shown()).toContain('to an address that cannot be read, which');
});

test('the proxy that a request went through is named', () => {
  process.env['https_proxy'] = 'http://user:pass@proxy.test:3128';
  try {
    expect(failed(withCode('ECONNRESET')).what).toMatch(
      /^no answer from api\.formlabs\.com through the proxy proxy\.test:3128: the connection was cut/,
    );
    expect(answered(407).what).toContain('the proxy proxy.test:3128 did not accept');
  } finally {
    delete process.env['https_proxy'];
  }
});
