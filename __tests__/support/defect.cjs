'use strict';

// A defect that nothing in the action catches, with a secret in its message.
setTimeout(() => {
  throw new TypeError(`boom\n::warning::${process.env['INPUT_CLIENT-SECRET']}`);
}, 200);
