import { randomInt } from 'node:crypto';

/**
 * Issues and revokes access tokens as Django OAuth Toolkit does, on which the Dashboard's API is built:
 * the client credentials grant of RFC 6749 and the revocation of RFC 7009, with the toolkit's statuses,
 * headers and bodies. `npm run compare` holds one against the other.
 */
export interface OAuth {
  token: (form: URLSearchParams) => Answer;
  revoke: (form: URLSearchParams) => Answer;
  /** Whether a token was issued, and neither revoked nor has it expired. */
  accepts: (token: string) => boolean;
  issuedTokens: () => number;
  liveTokens: () => number;
}

export interface Answer {
  status: number;
  headers: Record<string, string>;
  /** Sent as JSON, unless it is a string. */
  body: unknown;
}

const ONE_DAY_SECONDS = 86_400;
const SCOPE = 'developer-api';

export function createOAuth(clientId: string, clientSecret: string): OAuth {
  /** When each token expires. */
  const tokens = new Map<string, number>();
  let issued = 0;

  const isClient = (form: URLSearchParams) =>
    form.get('client_id') === clientId && form.get('client_secret') === clientSecret;
  const accepts = (token: string) => (tokens.get(token) ?? 0) > Date.now();

  return {
    token(form) {
      if (form.get('grant_type') !== 'client_credentials') {
        return answer(400, { error: 'unsupported_grant_type' });
      }
      if (!isClient(form)) return INVALID_CLIENT;
      if ((form.get('scope') || SCOPE) !== SCOPE) return answer(400, { error: 'invalid_scope' });
      const token = makeToken();
      tokens.set(token, Date.now() + ONE_DAY_SECONDS * 1_000);
      issued += 1;
      return answer(200, {
        access_token: token,
        expires_in: ONE_DAY_SECONDS,
        token_type: 'Bearer',
        scope: SCOPE,
      });
    },
    revoke(form) {
      const token = form.get('token');
      if (!token) {
        const error_description = 'Missing token parameter.';
        return answer(400, { error: 'invalid_request', error_description });
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

/** What Django says where nothing else was said. */
export const HTML = { 'content-type': 'text/html; charset=utf-8' };

function answer(status: number, body: unknown): Answer {
  return { status, headers: { 'cache-control': 'no-store', pragma: 'no-cache' }, body };
}

const INVALID_CLIENT: Answer = {
  status: 401,
  headers: {
    'cache-control': 'no-store',
    pragma: 'no-cache',
    'www-authenticate': 'Bearer error="invalid_client"',
  },
  body: { error: 'invalid_client' },
};

const LETTERS_AND_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

function makeToken(): string {
  return Array.from({ length: 30 }, () => LETTERS_AND_DIGITS.charAt(randomInt(LETTERS_AND_DIGITS.length))).join('');
}
