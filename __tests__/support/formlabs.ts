import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as forward } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import { type Dashboard, type DashboardOptions, startDashboard } from '../../mock/dashboard.mts';
import { cleanup } from './cleanup';

export interface Formlabs extends Dashboard {
  /** The port on which the mock Dashboard answers as https://api.formlabs.com. */
  readonly port: number;
  /** The certificate of the authority that vouches for that, as a file. */
  readonly authority: string;
  readonly secrets: Readonly<Record<string, string>>;
  /** For the Node that runs the action. */
  readonly nodeArgs: readonly string[];
  /** Has curl, Python and Node find it under its name. */
  readonly machine: Readonly<Record<string, string>>;
}

const HOST = 'api.formlabs.com';

/** Starts a mock Dashboard that answers https://api.formlabs.com, for those who are told where that is. */
export async function startFormlabs(options: DashboardOptions = {}): Promise<Formlabs> {
  const dashboard = await startDashboard(options);
  cleanup(dashboard.close);
  const folder = mkdtempSync(join(tmpdir(), 'formlabs-'));
  cleanup(() => rmSync(folder, { recursive: true }));
  const authority = join(folder, 'authority.pem');

  const { key, cert, authorityCert } = await makeCertificates();
  writeFileSync(authority, authorityCert);
  const server = createServer({ key, cert }, (request, response) => {
    const to = forward(dashboard.url + request.url, {
      agent: false,
      method: request.method ?? 'GET',
      headers: { ...request.headers, 'x-forwarded-proto': 'https' },
    });
    request.pipe(to);
    to.once('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    to.once('error', () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanup(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  writeFileSync(join(folder, '.curlrc'), `connect-to = "${HOST}:443:127.0.0.1:${port}"\ncacert = "${authority}"\n`);
  return {
    ...dashboard,
    port,
    authority,
    secrets: {
      FORMLABS_CLIENT_ID: dashboard.clientId,
      FORMLABS_CLIENT_SECRET: dashboard.clientSecret,
    },
    nodeArgs: ['--require', join(import.meta.dirname, 'reroute.cjs')],
    machine: {
      CURL_HOME: folder,
      NODE_EXTRA_CA_CERTS: authority,
      PYTHONPATH: join(import.meta.dirname, 'python'),
      TEST_FORMLABS_CA: authority,
      TEST_FORMLABS_PORT: String(port),
    },
  };
}

/** A certificate for the host, and that of the authority which signed it and which nobody trusts unless told to. */
async function makeCertificates(): Promise<{ key: string; cert: string; authorityCert: string }> {
  const ca = await generate([{ name: 'commonName', value: 'Test authority' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true },
    ],
  });
  const { private: key, cert } = await generate([{ name: 'commonName', value: HOST }], {
    keyType: 'ec',
    algorithm: 'sha256',
    ca: { key: ca.private, cert: ca.cert },
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2 as const, value: HOST }] }],
  });
  return { key, cert, authorityCert: ca.cert };
}
