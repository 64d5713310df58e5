import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, jest, test } from '@jest/globals';
import { startDashboard } from '../mock/dashboard.mts';
import { PRINTERS } from '../mock/fleet.mts';
import { ACTION_DIR } from '../mock/runner.mts';
import { RESOURCES } from '../mock/web-api.mts';
import { cleanup } from './support/cleanup';
import { faults } from './support/web-api';

const TOKEN = 'o/token/';
const REVOKE = 'o/revoke_token/';

// One for all tests, since nothing but tokens changes in it.
const dashboard = await startDashboard({ clientId: 'client', clientSecret: 's3cr3t&+=% é' });
afterAll(dashboard.close);

const CLIENT = { client_id: 'client', client_secret: 's3cr3t&+=% é' };
const GRANT = { grant_type: 'client_credentials', ...CLIENT };
const token = await newToken();

interface Request {
  authorization?: string;
  form?: Record<string, string>;
}

async function send(method: string, path: string, { authorization = `Bearer ${token}`, form }: Request = {}) {
  const body = form === undefined ? null : new URLSearchParams(form);
  const response = await fetch(`${dashboard.url}/developer/v1/${path}`, { method, headers: { authorization }, body });
  const { status, headers } = response;
  const text = await response.text();
  const isJson = headers.get('content-type') === 'application/json' && text !== '';
  return { status, headers: Object.fromEntries(headers), body: isJson ? JSON.parse(text) : text };
}

const get = (path: string, authorization?: string) => send('GET', path, authorization ? { authorization } : {});
const post = (path: string, form: Record<string, string>) => send('POST', path, { form });

async function newToken(): Promise<string> {
  const { body } = await send('POST', TOKEN, { authorization: '', form: GRANT });
  return body.access_token;
}

type Item = Readonly<Record<string, unknown>>;

/** All items of a list, page by page. */
async function readAll(path: string): Promise<Item[]> {
  const items: Item[] = [];
  let before: string | null = null;
  let next: string | null = `${dashboard.url}/developer/v1/${path}`;
  while (next !== null) {
    const here: string = next;
    const { status, body: page } = await get(here.split('/developer/v1/')[1] ?? '');
    expect(status).toBe(200);
    if (Array.isArray(page)) return page;
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
    const { status, headers, body } = await post(TOKEN, GRANT);
    expect([status, headers['cache-control']]).toEqual([200, 'no-store']);
    expect(body).toEqual({
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
  ])('%s is an error and no more', async (_name, path, form, status, error) => {
    const issued = dashboard.issuedTokens();
    expect(await post(path, form)).toMatchObject({ status, body: { error } });
    expect(dashboard.issuedTokens()).toBe(issued);
  });

  test.each([TOKEN, REVOKE])('%s takes POST alone, with the slash at its end', async (path) => {
    expect((await get(path)).status).toBe(405);
    expect((await post(path.slice(0, -1), GRANT)).status).toBe(404);
  });

  test('a token is refused when it has been revoked, and can be revoked again', async () => {
    const mine = await newToken();
    const statusWith = async (scheme: string) => (await get('printers/', `${scheme} ${mine}`)).status;
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) expect(await statusWith(scheme)).toBe(200);
    expect(await statusWith('Token')).toBe(401);
    for (let time = 0; time < 2; time += 1) {
      expect(await post(REVOKE, { token: mine, ...CLIENT })).toMatchObject({ status: 200, body: '' });
      expect(await statusWith('Bearer')).toBe(401);
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
    const { status, body } = await get(path);
    expect({ status, faults: faults(body, model) }).toEqual({ status: 200, faults: [] });
  });

  test.each(READS)('%s is shown to who has a token alone, and read by GET alone', async (path) => {
    for (const method of ['GET', 'POST']) {
      expect((await send(method, path, { authorization: 'Bearer no' })).status).toBe(401);
    }
    for (const method of ['HEAD', 'OPTIONS']) expect((await send(method, path)).status).toBe(200);
    const { status, headers } = await send('PATCH', path);
    expect([status, headers['allow']]).toEqual([405, expect.stringMatching(/^GET, .*HEAD, OPTIONS$/)]);
  });

  test('there are printers of every kind', () => {
    const states = PRINTERS.map(({ printer_status: { status } }) => status);
    expect(new Set(states)).toEqual(new Set(['IDLE', 'PRINTING', 'OFFLINE', 'ERROR']));
    expect(PRINTERS.some(({ cartridge_status }) => Array.isArray(cartridge_status))).toBe(true);
    // Each of these is null for one printer, and there for another.
    const parts = PRINTERS.map(({ group, tank_status, previous_print_run, printer_status }) => {
      const { current_print_run, form_cell } = printer_status;
      return { group, tank_status, previous_print_run, current_print_run, form_cell };
    });
    for (const name of ['group', 'tank_status', 'previous_print_run', 'current_print_run', 'form_cell'] as const) {
      expect({ [name]: new Set(parts.map((part) => part[name] === null)) }).toEqual({ [name]: new Set([true, false]) });
    }
  });

  test('a printer and a queue are found by serial and id, and only those that are there', async () => {
    expect((await get(`printers/${OTTER}/`)).body).toEqual(PRINTERS[0]);
    for (const path of ['printers/no/', 'printers/no/prints/', 'printers/%E0%A4%A/', 'groups/no/queue/']) {
      expect(await get(path)).toMatchObject({ status: 404, body: { detail: 'Not found.' } });
    }
    for (const path of ['', 'print/', 'prints', 'printers', 'prints/1/']) expect((await get(path)).status).toBe(404);
  });

  test('groups have printers, people and a queue, and one has nothing', async () => {
    const groups = await readAll('groups/');
    const queues = await Promise.all(groups.map(({ id }) => readAll(`groups/${id}/queue/`)));
    expect(groups.map(({ name, printers }, index) => [name, printers, queues[index]?.length])).toEqual([
      ['Lab', [OTTER], 0],
      ['Production', [HERON, 'Form4-WiseBison'], 3],
      ['New', [], 0],
    ]);
  });

  test.each(PAGED)('%s comes in pages that lead to each other', async (path) => {
    const items = await readAll(`${path}?per_page=4`);
    expect(items.length).toBeGreaterThan(4);
    expect(await readAll(`${path}?per_page=100`)).toEqual(items);
    expect((await get(`${path}?per_page=100`)).body.results).toEqual(items.slice(0, 10));
    expect(new Set(items.map((item) => JSON.stringify(item))).size).toBe(items.length);
    expect((await get(`${path}?page=99`)).status).toBe(404);
  });
});

