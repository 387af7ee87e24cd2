// R0: what the door costs. Wrong signatures, repetitions and floods are dropped before they cost much, and counted.
// Run by ava, over mock signatures that count how often they are verified.
import test from 'ava';
import { type Certificate, signedBytes } from './certificate.js';
import type { Context } from './context.js';
import type { Input } from './input.js';
import type { BlockRef, Message, Status, Vote } from './message.js';
import { createState, type State } from './state.js';
import { step } from './step.js';
import { GENESIS } from './testing/host.js';
import { GENESIS_HASH, mockContext } from './testing/random.js';
import { NOTARIZE, NULLIFY, type VoteKind } from './vote.js';

class Door {
  readonly context: Context;
  readonly state: State;
  verified = 0;
  private readonly n: number;

  constructor(n: number) {
    this.n = n;
    const mock = mockContext(n, 0);
    this.context = {
      ...mock,
      verify: (signature, bytes, key) => {
        this.verified += 1;
        return mock.verify(signature, bytes, key);
      },
    };
    this.state = createState(this.context, { finalized: GENESIS });
    this.feed({ type: 'start', now: 0 });
  }

  feed(input: Input) {
    return step(this.context, this.state, input);
  }

  hear(from: number | null, message: Message, now = 1) {
    return this.feed({ type: 'message', now, from, message });
  }

  vote(kind: VoteKind, view: number, hash: string | null, signer: number): Vote {
    const signature = mockContext(this.n, signer).sign(signedBytes(this.context, kind, view, hash));
    return { kind, view, hash, signer, signature };
  }

  certificate(kind: VoteKind, view: number, hash: string | null, signers: readonly number[]): Certificate {
    const signatures = signers.map((signer) => this.vote(kind, view, hash, signer).signature);
    return { kind, view, hash, signers, signatures };
  }
}

const A = 'aa'.repeat(32);
const said = (vote: Vote): Message => ({ type: 'vote', epoch: 0, vote });

test('NET-7: a link that sends wrong signatures is not listened to for a while; others are', (t) => {
  const door = new Door(4);
  // View 2, which this node is not in: its own vote plays no part.
  const wrong = { ...door.vote(NULLIFY, 2, null, 2), signature: new Uint8Array(64) };
  for (let i = 0; i < 1_000; i++) door.hear(2, said(wrong));
  t.is(door.verified, 256);
  t.is(door.state.refused.signature, 256);
  t.is(door.state.refused.muted, 744);
  // What needs no verification still passes, and so do the others, a stranger among them.
  door.hear(3, said(door.vote(NULLIFY, 2, null, 3)));
  door.hear(null, said(door.vote(NULLIFY, 2, null, 1)));
  t.is(door.verified, 258);
  door.hear(2, said(door.vote(NULLIFY, 2, null, 2)), 9_999);
  t.is(door.state.views.get(2)!.nullification, null);
  door.hear(2, said(door.vote(NULLIFY, 2, null, 2)), 10_001);
  t.not(door.state.views.get(2)!.nullification, null);
});

test('NET-7: a wrong certificate costs its link as many as it has signatures', (t) => {
  const door = new Door(100);
  const signers = [...Array(67).keys()];
  const wrong = door.certificate(NULLIFY, 3, null, signers);
  const message: Message = { type: 'certificate', epoch: 0, certificate: { ...wrong, view: 4 } };
  for (let i = 0; i < 100; i++) door.hear(5, message);
  t.is(door.state.refused.signature, 4);
  t.is(door.state.refused.muted, 96);
});

test('a vote and a certificate that are held are not verified again', (t) => {
  const door = new Door(4);
  const vote = door.vote(NULLIFY, 1, null, 2);
  for (let i = 0; i < 10; i++) door.hear(2, said(vote));
  t.is(door.verified, 1);
  const certificate = door.certificate(NULLIFY, 1, null, [1, 2, 3]);
  for (let i = 0; i < 10; i++) door.hear(1, { type: 'certificate', epoch: 0, certificate });
  t.is(door.verified, 3, 'the vote of 2 was known');
  const other = door.certificate(NULLIFY, 1, null, [0, 1, 3]);
  door.hear(1, { type: 'certificate', epoch: 0, certificate: other });
  t.is(door.verified, 3);
});

