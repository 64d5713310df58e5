import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

/**
 * The server of `npm run bench`, in a process of its own so that it does not wait for the one that
 * measures. It answers at once, to the right secret only.
 */
interface Setup {
  cert: string;
  key: string;
  secret: string;
}

const issued = new Set<string>();

function answer(request: IncomingMessage, form: URLSearchParams, secret: string): [number, string] {
  if (request.method !== 'POST' || form.get('client_secret') !== secret) return [401, '{}'];
  if (request.url === '/developer/v1/o/token/') {
    const token = `bench-${issued.size}`;
    issued.add(token);
    return [200, JSON.stringify({ access_token: token, token_type: 'Bearer', expires_in: 86_400 })];
  }
  const known = request.url === '/developer/v1/o/revoke_token/' && issued.has(form.get('token') ?? '');
  return known ? [200, ''] : [404, '{}'];
}

process.once('message', ({ cert, key, secret }: Setup) => {
  const server = createServer({ cert, key }, async (request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    const [status, text] = answer(request, new URLSearchParams(body), secret);
    response.writeHead(status, { 'content-type': 'application/json' }).end(text);
  });
  server.listen(0, 'localhost', () => process.send?.((server.address() as AddressInfo).port));
});

// Not to outlive the bench, however that ends.
process.once('disconnect', () => process.exit());
