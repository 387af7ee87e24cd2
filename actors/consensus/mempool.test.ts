import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import type { Entry } from '../../protocol/ledger/apply.js';
import { MEMPOOL_BYTES_MAX, MEMPOOL_ENTRIES_MAX, Mempool, type Pooled } from './mempool.js';

let made = 0;

function pooled(issuer: string, sizeBytes = 10, content = `content ${made++}`, origin = ''): Pooled {
  const prepared = { body: Buffer.from(content), id: content };
  const entry = { issuer, raw: Buffer.alloc(sizeBytes), prepared } as unknown as Entry;
  return { entry, lsn: 0, route: 1, content, origin };
}

/** Out of the mempool for good, as after a final block. */
function takeOut(mempool: Mempool, entries: number, bytes: number): Pooled[] {
  const taken = mempool.take(entries, bytes);
  mempool.remove(taken);
  return taken;
}

function issuers(taken: readonly Pooled[]): string {
  return taken.map(({ entry }) => entry.issuer).join('');
}

test('DECISIONS 25: taken round-robin by issuer, so that a flood costs others nothing but its share', (t) => {
  const mempool = new Mempool();
  for (let i = 0; i < 5; i++) mempool.add(pooled('a'));
  for (let i = 0; i < 2; i++) mempool.add(pooled('b'));
  mempool.add(pooled('c'));
  t.is(issuers(takeOut(mempool, 5, 1_000)), 'abcab');
  t.is(issuers(takeOut(mempool, 5, 1_000)), 'aaa');
  t.is(mempool.size, 0);
  t.is(mempool.sizeBytes, 0);
});

test('of one issuer the order of arrival is kept', (t) => {
  const mempool = new Mempool();
  const list = Array.from({ length: 6 }, () => pooled('a'));
  for (const each of list) mempool.add(each);
  t.deepEqual([...mempool.take(2, 1_000), ...mempool.take(10, 1_000)], list);
});

test('DECISIONS 25: taken round-robin by node, then by issuer: a node with many issuers gets no more than its turn', (t) => {
  const mempool = new Mempool(4);
  for (const issuer of ['a', 'b', 'c'])
    for (let i = 0; i < 2; i++) mempool.add(pooled(issuer, 10, undefined, 'node_0'));
  for (let i = 0; i < 6; i++) mempool.add(pooled('x', 10, undefined, 'node_1'));
  t.is(issuers(mempool.take(8, 1_000)), 'axbxcxax');
  t.is(issuers(mempool.take(8, 1_000)), 'bxcx');
});

test('DECISIONS 25: a node is full when its share has no room for a large body, and other nodes are not', (t) => {
  const mempool = new Mempool(4);
  const large = 64 * 1024;
  let count = 0;
  while (!mempool.isFull('node_1')) {
    t.true(mempool.add(pooled('a', large, undefined, 'node_1')));
    count += 1;
  }
  t.is(count, MEMPOOL_BYTES_MAX / 4 / large);
  t.false(mempool.add(pooled('b', large, undefined, 'node_1')));
  t.false(mempool.isFull('node_2'));
  takeOut(mempool, 1, large);
  t.false(mempool.isFull('node_1'));
});

test('DECISIONS 25: a node may fill its share of the room and no more', (t) => {
  const mempool = new Mempool(4);
  let taken = 0;
  while (mempool.add(pooled(`issuer ${taken % 20}`, 1, undefined, 'node_1'))) taken += 1;
  t.is(taken, MEMPOOL_ENTRIES_MAX / 4);
  t.true(mempool.add(pooled('issuer 1', 1, undefined, 'node_2')));
});

test('what stands in a block waits no more, until the block is given up', (t) => {
  const mempool = new Mempool(4);
  const own = pooled('a');
  const other = pooled('b');
  mempool.add(own);
  mempool.hold([own, other]);
  t.deepEqual([mempool.size, mempool.waiting], [2, 0], 'also what only the block has brought');
  t.deepEqual(mempool.take(10, 1_000), []);
  mempool.release([own, other]);
  t.is(mempool.waiting, 2);
  t.deepEqual(mempool.take(10, 1_000), [own, other]);
  mempool.release([own]);
  mempool.remove([own, other]);
  t.deepEqual([mempool.size, mempool.waiting, mempool.sizeBytes], [0, 0, 0]);
  t.deepEqual(mempool.take(10, 1_000), [], 'nothing is left of what was removed while it waited');
});