test('CO-5: a liar may sign what it likes: each view costs one verification more, not each message', (t) => {
  const door = new Door(4);
  for (let i = 0; i < 100; i++) {
    door.hear(2, said(door.vote(NOTARIZE, 1, i.toString(16).padStart(64, '0'), 2)));
  }
  t.is(door.verified, 2);
  t.is(door.state.evidence.length, 1);
});

test('CO-5: a leader with all the accusations that are kept against it still loses its view at once', (t) => {
  const door = new Door(4);
  const B = 'bb'.repeat(32);
  for (let view = 5; view <= 40; view += 4) {
    const [first, second] = [door.vote(NOTARIZE, view, A, 1), door.vote(NOTARIZE, view, B, 1)];
    door.hear(2, { type: 'evidence', epoch: 0, evidence: { rule: 'E1', first, second } });
  }
  t.is(door.state.evidence.length, 8);
  const propose = (hash: string) => {
    const block = { hash, height: 1, view: 1, parentView: 0, parentHash: GENESIS_HASH, timestamp: 0, entryCount: 0 };
    const { signature } = door.vote(NOTARIZE, 1, hash, 1);
    return door.hear(1, { type: 'proposal', epoch: 0, proposal: { block, signature, justification: [] } });
  };
  propose(A);
  const { records } = propose(B);
  t.deepEqual(
    records.map((record) => record.type === 'vote' && record.vote.kind),
    [NULLIFY],
  );
});

test('among many validators a vote that a certificate makes superfluous is not verified', (t) => {
  for (const [n, more] of [
    [16, 1],
    [17, 0],
    [100, 0],
  ] as const) {
    const door = new Door(n);
    const { quorum } = door.state;
    const signers = [...Array(quorum).keys()].map((i) => i + 1);
    for (const signer of signers) door.hear(signer, said(door.vote(NULLIFY, 2, null, signer)));
    t.is(door.state.view, 3, `n = ${n}`);
    t.is(door.verified, quorum);
    door.hear(n - 1, said(door.vote(NULLIFY, 2, null, n - 1)));
    t.is(door.verified, quorum + more, `n = ${n}`);
  }
});

test('a proposal with wrong certificates is judged no further than the first', (t) => {
  const door = new Door(4);
  const block: BlockRef = {
    hash: A,
    height: 1,
    view: 70,
    parentView: 0,
    parentHash: GENESIS_HASH,
    timestamp: 0,
    entryCount: 0,
  };
  const { signature } = door.vote(NOTARIZE, 70, A, 2);
  const certificate = { ...door.certificate(NULLIFY, 9, null, [1, 2, 3]), view: 10 };
  const justification = Array.from({ length: 64 }, () => certificate);
  door.hear(2, { type: 'proposal', epoch: 0, proposal: { block, signature, justification } });
  t.is(door.verified, 2);
  const many = { block, signature, justification: [...justification, certificate] };
  door.hear(2, { type: 'proposal', epoch: 0, proposal: many });
  t.is(door.state.refused.malformed, 1);
});

test('a jump over a million views, and a proposal that claims them as its gap, cost little', (t) => {
  const door = new Door(4);
  const view = 1_000_002;
  const certificate = door.certificate(NULLIFY, view - 1, null, [1, 2, 3]);
  door.hear(1, { type: 'certificate', epoch: 0, certificate });
  t.is(door.state.view, view);
  const { effects } = door.feed({ type: 'tick', now: 5_000 });
  const status = effects.flatMap((effect) =>
    effect.type === 'broadcast' && effect.message.type === 'status' ? [effect.message.status] : [],
  );
  t.is(status[0]!.open.length, 64);
  t.deepEqual([status[0]!.open[0]!.view, status[0]!.open[62]!.view, status[0]!.open[63]!.view], [1, 63, view]);
  const block = { hash: A, height: 1, view, parentView: 0, parentHash: GENESIS_HASH, timestamp: 0, entryCount: 0 };
  const { signature } = door.vote(NOTARIZE, view, A, view % 4);
  door.hear(view % 4, { type: 'proposal', epoch: 0, proposal: { block, signature, justification: [] } }, 5_001);
  t.is(door.state.wanted.size, 64);
});

