'use strict';

// Runs a step, which is TypeScript. A Node that is too old for that, as an image for act or Gitea may have, has to
// understand this file all the same, and says what is missing.
module.exports = function run(step) {
  if (process.features.typescript) return import(step);
  console.log(
    '::error::The mock Dashboard needs Node 22.18 or newer, and was started with ' +
      process.version +
      ': use a newer runner, or another image for its jobs.',
  );
  process.exitCode = 1;
};
