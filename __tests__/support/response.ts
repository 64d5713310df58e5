import type { Context } from '../../src/dashboard/explain';
import type { Response } from '../../src/dashboard/http';
import type { Logger } from '../../src/shared/types';

/** What came of a request: 200 without a body, unless told otherwise. */
export function responseOf(changes: Partial<Response> = {}): Response {
  return { status: 200, headers: {}, body: '', problem: undefined, ...changes };
}

/** A log that nobody reads. */
export function loggerWith(...secrets: readonly string[]): Logger {
  const nothing = () => undefined;
  return { info: nothing, debug: nothing, own: String, secrets: new Set(secrets), hide: nothing };
}

/** What a request for a token to Formlabs' Dashboard knows of itself. */
export function contextWith(changes: Partial<Context> = {}): Context {
  const url = 'https://api.formlabs.com/developer/v1/o/token/';
  return { url, proxy: undefined, oddInputs: [], logger: loggerWith(), ...changes };
}