describe('the filters of the Web API', () => {
  const time = (item: Item) => Date.parse(String(item['created_at']));
  const has =
    (field: string, ...values: string[]) =>
    (item: Item) =>
      values.includes(String(item[field]));
  // One print is of this very moment: it is neither before nor after it.
  const ONE = '2026-03-03T13:00:00Z';
  const one = Date.parse(ONE);

  test.each<[path: string, query: string, keeps: (item: Item) => boolean]>([
    ['prints/', 'name=BRACKET%201', ({ name }) => String(name).startsWith('Bracket 1')],
    ['prints/', 'status=ABORTED&status=FINISHED', has('status', 'FINISHED')],
    ['prints/', 'status=FINISHED&name=2', ({ status, name }) => status === 'FINISHED' && String(name).includes('2')],
    ['prints/', 'material=FLGPCL05', has('material', 'FLGPCL05')],
    ['prints/', `printer=${OTTER}`, has('printer', OTTER)],
    ['prints/', 'machine_type_id=FRML-4-0,FS30-1-0', has('printer', HERON, LYNX)],
    ['prints/', 'machine_type_id=FRML-4-0&machine_type_id=FS30-1-0', has('printer', HERON, LYNX)],
    ['prints/', `date=${ONE}`, (item) => time(item) === one],
    ['prints/', `date__gt=${ONE}`, (item) => time(item) > one],
    ['prints/', `date__lt=${ONE}`, (item) => time(item) < one],
    ['prints/', 'date__gt=2026-03-03', (item) => time(item) > Date.parse('2026-03-03T00:00:00Z')],
    ['prints/', 'date__lt=2026-03-03T14:00:00.000%2B01:00', (item) => time(item) < one],
    [`printers/${OTTER}/prints/`, 'status=ABORTED', has('status', 'ABORTED')],
    ['events/', `printer=${OTTER}`, has('printer', OTTER)],
    ['events/', `tank=tank-${OTTER}`, has('tank', `tank-${OTTER}`)],
    ['events/', `cartridge=cartridge-${OTTER}`, has('cartridge', `cartridge-${OTTER}`)],
    ['events/', `print_run=${BRACKET_23}`, (item) => Object(item['print_run']).guid === BRACKET_23],
    ['events/', 'type=PRINT_STARTED', has('type', 'PRINT_STARTED')],
    ['events/', `date__gt=${ONE}`, (item) => time(item) > one],
    ['events/', `date__lt=${ONE}`, (item) => time(item) < one],
  ])('%s?%s keeps what it should, and no more', async (path, query, keeps) => {
    const all = await readAll(path);
    const kept = await readAll(`${path}?${new URLSearchParams(`${query}&per_page=3`)}`);
    expect(kept).toEqual(all.filter(keeps));
    expect([kept.length > 0, kept.length < all.length]).toEqual([true, true]);
  });

  test.each([
    'prints/?material=flgpcl05',
    'prints/?machine_type_id=no',
    'prints/?status=QUEUED',
    'prints/?date=2026-03-03',
    `printers/${OTTER}/prints/?printer=${HERON}`,
    'events/?type=no',
  ])('%s is an empty list', async (path) => {
    expect((await get(path)).body).toEqual({ count: 0, next: null, previous: null, results: [] });
  });

  const DATE = 'Enter a valid date/time.';
  const BLANK = 'This field may not be blank.';
  const WHOLE = 'A valid integer is required.';
  const POSITIVE = 'Ensure this value is greater than or equal to 1.';
  const CHOICE = 'Select a valid choice. finished is not one of the available choices.';
  const OF_PRINTS = ['prints/', `printers/${OTTER}/prints/`];
  const DATED = ['events/', ...OF_PRINTS];

  test.each<[query: string, paths: string[], errors: Record<string, string[]>]>([
    ['date__gt=yesterday', DATED, { date__gt: [DATE] }],
    ['date__lt=2026-02-30', DATED, { date__lt: [DATE] }],
    ['date__lt=2026-13-01T00:00:00Z', DATED, { date__lt: [DATE] }],
    // A plus that is not encoded is a blank.
    ['date__gt=2026-03-03T12:00:00+01:00', DATED, { date__gt: [DATE] }],
    ['date__gt=', DATED, { date__gt: [BLANK] }],
    ['page=1.5', PAGED, { page: [WHOLE] }],
    ['page=0', PAGED, { page: [POSITIVE] }],
    ['per_page=-1', PAGED, { per_page: [POSITIVE] }],
    ['per_page=all&date__lt=x', DATED, { date__lt: [DATE], per_page: [WHOLE] }],
    ['date=soon', OF_PRINTS, { date: [DATE] }],
    ['name=', OF_PRINTS, { name: [BLANK] }],
    ['status=finished', OF_PRINTS, { status: [CHOICE] }],
  ])('%s is refused by name, wherever it is a parameter', async (query, paths, errors) => {
    for (const path of paths) expect(await get(`${path}?${query}`)).toMatchObject({ status: 400, body: errors });
  });

  test('a parameter that an operation does not have is ignored', async () => {
    for (const path of ['tanks/', 'printers/']) expect(await readAll(`${path}?status=no`)).toEqual(await readAll(path));
  });
});

