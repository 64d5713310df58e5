import type { Cancellation } from './cancellation';
import type { Connection } from './dashboard/api';
import { checkProxy, proxyPasswords } from './dashboard/http';
import { startBudget } from './dashboard/retry';
import * as log from './runner/log';
import type { Settings } from './runner/state';

/**
 * Starts the budget of a step and puts together what its requests need.
 *
 * @throws StepError if the proxy variable can't be read
 */
export function connect(
  settings: Settings,
  clientSecret: string,
  cancellation: Cancellation,
): Connection {
  checkProxy(settings.apiUrl);
  for (const password of proxyPasswords(settings.apiUrl)) log.hide(password);
  return {
    apiUrl: settings.apiUrl,
    clientId: settings.clientId,
    clientSecret,
    budget: startBudget(settings.timeoutSeconds),
    cancellation,
    redact: log.redact,
    onFailedAttempt: log.info,
  };
}
