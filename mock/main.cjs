'use strict';

require('./run.cjs')('./main-step.mts');
