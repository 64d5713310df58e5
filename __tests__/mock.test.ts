import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { type Dashboard, type DashboardOptions, startDashboard } from '../mock/dashboard.mts';
import { PRINTERS } from '../mock/fleet.mts';
import { startPreFormServer } from '../mock/preform-server.mts';
import { ACTION_DIR } from '../mock/runner.mts';
import { RESOURCES } from '../mock/web-api.mts';
import { cleanup } from './support/cleanup';
import { hang, issue, json } from './support/scripted-server';
import { faults } from './support/web-api';

const TOKEN = '/developer/v1/o/token/';
const REVOKE = '/developer/v1/o/revoke_token/';

async function mockDashboard(options: DashboardOptions = {}): Promise<Dashboard> {
  const dashboard = await startDashboard({ clientId: 'client', clientSecret: 's3cr3t&+=% é', ...options });
  cleanup(dashboard.close);
  return dashboard;
}

const CLIENT = { client_id: 'client', client_secret: 's3cr3t&+=% é' };
const GRANT = { grant_type: 'client_credentials', ...CLIENT };

function post({ url }: { url: string }, path: string, form: Record<string, string>) {
  return fetch(url + path, { method: 'POST', body: new URLSearchParams(form) });
}

async function newToken(dashboard: Dashboard): Promise<string> {
  const { access_token } = Object(await (await post(dashboard, TOKEN, GRANT)).json());
  return access_token;
}

async function get({ url }: Dashboard, path: string, token: string, scheme = 'Bearer') {
  return send(url, 'GET', path, { authorization: `${scheme} ${token}` });
}

