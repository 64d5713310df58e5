// Asks the sandbox how many access tokens are alive, and fails the job unless there are none.
const { STATE_started: started, INPUT_URL: url } = process.env;

async function countLiveTokens() {
  const response = await fetch(`${url}/mock/live-tokens`, {
    signal: AbortSignal.timeout(10_000),
  });
  const { live } = await response.json();
  if (!Number.isInteger(live)) throw new Error(`it answered with status ${response.status}`);
  return live;
}

function fail(sentence) {
  console.log(`::error::${sentence}`);
  process.exitCode = 1;
}

countLiveTokens().then(
  (live) => {
    if (live === 0) {
      console.log(`No access token is alive of those issued since the job started at ${started}.`);
    } else {
      fail(`The sandbox still holds ${live} live access token(s): the action did not revoke them.`);
    }
  },
  (error) => fail(`The sandbox could not be asked for live access tokens: ${error.cause ?? error.message}.`),
);
