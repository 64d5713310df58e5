'use strict';

// Time passes ten times as fast for the step: its timers, and the clock that its budget is on.
const setTimeoutOfNode = globalThis.setTimeout;
const clock = process.hrtime.bigint;
const start = clock();

globalThis.setTimeout = (callback, ms, ...rest) => setTimeoutOfNode(callback, ms / 10, ...rest);
process.hrtime.bigint = () => start + (clock() - start) * 10n;
