/** Longest piece of foreign text that a message may carry, in characters. */
const FOREIGN_TEXT_LIMIT = 200;

/** Takes every known secret out of a text. */
export type Redact = (text: string) => string;

/**
 * Makes a text from elsewhere (a server, the operating system) fit for one line of the log: no secret,
 * no control character or line break, at most 200 characters, and nothing that the runner takes for a
 * command.
 *
 * The runner takes `::name::` for a command at the start of a line, and the older `##[name]` anywhere
 * in it (actions/runner, ActionCommand.cs).
 */
export function foreignText(text: string, redact: Redact): string {
  const oneLine = redact(text)
    .replaceAll(charactersOf('C', 'Zl', 'Zp'), ' ')
    .trim();
  // Again, because the first pass may have missed a secret with a character in it that is now a space.
  const characters = [...redact(oneLine)];
  const short =
    characters.length > FOREIGN_TEXT_LIMIT
      ? `${characters.slice(0, FOREIGN_TEXT_LIMIT - 1).join('')}…`
      : characters.join('');
  return short.replace(/#{2,}(?=\[)/g, '#').replace(/^[:\s]+/, '');
}

/**
 * Matches the characters of Unicode categories. Not a literal, since V8 works out the sets behind one as soon
 * as it reads the source: every step would pay for what next to none needs.
 */
export function charactersOf(...categories: string[]): RegExp {
  return new RegExp(`[${categories.map((category) => `\\p{${category}}`).join('')}]`, 'gu');
}

/** Remembers secrets, and takes them out of texts as they are and as they look in a form, a URL, JSON or base64. */
export function createRedactor(): { add: (secret: string) => void; redact: Redact } {
  const spellings = new Set<string>();
  return {
    add: (secret) => {
      if (secret === '') return;
      const inUrl = encodeURIComponent(secret.toWellFormed());
      const inForm = new URLSearchParams([['', secret]]).toString().slice(1);
      for (const spelling of [secret, inUrl, inForm, lowerPercent(inUrl), lowerPercent(inForm)]) {
        spellings.add(spelling);
      }
      spellings.add(JSON.stringify(secret).slice(1, -1));
      spellings.add(Buffer.from(secret).toString('base64'));
    },
    redact: (text) =>
      // The longest first: one secret may be a part of another.
      [...spellings]
        .sort((a, b) => b.length - a.length)
        .reduce((redacted, spelling) => redacted.replaceAll(spelling, '***'), text),
  };
}

/** `%2B` and `%2b` are the same. */
function lowerPercent(text: string): string {
  if (!text.includes('%')) return text;
  return text.replaceAll(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
}
