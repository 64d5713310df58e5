'use strict';

// From the nth write to one of the runner's files on, the disk has room for half of what is written.
const fs = require('node:fs');
const { appendFileSync } = fs;
let left = Number(process.env.TEST_FULL_AT_WRITE);

fs.appendFileSync = (path, text, options) => {
  left -= 1;
  if (left > 0) return appendFileSync(path, text, options);
  appendFileSync(path, text.slice(0, text.length / 2), options);
  throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
};
