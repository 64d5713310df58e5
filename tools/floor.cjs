// The floor of `npm run bench`: what the main step comes down to, as a plain script. One request, no
// checks, no retries, nothing loaded but what Node has built in. What the action takes beyond this is
// the price of everything else that it does.
const { appendFileSync } = require('node:fs');
const { request } = require('node:https');

const form = new URLSearchParams({
  grant_type: 'client_credentials',
  client_id: process.env['INPUT_CLIENT-ID'],
  client_secret: process.env['INPUT_CLIENT-SECRET'],
}).toString();

request(
  `${process.env['INPUT_API-URL']}/developer/v1/o/token/`,
  {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': Buffer.byteLength(form),
    },
  },
  (response) => {
    let body = '';
    response.setEncoding('utf8');
    response.on('data', (chunk) => {
      body += chunk;
    });
    response.on('end', () => {
      const { access_token: token } = JSON.parse(body);
      console.log(`::add-mask::${token}`);
      appendFileSync(process.env.GITHUB_STATE, `token=${token}\n`);
      appendFileSync(process.env.GITHUB_OUTPUT, `token=${token}\n`);
    });
  },
).end(form);
