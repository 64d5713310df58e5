import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Explanation, errorCode } from '../shared/errors';
import { INSECURE_WANTED } from './http';

/** Codes of certificates (nodejs.org/api/tls.html): with an underscore, and without a prefix that other errors have. */
const CERTIFICATE_ERROR = /^(?:(?!ERR_|HPE_|EAI_)[A-Z]+_[A-Z_]+|UNSPECIFIED|ERR_TLS_CERT_\w+)$/;
const UNTRUSTED = /^UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF)|SELF_SIGNED|CERT_UNTRUSTED/;
const RENEW =
  'Check the clock of the runner. If it is right, this certificate, or that of its authority, has to be renewed.';
const REPLACE = 'This certificate, or that of its authority, has to be replaced.';
const IGNORED = ' NODE_TLS_REJECT_UNAUTHORIZED=0 is ignored: anyone in between could read the client secret.';
const NO_FILE = 'NODE_USE_SYSTEM_CA=1 needs no file: it uses the certificates of the system.';

/** Explains why the certificate of a host was refused, if that is what the error is about. */
export function explainCertificate(error: unknown, host: string, way: string): Explanation | undefined {
  const code = errorCode(error) ?? '';
  if (!CERTIFICATE_ERROR.test(code)) return undefined;
  const [help, problem, advice] = explainCode(code, String(Object(error).message));
  const what = `the certificate of ${host} ${problem} (${code})${way && `; the connection goes${way}`}`;
  return [help, what, INSECURE_WANTED ? advice + IGNORED : advice];
}

function explainCode(code: string, message: string): Explanation {
  if (UNTRUSTED.test(code)) return ['the-certificate-is-not-trusted', 'is not trusted', trustAdvice()];
  if (code.includes('EXPIRED')) return ['the-certificate-has-expired', 'has expired', RENEW];
  if (code.includes('NOT_YET_VALID')) return ['the-certificate-has-expired', 'is not valid yet', RENEW];
  const check = 'Check api-url, and any proxy or gateway in between.';
  if (/ALTNAME|HOSTNAME/.test(code)) return ['the-certificate-is-for-another-name', 'is for another name', check];
  // OpenSSL's own words are fixed texts.
  const reason = /^[\w ,'()-]{1,100}/.exec(message)?.[0] ?? 'no reason was given';
  return ['the-certificate-was-refused', `was refused: ${reason}`, REPLACE];
}

/** Looks at what the job has been told to trust before it says what to do. */
function trustAdvice(): string {
  const file = process.env['NODE_EXTRA_CA_CERTS'];
  const set = 'set NODE_EXTRA_CA_CERTS in the env of the job to the PEM file of that authority';
  if (!file) return `If a proxy or a server uses a private certificate authority, ${set}. ${NO_FILE}`;
  return `The file in NODE_EXTRA_CA_CERTS ${describe(file)}. ${NO_FILE}`;
}

function describe(file: string): string {
  try {
    const parts = readFileSync(file, 'latin1').split('-----BEGIN ');
    const certificates = parts.filter((part) => /^(?:X509 |TRUSTED )?CERTIFICATE-----/.test(part));
    // Node reads them up to the first that is damaged.
    const damaged = certificates.findIndex((part) => !isReadable(`-----BEGIN ${part}`));
    if (certificates.length === 0) return 'holds no certificate in PEM format';
    if (damaged >= 0) return `is damaged from certificate ${damaged + 1} of ${certificates.length} on`;
    return `holds ${certificates.length} certificate(s), and lacks the authority that signed it`;
  } catch (error) {
    return `can't be read (${errorCode(error)}); in a container, the path is inside it`;
  }
}

function isReadable(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined;
  } catch {
    return false;
  }
}
