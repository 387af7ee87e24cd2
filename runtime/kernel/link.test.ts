// Links and mailboxes over real message ports in one thread: credits, deadlines, errors, and calls that always settle.
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';
import { ManualClock } from './clock.js';
import { PortLink } from './link.js';
import { Mailbox, type ReplyTransfers } from './mailbox.js';
import { DEALT, DEPTH_BYTES, namesOf, SENT } from './wire.js';
import { ActorError } from './wire-error.js';

interface Contract {
  tell: { note: { text: string }; attach: { data: unknown } };
  ask: {
    echo: { request: { value: unknown }; reply: { value: unknown } };
    hold: { request: object; reply: { released: true } };
    fail: { request: object; reply: object };
    give: { request: object; reply: { bytes: Uint8Array } };
    giveFunction: { request: object; reply: object };
  };
}

const policies = {
  tell: { note: { max: 2, reason: 'a test' }, attach: { max: 2, reason: 'a test' } },
  ask: {
    echo: { max: 2, reason: 'a test' },
    hold: { max: 2, reason: 'a test' },
    fail: { max: 2, reason: 'a test' },
    give: { max: 2, reason: 'a test' },
    giveFunction: { max: 2, reason: 'a test' },
  },
};

interface Pair {
  readonly link: PortLink<Contract>;
  readonly clock: ManualClock;
  readonly notes: string[];
  readonly held: (() => void)[];
  /** Runs in the receiver at each note. */
  onNote: () => void;
  readonly sent: ArrayBufferLike[];
  readonly receiverPort: MessagePort;
  readonly mailbox: Mailbox;
  depth(): number;
  /** A new channel to the same receiver, as after its restart. */
  connect(): void;
}

function pair(t: ExecutionContext, outcomeUnknownOnDeath = false): Pair {
  const clock = new ManualClock();
  const notes: string[] = [];
  const held: (() => void)[] = [];
  const sent: ArrayBufferLike[] = [];
  const transfers: ReplyTransfers = new WeakMap();
  const names = namesOf(policies);
  const mailbox = new Mailbox({
    names,
    state: () => null,
    transfers,
    dispatched: () => {},
    handlers: {
      tell: {
        note: (_, payload) => {
          notes.push((payload as { text: string }).text);
          made.onNote();
        },
        attach: () => {},
      },
      ask: {
        echo: (_, request) => request,
        hold: () => new Promise((resolve) => held.push(() => resolve({ released: true }))),
        fail: () => {
          throw new ActorError('gate_closed', 'not now', { gate: 'store' });
        },
        give: () => {
          const reply = { bytes: new Uint8Array([1, 2, 3]) };
          transfers.set(reply, [reply.bytes.buffer]);
          sent.push(reply.bytes.buffer);
          return reply;
        },
        giveFunction: () => ({ run: () => 1 }),
      },
    },
  });
  const link = new PortLink<Contract>('peer', clock, outcomeUnknownOnDeath);
  let cells = new Int32Array(new SharedArrayBuffer(DEPTH_BYTES));
  let receiverPort: MessagePort | null = null;
  const connect = (): void => {
    const { port1, port2 } = new MessageChannel();
    const depth = new SharedArrayBuffer(DEPTH_BYTES);
    cells = new Int32Array(depth);
    receiverPort = port2;
    mailbox.serve('caller', port2, depth);
    link.connect({ peer: 'peer', port: port1, names, depth });
  };
  const made: Pair = {
    onNote() {},
    link,
    clock,
    notes,
    held,
    sent,
    mailbox,
    connect,
    get receiverPort() {
      return receiverPort!;
    },
    depth: () => cells[SENT]! - cells[DEALT]!,
  };
  connect();
  t.teardown(() => link.disconnect());
  return made;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'answered';
  } catch (thrown) {
    return thrown instanceof ActorError ? thrown.code : String(thrown);
  }
}

/** A round trip: everything that was sent before it was dealt with, credits included. */
async function roundTrip(link: PortLink<Contract>): Promise<void> {
  await link.ask('echo', { value: null });
  await new Promise((resolve) => setImmediate(resolve));
  await link.ask('echo', { value: null });
}

test('RT-7: an ask is answered with what the handler returned', async (t) => {
  const { link, depth } = pair(t);
  const value = { text: 'ü', list: [1, null, true], bytes: new Uint8Array([1, 2]) };
  t.deepEqual(await link.ask('echo', { value }), { value });
  t.is(depth(), 0);
});