async function send(url: string, method: string, path: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}/developer/v1/${path}`, { method, headers });
  const text = await response.text();
  const isJson = response.headers.get('content-type') === 'application/json';
  const body: unknown = isJson && text !== '' ? JSON.parse(text) : text;
  return { status: response.status, allow: response.headers.get('allow'), body };
}

type Item = Readonly<Record<string, unknown>>;

/** All items of a list, page by page. */
async function readAll(dashboard: Dashboard, path: string, token: string): Promise<Item[]> {
  const items: Item[] = [];
  let before: string | null = null;
  let next: string | null = `${dashboard.url}/developer/v1/${path}`;
  while (next !== null) {
    const here: string = next;
    const { status, body } = await get(dashboard, here.split('/developer/v1/')[1] ?? '', token);
    expect(status).toBe(200);
    if (Array.isArray(body)) return body;
    const page = Object(body);
    items.push(...page.results);
    expect(page.previous).toBe(before);
    before = here;
    next = page.next;
    if (next === null) expect(items).toHaveLength(page.count);
  }
  return items;
}

// `npm run compare` holds more requests against the toolkit itself.
describe('OAuth, as Django OAuth Toolkit has it', () => {
  test('a token comes with its scope', async () => {
    const response = await post(await mockDashboard(), TOKEN, GRANT);
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.json()).toEqual({
      access_token: expect.stringMatching(/^[A-Za-z0-9]{30}$/),
      expires_in: 86_400,
      token_type: 'Bearer',
      scope: 'developer-api',
    });
  });

  test.each<[name: string, path: string, form: Record<string, string>, status: number, error: string]>([
    ['wrong secret', TOKEN, { ...GRANT, client_secret: 'no' }, 401, 'invalid_client'],
    ['no client', TOKEN, { grant_type: 'client_credentials' }, 401, 'invalid_client'],
    ['no grant type', TOKEN, CLIENT, 400, 'unsupported_grant_type'],
    ['wrong secret, to revoke', REVOKE, { token: 'x', client_id: 'client' }, 401, 'invalid_client'],
    ['no client, to revoke', REVOKE, { token: 'x' }, 401, 'invalid_client'],
  ])('%s is an error and no more', async (_name, path, form, status, error) => {
    const dashboard = await mockDashboard();
    const response = await post(dashboard, path, form);
    expect([response.status, await response.json()]).toEqual([status, { error }]);
    expect(dashboard.issuedTokens()).toBe(0);
  });

  test.each([TOKEN, REVOKE])('%s takes POST alone, with the slash at its end', async (path) => {
    const dashboard = await mockDashboard();
    expect((await fetch(dashboard.url + path)).status).toBe(405);
    expect((await post(dashboard, path.slice(0, -1), GRANT)).status).toBe(404);
  });

  test('a token is refused when it has been revoked, and can be revoked again', async () => {
    const dashboard = await mockDashboard();
    const token = await newToken(dashboard);
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      expect((await get(dashboard, 'printers/', token, scheme)).status).toBe(200);
    }
    expect((await get(dashboard, 'printers/', token, 'Token')).status).toBe(401);
    for (let time = 0; time < 2; time += 1) {
      const revoked = await post(dashboard, REVOKE, { token, ...CLIENT });
      expect([revoked.status, await revoked.text()]).toEqual([200, '']);
      expect((await get(dashboard, 'printers/', token)).status).toBe(401);
    }
  });
});

const PRODUCTION = '00000001-0000-4000-8000-000000000002';
const OTTER = 'Form4-EagerOtter';
const HERON = 'Form4L-CalmHeron';
const LYNX = 'Fuse1-BraveLynx';
const BRACKET_23 = '00000002-0000-4000-8000-000000000017';

/** The read operations, each with the model of its answer. */
const READS: readonly [path: string, model: string][] = [
  ['cartridges/', 'PaginatedCartridgeList'],
  ['events/', 'PaginatedUserEventReadOnlyList'],
  ['groups/', 'Workgroup[]'],
  [`groups/${PRODUCTION}/queue/`, 'DeveloperAPIMyCloudQueueItems[]'],
  ['printers/', 'DeveloperAPIMyPrinter[]'],
  [`printers/${OTTER}/`, 'DeveloperAPIMyPrinter'],
  [`printers/${OTTER}/prints/`, 'PaginatedPrintRunWithFleetControlDataList'],
  ['prints/', 'PaginatedPrintRunWithFleetControlDataList'],
  ['tanks/', 'PaginatedTankList'],
];

const PAGED = READS.filter(([, model]) => model.startsWith('Paginated')).map(([path]) => path);

describe('what the Web API reads', () => {
  test.each(READS)('%s answers with every field of its model, and no other', async (path, model) => {
    const dashboard = await mockDashboard();
    const { status, body } = await get(dashboard, path, await newToken(dashboard));
    expect({ status, faults: faults(body, model) }).toEqual({ status: 200, faults: [] });
  });

  test.each(READS)('%s is shown to who has a token alone, and read by GET alone', async (path) => {
    const dashboard = await mockDashboard();
    expect((await get(dashboard, path, 'no')).status).toBe(401);
    expect((await send(dashboard.url, 'POST', path)).status).toBe(401);
    const authorization = `Bearer ${await newToken(dashboard)}`;
    for (const method of ['HEAD', 'OPTIONS']) {
      expect(await send(dashboard.url, method, path, { authorization })).toMatchObject({ status: 200 });
    }
    const { status, allow } = await send(dashboard.url, 'PATCH', path, { authorization });
    expect([status, allow]).toEqual([405, expect.stringMatching(/^GET, .*HEAD, OPTIONS$/)]);
  });

  test('there are printers of every kind', () => {
    const states = PRINTERS.map(({ printer_status: { status } }) => status);
    expect(new Set(states)).toEqual(new Set(['IDLE', 'PRINTING', 'OFFLINE', 'ERROR']));
    const some = (has: (printer: (typeof PRINTERS)[number]) => boolean) => PRINTERS.some(has);
    expect({
      'nothing printing': some((one) => one.printer_status.current_print_run === null),
      'no cell': some((one) => one.printer_status.form_cell === null),
      'no group': some((one) => one.group === null),
      'no tank': some((one) => one.tank_status === null),
      'never printed': some((one) => one.previous_print_run === null),
      'several cartridges': some((one) => Object(one.cartridge_status).length === 2),
      'one of which nothing is null': some(
        ({ printer_status: status, ...one }) =>
          !Object.values(one).includes(null) &&
          !Array.isArray(one.cartridge_status) &&
          status.current_print_run?.group != null &&
          status.form_cell !== null,
      ),
    }).toEqual({
      'nothing printing': true,
      'no cell': true,
      'no group': true,
      'no tank': true,
      'never printed': true,
      'several cartridges': true,
      'one of which nothing is null': true,
    });
  });

  test('a printer and a queue are found by serial and id, and only those that are there', async () => {
    const dashboard = await mockDashboard();
    const token = await newToken(dashboard);
    expect((await get(dashboard, `printers/${OTTER}/`, token)).body).toEqual(PRINTERS[0]);
    for (const path of ['printers/no/', 'printers/no/prints/', 'printers/%E0%A4%A/', 'groups/no/queue/']) {
      expect(await get(dashboard, path, token)).toMatchObject({ status: 404, body: { detail: 'Not found.' } });
    }
    for (const path of ['', 'print/', 'prints', 'printers', 'prints/1/']) {
      expect((await get(dashboard, path, token)).status).toBe(404);
    }
  });

  test('groups have printers, people and a queue, and one has nothing', async () => {
    const dashboard = await mockDashboard();
    const token = await newToken(dashboard);
    const groups = await readAll(dashboard, 'groups/', token);
    const queues = await Promise.all(groups.map(({ id }) => readAll(dashboard, `groups/${id}/queue/`, token)));
    expect(groups.map(({ name, printers }, index) => [name, printers, queues[index]?.length])).toEqual([
      ['Lab', [OTTER], 0],
      ['Production', [HERON, 'Form4-WiseBison'], 3],
      ['New', [], 0],
    ]);
  });

  test.each(PAGED)('%s comes in pages that lead to each other', async (path) => {
    const dashboard = await mockDashboard();
    const token = await newToken(dashboard);
    const items = await readAll(dashboard, `${path}?per_page=4`, token);
    expect(items.length).toBeGreaterThan(4);
    expect(await readAll(dashboard, `${path}?per_page=100`, token)).toEqual(items);
    const { body } = await get(dashboard, `${path}?per_page=100`, token);
    expect(Object(body).results).toEqual(items.slice(0, 10));
    expect(new Set(items.map((item) => JSON.stringify(item))).size).toBe(items.length);
    expect(await get(dashboard, `${path}?page=99`, token)).toMatchObject({ status: 404 });
  });
});

describe('the filters of the Web API', () => {
  const time = (item: Item) => Date.parse(String(item['created_at']));
  const has =
    (field: string, ...values: string[]) =>
    (item: Item) =>
      values.includes(String(item[field]));
  const NOON = '2026-03-03T12:00:00Z';
  const noon = Date.parse(NOON);

  test.each<[path: string, query: string, keeps: (item: Item) => boolean]>([
    ['prints/', 'name=BRACKET%201', ({ name }) => String(name).startsWith('Bracket 1')],
    ['prints/', 'status=ABORTED', has('status', 'ABORTED')],
    ['prints/', 'status=ABORTED&status=FINISHED', has('status', 'FINISHED')],
    ['prints/', 'status=FINISHED&name=2', ({ status, name }) => status === 'FINISHED' && String(name).includes('2')],
    ['prints/', 'material=FLGPCL05', has('material', 'FLGPCL05')],
    ['prints/', `printer=${OTTER}`, has('printer', OTTER)],
    ['prints/', 'machine_type_id=FRML-4-0', has('printer', HERON)],
    ['prints/', 'machine_type_id=FRML-4-0,FS30-1-0', has('printer', HERON, LYNX)],
    ['prints/', 'machine_type_id=FRML-4-0&machine_type_id=FS30-1-0', has('printer', HERON, LYNX)],
    ['prints/', 'date=2026-03-03T13:00:00Z', (item) => time(item) === noon + 3_600_000],
    // One print is of this very moment: it is neither before nor after it.
    ['prints/', 'date__gt=2026-03-03T13:00:00Z', (item) => time(item) > noon + 3_600_000],
    ['prints/', 'date__lt=2026-03-03T13:00:00Z', (item) => time(item) < noon + 3_600_000],
    ['prints/', 'date__gt=2026-03-03', (item) => time(item) > Date.parse('2026-03-03T00:00:00Z')],
    ['prints/', 'date__lt=2026-03-03T12:00:00.000%2B01:00', (item) => time(item) < noon - 3_600_000],
    [`printers/${OTTER}/prints/`, 'status=ABORTED', has('status', 'ABORTED')],
    [`printers/${OTTER}/prints/`, `date__gt=${NOON}`, (item) => time(item) > noon],
    ['events/', `printer=${OTTER}`, has('printer', OTTER)],
    ['events/', `tank=tank-${OTTER}`, has('tank', `tank-${OTTER}`)],
    ['events/', `cartridge=cartridge-${OTTER}`, has('cartridge', `cartridge-${OTTER}`)],
    ['events/', `print_run=${BRACKET_23}`, (item) => Object(item['print_run']).guid === BRACKET_23],
    ['events/', 'type=PRINT_STARTED', has('type', 'PRINT_STARTED')],
    ['events/', `date__gt=${NOON}`, (item) => time(item) > noon],
    ['events/', `date__lt=${NOON}`, (item) => time(item) < noon],
  ])('%s?%s keeps what it should, and no more', async (path, query, keeps) => {
    const dashboard = await mockDashboard();
    const token = await newToken(dashboard);
    const all = await readAll(dashboard, path, token);
    const kept = await readAll(dashboard, `${path}?${new URLSearchParams(`${query}&per_page=3`)}`, token);
    expect(kept).toEqual(all.filter(keeps));
    expect([kept.length > 0, kept.length < all.length]).toEqual([true, true]);
  });

  test.each([
    ['prints/', 'printer=no'],
    ['prints/', 'material=flgpcl05'],
    ['prints/', 'machine_type_id=no'],
    ['prints/', 'status=QUEUED'],
    ['prints/', 'date=2026-03-03'],
    [`printers/${OTTER}/prints/`, `printer=${HERON}`],
    ['events/', 'type=no'],
    ['events/', 'date__gt=2030-01-01'],
  ])('%s?%s is an empty list', async (path, query) => {
    const dashboard = await mockDashboard();
    const { body } = await get(dashboard, `${path}?${query}`, await newToken(dashboard));
    expect(body).toEqual({ count: 0, next: null, previous: null, results: [] });
  });

  const DATE = 'Enter a valid date/time.';
  const BLANK = 'This field may not be blank.';
  const WHOLE = 'A valid integer is required.';
  const POSITIVE = 'Ensure this value is greater than or equal to 1.';

  test.each<[query: string, errors: Record<string, string[]>]>([
    ['date__gt=yesterday', { date__gt: [DATE] }],
    ['date__lt=2026-02-30', { date__lt: [DATE] }],
    ['date__lt=2026-13-01T00:00:00Z', { date__lt: [DATE] }],
    // A plus that is not encoded is a blank.
    ['date__gt=2026-03-03T12:00:00+01:00', { date__gt: [DATE] }],
    ['date__gt=1772539200', { date__gt: [DATE] }],
    ['date__gt=', { date__gt: [BLANK] }],
    ['page=abc', { page: [WHOLE] }],
    ['page=1.5', { page: [WHOLE] }],
    ['page=0', { page: [POSITIVE] }],
    ['per_page=-1', { per_page: [POSITIVE] }],
    ['per_page=all&date__lt=x', { date__lt: [DATE], per_page: [WHOLE] }],
  ])('%s is refused by name, wherever it is a parameter', async (query, errors) => {
    const dashboard = await mockDashboard();
    const token = await newToken(dashboard);
    const lists = query.includes('date') ? ['events/', 'prints/', `printers/${OTTER}/prints/`] : PAGED;
    for (const path of lists) {
      expect(await get(dashboard, `${path}?${query}`, token)).toMatchObject({ status: 400, body: errors });
    }
  });

  test.each<[query: string, errors: Record<string, string[]>]>([
    ['date=soon', { date: [DATE] }],
    ['name=', { name: [BLANK] }],
    ['status=finished', { status: ['Select a valid choice. finished is not one of the available choices.'] }],
  ])('%s is refused by name, for prints', async (query, errors) => {
    const dashboard = await mockDashboard();
    const token = await newToken(dashboard);
    for (const path of ['prints/', `printers/${OTTER}/prints/`]) {
      expect(await get(dashboard, `${path}?${query}`, token)).toMatchObject({ status: 400, body: errors });
    }
  });

  test('a parameter that an operation does not have is ignored', async () => {
    const dashboard = await mockDashboard();
    const token = await newToken(dashboard);
    for (const path of ['tanks/', 'printers/', 'groups/']) {
      const all = await readAll(dashboard, path, token);
      expect(await readAll(dashboard, `${path}?status=no`, token)).toEqual(all);
    }
  });
});

test.each([
  ['POST', 'groups/'],
  ['POST', 'groups/bulk-add-printers/'],
  ['PATCH', `groups/${PRODUCTION}/`],
  ['DELETE', `groups/${PRODUCTION}/`],
  ['POST', `groups/${PRODUCTION}/members/`],
  ['PUT', `groups/${PRODUCTION}/members/`],
  ['DELETE', `groups/${PRODUCTION}/members/`],
])('%s %s is known and not there', async (method, path) => {
  const dashboard = await mockDashboard();
  expect((await send(dashboard.url, method, path)).status).toBe(401);
  const authorization = `Bearer ${await newToken(dashboard)}`;
  const { status, allow, body } = await send(dashboard.url, method, path, { authorization });
  expect({ status, allow, body }).toEqual({
    status: 501,
    allow: expect.stringContaining(method),
    body: { detail: expect.stringContaining(method) },
  });
  expect((await send(dashboard.url, 'LINK', path, { authorization })).status).toBe(405);
});

describe('a script', () => {
  test('is followed by endpoint, with the last behaviour for ever, and what it left out is as ever', async () => {
    const dashboard = await mockDashboard({ script: { token: [json(503, {}), issue(), json(401, {})] } });
    const statuses = [];
    for (let time = 0; time < 4; time += 1) statuses.push((await post(dashboard, TOKEN, GRANT)).status);
    expect(statuses).toEqual([503, 200, 401, 401]);
    expect((await post(dashboard, REVOKE, { token: 'x', ...CLIENT })).status).toBe(200);
    expect((await get(dashboard, 'printers/', 'x')).status).toBe(401);
  });

  test('leaves a record of what was received and revoked', async () => {
    const dashboard = await mockDashboard({ script: { token: [hang()], revoke: [json(503, {}), json(200, {})] } });
    const ended = new AbortController();
    const body = new URLSearchParams(GRANT);
    const hanging = fetch(`${dashboard.url}${TOKEN}`, { method: 'POST', body, signal: ended.signal });
    await dashboard.received(1);
    ended.abort();
    await expect(hanging).rejects.toThrow();
    for (const token of ['one', 'two']) await post(dashboard, REVOKE, { token, ...CLIENT });
    expect(dashboard.receivedRequests.map(({ form }) => form['token'])).toEqual([undefined, 'one', 'two']);
    expect(dashboard.requests()).toEqual([`POST ${TOKEN}`, `POST ${REVOKE}`, `POST ${REVOKE}`]);
    expect(dashboard.revokedTokens).toEqual(['two']);
  });
});

describe('PreFormServer', () => {
  async function both() {
    const dashboard = await mockDashboard();
    const server = await startPreFormServer(dashboard.accepts);
    cleanup(server.close);
    const send = async (path: string, body: unknown) => {
      const headers = { 'content-type': 'application/json' };
      const init = { method: 'POST', headers, body: JSON.stringify(body) };
      const response = await fetch(server.url + path, init);
      const text = await response.text();
      return { status: response.status, body: text === '' ? {} : JSON.parse(text) };
    };
    const file = import.meta.filename;
    return { dashboard, server, send, file };
  }

  test('takes a live token of the mock Dashboard and no other', async () => {
    const { dashboard, server, send } = await both();
    expect((await send('/login/', { access_token: 'no' })).status).toBe(400);
    const token = await newToken(dashboard);
    expect((await send('/login/', { access_token: token })).status).toBe(200);
    expect(server.isLoggedIn()).toBe(true);
    await post(dashboard, REVOKE, { token, ...CLIENT });
    expect((await send('/login/', { access_token: token })).status).toBe(400);
  });

  test('prints for who is logged in, on a printer that is there', async () => {
    const { dashboard, server, send, file } = await both();
    const { body } = await send('/load-form/', { file });
    const print = (to: string) => send(`/scene/${body.id}/print/`, { printer: to, job_name: 'a' });
    expect((await print('Form4-EagerOtter')).body.error.code).toBe('NOT_LOGGED_IN');
    await send('/login/', { access_token: await newToken(dashboard) });
    expect((await print('Form4-NoSuchOne')).body.error.code).toBe('PRINTER_NOT_FOUND');
    expect((await print('Form4-EagerOtter')).status).toBe(200);
    await send('/logout/', {});
    expect((await print('Form4-EagerOtter')).body.error.code).toBe('NOT_LOGGED_IN');
    expect(server.jobs).toEqual([{ printer: 'Form4-EagerOtter', name: 'a', file }]);
  });

  test('refuses a POST that does not say how long it is', async () => {
    const { server } = await both();
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.write('POST /logout/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1.1 411 /);
  });
});

describe('npm run sandbox', () => {
  function serve(...args: string[]): Promise<unknown> {
    return promisify(execFile)(process.execPath, [join(ACTION_DIR, 'mock/serve.mts'), ...args]).catch(
      (error: unknown) => error,
    );
  }

  test('it says where it is, and what can be read with which parameters', async () => {
    const child = spawn(process.execPath, [join(ACTION_DIR, 'mock/serve.mts')]);
    cleanup(() => child.kill());
    const printed = String(await once(child.stdout, 'data'));
    for (const { path, parameters } of RESOURCES.filter(({ read }) => read)) {
      const line = printed.split('\n').find((text) => text.trim().split(/\s/)[0] === path);
      expect(line?.match(/[a-z_]+(?=,|$)/g) ?? []).toEqual(parameters);
    }
    const url = /api-url: +(\S+)/.exec(printed)?.[1];
    expect(await (await fetch(`${url}/mock/live-tokens`)).json()).toEqual({ live: 0 });
  });

  test('a port that is taken is an error at once', async () => {
    const { port } = new URL((await mockDashboard()).url);
    const stderr = expect.stringContaining(`address already in use 127.0.0.1:${port}`);
    expect(await serve('--port', port)).toMatchObject({ code: 1, stderr });
  });

  test('a wrong option is an error at once', async () => {
    const stderr = expect.stringContaining('--port is not a whole number');
    expect(await serve('--port', 'x')).toMatchObject({ code: 1, stderr });
  });
});
