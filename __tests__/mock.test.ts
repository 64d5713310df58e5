import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { type Dashboard, startDashboard } from '../mock/dashboard.mts';
import { PRINTERS } from '../mock/fleet.mts';
import { startPreFormServer } from '../mock/preform-server.mts';
import { ACTION_DIR } from '../mock/runner.mts';
import { cleanup } from './support/cleanup';
import { listOf, PAGES, printer } from './support/web-api';

const TOKEN = '/developer/v1/o/token/';
const REVOKE = '/developer/v1/o/revoke_token/';

async function embedded(): Promise<Dashboard> {
  const dashboard = await startDashboard({ clientId: 'client', clientSecret: 's3cr3t&+=% é' });
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
  const headers = { authorization: `${scheme} ${token}` };
  const response = await fetch(`${url}/developer/v1/${path}`, { headers });
  return { status: response.status, body: await response.json() };
}

// `npm run compare` holds more requests against the toolkit itself.
describe('OAuth, as Django OAuth Toolkit has it', () => {
  test('a token comes with its scope', async () => {
    const response = await post(await embedded(), TOKEN, GRANT);
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
    const dashboard = await embedded();
    const response = await post(dashboard, path, form);
    expect([response.status, await response.json()]).toEqual([status, { error }]);
    expect(dashboard.issuedTokens()).toBe(0);
  });

  test.each([TOKEN, REVOKE])('%s takes POST alone, with the slash at its end', async (path) => {
    const dashboard = await embedded();
    expect((await fetch(dashboard.url + path)).status).toBe(405);
    expect((await post(dashboard, path.slice(0, -1), GRANT)).status).toBe(404);
  });

  test('a token is refused when it has been revoked, and can be revoked again', async () => {
    const dashboard = await embedded();
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

describe('the fleet, as the Web API has it', () => {
  test('every printer has every field', async () => {
    const dashboard = await embedded();
    const { body } = await get(dashboard, 'printers/', await newToken(dashboard));
    expect(listOf(printer)(body, 'printers')).toEqual([]);
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

  test('a printer is found by its serial', async () => {
    const dashboard = await embedded();
    const token = await newToken(dashboard);
    const { body } = await get(dashboard, 'printers/Form4-EagerOtter/', token);
    expect(body).toEqual(PRINTERS[0]);
    expect((await get(dashboard, 'printers/Form4-NoSuchOne/', token)).status).toBe(404);
  });

  test.each(Object.entries(PAGES))('%s come in pages, each with all fields', async (list, check) => {
    const dashboard = await embedded();
    const token = await newToken(dashboard);
    const items: unknown[] = [];
    let path: string | undefined = `${list}/?per_page=7`;
    let before: string | null = null;
    while (path !== undefined) {
      const { body } = await get(dashboard, path, token);
      expect(check(body, list)).toEqual([]);
      const { count, next, previous, results } = Object(body);
      items.push(...results);
      expect(previous).toBe(before);
      if (next === null) expect(items).toHaveLength(count);
      before = `${dashboard.url}/developer/v1/${path}`;
      path = next === null ? undefined : new URL(next).href.split('/developer/v1/')[1];
    }
    expect(new Set(items.map((item) => JSON.stringify(item))).size).toBe(items.length);
    expect(dashboard.requests().length).toBeGreaterThan(2);
    expect((await get(dashboard, `${list}/?page=99`, token)).status).toBe(404);
    expect((await get(dashboard, `${list}/?page=0`, token)).status).toBe(404);
  });

  test('nothing is shown without a token', async () => {
    const dashboard = await embedded();
    for (const path of ['printers/', 'printers/Form4-EagerOtter/', 'prints/', 'tanks/']) {
      expect((await get(dashboard, path, 'no')).status).toBe(401);
    }
  });
});

describe('PreFormServer', () => {
  async function both() {
    const dashboard = await embedded();
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

  test('takes a live token of the sandbox and no other', async () => {
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

  test('a port that is taken is an error at once', async () => {
    const { port } = new URL((await embedded()).url);
    const stderr = expect.stringContaining(`address already in use 127.0.0.1:${port}`);
    expect(await serve('--port', port)).toMatchObject({ code: 1, stderr });
  });

  test('a wrong option is an error at once', async () => {
    const stderr = expect.stringContaining('--port is not a whole number');
    expect(await serve('--port', 'x')).toMatchObject({ code: 1, stderr });
  });
});
