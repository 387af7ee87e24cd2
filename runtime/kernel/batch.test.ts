// Batches of one turn, and byte strings packed into one buffer.
import { serialize } from 'node:v8';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import test from 'ava';
import fc from 'fast-check';
import { Batch, column, packBytes, unpackBytes } from './batch.js';

test('RT-7: what is added in one turn is flushed once at its end, in order', (t) => {
  const flushed: number[][] = [];
  const turns: (() => void)[] = [];
  const batch = new Batch<number>({
    maxCount: 10,
    flush: (items) => flushed.push(items),
    endOfTurn: (run) => turns.push(run),
  });
  for (const item of [1, 2, 3]) batch.add(item);
  t.deepEqual(flushed, []);
  t.is(turns.length, 1);
  turns.shift()!();
  t.deepEqual(flushed, [[1, 2, 3]]);
  batch.add(4);
  t.is(turns.length, 1);
  turns.shift()!();
  t.deepEqual(flushed, [[1, 2, 3], [4]]);
});

test('RT-7: a full batch goes at once, and the end of the turn brings only the rest', (t) => {
  const flushed: number[][] = [];
  const turns: (() => void)[] = [];
  const batch = new Batch<number>({
    maxCount: 2,
    flush: (items) => flushed.push(items),
    endOfTurn: (run) => turns.push(run),
  });
  for (const item of [1, 2, 3, 4]) batch.add(item);
  t.deepEqual(flushed, [
    [1, 2],
    [3, 4],
  ]);
  turns.shift()!();
  t.is(flushed.length, 2, 'an empty batch is not flushed');
});

test('RT-7: a batch is bounded in bytes too', (t) => {
  const flushed: string[][] = [];
  const batch = new Batch<string>({
    maxCount: 100,
    maxBytes: 5,
    sizeOf: (item) => item.length,
    flush: (items) => flushed.push(items),
    endOfTurn: () => {},
  });
  for (const item of ['aa', 'bb', 'c', 'd']) batch.add(item);
  t.deepEqual(flushed, [['aa', 'bb', 'c']]);
  t.is(batch.count, 1);
});

test('a batch whose flush adds again does not lose what was added', (t) => {
  const flushed: number[][] = [];
  const batch: Batch<number> = new Batch<number>({
    maxCount: 2,
    flush: (items) => {
      flushed.push(items);
      if (flushed.length === 1) batch.add(9);
    },
    endOfTurn: () => {},
  });
  batch.add(1);
  batch.add(2);
  batch.flush();
  t.deepEqual(flushed, [[1, 2], [9]]);
});

test('packed bytes come back the same, any number of any length', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 40 }), (parts) => {
      t.deepEqual(
        unpackBytes(packBytes(parts)).map((part) => [...part]),
        parts.map((part) => [...part]),
      );
    }),
  );
});

test('a packed buffer moves to another port whole, and carries nothing of its neighbours in the pool', (t) => {
  const parts = [Buffer.from('first'), Buffer.alloc(0), Buffer.from('third')];
  const packed = packBytes(parts);
  t.is(packed.byteLength, 4 * 4 + 10);
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(packed, [packed]);
  const received = receiveMessageOnPort(port2) as { message: ArrayBuffer };
  t.deepEqual(unpackBytes(received.message).map(String), ['first', '', 'third']);
  t.throws(() => unpackBytes(packed), { message: /transferred twice/ });
  port1.close();
});

test('a buffer that was not packed is refused and never read past its end', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        const parts = unpackBytes(new Uint8Array(bytes).buffer);
        t.true(parts.reduce((sum, part) => sum + part.length, 4 + 4 * parts.length) === bytes.length);
      } catch (thrown) {
        t.true(thrown instanceof RangeError);
      }
    }),
  );
});

test('a column crosses as a dense array, though its function was optimized', (t) => {
  const items = [1, 2, 3].map((id) => ({ id, name: `n${id}` }));
  let names: string[] = [];
  for (let round = 0; round < 50_000; round++) names = column(items, ({ name }) => name);
  t.deepEqual(names, ['n1', 'n2', 'n3']);
  // V8's wire format: two bytes of version, then the tag: A is a dense array, a one with holes.
  t.is(serialize(names).toString('latin1', 2, 3), 'A');
  t.is(serialize(new Array(3)).toString('latin1', 2, 3), 'a');
});
