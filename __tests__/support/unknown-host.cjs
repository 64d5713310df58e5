'use strict';

// A resolver that fails: TEST_DNS_FAILURES times, or for ever. Without TEST_DNS_ERROR it never answers.
const dns = require('node:dns');
const { lookup } = dns;
const code = process.env.TEST_DNS_ERROR;
let left = Number(process.env.TEST_DNS_FAILURES ?? Number.POSITIVE_INFINITY);

dns.lookup = (hostname, ...rest) => {
  left -= 1;
  if (left < 0) return lookup(hostname, ...rest);
  const error = Object.assign(new Error(`getaddrinfo ${code} ${hostname}`), { code, syscall: 'getaddrinfo' });
  if (code !== undefined) process.nextTick(rest.at(-1), error);
};
