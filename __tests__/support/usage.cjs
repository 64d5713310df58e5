'use strict';

// Says at the end what the step took: its memory at the most, and the time that the processor worked for it.
process.on('exit', () => {
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  process.stderr.write(`peak ${maxRSS} KiB, cpu ${Math.round((userCPUTime + systemCPUTime) / 1_000)} ms\n`);
});
