import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Explanation, errorCode } from '../shared/errors';
import { INSECURE_WANTED } from './http';

/** Codes of certificates (nodejs.org/api/tls.html): with an underscore, and without a prefix that other errors have. */
const CERTIFICATE_ERROR = /^(?:(?!ERR_|HPE_|EAI_)[A-Z]+_[A-Z_]+|UNSPECIFIED|ERR_TLS_CERT_\w+)$/;
const UNTRUSTED = /^UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF)|SELF_SIGNED|CERT_UNTRUSTED/;
/** Other errors of TLS; those that may pass; and those of a peer that speaks another TLS. */
const TLS_ERROR = /^(?:EPROTO$|ERR_(?:SSL|TLS|OSSL)_)/;
const PASSING = /bad[_ ]record[_ ]mac|internal[_ ]error/i;
const OTHER_TLS = /renegotiation|unsupported|no[_ ]protocols|cipher|dh[_ ]key|signature|group/i;
export const CHECK_ADDRESS = 'Check api-url, and any proxy or gateway in between.';
const RENEW = 'Check the clock of the runner. If it is right, this certificate or its authority has to be renewed.';
const REPLACE = 'This certificate or its authority has to be replaced.';
const IGNORED = ' NODE_TLS_REJECT_UNAUTHORIZED=0 is ignored: anyone in between could read the client secret.';
const NO_FILE = 'NODE_USE_SYSTEM_CA=1 needs no file: it uses the certificates of the system.';

/** Explains an error of TLS that another attempt can't change, if it is one. The words of OpenSSL are fixed texts. */
export function explainTls(error: unknown, peer: string, plainAdvice: string): Explanation | undefined {
  const code = errorCode(error) ?? '';
  if (CERTIFICATE_ERROR.test(code)) return explainCertificate(code, String(Object(error).message), peer);
  const { reason } = Object(error) as { reason?: string };
  const words = reason ?? /:SSL routines:[^:]*:([\w ]{1,80}):/.exec(String(error))?.[1];
  const text = `${code} ${words ?? error}`;
  if (!TLS_ERROR.test(code) || PASSING.test(text)) return undefined;
  const shown = words === undefined ? code : `${code}, ${words}`;
  const refused = `the TLS handshake with ${peer} was refused (${shown})`;
  const client = `It may require a client certificate. ${CHECK_ADDRESS}`;
  if (/alert/i.test(text)) return ['the-tls-handshake-was-refused', refused, client];
  const advice = OTHER_TLS.test(text) ? 'Its TLS is out of date, or that of something in between.' : plainAdvice;
  return ['no-tls-connection-is-possible', `no TLS connection to ${peer} is possible (${shown})`, advice];
}

function explainCertificate(code: string, message: string, peer: string): Explanation {
  const refused = (help: string, problem: string, advice: string): Explanation => {
    return [help, `the certificate of ${peer} ${problem} (${code})`, INSECURE_WANTED ? advice + IGNORED : advice];
  };
  if (UNTRUSTED.test(code)) return refused('the-certificate-is-not-trusted', 'is not trusted', trustAdvice());
  if (code.includes('EXPIRED')) return refused('the-certificate-has-expired', 'has expired', RENEW);
  if (code.includes('NOT_YET_VALID')) return refused('the-certificate-has-expired', 'is not valid yet', RENEW);
  const isOther = /ALTNAME|HOSTNAME/.test(code);
  if (isOther) return refused('the-certificate-is-for-another-name', 'is for another name', CHECK_ADDRESS);
  const reason = /^[\w ,'()-]{1,100}/.exec(message)?.[0] ?? 'no reason was given';
  return refused('the-certificate-was-refused', `was refused: ${reason}`, REPLACE);
}

function trustAdvice(): string {
  const file = process.env['NODE_EXTRA_CA_CERTS'];
  const set = 'set NODE_EXTRA_CA_CERTS in the env of the job to the PEM file of that authority';
  if (!file) return `If a proxy or a server uses a private certificate authority, ${set}. ${NO_FILE}`;
  return `The file in NODE_EXTRA_CA_CERTS ${describe(file)}. ${NO_FILE}`;
}

function describe(file: string): string {
  let [found, read] = [0, 0];
  try {
    const parts = readFileSync(file, 'latin1').split(/(?=-----BEGIN )/);
    const certificates = parts.filter((part) => /^-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/.test(part));
    found = certificates.length;
    // Node reads them up to the first that is damaged.
    for (; read < found; read += 1) new X509Certificate(certificates[read] ?? '');
    if (found === 0) return 'holds no certificate in PEM format';
    return `holds ${found} certificate(s), and lacks the authority that signed it`;
  } catch (error) {
    if (found > 0) return `is damaged from certificate ${read + 1} of ${found} on`;
    return `can't be read (${errorCode(error)}); in a container, the path is inside it`;
  }
}
