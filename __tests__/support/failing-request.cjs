'use strict';

// Every request fails with the error whose code is in TEST_ERROR_CODE.
const { EventEmitter } = require('node:events');
const code = process.env.TEST_ERROR_CODE;

function request() {
  const failing = Object.assign(new EventEmitter(), { setTimeout() {}, write() {}, end() {} });
  process.nextTick(() => failing.emit('error', Object.assign(new Error(code), { code })));
  return failing;
}

for (const name of ['node:http', 'node:https']) require(name).request = request;
