import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Dashboard, type DashboardOptions, startDashboard } from '../../mock/dashboard.mts';
import { makeCertificate } from './certificate';
import { cleanup } from './cleanup';

export interface Formlabs extends Dashboard {
  /** The port on which it answers as https://api.formlabs.com. */
  readonly port: number;
  /** The file with its certificate, which nobody trusts unless told to. */
  readonly authority: string;
  /** A folder of its own, with the settings of curl. */
  readonly folder: string;
  readonly secrets: Readonly<Record<string, string>>;
  /** For the Node that runs the action. */
  readonly nodeArgs: readonly string[];
  /** Has curl, Python and Node find it under its name. */
  readonly machine: Readonly<Record<string, string>>;
}

const HOST = 'api.formlabs.com';

/** Starts a mock Dashboard that answers https://api.formlabs.com, for those who are told where that is. */
export async function startFormlabs(options: DashboardOptions = {}): Promise<Formlabs> {
  const { file: authority, ...tls } = await makeCertificate([HOST], { addresses: [] });
  const dashboard = await startDashboard({ ...options, tls });
  cleanup(dashboard.close);
  const { clientId, clientSecret, url } = dashboard;
  const port = Number(new URL(url).port);
  const folder = dirname(authority);
  writeFileSync(join(folder, '.curlrc'), `connect-to = "${HOST}:443:127.0.0.1:${port}"\ncacert = "${authority}"\n`);
  return {
    ...dashboard,
    port,
    authority,
    folder,
    secrets: { FORMLABS_CLIENT_ID: clientId, FORMLABS_CLIENT_SECRET: clientSecret },
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
