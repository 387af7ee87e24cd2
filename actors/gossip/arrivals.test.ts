// Who opens connections without end is turned away before a handshake, and nobody else with it.
import test from 'ava';
import { Arrivals } from './arrivals.js';

test('NET-7: 64 connections of an address in a second, and others are not held for it', (t) => {
  let nowMs = 5_000;
  const arrivals = new Arrivals(() => nowMs);
  const taken = (address: string, count: number) =>
    Array.from({ length: count }, () => arrivals.take(address)).filter(Boolean).length;
  t.is(taken('10.0.0.2', 1_000), 64);
  t.is(taken('10.0.0.3', 10), 10);
  nowMs += 999;
  t.false(arrivals.take('10.0.0.2'));
  nowMs += 1;
  t.true(arrivals.take('10.0.0.2'));
});

test('NET-7: addresses beyond the bound share what one may', (t) => {
  const arrivals = new Arrivals(() => 0);
  for (let number = 0; number < 1_024; number++) t.true(arrivals.take(`a${number}`));
  const others = Array.from({ length: 500 }, (_, number) => arrivals.take(`b${number}`));
  t.is(others.filter(Boolean).length, 64);
  t.true(arrivals.take('a7'), 'who came before is known');
});
