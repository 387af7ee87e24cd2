// A port that cannot be had: the words and the codes for what the system says.
import test from 'ava';
import { listenRefusal } from './listen-refusal.js';

const CASES: [code: string, exitCode: 69 | 77 | 78, words: RegExp][] = [
  ['EADDRINUSE', 69, /another program holds this port.*--listen HOST:PORT/],
  ['EACCES', 77, /may not open this port/],
  ['EADDRNOTAVAIL', 78, /no such address/],
  ['ENOTFOUND', 78, /no such address/],
];
for (const [code, exitCode, words] of CASES) {
  test(`CF-9: ${code} names flag and address, and ends with ${exitCode}`, (t) => {
    const refusal = listenRefusal(Object.assign(new Error('x'), { code }), '--listen', 'host:80');
    t.is(refusal?.exitCode, exitCode);
    t.regex(refusal?.reason ?? '', /^--listen host:80: /);
    t.regex(refusal?.reason ?? '', words);
  });
}

test('what is not known is left to the caller', (t) => {
  t.is(listenRefusal(new Error('x'), '--listen', 'host:80'), null);
  t.is(listenRefusal(Object.assign(new Error('x'), { code: 'EMFILE' }), '--listen', 'host:80'), null);
});