test('RT-7: tells arrive in order, take a credit each, and give it back when dealt with', async (t) => {
  const { link, notes, depth } = pair(t);
  t.is(link.tell('note', { text: 'a' }), 'ok');
  t.is(link.tell('note', { text: 'b' }), 'ok');
  t.is(link.tell('note', { text: 'c' }), 'overloaded');
  t.is(depth(), 2);
  await roundTrip(link);
  t.deepEqual(notes, ['a', 'b']);
  t.is(depth(), 0);
  for (const text of ['d', 'e', 'f']) {
    t.is(link.tell('note', { text }), 'ok');
    await roundTrip(link);
  }
  t.deepEqual(notes, ['a', 'b', 'd', 'e', 'f']);
  const results = ['g', 'h', 'i'].map((text) => link.tell('note', { text }));
  t.deepEqual(results, ['ok', 'ok', 'overloaded'], 'each credit came back once');
});

test('RT-7: an ask without credit is refused at once, without being sent, and other names still pass', async (t) => {
  const { link, held, depth } = pair(t);
  const first = link.ask('hold', {});
  const second = link.ask('hold', {});
  const error = await t.throwsAsync(link.ask('hold', {}), { instanceOf: ActorError });
  t.like(error, { code: 'overloaded', retryable: true });
  t.like(error.data, { peer: 'peer', name: 'hold', max: 2 });
  t.is(depth(), 2);
  await roundTrip(link);
  for (const release of held) release();
  t.deepEqual(await Promise.all([first, second]), [{ released: true }, { released: true }]);
  t.is(await codeOf(Promise.race([link.ask('hold', {}), roundTrip(link)])), 'answered', 'the credits are back');
});

test('RT-7: a call settles at its deadline; its credit comes back only with the late answer', async (t) => {
  const { link, clock, held } = pair(t);
  const short = codeOf(link.ask('hold', {}, { deadlineMs: 50 }));
  const long = codeOf(link.ask('hold', {}, { deadlineMs: 80 }));
  await roundTrip(link);
  clock.advance(49);
  t.is(await Promise.race([short, roundTrip(link).then(() => 'waits')]), 'waits');
  clock.advance(1);
  t.is(await short, 'deadline');
  t.is(await Promise.race([long, roundTrip(link).then(() => 'waits')]), 'waits');
  clock.advance(30);
  t.is(await long, 'deadline');
  t.is(await codeOf(link.ask('hold', {})), 'overloaded', 'the receiver still has both in hand');
  for (const release of held) release();
  await roundTrip(link);
  const third = link.ask('hold', {});
  await roundTrip(link);
  held.at(-1)!();
  t.deepEqual(await third, { released: true });
});

test('RT-7: an earlier deadline after a later one is kept, and without any one no timer is left', async (t) => {
  const { link, clock, held } = pair(t);
  const long = codeOf(link.ask('hold', {}, { deadlineMs: 1_000 }));
  const short = codeOf(link.ask('hold', {}, { deadlineMs: 10 }));
  clock.advance(10);
  t.is(await short, 'deadline');
  await roundTrip(link);
  for (const release of held) release();
  t.is(await long, 'answered');
  clock.advance(10_000);
  t.is(clock.nextTimerMs(), null);
});

for (const [outcomeUnknown, code] of [
  [false, 'peer_down'],
  [true, 'outcome_unknown'],
] as const) {
  test(`RT-7: calls in flight to a receiver that dies settle as ${code}, new ones as peer_down`, async (t) => {
    const { link, receiverPort } = pair(t, outcomeUnknown);
    const history: string[] = [];
    link.onUp(() => history.push('up'));
    link.onDown(() => history.push('down'));
    const calls = [link.ask('hold', {}), link.ask('hold', {})].map(codeOf);
    await roundTrip(link);
    receiverPort.close();
    t.deepEqual(await Promise.all(calls), [code, code]);
    t.false(link.up);
    t.is(await codeOf(link.ask('echo', { value: 1 })), 'peer_down');
    t.is(link.tell('note', { text: 'x' }), 'down');
    t.deepEqual(history, ['up', 'down']);
  });
}

