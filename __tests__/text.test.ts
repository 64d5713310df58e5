import { describe, expect, test } from '@jest/globals';
import { redact, wholeOf, wordsOf } from '../src/shared/text';

const NONE: ReadonlySet<string> = new Set();

test.each<[secrets: string[], text: string, shown: string]>([
  [['abc'], 'abc, xabcx: abcabc', '***, x***x: ******'],
  [['abc', 'abcdef'], 'xabcdefx abc', 'x***x ***'],
  [['abcdef', 'abc'], 'xabcdefx abc', 'x***x ***'],
  [['$&.*('], '$&.*( $&', '*** $&'],
  [[], 'text', 'text'],
])('%j are taken out of %s', (secrets, text, shown) => {
  expect(redact(text, new Set(secrets))).toBe(shown);
});

test.each([
  'invalid_grant: Invalid credentials given.',
  'Request was throttled. Expected available in 86 seconds.',
  'Method "POST" not allowed.',
  "A server can't (or won't) do that; I am not sure!",
  '(403) HTTPS, too-many-words, an HTTP 502',
  'it is not so: numbers 12 34 here, 123456, one ab-cd word',
  'x'.repeat(24),
])('words are shown as they are: %s', (text) => {
  expect(wordsOf(text, NONE)).toBe(text);
});

describe('what is no word is left out', () => {
  test.each<[text: string, shown: string]>([
    ['a\r\n::error::b', 'a …'],
    ['see ##[add-mask]y there', 'see … there'],
    ['a zero-\u200bwidth space', 'a … space'],
    ['a next\u0085line there', 'a … there'],
    ['one\u2028two\u2029three\u00a0four', 'one two three four'],
    ['at https://evil.test/x of dashboard.formlabs.com', 'at … of …'],
    ['code AADSTS7000215 of OAuth', 'code … of …'],
    ['one <b>two</b> three', 'one … three'],
    ['ünïcödé words 🙂', '… words …'],
    [`long ${'x'.repeat(25)}`, 'long …'],
    ['not x1 , y2 ; z3 here', 'not … here'],
    ['\t Not  found.\n\u00a0\ufeff', 'Not found.'],
    ['half…', ''],
    ['::', ''],
    ['', ''],
    // Three numbers, or words of one or two letters, in a row may spell something.
    ['it is so', ''],
    ['it is so, sir', '…, sir'],
    ['numbers 123456, 1; (7) here', 'numbers …) here'],
    ['pairs ab-cd-ef and ab CD 12 here', 'pairs … and … here'],
    ['bytes 0x73, 33, 63, 72 here', 'bytes … here'],
    ['letters a … I s A here', 'letters … here'],
  ])('%j', (text, shown) => {
    expect(wordsOf(text, NONE)).toBe(shown);
  });

  test('what is behind 500 characters too, and of the rest all but 200', () => {
    expect(wordsOf(`${'-'.repeat(490)} here there`, NONE)).toBe('… here …');
    expect(wordsOf(`${'-'.repeat(495)} there`, NONE)).toBe('');
    expect(wordsOf(`${'-'.repeat(494)} there`, NONE)).toBe('… there');
    expect(wordsOf('x'.repeat(600), NONE)).toBe('');
    const words = 'word '.repeat(100);
    expect(wordsOf(words, NONE)).toBe(words.slice(0, 199));
    expect(wordsOf(`${words.slice(0, 199)}st`, NONE)).toBe(`${words.slice(0, 199)}s`);
  });
});

const SECRET = 'Tr0ub4dor&é/3 =x+"<y>\\';
const bytesOf = (secret: string) => [...Buffer.from(secret)];
const hexOf = (secret: string) => Buffer.from(secret).toString('hex');

