/** How much of a text from elsewhere is looked at, and how much of it a message may carry, in characters. */
const LOOKED_AT = 500;
const SHOWN = 200;
/** A word as error messages have them, with the punctuation around it, or a number. A longer one could carry more. */
const WORD = /^(?=.{1,24}$)["'(]*(?:(?:[A-Za-z][a-z]+|[aAI])(?:[-_'][a-z]+)*|[A-Z]{2,5}|\d{1,6})["').,:;!?]*$/;
/** Three numbers, or words of one or two letters, in a row may spell something. */
const SPELLED_OUT = /(?:\W*\b(?:\d+|\w{1,2})\b){3,}/g;
const PATTERNS = {
  code: /^(?=.{2,40}$)(?:[a-z]+(?:[_.-][a-z]+)*|[A-Z]+(?:_[A-Z]+)*)$/,
  header: /^[\w .,:;/()+=*@-]{1,100}$/,
  // An IPv4 address, or a name that spells nothing.
  host: /^(?:[\d.]{7,15}|(?=.{1,253}$)(?!.*(?:\b(?:\d+|\w{1,2})[.-]){3})[a-z\d_-]{1,63}(?:\.[a-z\d_-]{1,63})*)$/,
};
type Secrets = ReadonlySet<string>;

/** Takes secrets out of a text in which they stand as they are. The longest first: one may be a part of another. */
export function redact(text: string, secrets: Secrets): string {
  const longestFirst = [...secrets].sort((a, b) => b.length - a.length);
  return longestFirst.reduce((redacted, secret) => redacted.replaceAll(secret, '***'), text);
}

/**
 * What may be shown of a text from elsewhere: its words, on one line. What is no word becomes `…`: a secret in whatever
 * encoding, a command for the runner. The text is cut first, which bounds the work.
 */
export function wordsOf(text: string, secrets: Secrets): string {
  const free = redact(text.trim(), secrets);
  const cut = free.length <= LOOKED_AT ? free : free.slice(0, LOOKED_AT + 1).replace(/\S*$/, '');
  const isLike = likenessTo(secrets);
  const words = cut.split(/\s+/).map((run) => (WORD.test(run) && !isLike(run) ? run : '…'));
  const spelled = words.join(' ').replace(SPELLED_OUT, ' …');
  const shown = spelled.replace(/…(?:\W*…)+/g, '…').slice(0, SHOWN);
  return shown.trim().replace(/^…$/, '');
}

/** What may be shown of an error code, a header or a host from elsewhere: all of it, or nothing. */
export function wholeOf(kind: keyof typeof PATTERNS, text: string, secrets: Secrets): string {
  const isShown = PATTERNS[kind].test(text) && ![text, ...text.split(/[^A-Za-z\d]+/)].some(likenessTo(secrets));
  return isShown ? text : '';
}

/** Tells whether a run of characters has letters and digits in a row that a secret has too, in some spelling of it. */
function likenessTo(secrets: Secrets): (run: string) => boolean {
  const spellings = [...secrets].flatMap((secret) => {
    const bytes = Buffer.from(secret);
    return [secret, [...secret].reverse().join(''), bytes.toString('hex'), bytes.toString('base64')].map(lettersOf);
  });
  return (run) => spellings.some((spelling) => shareLetters(lettersOf(run), spelling));
}

/** Eight in a row, or all that one of them has. Two, such as those of "is", are a part of nearly every secret. */
function shareLetters(a: string, b: string): boolean {
  const length = Math.min(8, a.length, b.length);
  const starts = length < 3 ? [] : Array.from({ length: a.length - length + 1 }, (_, index) => index);
  return starts.some((start) => b.includes(a.slice(start, start + length)));
}

function lettersOf(text: string): string {
  return text.replace(/[^a-z\d]/gi, '').toLowerCase();
}