test('RT-7: a new channel starts with all credits, and nothing of the old one is delivered', async (t) => {
  const { link, connect, notes, held, depth } = pair(t);
  link.tell('note', { text: 'old' });
  const old = codeOf(link.ask('hold', {}));
  link.disconnect();
  connect();
  t.is(await old, 'peer_down');
  t.is(link.tell('note', { text: 'new 1' }), 'ok');
  t.is(link.tell('note', { text: 'new 2' }), 'ok');
  await roundTrip(link);
  t.deepEqual(notes, ['new 1', 'new 2'], 'what the dead caller had queued is dropped');
  t.is(held.length, 0);
  t.is(depth(), 0);
});

test('RT-7: what a port still delivers after it was closed is dropped by the receiver', async (t) => {
  const pairing = pair(t);
  const { link, mailbox, notes, connect } = pairing;
  pairing.onNote = () => mailbox.close('caller');
  link.tell('note', { text: 'a' });
  link.tell('note', { text: 'b' });
  await new Promise<void>((resolve) => link.onDown(resolve));
  connect();
  await roundTrip(link);
  t.deepEqual(notes, ['a']);
});

test('RT-7: what a port still delivers after it was closed is dropped by the caller', async (t) => {
  const { link, connect, held } = pair(t);
  const [first, second] = [link.ask('hold', {}), link.ask('hold', {})];
  await roundTrip(link);
  const then = first.then(() => {
    link.disconnect();
    connect();
    // On the new channel numbers go on: no answer of the old one can be taken for one of these.
    return codeOf(Promise.race([link.ask('hold', {}), roundTrip(link).then(() => Promise.reject(new Error('waits')))]));
  });
  for (const release of held) release();
  t.is(await then, 'Error: waits');
  t.is(await codeOf(second), 'peer_down');
});

test('RT-7: a reply of the old channel never settles a call of the new one', async (t) => {
  const { link, connect, held } = pair(t);
  const old = codeOf(link.ask('hold', {}));
  await roundTrip(link);
  link.disconnect();
  connect();
  const current = link.ask('hold', {});
  await roundTrip(link);
  t.is(held.length, 2);
  held[0]!();
  t.is(await Promise.race([current.then(() => 'settled'), roundTrip(link).then(() => 'waits')]), 'waits');
  held[1]!();
  t.deepEqual(await current, { released: true });
  t.is(await old, 'peer_down');
});

test('RT-7: an error thrown by a handler keeps its code and data', async (t) => {
  const { link, depth } = pair(t);
  const error = await t.throwsAsync(link.ask('fail', {}), { instanceOf: ActorError });
  t.like(error, { code: 'gate_closed', message: 'gate_closed: not now' });
  t.deepEqual({ ...error.data }, { gate: 'store' });
  t.is(depth(), 0);
});

test('RT-7: what cannot cross threads is refused on either side and takes no credit', async (t) => {
  const { link, notes, depth } = pair(t);
  for (let time = 0; time < 3; time++) {
    t.is(await codeOf(link.ask('echo', { value: () => 1 })), 'not_cloneable');
    t.is(await codeOf(link.ask('giveFunction', {})), 'not_cloneable');
    const error = t.throws(() => link.tell('attach', { data: () => 1 }), { instanceOf: ActorError });
    t.is(error.code, 'not_cloneable');
  }
  t.is(link.tell('attach', { data: 1 }), 'ok');
  await roundTrip(link);
  t.is(depth(), 0);
  t.deepEqual(notes, []);
});

test('RT-7: buffers in a reply move instead of being copied', async (t) => {
  const { link, sent } = pair(t);
  const { bytes } = await link.ask('give', {});
  t.deepEqual([...bytes], [1, 2, 3]);
  t.is(sent[0]!.byteLength, 0, 'the sender no longer has it');
});

test('RT-7: a caller that is closed by its receiver gets no answer but an end', async (t) => {
  const { link, mailbox } = pair(t);
  const call = codeOf(link.ask('hold', {}));
  await roundTrip(link);
  mailbox.closeAll();
  t.is(await call, 'peer_down');
});

test('RT-7: a bound without a handler is an error at once, not at the first message', (t) => {
  const names = namesOf({ tell: {}, ask: { missing: { max: 1, reason: 'a test' } } });
  const build = (): Mailbox =>
    new Mailbox({
      names,
      handlers: { tell: {}, ask: {} },
      state: () => null,
      transfers: new WeakMap(),
      dispatched: () => {},
    });
  t.throws(build, { message: /no handler for the ask "missing"/ });
});
