// What peers send, on its way to the other actors: who sends too much a second is not read for as long as it has to wait.
import test from 'ava';
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { ConsensusContract } from '../consensus/contract.js';
import type { IngressContract } from '../ingress/contract.js';
import { FakeLink } from '../testing/links.js';
import { Inbound, type Source } from './inbound.js';

class Socket implements Source {
  isPaused = false;
  pauses = 0;
  pause(): void {
    this.pauses += 1;
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
}

function setting(bytesPerSecond: number) {
  const clock = new ManualClock();
  const consensus = new FakeLink<ConsensusContract>('consensus');
  const ingress = new FakeLink<IngressContract>('ingress');
  const exceeded: string[] = [];
  const turns: (() => void)[] = [];
  const inbound = new Inbound({
    links: { consensus, ingress },
    clock,
    onDrop: () => undefined,
    rate: () => bytesPerSecond,
    onExceeded: (from) => exceeded.push(from),
    endOfTurn: (run) => void turns.push(run),
  });
  const endTurn = (): void => {
    for (const run of turns.splice(0)) run();
  };
  const told = (from: string): number =>
    consensus
      .told('peerFrames')
      .reduce((sum, message) => sum + (message.from === from ? message.frames.byteLength : 0), 0);
  return { clock, inbound, exceeded, endTurn, told };
}

test('NET-7: a peer that sends faster than it may is held back, loses nothing, and holds nobody else', (t) => {
  const { clock, inbound, exceeded, endTurn, told } = setting(1024 * 1024);
  const [flood, calm] = [new Socket(), new Socket()];
  const frame = new Uint8Array(64 * 1024);
  let sent = 0;
  const startMs = clock.monotonic();
  while (clock.monotonic() - startMs < 10_000) {
    // As fast as its socket is read.
    for (let count = 0; count < 8 && !flood.isPaused; count++, sent += frame.length) {
      inbound.receive('node_2', flood, 'consensus', frame);
    }
    inbound.receive('node_3', calm, 'consensus', frame.subarray(0, 100));
    endTurn();
    clock.advance(5);
    endTurn();
  }
  // A second's worth at once, ten more in ten seconds, and the frame that broke the bound.
  t.true(sent <= 11 * 1024 * 1024 + frame.length, `${sent}`);
  t.true(sent >= 9 * 1024 * 1024, `${sent}`);
  t.true(told('node_2') >= sent);
  t.is(calm.pauses, 0);
  t.deepEqual([...new Set(exceeded)], ['node_2']);
  t.true(exceeded.length <= 10_000 / 50, 'held for a while each time, not frame by frame');
});

test('NET-7: frames of a byte count for more, and a peer that goes away leaves no timer', (t) => {
  const { clock, inbound, exceeded, endTurn } = setting(1024 * 1024);
  const flood = new Socket();
  for (let count = 0; count < 2048; count++) inbound.receive('node_2', flood, 'ingress', Uint8Array.of(64));
  t.false(flood.isPaused);
  inbound.receive('node_2', flood, 'ingress', Uint8Array.of(64));
  t.true(flood.isPaused);
  endTurn();
  t.true(flood.isPaused, 'all of it was taken, and it still waits');
  t.deepEqual(exceeded, ['node_2']);
  inbound.forget('node_2');
  t.is(clock.nextTimerMs(), null);
});
