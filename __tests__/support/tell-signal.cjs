'use strict';

// The step says so the moment that it gets a signal.
for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => process.stdout.write(`Got ${name}\n`));
