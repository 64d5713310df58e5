// Prints the script of one step of an example, with another base URL in place of the Dashboard's, so
// that CI can run it: node .ci/example-script examples/list-printers.yml list http://127.0.0.1:4010
const { readFileSync } = require('node:fs');
const { parse } = require('yaml');

const [, , file, id, url] = process.argv;
const { jobs } = parse(readFileSync(file, 'utf8'));
const step = Object.values(jobs)
  .flatMap((job) => job.steps)
  .find((candidate) => candidate.id === id);
if (step?.run === undefined) throw new Error(`${file} has no step ${id} with a script.`);
process.stdout.write(step.run.replaceAll('https://api.formlabs.com', url));
