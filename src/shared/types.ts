/**
 * What post needs to know of main's inputs. The runner evaluates the inputs anew for the post step and may get them
 * wrong (actions/runner#3514), so they go through the state. The client secret does not: the state lies in a file that
 * every later step can read.
 */
export interface Settings {
  readonly clientId: string;
  /** Base URL without a trailing slash. */
  readonly apiUrl: string;
  readonly timeoutSeconds: number;
}

/** The moments of a step that the runner tells to stop. The reason of each signal is a StepError. */
export interface Shutdown {
  /** Aborted at once: no token is requested any more, and waits for that end. */
  readonly begun: AbortSignal;
  /** Aborted when an answer that is under way can't be waited for any longer. */
  readonly lastAnswer: AbortSignal;
  /** Aborted when the time to revoke what has been received is over. */
  readonly over: AbortSignal;
}

/** The log, as far as the Dashboard's side needs it. */
export interface Journal {
  readonly info: (line: string) => void;
  readonly hide: (secret: string) => void;
  /** What may be shown of a text, or of a host, from elsewhere. */
  readonly words: (text: string) => string;
  readonly host: (host: string) => string;
}

/** When an access token expires: by the Dashboard's clock in ISO 8601 and UTC, by this machine's in ms since 1970. */
export interface Expiry {
  readonly at: string;
  readonly hereMs: number;
}
