'use strict';

// Sends the step a signal at its nth point: each time that it writes, to the runner's files or to its log, or lets the
// event loop go on.
const fs = require('node:fs');
const { setImmediate } = globalThis;
let left = Number(process.env.TEST_SIGNAL_AT);

function sendSignal() {
  // On Windows a process that sends itself a signal just ends. There the step is told as Node tells it of Ctrl-C.
  if (process.platform === 'win32') setImmediate(() => process.emit('SIGINT'));
  else process.kill(process.pid, 'SIGINT');
}

function counted(action) {
  return function (...parameters) {
    left -= 1;
    if (left === 0) sendSignal();
    return Reflect.apply(action, this, parameters);
  };
}

fs.appendFileSync = counted(fs.appendFileSync);
process.stdout.write = counted(process.stdout.write);
globalThis.setImmediate = counted(setImmediate);
