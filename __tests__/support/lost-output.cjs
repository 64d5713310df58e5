'use strict';

// The disk that the step prints to was full for a moment: one write has failed.
process.nextTick(() => {
  process.stdout.emit('error', Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' }));
});
