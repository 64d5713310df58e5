import { parseArgs } from 'node:util';
import { wholeNumber } from '../tools/options.mts';
import { startDashboard } from './dashboard.mts';
import { API, RESOURCES } from './web-api.mts';

/** `npm run sandbox`: the mock Dashboard alone, until it is stopped. */
const USAGE =
  'Usage: npm run sandbox -- [--port 4010] [--client-id ID] [--client-secret SECRET] [--requests-per-second N]';

function readOptions() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      'client-id': { type: 'string' },
      'client-secret': { type: 'string' },
      'requests-per-second': { type: 'string' },
    },
  });
  return {
    port: wholeNumber(values.port, 'port', 0),
    ...(values['client-id'] ? { clientId: values['client-id'] } : {}),
    ...(values['client-secret'] ? { clientSecret: values['client-secret'] } : {}),
    ...(values['requests-per-second']
      ? { requestsPerSecond: wholeNumber(values['requests-per-second'], 'requests-per-second', 1) }
      : {}),
  };
}

/** One line for each path that can be read, with its query parameters. */
function listReads(): string {
  const reads = RESOURCES.filter(({ read }) => read);
  const width = Math.max(...reads.map(({ path }) => path.length));
  return reads.map(({ path, parameters }) => `  ${path.padEnd(width)}  ${parameters.join(', ')}`.trimEnd()).join('\n');
}

try {
  const { url, clientId, clientSecret } = await startDashboard(readOptions());
  console.log(`Dashboard at ${url}, until Ctrl-C

  client-id:      ${clientId}
  client-secret:  ${clientSecret}
  api-url:        ${url}

With a token, GET ${url}${API} plus

${listReads()}

How each parameter is read: mock/README.md. What writes is not there and answers 501.`);
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  process.exitCode = 1;
}
