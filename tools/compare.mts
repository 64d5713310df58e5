import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual, parseArgs, styleText } from 'node:util';
import { startDashboard } from '../mock/dashboard.mts';
import { ACTION_DIR } from '../mock/runner.mts';

/**
 * `npm run compare`: the same requests to the mock Dashboard and to Django OAuth Toolkit, on which the
 * Dashboard's API is built, and what differs in the answers. Ends with 0 only if nothing does. Where the
 * toolkit can't be installed it says so, and with `--required` that is a failure too.
 */
const PACKAGES = ['django==5.2.19', 'django-oauth-toolkit==3.4.1', 'djangorestframework==3.18.3'];

const CLIENT = { client_id: 'compare', client_secret: 's3cr3t&+=% é' };
const GRANT = { grant_type: 'client_credentials' };
const TOKEN = '/developer/v1/o/token/';
const REVOKE = '/developer/v1/o/revoke_token/';
const PRINTERS = '/developer/v1/printers/';

interface Request {
  name: string;
  method?: string;
  path: string;
  form?: Record<string, string>;
  json?: unknown;
  authorization?: string;
}

/** In this order: the token that the first one gets is used, revoked, and used again. */
function requests(token: string): Request[] {
  return [
    {
      name: 'token, with a scope',
      path: TOKEN,
      form: { ...GRANT, ...CLIENT, scope: 'developer-api' },
    },
    { name: 'token, unknown scope', path: TOKEN, form: { ...GRANT, ...CLIENT, scope: 'all' } },
    {
      name: 'token, wrong secret',
      path: TOKEN,
      form: { ...GRANT, ...CLIENT, client_secret: 'no' },
    },
    { name: 'token, unknown client', path: TOKEN, form: { ...GRANT, ...CLIENT, client_id: 'no' } },
    { name: 'token, no secret', path: TOKEN, form: { ...GRANT, client_id: CLIENT.client_id } },
    { name: 'token, no client', path: TOKEN, form: GRANT },
    { name: 'token, no grant type', path: TOKEN, form: CLIENT },
    { name: 'token, unknown grant type', path: TOKEN, form: { ...CLIENT, grant_type: 'magic' } },
    {
      name: 'token, unknown grant type and wrong secret',
      path: TOKEN,
      form: { grant_type: 'magic', client_id: CLIENT.client_id, client_secret: 'no' },
    },
    { name: 'token, as JSON', path: TOKEN, json: { ...GRANT, ...CLIENT } },
    { name: 'token, by GET', method: 'GET', path: TOKEN },
    { name: 'token, by PUT', method: 'PUT', path: TOKEN, form: { ...GRANT, ...CLIENT } },
    { name: 'token, no slash', path: TOKEN.slice(0, -1), form: { ...GRANT, ...CLIENT } },
    { name: 'printers', path: PRINTERS, authorization: `Bearer ${token}` },
    { name: 'printers, bearer', path: PRINTERS, authorization: `bearer ${token}` },
    { name: 'printers, BEARER', path: PRINTERS, authorization: `BEARER ${token}` },
    { name: 'printers, other scheme', path: PRINTERS, authorization: `Token ${token}` },
    { name: 'printers, unknown token', path: PRINTERS, authorization: 'Bearer no' },
    { name: 'printers, no token', path: PRINTERS },
    { name: 'printers, by POST', path: PRINTERS, form: {}, authorization: `Bearer ${token}` },
    { name: 'printers, by POST, no token', path: PRINTERS, form: {} },
    { name: 'revoke, wrong secret', path: REVOKE, form: { token, ...CLIENT, client_secret: 'no' } },
    { name: 'revoke, no client', path: REVOKE, form: { token } },
    { name: 'revoke, no token', path: REVOKE, form: CLIENT },
    { name: 'revoke, empty token', path: REVOKE, form: { ...CLIENT, token: '' } },
    {
      name: 'revoke, no token and wrong secret',
      path: REVOKE,
      form: { ...CLIENT, client_secret: 'no' },
    },
    { name: 'revoke, unknown token', path: REVOKE, form: { token: 'no', ...CLIENT } },
    { name: 'revoke, by GET', method: 'GET', path: REVOKE },
    { name: 'printers, before', path: PRINTERS, authorization: `Bearer ${token}` },
    { name: 'revoke', path: REVOKE, form: { token, ...CLIENT } },
    { name: 'revoke, again', path: REVOKE, form: { token, ...CLIENT } },
    { name: 'printers, revoked token', path: PRINTERS, authorization: `Bearer ${token}` },
  ];
}

