'use strict';

// Every host has the addresses in TEST_ADDRESSES. Behind each of them is 127.0.0.1, after the milliseconds that stand
// behind a slash; without a number nothing is there, and not even a refusal comes.
const dns = require('node:dns');
const { isIPv6 } = require('node:net');
const { TCP } = process.binding('tcp_wrap');

const delays = new Map(process.env.TEST_ADDRESSES.split(' ').map((entry) => entry.split('/')));
const addresses = [...delays.keys()].map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));

dns.lookup = (_hostname, options, callback) => {
  const [first] = addresses;
  process.nextTick(() => (options.all ? callback(null, addresses) : callback(null, first.address, first.family)));
};

const { connect } = TCP.prototype;

for (const name of ['connect', 'connect6']) {
  TCP.prototype[name] = function (request, address, port) {
    const delay = delays.get(address);
    if (delay !== undefined) setTimeout(() => connect.call(this, request, '127.0.0.1', port), Number(delay));
    return 0;
  };
}
