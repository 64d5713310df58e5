import type { Context } from '../../src/dashboard/explain';
import type { Response } from '../../src/dashboard/http';
import type { Logger } from '../../src/shared/types';

/** What came of a request: 200 without a body, unless told otherwise. */
export function responseOf(changes: Partial<Response> = {}): Response {
  return { status: 200, headers: {}, body: '', isCut: false, problem: undefined, ...changes };
}

/** A log that nobody reads. */
export function loggerWith(...secrets: readonly string[]): Logger {
  return { info: () => undefined, debug: () => undefined, own: String, secrets: new Set(secrets) };
}

/** What a request for a token to Formlabs' Dashboard knows of itself. */
export function contextWith(changes: Partial<Context> = {}): Context {
  const [apiUrl, path] = ['https://api.formlabs.com', '/developer/v1/o/token/'];
  return { apiUrl, path, proxy: undefined, oddInputs: [], logger: loggerWith(), ...changes };
}
