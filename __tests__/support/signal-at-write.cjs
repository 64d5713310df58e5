'use strict';

// Sends the step a signal while it writes to one of the runner's files for the nth time.
const fs = require('node:fs');
const { appendFileSync } = fs;
let left = Number(process.env.TEST_SIGNAL_AT_WRITE);

fs.appendFileSync = (...parameters) => {
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGINT');
  return appendFileSync(...parameters);
};
