'use strict';

// A resolver that answers as for a host name that does not exist, or that fails for a while.
const dns = require('node:dns');
const code = process.env.TEST_DNS_ERROR;

dns.lookup = (hostname, _options, callback) => {
  const error = Object.assign(new Error(`getaddrinfo ${code} ${hostname}`), { code });
  process.nextTick(callback, error);
};
