'use strict';

// From the nth write to one of the runner's files on, for some writes, the disk has room for half of what is written.
const fs = require('node:fs');
const { appendFileSync } = fs;
const first = Number(process.env.TEST_FULL_AT_WRITE);
const last = first + Number(process.env.TEST_FULL_WRITES) - 1;
let write = 0;

fs.appendFileSync = (path, text, options) => {
  write += 1;
  if (write < first || write > last) return appendFileSync(path, text, options);
  appendFileSync(path, text.slice(0, text.length / 2), options);
  throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
};
