// Every error crosses threads as plain data and comes back with its code.
import test from 'ava';
import { ACTOR_ERRORS, ActorError, type ActorErrorCode, describe, fromWire, toWire } from './wire-error.js';

for (const code of Object.keys(ACTOR_ERRORS) as ActorErrorCode[]) {
  test(`RT-7: ${code} keeps code, message, data and retryability over the wire`, (t) => {
    const error = new ActorError(code, 'what was found', { peer: 'store', count: 3 });
    const back = fromWire(structuredClone(toWire(error)));
    t.true(back instanceof ActorError);
    t.is(back.message, error.message);
    t.deepEqual({ ...back.data }, { peer: 'store', count: 3 });
    t.is(back.code, code);
    t.is(back.retryable, ACTOR_ERRORS[code].retryable);
  });
}

const circular: { self?: object } = {};
circular.self = circular;

const THROWN: [what: string, thrown: unknown, message: string][] = [
  ['an Error', new TypeError('bad'), 'handler_failed: TypeError: bad'],
  ['a string', 'bad', 'handler_failed: threw bad'],
  ['undefined', undefined, 'handler_failed: threw undefined'],
  ['null', null, 'handler_failed: threw null'],
  ['a circular object', circular, 'handler_failed: threw object'],
  ['a function', () => 1, 'handler_failed: threw () => 1'],
  ['a symbol', Symbol('s'), 'handler_failed: threw Symbol(s)'],
];
for (const [what, thrown, message] of THROWN) {
  test(`RT-7: ${what} thrown by a handler becomes handler_failed`, (t) => {
    const back = fromWire(structuredClone(toWire(thrown)));
    t.is(back.message, message);
    t.is(back.code, 'handler_failed');
    t.false(back.retryable);
  });
}

test('a system error keeps its code as data', (t) => {
  const error = Object.assign(new Error('no space'), { code: 'ENOSPC' });
  t.deepEqual({ ...fromWire(toWire(error)).data }, { cause: 'ENOSPC' });
});

test('describe never throws', (t) => {
  const hostile = {
    toJSON(): never {
      throw new Error('no');
    },
  };
  t.is(describe(hostile), 'object');
});
