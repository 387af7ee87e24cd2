import test from 'ava';
import type { Want } from '../../protocol/consensus/effect.js';
import { wantKey } from '../../protocol/consensus/turn.js';
import { ManualClock } from '../../runtime/kernel/clock.js';
import { Fetcher } from './fetcher.js';

function rig(peers: string[]) {
  const clock = new ManualClock();
  const wanted = new Set<string>();
  const asked: string[] = [];
  const fetcher = new Fetcher({
    clock,
    peers: () => peers,
    request: (nodeId, want) => void asked.push(`${nodeId} ${want.type === 'block' ? want.hash : want.view}`),
    isWanted: (key) => wanted.has(key),
  });
  const want = (hash: string): Want => {
    const made: Want = { type: 'block', hash, view: 1 };
    wanted.add(wantKey(made));
    return made;
  };
  return { clock, wanted, asked, fetcher, want, peers };
}

test('R10: the holder is asked first, then the others in turn, one at a time, until it is there', (t) => {
  const { clock, wanted, asked, fetcher, want } = rig(['a', 'b', 'c']);
  fetcher.add(want('x'), 'b');
  fetcher.add(want('x'), 'c');
  t.deepEqual(asked, ['b x'], 'one request is under way');
  clock.advance(400);
  clock.advance(400);
  clock.advance(400);
  t.deepEqual(asked, ['b x', 'c x', 'a x', 'b x']);
  wanted.clear();
  fetcher.sweep();
  clock.advance(5_000);
  t.is(asked.length, 4);
  t.is(fetcher.size, 0);
  t.is(clock.nextTimerMs(), null);
});

test('who says that it is absent is left at once; when all have said so there is a pause', (t) => {
  const { clock, asked, fetcher, want } = rig(['a', 'b']);
  fetcher.add(want('x'), null);
  fetcher.absent('b', { hash: 'x' });
  t.deepEqual(asked, ['a x'], 'the word of somebody who was not asked counts nothing');
  fetcher.absent('a', { hash: 'x' });
  fetcher.absent('b', { hash: 'x' });
  fetcher.absent('a', { hash: 'x' });
  fetcher.absent('b', { hash: 'x' });
  t.true(asked.length <= 4);
  const before = asked.length;
  clock.advance(400);
  t.is(asked.length, before + 1);
});

test('without peers nothing is asked; the first one that comes is', (t) => {
  const { clock, asked, fetcher, want, peers } = rig([]);
  fetcher.add(want('x'), 'a');
  t.deepEqual(asked, []);
  peers.push('a');
  clock.advance(400);
  t.deepEqual(asked, ['a x']);
});

test('of many wants only so many are under way', (t) => {
  const { asked, fetcher, want, wanted, clock } = rig(['a']);
  for (let i = 0; i < 40; i++) fetcher.add(want(`h${i}`), null);
  t.is(asked.length, 16);
  for (let i = 0; i < 16; i++) wanted.delete(`block h${i}`);
  fetcher.sweep();
  t.is(asked.length, 32);
  fetcher.stop();
  clock.advance(10_000);
  t.is(asked.length, 32);
});