test('what was verified is found by its body, and rivals by their name', (t) => {
  const mempool = new Mempool(4);
  const first = pooled('a', 10, 'first');
  const named = { ...first.entry.prepared, id: 'same' };
  const rival = {
    ...first,
    content: 'rival',
    entry: { ...first.entry, prepared: { ...named, body: Buffer.from('rival') } },
  };
  mempool.add(rival as unknown as Pooled);
  t.is(mempool.byBody('rival')?.content, 'rival');
  t.is(mempool.byBody('first'), undefined);
  const final = { ...first, entry: { ...first.entry, prepared: named } } as unknown as Pooled;
  t.deepEqual(
    mempool.namesakes([final]).map(({ content }) => content),
    ['rival'],
  );
  mempool.remove([rival as unknown as Pooled]);
  t.is(mempool.byBody('rival'), undefined);
  t.deepEqual(mempool.namesakes([final]), []);
});

test('one content waits once; taken out it may come again', (t) => {
  const mempool = new Mempool();
  t.true(mempool.add(pooled('a', 10, 'same')));
  t.true(mempool.add(pooled('a', 10, 'same')));
  t.true(mempool.add(pooled('b', 10, 'same')));
  t.is(mempool.size, 1);
  t.is(mempool.sizeBytes, 10);
  takeOut(mempool, 1, 100);
  t.true(mempool.add(pooled('a', 10, 'same')));
  t.is(mempool.size, 1);
});

test('full for one issuer at its tenth, with room for the others', (t) => {
  const mempool = new Mempool();
  let taken = 0;
  while (mempool.add(pooled('flood'))) taken += 1;
  t.is(taken, MEMPOOL_ENTRIES_MAX / 10);
  t.true(mempool.add(pooled('other')));
});

test('full at its entries, full at its bytes', (t) => {
  const byEntries = new Mempool();
  let taken = 0;
  while (taken < MEMPOOL_ENTRIES_MAX && byEntries.add(pooled(`issuer ${taken % 20}`))) taken += 1;
  t.is(taken, MEMPOOL_ENTRIES_MAX);
  t.false(byEntries.add(pooled('one more')));
  const byBytes = new Mempool();
  const shared = Buffer.alloc(MEMPOOL_BYTES_MAX / 4);
  const large = (content: string): Pooled => ({
    ...pooled('a', 0, content),
    entry: { issuer: 'a', raw: shared, prepared: { body: Buffer.alloc(0) } } as unknown as Entry,
  });
  for (const content of ['1', '2', '3', '4']) t.true(byBytes.add(large(content)));
  t.false(byBytes.add(pooled('b', 1)));
  takeOut(byBytes, 1, MEMPOOL_BYTES_MAX);
  t.true(byBytes.add(pooled('b', 1)));
});

test('a block takes no more bytes than it may hold', (t) => {
  const mempool = new Mempool();
  for (const sizeBytes of [40, 40, 40]) mempool.add(pooled('a', sizeBytes));
  t.is(mempool.take(10, 100).length, 2);
  t.is(mempool.take(10, 100).length, 1);
});

test('one that is larger than any block is taken alone, so that it can be refused and the others go on', (t) => {
  const mempool = new Mempool();
  mempool.add(pooled('giant', 101));
  mempool.add(pooled('a', 10));
  t.is(issuers(mempool.take(10, 100)), 'giant');
  t.is(issuers(mempool.take(10, 100)), 'a');
});

test('whatever is added and taken, nothing is lost, doubled or counted wrong', (t) => {
  const adding = fc.record({
    issuer: fc.constantFrom('a', 'b', 'c'),
    origin: fc.constantFrom('', 'node_1'),
    sizeBytes: fc.nat(60),
    content: fc.nat(30),
  });
  const taking = fc.record({ entries: fc.nat(5), bytes: fc.integer({ min: 60, max: 200 }) });
  fc.assert(
    fc.property(fc.array(fc.oneof(adding, taking), { maxLength: 80 }), (actions) => {
      const mempool = new Mempool(2);
      const inside = new Map<string, Pooled>();
      for (const action of actions) {
        if ('issuer' in action) {
          const each = pooled(action.issuer, action.sizeBytes, `content ${action.content}`, action.origin);
          t.true(mempool.add(each));
          if (!inside.has(each.content)) inside.set(each.content, each);
        } else {
          const taken = takeOut(mempool, action.entries, action.bytes);
          t.true(taken.length <= action.entries);
          t.true(taken.reduce((sum, { entry }) => sum + entry.raw.length, 0) <= action.bytes);
          for (const each of taken) {
            t.is(inside.get(each.content), each);
            inside.delete(each.content);
          }
        }
        t.is(mempool.size, inside.size);
        t.is(
          mempool.sizeBytes,
          [...inside.values()].reduce((sum, { entry }) => sum + entry.raw.length, 0),
        );
      }
      t.is(mempool.take(1_000, 100_000).length, inside.size);
    }),
    { numRuns: 60 },
  );
});
