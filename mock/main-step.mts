import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import type { Started } from './background.mts';
import { runStep, saveState, setOutputs } from './step.mts';

/** The main step: starts a mock Dashboard in a process of its own, and says how to reach it. */
await runStep(async () => {
  saveState();
  const allowLiveTokens = readAllowLiveTokens();
  const child = startProcess();
  try {
    const { url, clientId, clientSecret, control } = await started(child);
    console.log(`::add-mask::${clientSecret}`);
    setOutputs({ 'api-url': url, 'client-id': clientId, 'client-secret': clientSecret });
    saveState({ control, allowLiveTokens });
    await leaveRunning(child);
    return `A mock Dashboard with made-up printers listens at ${url} until this job ends.`;
  } finally {
    // A process that was not told to live on ends with its channel to this one.
    if (child.connected) child.disconnect();
  }
});

/** YAML 1.2 booleans, as the token action reads them. */
function readAllowLiveTokens(): boolean {
  const text = process.env['INPUT_ALLOW-LIVE-TOKENS']?.trim() || 'false';
  if (['true', 'True', 'TRUE'].includes(text)) return true;
  if (['false', 'False', 'FALSE'].includes(text)) return false;
  throw new Error('Input allow-live-tokens is not a boolean: give true or false, or leave it out.');
}

function startProcess(): ChildProcess {
  return spawn(process.execPath, [...process.execArgv, join(import.meta.dirname, 'background.mts')], {
    // In a session of its own, it lives on when the runner closes the terminal of this step.
    detached: true,
    windowsHide: true,
    // The runner would wait for the end of a stream of this step.
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    // Windows can't remove a folder that a process is in: this one stays as long as Node does.
    cwd: dirname(process.execPath),
  });
}

/** Waits until the mock Dashboard listens. @throws Error if it can't */
async function started(child: ChildProcess): Promise<Started> {
  // By the time of `close`, a message has been read; by that of `exit` it may not.
  const [answer] = await Promise.race([once(child, 'message'), once(child, 'close')]);
  if (typeof answer === 'object' && answer !== null && 'control' in answer) return answer as Started;
  const { error = 'its process ended at once' } = Object(answer) as { error?: string };
  throw new Error(`The mock Dashboard could not be started: ${error}.`);
}

/** The process confirms by closing its channel to this one. */
async function leaveRunning(child: ChildProcess): Promise<void> {
  child.send('stay');
  await once(child, 'disconnect');
  child.unref();
}
