// Any stretch of a window holds at most its quota, whatever the order of calls, and who waits as told gets in.
import test from 'ava';
import fc from 'fast-check';
import { RateLimit, type RateWindow } from './rate-limit.js';

class Time {
  ms = 0;
  readonly now = (): number => this.ms;
  advance(ms: number): void {
    this.ms += ms;
  }
}

const BURST: RateWindow = { name: 'burst', quota: 20, windowS: 10 };
const SUSTAINED: RateWindow = { name: 'sustained', quota: 100, windowS: 60 };

test('IN-9: 20 in 10 s and 100 in 60 s, and each refusal says when there is room', (t) => {
  const clock = new Time();
  const limit = new RateLimit(clock.now, () => [BURST, SUSTAINED]);
  const counted = (calls: number) =>
    Array.from({ length: calls }, () => limit.take('node_2')).filter(({ exceeded }) => exceeded === null).length;
  t.is(counted(10_000), 20);
  t.like(limit.take('node_2'), { exceeded: BURST, retryAfterS: 10 });
  t.is(limit.take('node_3').exceeded, null, 'another caller has its own');
  for (let again = 0; again < 4; again++) {
    clock.advance(10_000);
    t.is(counted(50), 20);
  }
  clock.advance(10_000);
  const refused = limit.take('node_2');
  t.like(refused, { exceeded: SUSTAINED, retryAfterS: 10 });
  t.deepEqual(refused.headers, {
    'ratelimit-policy': '"burst";q=20;w=10, "sustained";q=100;w=60',
    ratelimit: '"burst";r=20;t=0, "sustained";r=0;t=10',
  });
  clock.advance(10_000);
  t.is(limit.take('node_2').exceeded, null);
});

test('IN-9: no stretch of a window ever holds more than its quota, and a caller that waits as it was told gets in', (t) => {
  const calls = fc.array(fc.integer({ min: 0, max: 4_000 }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(calls, (gaps) => {
      const clock = new Time();
      const windows = [
        { name: 'burst', quota: 3, windowS: 2 },
        { name: 'sustained', quota: 7, windowS: 9 },
      ];
      const limit = new RateLimit(clock.now, () => windows);
      const taken: number[] = [];
      const take = () => {
        const verdict = limit.take('x');
        if (verdict.exceeded === null) taken.push(clock.ms);
        return verdict;
      };
      for (const gapMs of gaps) {
        clock.advance(gapMs);
        const { exceeded, retryAfterS } = take();
        t.is(exceeded === null, retryAfterS === 0);
        if (exceeded === null) continue;
        clock.advance(1_000 * retryAfterS);
        t.is(take().exceeded, null);
      }
      for (const { quota, windowS } of windows) {
        for (const [index, atMs] of taken.entries()) {
          const before = taken[index - quota];
          t.true(before === undefined || atMs - before >= 1_000 * windowS);
        }
      }
    }),
    { numRuns: 50, seed: 9 },
  );
});

test('a window that a reload made narrower holds at once', (t) => {
  const clock = new Time();
  let quota = 5;
  const limit = new RateLimit(clock.now, () => [{ name: 'burst', quota, windowS: 10 }]);
  for (let call = 0; call < 5; call++) limit.take('x');
  clock.advance(1_000);
  quota = 2;
  t.like(limit.take('x'), { exceeded: { quota: 2 }, retryAfterS: 9 });
  limit.forget('x');
  t.is(limit.take('x').exceeded, null);
});
