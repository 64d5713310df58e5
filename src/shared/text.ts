/** How much of a text from elsewhere is looked at, and how much of it a message may carry, in characters. */
const LOOKED_AT = 500;
const SHOWN = 200;
/** A word as error messages have them, with the punctuation around it, or a number. A longer one could carry more. */
const WORD = /^(?=.{1,24}$)["'(]*(?:(?:[A-Za-z][a-z]+|[aAI])(?:[-_'][a-z]+)*|[A-Z]{2,5}|\d{1,6})["').,:;!?]*$/;
/** Three numbers, or words of one or two letters, in a row may spell something. */
const SPELLED_OUT = /(?:\W*\b(?:\d+|\w{1,2})\b){3,}/g;
const CODE = /^(?=.{2,40}$)(?:[a-z]+(?:[_.-][a-z]+)*|[A-Z]+(?:_[A-Z]+)*)$/;
const HEADER = /^[\w .,:;/()+=*@-]{1,100}$/;
const HOST_NAME = /^(?=.{1,253}$)[a-z\d_-]{1,63}(?:\.[a-z\d_-]{1,63})*$/;

type Secrets = ReadonlySet<string>;

/** Takes secrets out of a text in which they stand as they are. The longest first: one may be a part of another. */
export function redact(text: string, secrets: Secrets): string {
  const longestFirst = [...secrets].sort((a, b) => b.length - a.length);
  return longestFirst.reduce((redacted, secret) => redacted.replaceAll(secret, '***'), text);
}

/**
 * What may be shown of a text from elsewhere: its words, on one line. What is no word becomes `…`: a secret in whatever
 * encoding, a command for the runner. The text is cut first, so that the work is bounded by what can be shown.
 */
export function wordsOf(text: string, secrets: Secrets): string {
  const free = redact(text.trim(), secrets);
  const cut = free.length <= LOOKED_AT ? free : free.slice(0, LOOKED_AT + 1).replace(/\S*$/, '');
  const isLike = likenessTo(secrets);
  const words = cut.split(/\s+/).map((run) => (WORD.test(run) && !isLike(run) ? run : '…'));
  return withoutSpelling(words).slice(0, SHOWN).trim().replace(/^…$/, '');
}

/** What may be shown of an error code from elsewhere: all of it, or else its words. */
export function codeOf(text: string, secrets: Secrets): string {
  return CODE.test(text) && !likenessTo(secrets)(text) ? text : wordsOf(text, secrets);
}

/** What may be shown of the value of a header: all of it, or nothing. */
export function headerOf(text: string, secrets: Secrets): string {
  if (!HEADER.test(text)) return '';
  return [text, ...text.split(/[^A-Za-z\d]+/)].some(likenessTo(secrets)) ? '' : text;
}

/** What may be shown of a host from elsewhere: its name, or IPv4 address, less what is like a secret. */
export function hostOf(host: string, secrets: Secrets): string {
  if (/^(?:\d{1,3}\.){3}\d{1,3}$/.test(host)) return host;
  if (!HOST_NAME.test(host)) return '…';
  const isLike = likenessTo(secrets);
  const labels = host.split('.').map((label) => (isLike(label) ? '…' : label));
  return withoutSpelling(labels).trim().replaceAll(' ', '.');
}

function withoutSpelling(runs: readonly string[]): string {
  return runs
    .join(' ')
    .replace(SPELLED_OUT, ' …')
    .replace(/…(?:\W*…)+/g, '…');
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
