import { randomInt } from 'node:crypto';
import { type Answer, HTML, json } from './answer.mts';

/**
 * Issues and revokes access tokens as Django OAuth Toolkit does, on which the Dashboard's API is built:
 * the client credentials grant of RFC 6749 and the revocation of RFC 7009, with the toolkit's statuses,
 * headers and bodies. `npm run compare` holds one against the other.
 */
export interface OAuth {
  token: (form: Form) => Answer;
  revoke: (form: Form) => Answer;
  /** Whether a token was issued, and neither revoked nor has it expired. */
  accepts: (token: string) => boolean;
  issuedTokens: () => number;
  liveTokens: () => number;
}

export type Form = Readonly<Record<string, string>>;

const ONE_DAY_SECONDS = 86_400;
const SCOPE = 'developer-api';

export function createOAuth(clientId: string, clientSecret: string): OAuth {
  /** When each token expires. */
  const tokens = new Map<string, number>();
  let issued = 0;

  const isClient = (form: Form) => form['client_id'] === clientId && form['client_secret'] === clientSecret;
  const accepts = (token: string) => (tokens.get(token) ?? 0) > Date.now();

  return {
    token(form) {
      if (form['grant_type'] !== 'client_credentials') {
        return json(400, { error: 'unsupported_grant_type' }, NO_STORE);
      }
      if (!isClient(form)) return INVALID_CLIENT;
      if ((form['scope'] || SCOPE) !== SCOPE) return json(400, { error: 'invalid_scope' }, NO_STORE);
      const token = makeToken();
      tokens.set(token, Date.now() + ONE_DAY_SECONDS * 1_000);
      issued += 1;
      const body = { access_token: token, expires_in: ONE_DAY_SECONDS, token_type: 'Bearer', scope: SCOPE };
      return json(200, body, NO_STORE);
    },
    revoke(form) {
      const token = form['token'];
      if (!token) {
        const error_description = 'Missing token parameter.';
        return json(400, { error: 'invalid_request', error_description }, NO_STORE);
      }
      if (!isClient(form)) return INVALID_CLIENT;
      // One that is not known is as good as revoked (RFC 7009, section 2.2).
      tokens.delete(token);
      return { status: 200, headers: HTML, body: '' };
    },
    accepts,
    issuedTokens: () => issued,
    liveTokens: () => [...tokens.keys()].filter(accepts).length,
  };
}

const NO_STORE = { 'cache-control': 'no-store', pragma: 'no-cache' };

const INVALID_CLIENT = json(
  401,
  { error: 'invalid_client' },
  { ...NO_STORE, 'www-authenticate': 'Bearer error="invalid_client"' },
);

const LETTERS_AND_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

function makeToken(): string {
  return Array.from({ length: 30 }, () => LETTERS_AND_DIGITS.charAt(randomInt(LETTERS_AND_DIGITS.length))).join('');
}
