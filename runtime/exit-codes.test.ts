// Holds the table of exit codes against sysexits and against the numbers that the folders below carry.
import test from 'ava';
import { ConfigError } from '../config/errors.js';
import { listenRefusal } from '../config/listen-refusal.js';
import { EXIT, exitCode, exitCodeTable, SELF_KILLED } from './exit-codes.js';

test('CF-5: every code stands once in the table and outside the ranges of Node and of signals', (t) => {
  const codes = Object.values(EXIT).map((row) => row.code);
  t.is(new Set(codes).size, codes.length);
  for (const code of codes) t.true(code === 0 || (code >= 64 && code <= 78), String(code));
  t.is(SELF_KILLED, 128 + 9);
});

test('CF-5: the codes that service managers and scripts rely on', (t) => {
  const byName = Object.fromEntries(Object.entries(EXIT).map(([name, row]) => [name, row.code]));
  t.deepEqual(byName, {
    ok: 0,
    usage: 64,
    data: 65,
    unavailable: 69,
    internal: 70,
    stuckThread: 71,
    cannotCreate: 73,
    io: 74,
    running: 75,
    permission: 77,
    config: 78,
  });
});

test('CF-5: a code finds its row, and a number that is not ours finds none', (t) => {
  t.is(exitCode(74)?.name, 'io');
  t.is(exitCode(1), undefined);
  t.is(exitCode(SELF_KILLED), undefined);
  for (const row of Object.values(EXIT)) t.true(exitCodeTable().includes(`${row.code}  ${row.meaning}`));
});

test('CF-5: errors of the configuration and of ports carry codes of this table', (t) => {
  t.is(new ConfigError([]).exitCode, EXIT.config.code);
  t.is(new ConfigError([], 64).exitCode, EXIT.usage.code);
  const codeOf = (code: string) => listenRefusal({ code }, '--listen', '')?.exitCode;
  t.is(codeOf('EADDRINUSE'), EXIT.unavailable.code);
  t.is(codeOf('EACCES'), EXIT.permission.code);
  t.is(codeOf('ENOTFOUND'), EXIT.config.code);
});
