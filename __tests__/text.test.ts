import { describe, expect, test } from '@jest/globals';
import { hostOf, redact, wordsOf } from '../src/shared/text';

const NONE: ReadonlySet<string> = new Set();

describe('secrets in a text of our own', () => {
  test.each<[name: string, secrets: string[], text: string, shown: string]>([
    ['are taken out wherever they stand', ['abc'], 'abc, xabcx: abcabc', '***, x***x: ******'],
    ['leave nothing of one that is a part of another', ['abc', 'abcdef'], 'xabcdefx abc', 'x***x ***'],
    ['leave nothing, in whatever order they came', ['abcdef', 'abc'], 'xabcdefx abc', 'x***x ***'],
    ['mean nothing to a pattern', ['$&.*('], '$&.*( $&', '*** $&'],
    ['may be none', [], 'text', 'text'],
  ])('%s', (_name, secrets, text, shown) => {
    expect(redact(text, new Set(secrets))).toBe(shown);
  });
});

describe('of a text from elsewhere the words are shown, whole', () => {
  test.each([
    'invalid_grant: Invalid credentials given.',
    'Request was throttled. Expected available in 86 seconds.',
    'Method "POST" not allowed.',
    "A server can't (or won't) do that; I am not sure!",
    '(403) HTTPS, too-many-words, a\u00a0word',
    '123456',
    'x'.repeat(24),
  ])('%s', (text) => {
    expect(wordsOf(text, NONE)).toBe(text.replace('\u00a0', ' '));
  });
});

describe('what is no word is left out', () => {
  test.each<[text: string, shown: string]>([
    ['a\r\n::error::b', 'a …'],
    ['see ##[add-mask]y there', 'see … there'],
    ['see \u001b[31m red', 'see … red'],
    ['a zero-\u200bwidth space', 'a … space'],
    ['a next\u0085line there', 'a … there'],
    ['one\u2028two\u2029three', 'one two three'],
    ['at https://evil.test/x of dashboard.formlabs.com', 'at … of …'],
    ['code AADSTS7000215 of OAuth', 'code … of …'],
    ['one <b>two</b> three', 'one … three'],
    ['numbers 1234567 and 12a', 'numbers … and …'],
    ['letters ABCDEF and aB and B', 'letters … and … and …'],
    ['ünïcödé words 🙂', '… words …'],
    [`long ${'x'.repeat(25)}`, 'long …'],
    ['many %25 &amp; {} -- ones', 'many … ones'],
    ['half…', ''],
    ['::', ''],
    [' \n ', ''],
    ['', ''],
  ])('%j', (text, shown) => {
    expect(wordsOf(text, NONE)).toBe(shown);
  });

  test('white space around a text is left out, and nothing stands for it', () => {
    for (const text of [' Not found.\n', '\t Not found.', 'Not found. ', '\u00a0\ufeffNot found.\u2028']) {
      expect(wordsOf(text, NONE)).toBe('Not found.');
    }
  });

  test.each<[text: string, shown: string]>([
    ['it is so', ''],
    ['well, it is so', 'well …'],
    ['it is so, sir', '…, sir'],
    ['numbers 12 34 56 here', 'numbers … here'],
    ['numbers 123456, 1; (7) here', 'numbers …) here'],
    ['pairs ab CD 12 here', 'pairs … here'],
    ['pairs ab-cd-ef here', 'pairs … here'],
    ['bytes 0x73, 33, 63, 72 here', 'bytes … here'],
    ['letters a I A here', 'letters … here'],
    ['letters a … I s A here', 'letters … here'],
  ])('three numbers, or words of one or two letters, in a row may spell something: %j', (text, shown) => {
    expect(wordsOf(text, NONE)).toBe(shown);
  });

  test.each(['it is not so', 'available in 86 seconds', 'numbers 12 34 here', 'an HTTP 502', 'one ab-cd word'])(
    'two of them do not: %s',
    (text) => {
      expect(wordsOf(text, NONE)).toBe(text);
    },
  );

  test('and no more than 200 characters are shown', () => {
    const words = 'word '.repeat(100);
    expect(wordsOf(words, NONE)).toBe(words.slice(0, 199));
    expect(wordsOf(`${words.slice(0, 199)}s`, NONE)).toHaveLength(200);
    expect(wordsOf(`${words.slice(0, 199)}st`, NONE)).toBe(`${words.slice(0, 199)}s`);
  });
});

const SECRET = 'Tr0ub4dor&é/3 =x+"<y>\\';

const pairsOf = (secret: string) => Buffer.from(secret).toString('hex').match(/../g) ?? [];

