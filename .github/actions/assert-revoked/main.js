// Leaves a note for the post step, which does the work.
const { appendFileSync } = require('node:fs');

appendFileSync(process.env.GITHUB_STATE, `started=${new Date().toISOString()}\n`);
console.log('The live access tokens of the sandbox are counted when the job ends.');
