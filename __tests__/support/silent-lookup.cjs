'use strict';

// No name server answers, and the lookup keeps a thread busy.
require('./stuck-lookup.cjs');
require('node:dns').lookup = () => ({});