interface Answer {
  status: number;
  headers: Record<string, string | null>;
  body: unknown;
}

/** What clients look at. */
const HEADERS = ['content-type', 'cache-control', 'pragma', 'www-authenticate', 'allow'];

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { required: { type: 'boolean', default: false } } });
  const python = install();
  if (python === undefined) {
    console.log('Not compared: Django OAuth Toolkit needs Python 3 and a way to its package index.');
    if (values.required) process.exitCode = 1;
    return;
  }
  const dashboard = await startDashboard({
    clientId: CLIENT.client_id,
    clientSecret: CLIENT.client_secret,
  });
  const toolkit = spawn(python, [join(import.meta.dirname, 'toolkit.py'), CLIENT.client_id, CLIENT.client_secret], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await compare(dashboard.url, `http://127.0.0.1:${await portOf(toolkit)}`);
  } finally {
    toolkit.kill();
    await dashboard.close();
  }
}

async function compare(mock: string, toolkit: string): Promise<void> {
  const [ours, theirs] = [await sendAll(mock), await sendAll(toolkit)];
  let different = 0;
  for (const [name, answer] of ours) {
    const expected = theirs.get(name);
    const same = isDeepStrictEqual(answer, expected);
    if (!same) different += 1;
    console.log(`${same ? styleText('green', 'same') : styleText('red', 'DIFFERS')}  ${name}`);
    if (same) continue;
    console.log(`  mock:    ${JSON.stringify(answer)}\n  toolkit: ${JSON.stringify(expected)}`);
  }
  console.log(`\n${ours.size} requests, ${different} answered in another way.`);
  if (different > 0) process.exitCode = 1;
}

async function sendAll(url: string): Promise<Map<string, Answer>> {
  const answers = new Map<string, Answer>();
  const first = await send(url, { name: 'token', path: TOKEN, form: { ...GRANT, ...CLIENT } });
  const token = String(Object(first.body).access_token);
  answers.set('token', harmonize(first));
  for (const request of requests(token)) answers.set(request.name, harmonize(await send(url, request)));
  return answers;
}

async function send(url: string, { method, path, form, json, authorization }: Request) {
  const response = await fetch(url + path, {
    method: method ?? (form || json ? 'POST' : 'GET'),
    headers: {
      accept: 'application/json',
      ...(json ? { 'content-type': 'application/json' } : {}),
      ...(authorization ? { authorization } : {}),
    },
    ...(form ? { body: new URLSearchParams(form) } : {}),
    ...(json ? { body: JSON.stringify(json) } : {}),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type') === 'application/json';
  return {
    status: response.status,
    headers: Object.fromEntries(HEADERS.map((name) => [name, response.headers.get(name)])),
    body: isJson && text !== '' ? (JSON.parse(text) as unknown) : text,
  };
}

/** Leaves out what has to differ: tokens but for their form, what there is of printers, and pages for people. */
function harmonize({ status, headers, body }: Answer): Answer {
  if (Array.isArray(body)) return { status, headers, body: 'a list' };
  if (typeof body === 'string') return { status, headers, body: status === 404 ? 'a page' : body };
  const form = (token: unknown) => String(token).replaceAll(/[A-Za-z0-9]/g, 'x');
  const answer = Object(body);
  return 'access_token' in answer
    ? { status, headers, body: { ...answer, access_token: form(answer.access_token) } }
    : { status, headers, body };
}

/** The Python that has the toolkit; undefined where it can't be installed. */
function install(): string | undefined {
  const folder = join(ACTION_DIR, 'node_modules', '.cache', 'compare', PACKAGES.join('+'));
  const python = join(folder, 'bin', 'python');
  const quiet = { stdio: 'ignore' as const };
  try {
    if (!existsSync(python)) execFileSync('python3', ['-m', 'venv', folder], quiet);
    const options = ['--quiet', '--retries', '1', '--timeout', '15', '--only-binary', ':all:'];
    execFileSync(python, ['-m', 'pip', 'install', ...options, ...PACKAGES], quiet);
    return python;
  } catch {
    return undefined;
  }
}

async function portOf({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('The toolkit has no output.');
  const [port] = await Promise.race([once(stdout, 'data'), once(stdout, 'end')]);
  if (port === undefined) throw new Error('The toolkit did not start.');
  return String(port).trim();
}

await main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
