import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import { cleanup } from './cleanup';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
  /** Where it is as a file, for NODE_EXTRA_CA_CERTS. */
  readonly file: string;
}

/** The name that only the proxy of a test can resolve. */
export const HIDDEN_HOST = 'dashboard.test';

/** Makes a certificate on the spot, which nobody trusts unless told to. */
export async function makeCertificate(
  names: readonly string[] = [HIDDEN_HOST, 'localhost'],
): Promise<Certificate> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'test' }], {
    keyType: 'ec',
    extensions: [
      {
        name: 'subjectAltName',
        altNames: [
          ...names.map((value) => ({ type: 2 as const, value })),
          { type: 7 as const, ip: '127.0.0.1' },
        ],
      },
    ],
  });
  const folder = mkdtempSync(join(tmpdir(), 'certificate-'));
  cleanup(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'ca.pem');
  writeFileSync(file, cert);
  return { key, cert, file };
}