describe('a secret is shown in no spelling', () => {
  test.each<[name: string, spell: (secret: string) => string]>([
    ['as it is', String],
    ['in upper case', (secret) => secret.toUpperCase()],
    ['percent-encoded', encodeURIComponent],
    ['percent-encoded letter by letter', (secret) => hexOf(secret).replaceAll(/../g, '%$&')],
    ['in base64', (secret) => Buffer.from(secret).toString('base64')],
    ['in base64url', (secret) => Buffer.from(secret).toString('base64url')],
    ['as Basic authentication', (secret) => Buffer.from(`client-1:${secret}`).toString('base64')],
    ['in hex', hexOf],
    ['in hex pairs', (secret) => hexOf(secret).replaceAll(/../g, '$&, ').toUpperCase()],
    ['as the numbers of its bytes', (secret) => bytesOf(secret).join(' ')],
    ['in JSON of ASCII', (secret) => JSON.stringify(secret).replaceAll('é', '\\u00e9')],
    ['in HTML', (secret) => secret.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('é', '&eacute;')],
    ['backwards', (secret) => [...secret].reverse().join('')],
    ['cut off', (secret) => secret.slice(0, 9)],
    ['less its start', (secret) => secret.slice(4)],
  ])('%s', (_name, spell) => {
    const shown = wordsOf(`you sent ${spell(SECRET)} from there`, new Set(['another-secret', SECRET]));
    expect(shown).toBe('you sent … from there');
  });

  test.each(['print', 'PRINT', 'rint', 'printer', '"print"', 'pri-nt', 'cHJpbnQ', '%70rint', 'tnirp'])(
    'where it is a word itself: %s',
    (spelled) => {
      expect(wordsOf(`you sent ${spelled} to us`, new Set(['print']))).toBe('you sent … to us');
    },
  );

  test('but what is like it by chance is: two letters, or none', () => {
    expect(wordsOf('not tom &amp; jerry run away, sir', new Set(['tom & jerry run away']))).toBe('not … sir');
    expect(wordsOf('it is but so', new Set(['this-is-soup']))).toBe('it is but so');
    expect(wordsOf('all is well', new Set(['é🔑', '&%', 'xy', '-a-', '-l-l-']))).toBe('all is well');
    expect(wordsOf('you sent xabcx to us', new Set(['-a-b-c-']))).toBe('you sent … to us');
  });
});

describe('whole, or not at all, unless it is like a secret', () => {
  const SECRETS = new Set(['Tr0ub4dor&3x', 'troubadour']);
  const longest = 'x'.repeat(40);

  test.each<[code: string, shown: string]>([
    ['invalid_grant', 'invalid_grant'],
    ['urn.ietf-params_oauth', 'urn.ietf-params_oauth'],
    ['INVALID_REQUEST', 'INVALID_REQUEST'],
    [longest, longest],
    [`${longest}x`, ''],
    ['invalid__grant', ''],
    ['see invalid_grant', ''],
    ['invalid\ngrant', ''],
    ['x_troubadour', ''],
    ['TROUBADOUR', ''],
    ['x', ''],
  ])('an error code: %j is shown as %j', (code, shown) => {
    expect(wholeOf('code', code, SECRETS)).toBe(shown);
  });

  test.each<[header: string, isShown: boolean]>([
    ['Tue, 24 Nov 2026 12:00:00 GMT', true],
    ['1.1 varnish (Varnish/6.0), 1.1 cache-x', true],
    ['text/html; charset=utf-8', true],
    ['x'.repeat(100), true],
    ['x'.repeat(101), false],
    ['a\nb', false],
    ['<b>', false],
    ['x Tr0ub4dor-3x', false],
    [`x=${hexOf('Tr0ub4dor&3x')}`, false],
    ['', false],
  ])('a header: that %j is shown is %s', (header, isShown) => {
    expect(wholeOf('header', header, SECRETS)).toBe(isShown ? header : '');
  });

  test.each<[host: string, shown: string]>([
    ['sign-in_2.elsewhere.test', 'sign-in_2.elsewhere.test'],
    ['xn--bcher-kva.a.b.test', 'xn--bcher-kva.a.b.test'],
    ['192.168.100.200', '192.168.100.200'],
    ['or.test', 'or.test'],
    ['x.10.20.30.40', ''],
    ['[2001:db8::1]', ''],
    ['login.elsewhere.test:8443', ''],
    ['tr0ub4.elsewhere.test', ''],
    ['a-tr0ub4dor3x-b.test', ''],
    // Eight letters and digits in a row are no chance, nor is a whole run.
    ['xx-tr0u-b4do-xx.test', ''],
    ['xxtr0u-b4dxx.test', 'xxtr0u-b4dxx.test'],
    ['xx-tr0ub-4d-xx.test', ''],
    ['84.114.48.117.evil.test', ''],
    [`${hexOf('Tr0ub4dor&3x')}.evil.test`, ''],
    ['ab.cd.ef.evil.test', ''],
    [`${'x'.repeat(64)}.test`, ''],
    ['x.'.repeat(130), ''],
    ['', ''],
  ])('a host: %j is shown as %j', (host, shown) => {
    expect(wholeOf('host', host, SECRETS)).toBe(shown);
  });
});