/** Ways in which a server, or something in between, may spell what it was sent. */
const SPELLINGS: [name: string, spell: (secret: string) => string][] = [
  ['as it is', (secret) => secret],
  ['in upper case', (secret) => secret.toUpperCase()],
  ['in lower case', (secret) => secret.toLowerCase()],
  ['percent-encoded', encodeURIComponent],
  ['percent-encoded, less the slash', (secret) => encodeURIComponent(secret).replaceAll('%2F', '/')],
  [
    'percent-encoded in small letters',
    (secret) => encodeURIComponent(secret).replaceAll(/%../g, (code) => code.toLowerCase()),
  ],
  ['percent-encoded twice', (secret) => encodeURIComponent(encodeURIComponent(secret))],
  ['percent-encoded letter by letter', (secret) => Buffer.from(secret).toString('hex').replaceAll(/../g, '%$&')],
  ['as a form', (secret) => new URLSearchParams({ secret }).toString()],
  ['in base64', (secret) => Buffer.from(secret).toString('base64')],
  ['in base64url', (secret) => Buffer.from(secret).toString('base64url')],
  ['as Basic authentication', (secret) => Buffer.from(`client-1:${secret}`).toString('base64')],
  ['in hex', (secret) => Buffer.from(secret).toString('hex')],
  ['in hex pairs', (secret) => pairsOf(secret).join(' ')],
  ['in hex pairs in capital letters', (secret) => pairsOf(secret).join(' ').toUpperCase()],
  ['in hex pairs with something between', (secret) => pairsOf(secret).join(', ')],
  ['as the numbers of its bytes', (secret) => [...Buffer.from(secret)].join(' ')],
  ['as a list of the numbers of its bytes', (secret) => JSON.stringify([...Buffer.from(secret)])],
  ['as the numbers of its bytes, a line each', (secret) => [...Buffer.from(secret)].join(',\r\n')],
  ['two letters at a time', (secret) => secret.replaceAll(/../g, '$& ')],
  ['in JSON', JSON.stringify],
  ['in JSON of ASCII', (secret) => JSON.stringify(secret).replaceAll('é', '\\u00e9')],
  ['in HTML', (secret) => secret.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('é', '&eacute;')],
  ['in HTML codes', (secret) => [...secret].map((letter) => `&#${letter.codePointAt(0)};`).join('')],
  ['as the bytes of another encoding', (secret) => Buffer.from(secret).toString('latin1')],
  ['backwards', (secret) => [...secret].reverse().join('')],
  ['with a space for the plus', (secret) => secret.replaceAll('+', ' ')],
  ['cut off', (secret) => secret.slice(0, 9)],
  ['less its start', (secret) => secret.slice(4)],
  ['as a part of something', (secret) => `--${secret}--`],
];

describe('no secret is shown', () => {
  const runsOf = (text: string) => text.split(/[^A-Za-z0-9]+/).filter((run) => run.length > 2);

  test.each(SPELLINGS)('%s', (_name, spell) => {
    const spelled = spell(SECRET);
    const shown = wordsOf(`you sent ${spelled} from there`, new Set(['another-secret', SECRET]));
    expect(shown).toBe('you sent … from there');
    for (const run of runsOf(spelled)) expect(shown).not.toContain(run);
  });

  test.each(['print', 'PRINT', 'Print', 'rint', 'printer', '"print"', 'PRIN', 'pri-nt', 'cHJpbnQ', '%70rint'])(
    'where it is a word itself: %s',
    (spelled) => {
      expect(wordsOf(`you sent ${spelled} to us`, new Set(['print']))).toBe('you sent … to us');
    },
  );

  test('where it is several words', () => {
    const secrets = new Set(['tom & jerry run away']);
    expect(wordsOf('not tom &amp; jerry run away, sir', secrets)).toBe('not … sir');
    expect(wordsOf('AWAY jerry', secrets)).toBe('');
  });

  test('where it is short, or has few letters', () => {
    expect(wordsOf('you sent xy to us', new Set(['xy']))).toBe('you sent … to us');
    expect(wordsOf('you sent xabcx to us', new Set(['-a-b-c-']))).toBe('you sent … to us');
  });

  test('but what has two letters of it, or none, is', () => {
    expect(wordsOf('it is but so', new Set(['this-is-soup']))).toBe('it is but so');
    expect(wordsOf('all is well', new Set(['é🔑', '&%', 'xy', '-a-', '-l-l-']))).toBe('all is well');
  });
});

test('white space of any length is one space, and gaps in a row are one', () => {
  expect(wordsOf('not  allowed\n\n here', new Set())).toBe('not allowed here');
  expect(wordsOf('not x1 , y2 ; z3 here', new Set())).toBe('not … here');
});

describe('of a host from elsewhere', () => {
  test.each<[host: string, shown: string]>([
    ['login.elsewhere.test', 'login.elsewhere.test'],
    ['sign-in.elsewhere.test', 'sign-in.elsewhere.test'],
    ['127.0.0.1', '127.0.0.1'],
    ['192.168.100.200', '192.168.100.200'],
    ['x.10.20.30.40', '…'],
    ['s3cr.10.20.30.40', '…'],
    ['[2001:db8::1]', '…'],
    ['api2.elsewhere.test', '….elsewhere.test'],
    ['login.elsewhere.test:8443', 'login.elsewhere.…'],
    ['xn--bcher-kva.test', '….test'],
    ['a.b.test', 'a.….test'],
    [`${'x'.repeat(24)}.test`, `${'x'.repeat(24)}.test`],
    [`${'x'.repeat(25)}.test`, '….test'],
    ['tr0ub4.elsewhere.test', '….elsewhere.test'],
    ['a-tr0ub4dor3x-b.test', '….test'],
    ['or.test', 'or.test'],
    ['84.114.48.117.evil.test', '….evil.test'],
    ['ab.cd.ef.evil.test', '….evil.test'],
    ['', '…'],
  ])('%j shows as %j', (host, shown) => {
    expect(hostOf(host, new Set(['Tr0ub4dor&3x']))).toBe(shown);
  });
});
