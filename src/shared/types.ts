/** The inputs that the post step needs, too. `apiUrl` has no slash at its end. */
export interface Settings {
  readonly clientId: string;
  readonly apiUrl: string;
  readonly timeoutSeconds: number;
}

/** How a step learns that the runner has told it to stop. */
export interface Cancellation {
  /** Aborted then, with a StepError as its reason. From then on nothing is asked for any more. */
  readonly stop: AbortSignal;
  /** The moment by which all has to have ended; infinite until then. */
  readonly over: () => number;
  /** Lets Node catch up with what came while it was busy. Rejects with a StepError if the step is not to go on. */
  readonly throwIfCancelled: () => Promise<void>;
}

/** The log, as far as the Dashboard's side needs it. */
export interface Logger {
  readonly info: (line: string) => void;
  readonly debug: (line: () => string) => void;
  /** What may be shown of a value of our own. */
  readonly own: (value: string) => string;
  /** What is to be taken out of texts from elsewhere, and how to add to it. */
  readonly secrets: ReadonlySet<string>;
  readonly hide: (secret: string) => void;
}
