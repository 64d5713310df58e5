/** Longest piece of a text from elsewhere that a message may carry, in characters. */
const TEXT_LIMIT = 200;

/** A word as error messages have them, with the punctuation around it, or a number. A longer one could carry more. */
const WORD = /^(?=.{1,24}$)["'(]*(?:(?:[A-Za-z][a-z]+|[aAI])(?:[-_'][a-z]+)*|[A-Z]{2,5}|\d{1,6})["').,:;!?]*$/;

/** Takes secrets out of a text of our own, in which they can only stand as they are. */
export function redact(text: string, secrets: ReadonlySet<string>): string {
  // The longest first: one secret may be a part of another.
  return [...secrets]
    .sort((a, b) => b.length - a.length)
    .reduce((redacted, secret) => redacted.replaceAll(secret, '***'), text);
}

/**
 * What may be shown of a text from elsewhere (a server, a library): its words, on one line. What is no word becomes
 * `…`. A secret that comes back in some encoding is no word, whatever the encoding, and neither is a command for the
 * runner; so none of them has to be known here.
 */
export function wordsOf(text: string, secrets: ReadonlySet<string>): string {
  return (
    redact(text.trim(), secrets)
      .split(/\s+/)
      .map((run) => (WORD.test(run) && !isPartOf(run, secrets) ? run : '…'))
      .join(' ')
      // What is spelled out letter by letter, or as numbers, is no run of words.
      .replace(/(?:\W*\b(?:\d+|\w{1,2})\b){3,}/g, ' …')
      .replace(/…(?:\W*…)+/g, '…')
      .slice(0, TEXT_LIMIT)
      .trim()
      .replace(/^…$/, '')
  );
}

/** What may be shown of the name of a host from elsewhere, or of its IPv4 address. */
export function hostOf(host: string, secrets: ReadonlySet<string>): string {
  if (/^(?:\d+\.){3}\d+$/.test(host)) return host;
  return wordsOf(host.replaceAll('.', ' '), secrets).replaceAll(' ', '.') || '…';
}

/** Whether a run of characters is a part of a secret, or holds one, by its letters and digits. */
function isPartOf(run: string, secrets: ReadonlySet<string>): boolean {
  const lettersOf = (text: string) => text.replace(/[^a-z0-9]/gi, '').toLowerCase();
  const letters = lettersOf(run);
  // Two letters, such as those of "is", are a part of nearly every secret.
  if (letters.length < 3) return false;
  return [...secrets]
    .map(lettersOf)
    .some((secret) => secret.includes(letters) || (secret.length > 2 && letters.includes(secret)));
}
