'use strict';

// A request that is lost without a trace, and timers that keep no process alive: the event loop runs dry.
const { EventEmitter } = require('node:events');
const setTimeoutOfNode = globalThis.setTimeout;

globalThis.setTimeout = (...parameters) => setTimeoutOfNode(...parameters).unref();
require('node:http').request = () => Object.assign(new EventEmitter(), { setTimeout() {}, write() {}, end() {} });
