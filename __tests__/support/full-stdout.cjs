'use strict';

// What the step prints goes to a disk that is full.
const fs = require('node:fs');

fs.closeSync(1);
fs.openSync('/dev/full', 'w');
