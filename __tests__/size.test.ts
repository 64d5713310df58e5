import { afterEach, test } from '@jest/globals';
import {
  findToken,
  isConfirmation,
  parseJsonObject,
  readExpiry,
  retryAfterMs,
  whyUnusable,
} from '../src/dashboard/answers';
import { describe, explain, explainUnusable } from '../src/dashboard/explain';
import { parseProxy } from '../src/dashboard/proxy';
import { explainTls } from '../src/dashboard/tls';
import { parseSettings } from '../src/runner/inputs';
import { load } from '../src/runner/state';
import { StepError } from '../src/shared/errors';
import { redact, wholeOf, wordsOf } from '../src/shared/text';
import { contextWith, loggerWith, responseOf } from './support/response';

// Whatever a server, a proxy or a variable holds, reading it takes as good as no time. What is linear takes some 10 ms
// for a mebibyte, and what is quadratic minutes. It is the processor's time, which other programs don't use up.
const BOUND_MS = 500;
const SIZES = [16, 512].map((kibibytes) => kibibytes * 1_024);

/** What fills a text, over and over. */
const KINDS = [
  ...['; ', 'x1.x1.', '[', '{"a":', '"', '\\', '"access_token":"x",', '"access_token" : '],
  ...['"access_token":"\\', ' ', '\n\t', '::', 'x', 'word ', 'it is so, ', '… ', '1', '1 ', '@', '%', '%41'],
  ...['/', '/developer/v1', '://', 'é', 'https://x.', '-----BEGIN CERTIFICATE-----'],
  // Of such a host URL.canParse() says that it can be read, and new URL() throws, from 16 KiB on.
  'A_',
];

const SECRETS = new Set(['the-client-secret', 'password']);
/** The longest token that the state has room for is one, too. */
const LONG_SECRET = new Set(['a9Z-'.repeat(7_000)]);
const LOGGER = loggerWith(...SECRETS);
const CONTEXT = contextWith({ logger: LOGGER });

function attempt(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    // Anything else is a defect, such as the RangeError of a stack that is full.
    if (!(error instanceof StepError)) throw error;
    return undefined;
  }
}

const response = (body: string) => responseOf({ body });
const explainWith = (changes: Parameters<typeof responseOf>[0]) => explain(responseOf(changes), CONTEXT);
const settingsOf = (apiUrl: string) => attempt(() => parseSettings({ clientId: 'id', apiUrl, timeoutSeconds: apiUrl }));

/** What reads something from elsewhere. */
const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  redact: (text) => redact(text, SECRETS),
  wordsOf: (text) => wordsOf(text, SECRETS),
  'wordsOf, with a long secret': (text) => wordsOf(text, LONG_SECRET),
  wholeOf: (text) => (['code', 'header', 'host'] as const).map((kind) => wholeOf(kind, text, SECRETS)),
  parseJsonObject,
  findToken: (body) => findToken(response(body)),
  isConfirmation: (body) => isConfirmation(response(body)),
  whyUnusable: (text) => [whyUnusable(response(text), 'x'), whyUnusable(response('{}'), text)],
  readExpiry: (text) => [readExpiry(response(text), 0), readExpiry(responseOf({ headers: { date: text } }), 0)],
  retryAfterMs: (text) => retryAfterMs({ 'retry-after': text, date: text }),
  'explain, the body': (body) => explainWith({ body, status: 401 }),
  'explain, Location': (location) => explainWith({ headers: { location }, status: 302 }),
  'explain, a host in Location': (host) => explainWith({ headers: { location: `https://${host}` }, status: 302 }),
  'explain, an error': (text) => {
    const cause = Object.assign(new Error(text), { code: `ERR_SSL_${text}`, reason: text });
    return explainWith({ status: 0, problem: { stage: 'handshake', cause } });
  },
  'explain, proxy-authenticate': (text) => {
    const headers = { 'proxy-authenticate': text, 'retry-after': text };
    const proxy = parseProxy('proxy.test:3128');
    return explain(responseOf({ status: 407, headers, problem: { stage: 'proxy answer' } }), { ...CONTEXT, proxy });
  },
  explainUnusable: (body) => explainUnusable(response(body), undefined, LOGGER),
  explainTls: (text) => explainTls(Object.assign(new Error(text), { code: `CERT_${text}` }), 'host.test', ''),
  describe: (text) => describe(responseOf({ headers: { server: text, via: text, date: text } }), 1, LOGGER),
  parseProxy: (text) => [text, `http://u:p@${text}`, `http://${text}@host.test`, `[${text}]`].map(parseProxy),
  'parseSettings, api-url': (text) => [settingsOf(text), settingsOf(`https://${text}`)],
  'load, the state': (text) => {
    process.env['STATE_state'] = text;
    return attempt(load);
  },
};

afterEach(() => {
  delete process.env['STATE_state'];
});

/** A text of a size; the same as each field of JSON that is read; and where it opens brackets, closed ones. */
function formsOf(kind: string, size: number): string[] {
  const text = kind.repeat(Math.ceil(size / kind.length)).slice(0, size);
  const names = ['error', 'error_description', 'detail', 'access_token', 'token_type', 'expires_in', 'token', 'origin'];
  const share = Math.floor(size / names.length / 2);
  const nested = kind === '[' ? ['['.repeat(share) + ']'.repeat(share)] : [];
  const values = [JSON.stringify(text.slice(0, share * 2)), ...nested];
  return [text, ...nested, ...values.map((value) => `{${names.map((name) => `"${name}":${value}`).join()}}`)];
}

const TEXTS = KINDS.flatMap((kind) => SIZES.map((size) => ({ kind, size, forms: formsOf(kind, size) })));

test.each(Object.entries(READERS))('%s takes as good as no time for anything', (_name, read) => {
  for (const { kind, size, forms } of TEXTS) {
    for (const text of forms) {
      const before = process.cpuUsage();
      read(text);
      const ms = process.cpuUsage(before).user / 1_000;
      if (ms > BOUND_MS) throw new Error(`${size} characters of ${kind} took ${ms} ms: ${text.slice(0, 40)}`);
    }
  }
});