test.each([
  ['groups/', ['POST']],
  ['groups/bulk-add-printers/', ['POST']],
  [`groups/${PRODUCTION}/`, ['PATCH', 'DELETE']],
  [`groups/${PRODUCTION}/members/`, ['POST', 'PUT', 'DELETE']],
])('%s is known to take %j, which is not there', async (path, methods) => {
  for (const method of methods) {
    expect((await send(method, path, { authorization: 'Bearer no' })).status).toBe(401);
    const { status, headers, body } = await send(method, path);
    expect([status, headers['allow'], body.detail]).toEqual([501, ...Array(2).fill(expect.stringContaining(method))]);
  }
  expect((await send('LINK', path)).status).toBe(405);
});

test('who asks more often than the limit allows is told when to come back', async () => {
  jest.spyOn(Date, 'now').mockReturnValue(Date.now());
  cleanup(() => jest.restoreAllMocks());
  const limited = await startDashboard({ requestsPerSecond: 1 });
  cleanup(limited.close);
  const ask = async () => {
    const { status, headers } = await fetch(`${limited.url}/developer/v1/printers/`);
    return [status, headers.get('retry-after')];
  };
  expect([await ask(), await ask()]).toEqual([
    [401, null],
    [429, '1'],
  ]);
});

describe('npm run sandbox', () => {
  const SERVE = join(ACTION_DIR, 'mock/serve.mts');

  test('it says where it is, and what can be read with which parameters', async () => {
    const child = spawn(process.execPath, [SERVE]);
    cleanup(() => child.kill());
    const printed = String(await once(child.stdout, 'data'));
    for (const { path, parameters } of RESOURCES.filter(({ read }) => read)) {
      const line = printed.split('\n').find((text) => text.trim().split(/\s/)[0] === path);
      expect(line?.match(/[a-z_]+(?=,|$)/g) ?? []).toEqual(parameters);
    }
    const url = /api-url: +(\S+)/.exec(printed)?.[1];
    expect(await (await fetch(`${url}/mock/live-tokens`)).json()).toEqual({ live: 0 });
  });

  const { port } = new URL(dashboard.url);
  test.each([
    ['a port that is taken', port, `address already in use 127.0.0.1:${port}`],
    ['a port that is none', 'x', '--port is not a whole number'],
  ])('%s is an error at once', async (_name, given, message) => {
    const serving = promisify(execFile)(process.execPath, [SERVE, '--port', given]);
    await expect(serving).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining(message) });
  });
});
