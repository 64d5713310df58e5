import { parseArgs } from 'node:util';
import { wholeNumber } from '../tools/options.mts';
import { startDashboard } from './dashboard.mts';

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

try {
  const { url, clientId, clientSecret } = await startDashboard(readOptions());
  console.log(`Dashboard at ${url}, until Ctrl-C

  client-id:      ${clientId}
  client-secret:  ${clientSecret}
  api-url:        ${url}`);
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  process.exitCode = 1;
}
