'use strict';

// Connections to api.formlabs.com go to the port in TEST_FORMLABS_PORT instead.
const { Socket } = require('node:net');
const { connect } = Socket.prototype;

Socket.prototype.connect = function (options, ...rest) {
  const isFormlabs = options?.host === 'api.formlabs.com';
  const there = { ...options, host: '127.0.0.1', port: Number(process.env.TEST_FORMLABS_PORT) };
  return connect.call(this, isFormlabs ? there : options, ...rest);
};
