// The queue of one peer as a property: whatever comes in, the bound holds, live frames win, order stays, nothing is unaccounted.
import test from 'ava';
import fc from 'fast-check';
import type { Lane } from './contract.js';
import { OutQueue } from './out-queue.js';

const MAX_BYTES = 100;
const MAX_FRAMES = 8;

test('NET-5: the bound holds, what goes out is in order, and every frame is sent, waiting or counted as dropped', (t) => {
  const step = fc.oneof(
    fc.record({ lane: fc.constantFrom<Lane>('live', 'bulk'), size: fc.integer({ min: 1, max: 120 }) }),
    fc.constant('next' as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let dropped = 0;
      let added = 0;
      let sent = 0;
      const queue = new OutQueue(
        () => {
          dropped += 1;
        },
        MAX_BYTES,
        MAX_FRAMES,
      );
      const last: Record<Lane, number> = { live: -1, bulk: -1 };
      const numbers = new Map<Uint8Array, number>();
      for (const each of steps) {
        if (each === 'next') {
          const liveWaits = queue.frames('live') > 0;
          const next = queue.next();
          if (next === null) continue;
          sent += 1;
          const number = numbers.get(next.frame)!;
          if (number <= last[next.lane]) return false;
          last[next.lane] = number;
          if (liveWaits && next.lane !== 'live') return false;
        } else {
          const frame = new Uint8Array(each.size);
          numbers.set(frame, added++);
          queue.add(each.lane, frame);
        }
        const bytes = queue.bytes('live') + queue.bytes('bulk');
        const frames = queue.frames('live') + queue.frames('bulk');
        if (bytes > MAX_BYTES || frames > MAX_FRAMES || added !== sent + dropped + frames) return false;
      }
      return true;
    }),
  );
  t.pass();
});

test('NET-5: a live frame drives out bulk frames, a bulk frame never a live one', (t) => {
  const dropped: [Lane, number][] = [];
  const queue = new OutQueue((lane, frame) => void dropped.push([lane, frame[0]!]), 3, 100);
  queue.add('bulk', Uint8Array.of(1));
  queue.add('live', Uint8Array.of(2));
  queue.add('bulk', Uint8Array.of(3));
  queue.add('live', Uint8Array.of(4));
  t.deepEqual(dropped, [['bulk', 1]]);
  queue.add('bulk', Uint8Array.of(5));
  t.deepEqual(dropped.at(-1), ['bulk', 5]);
  queue.add('live', Uint8Array.of(6));
  queue.add('live', Uint8Array.of(7));
  t.deepEqual(dropped.slice(2), [
    ['bulk', 3],
    ['live', 2],
  ]);
  queue.clear();
  t.is(dropped.length, 7);
  t.is(queue.next(), null);
});
