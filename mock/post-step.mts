import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import type { Counts } from './background.mts';
import { loadState, runStep } from './step.mts';

/** The post step: ends the mock Dashboard, and fails if it holds a live access token. */
await runStep(async () => {
  const state = loadState();
  if (state === undefined) return 'No mock Dashboard was started, so there is none to end.';

  const { issued, live, requests } = await end(state.control);
  console.log(
    `The mock Dashboard has ended. It issued ${count(issued, 'access token')} and got ${count(requests, 'request')}.`,
  );
  if (live === 0) return 'No access token was left alive.';
  const left = `${count(live, 'access token')} left alive at the end of the job`;
  if (state.allowLiveTokens) return `${left}, which allow-live-tokens permits.`;
  throw new Error(`${left}: revoke every token, or set allow-live-tokens to true.`);
});

/** @throws Error if the mock Dashboard does not answer */
async function end(control: string): Promise<Counts> {
  try {
    // A proxy that the environment names has no place here: an agent of its own does not ask for it.
    const sent = request(control, { method: 'POST', agent: false, signal: AbortSignal.timeout(10_000) }).end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
    return (await json(response)) as Counts;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(
      `The mock Dashboard did not answer at the end of the job (${code ?? message}): something ended its process, ` +
        'so it is not known whether an access token was left alive.',
    );
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
