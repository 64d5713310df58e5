'use strict';

// The machine was paused for an hour when the runner's state file went away.
const { existsSync } = require('node:fs');
const clock = process.hrtime.bigint;
const HOUR_NS = 3_600_000_000_000n;

process.hrtime.bigint = () => clock() + (existsSync(process.env.GITHUB_STATE) ? 0n : HOUR_NS);
