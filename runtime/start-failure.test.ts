// What a failed start says: every cause a line with its code, the unknown ones with their stack.
import test from 'ava';
import { DataDirectoryHeld } from '../config/data-lock.js';
import { ConfigError, configProblem } from '../config/errors.js';
import { EXIT } from './exit-codes.js';
import { startFailure } from './start-failure.js';

function systemError(code: string, path?: string): Error {
  return Object.assign(new Error(code), { code, syscall: 'open', ...(path === undefined ? {} : { path }) });
}

const PROBLEM = configProblem({ file: 'a.yaml', found: 'x', allowed: 'y' });
const CASES: [error: unknown, code: number, text: RegExp][] = [
  [new ConfigError([PROBLEM]), EXIT.config.code, /^a\.yaml: found x; allowed: y\.$/],
  [new ConfigError([PROBLEM], 64), EXIT.usage.code, /^a\.yaml/],
  [new DataDirectoryHeld('/d', 7), EXIT.running.code, /^quorate: \/d is in use by process 7\. Stop it, or choose/],
  [
    systemError('EACCES', '/d'),
    EXIT.permission.code,
    /^quorate: \/d: this user may not write there.*\(open: EACCES\)$/,
  ],
  [systemError('EROFS', '/d'), EXIT.cannotCreate.code, /read-only/],
  [systemError('ENOSPC', '/d'), EXIT.io.code, /the disk is full/],
  [systemError('EIO', '/d'), EXIT.io.code, /open: EIO/],
  [systemError('ENOTDIR', '/d'), EXIT.cannotCreate.code, /a file stands where a directory/],
  [systemError('EISDIR'), EXIT.cannotCreate.code, /^quorate: a directory stands where a file/],
  [new TypeError('broken'), EXIT.internal.code, /unexpected failure, please report it\nTypeError: broken\n/],
  ['a string', EXIT.internal.code, /unexpected failure.*\na string$/],
];
for (const [error, code, text] of CASES) {
  test(`CF-5: ${error instanceof Error ? `${error.name} ${error.message}` : String(error)} ends with ${code}`, (t) => {
    const failure = startFailure(error);
    t.is(failure.code, code);
    t.regex(failure.text, text);
  });
}