test('every refusal is counted by its reason', (t) => {
  const door = new Door(4);
  const vote = door.vote(NULLIFY, 1, null, 2);
  door.hear(2, { ...said(vote), epoch: 1 });
  door.hear(2, said({ ...vote, view: 0 }));
  door.hear(2, said(door.vote(NULLIFY, 3, null, 2)));
  door.hear(2, said({ ...vote, signature: vote.signature.subarray(1) }));
  door.hear(null, { type: 'recover', epoch: 0, nonce: A });
  door.feed({
    type: 'block',
    now: 2,
    block: { hash: A, height: 1, view: 1, parentView: 0, parentHash: GENESIS_HASH, timestamp: 0, entryCount: 0 },
  });
  t.deepEqual(door.state.refused, { epoch: 1, malformed: 1, signature: 1, muted: 0, 'out-of-range': 1, unasked: 2 });
});

const fresh: Status = {
  finalizedView: 0,
  finalizedHash: GENESIS_HASH,
  height: 0,
  view: 1,
  open: [{ view: 1, certificates: [], votes: [[], [], []] }],
};

test('R10: statuses of one peer are answered four times a period, and malformed ones not at all', (t) => {
  const door = new Door(4);
  const certificate = door.certificate(NULLIFY, 1, null, [1, 2, 3]);
  door.hear(1, { type: 'certificate', epoch: 0, certificate });
  let answers = 0;
  for (let now = 1_000; now < 1_200; now++) {
    const { effects } = door.hear(2, { type: 'status', epoch: 0, status: fresh }, now);
    answers += effects.filter(({ type }) => type === 'send').length;
  }
  t.is(answers, 4);
  const wrong: readonly Partial<Status>[] = [
    { finalizedView: 1 },
    { view: Number.NaN },
    { height: -1 },
    { open: [...fresh.open, ...fresh.open] },
    { open: [{ view: 2, certificates: [], votes: [[], [], []] }] },
    { open: [{ view: 1, certificates: [], votes: [] }] },
    { open: Array.from({ length: 65 }, (_, i) => ({ view: i + 1, certificates: [], votes: [[], [], []] })), view: 70 },
  ];
  for (const change of wrong) {
    t.deepEqual(door.hear(3, { type: 'status', epoch: 0, status: { ...fresh, ...change } }, 2_000).effects, []);
  }
  t.is(door.state.refused.malformed, wrong.length);
});

test('R10: an answer holds at most 64 certificates, the newest among them', (t) => {
  const door = new Door(4);
  for (let view = 1; view <= 100; view++) {
    const certificate = door.certificate(NULLIFY, view, null, [1, 2, 3]);
    door.hear(1, { type: 'certificate', epoch: 0, certificate });
  }
  const { effects } = door.hear(2, { type: 'status', epoch: 0, status: fresh }, 10);
  const views = effects.flatMap((effect) =>
    effect.type === 'send' && effect.message.type === 'certificate' ? [effect.message.certificate.view] : [],
  );
  t.is(views.length, 64);
  t.is(views.at(-1), 100);
  t.deepEqual(
    views.slice(0, 63),
    [...Array(63).keys()].map((i) => i + 1),
  );
  // It says that it has them all by saying nothing of them.
  const status: Status = { ...fresh, view: 101, open: [{ view: 101, certificates: [], votes: [[], [], []] }] };
  t.deepEqual(door.hear(2, { type: 'status', epoch: 0, status }, 500).effects, []);
});

test('R10: among 100 validators a status goes to 16 at a time, and to all in turn', (t) => {
  const door = new Door(100);
  const told = new Set<number>();
  for (let turn = 1; turn <= 7; turn++) {
    const { effects } = door.feed({ type: 'tick', now: door.state.wakeAtMs! });
    const sent = effects.flatMap((effect) => (effect.type === 'send' ? [effect.to] : []));
    t.is(sent.length, 16);
    for (const to of sent) told.add(to);
  }
  t.is(told.size, 99);
  t.false(told.has(0));
});
