'use strict';

require('./run.cjs')('./post-step.mts');
