import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { generate } from 'selfsigned';
import { cleanup } from './cleanup';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
  /** Where it is as a file, for NODE_EXTRA_CA_CERTS. */
  readonly file: string;
}

export interface CertificateOptions {
  addresses?: readonly string[];
  validFrom?: Date;
  validTo?: Date;
  /** For clients, and not for servers. */
  forClients?: boolean;
  /** Who signs it; itself, unless given. */
  authority?: Certificate;
  /** One that may sign others. */
  isAuthority?: true;
}

/** The name that only the proxy of a test can resolve. */
export const HIDDEN_HOST = 'dashboard.test';

/** Whether this Node can check a certificate for an IPv6 address; 22.23.3 takes every such address for a name. */
export const CHECKS_IPV6 =
  checkServerIdentity('::1', { subject: {}, subjectaltname: 'IP Address:0:0:0:0:0:0:0:1' } as PeerCertificate) ===
  undefined;

/** Makes a certificate on the spot, which nobody trusts unless told to. */
export async function makeCertificate(
  names: readonly string[] = [HIDDEN_HOST, 'localhost'],
  options: CertificateOptions = {},
): Promise<Certificate> {
  const { addresses = ['127.0.0.1'], validFrom = new Date(), validTo, authority, isAuthority } = options;
  const altNames = [
    ...names.map((value) => ({ type: 2 as const, value })),
    ...addresses.map((ip) => ({ type: 7 as const, ip })),
  ];
  const { private: key, cert } = await generate([{ name: 'commonName', value: randomUUID() }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: validFrom,
    ...(validTo && { notAfterDate: validTo }),
    ...(authority && { ca: authority }),
    extensions: [
      { name: 'subjectAltName', altNames },
      ...(options.forClients ? [{ name: 'extKeyUsage' as const, clientAuth: true }] : []),
      ...(isAuthority ? [{ name: 'basicConstraints' as const, cA: true, critical: true }] : []),
    ],
  });
  return { key, cert, file: writePem(cert) };
}

/** The environment in which these certificates are trusted. */
export function trust(...certificates: readonly Certificate[]): { NODE_EXTRA_CA_CERTS: string } {
  return { NODE_EXTRA_CA_CERTS: writePem(certificates.map(({ cert }) => cert).join('\n')) };
}

/** Writes a file that is removed when the current test has ended. */
export function writePem(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'certificate-'));
  cleanup(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const file = join(folder, 'ca.pem');
  writeFileSync(file, text);
  return file;
}
