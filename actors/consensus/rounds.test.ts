// Rounds as the host tells and times them: counted once, excluded observers named, and a timer that finds its deadline.
import test from 'ava';
import { pino } from '../../observability/pino.js';
import { Registry } from '../../observability/prom-client.js';
import type { Context } from '../../protocol/consensus/context.js';
import { createState } from '../../protocol/consensus/state.js';
import type { Entry } from '../../protocol/ledger/apply.js';
import { after, devClient, makeBlock, makeTestkit, NOON_MS, observationEntry } from '../../protocol/ledger/testkit.js';
import { NO_ROUNDS, ROUND_TIMEOUT_MS, type RoundsState } from '../../protocol/rounds/round.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { ReportValue } from '../../runtime/kernel/contract.js';
import type { FinalizedForStore, StoreContract } from '../store/contract.js';
import { FakeLink } from '../testing/links.js';
import type { WalWriterContract } from '../wal-writer/contract.js';
import { Blocks } from './blocks.js';
import { Checkpointer } from './checkpoint.js';
import { Committed } from './committed.js';
import { Host } from './host.js';
import { Mempool } from './mempool.js';
import { type ConsensusMetrics, createMetrics } from './metrics.js';
import { isDue, RoundClock, tellRounds } from './rounds.js';

const kit = await makeTestkit(3);
const [first, second] = kit.validators as [(typeof kit.validators)[number], (typeof kit.validators)[number]];

function teller() {
  const registry = new Registry();
  const zero = () => 0;
  const figures = { height: zero, view: zero, mempool: zero, mempoolBytes: zero };
  const of = { averageTis: zero, excludedNodes: zero, roundQuorum: () => 2 };
  const metrics = createMetrics(registry, { ...figures, ...of }, 2);
  const reports: [string, ReportValue][] = [];
  const log = pino({ level: 'silent' });
  const parts = { metrics, log, report: (name: string, value: ReportValue) => void reports.push([name, value]) };
  const value = async (name: string) => {
    const found = new RegExp(`^${name} (\\S+)$`, 'm').exec(await registry.metrics());
    return Number(found?.[1]);
  };
  return { parts, reports, value };
}

test('OB-9: a round is counted and timed when it is complete for the first time, and not when it is recomputed', async (t) => {
  const { parts, value, reports } = teller();
  const opened = makeBlock(kit, kit.view, [observationEntry(kit, first)]);
  const waiting = after(kit.view, opened);
  // Of the last three headers the middle time counts.
  const later = makeBlock(kit, waiting, [], NOON_MS + 2_500);
  const view = after(waiting, later);
  const done = after(view, makeBlock(kit, view, [observationEntry(kit, second)], NOON_MS + 2_500));
  const late = after(done, makeBlock(kit, done, [observationEntry(kit, kit.validators[2]!)], NOON_MS + 9_000));
  const states = [kit.view, waiting, view, done, late].map(({ rounds }) => rounds);
  for (const [index, state] of states.entries()) {
    if (index > 0 && state !== states[index - 1]) tellRounds(parts, { before: states[index - 1]!, after: state });
  }
  t.is(await value('quorate_consensus_rounds_total'), 1);
  t.is(await value('quorate_consensus_round_duration_seconds_sum'), 2.5);
  t.is(await value('quorate_consensus_rounds_failed_total'), 0);
  t.deepEqual(reports, []);
});

test('CO-5: an exclusion is reported once, a failed round counted', async (t) => {
  const { parts, value, reports } = teller();
  const said = after(kit.view, makeBlock(kit, kit.view, [observationEntry(kit, first)]));
  const caught = after(said, makeBlock(kit, said, [observationEntry(kit, first, { audit_id: 'another' })]));
  tellRounds(parts, { before: said.rounds, after: caught.rounds });
  const [round] = caught.rounds.rounds;
  const failed = { ...caught.rounds, rounds: [{ ...round!, status: 'Failed' as const }] };
  tellRounds(parts, { before: caught.rounds, after: failed });
  const data = { node_id: first.name, reason: 'ConflictingObservations', round_id: 'r' };
  t.deepEqual(reports, [['exclusion', { ok: true, data }]]);
  t.is(await value('quorate_consensus_rounds_failed_total'), 1);
});

test('DECISIONS 28: a round that runs out of time calls for a block at its deadline, and at no other time', (t) => {
  const { rounds } = after(kit.view, makeBlock(kit, kit.view, [observationEntry(kit, first)]));
  const deadline = NOON_MS + ROUND_TIMEOUT_MS;
  t.false(isDue(rounds, deadline - 1));
  t.true(isDue(rounds, deadline));
  t.false(isDue(NO_ROUNDS, deadline));
  const clock = new ManualClock();
  let calls = 0;
  const timer = new RoundClock(clock, () => {
    calls += 1;
  });
  timer.arm(NO_ROUNDS, NOON_MS);
  timer.arm(rounds, deadline);
  clock.advance(ROUND_TIMEOUT_MS);
  t.is(calls, 0, 'nothing waits, or it is over already');
  timer.arm(rounds, NOON_MS);
  timer.arm(rounds, NOON_MS + 1_000);
  clock.advance(ROUND_TIMEOUT_MS - 1_001);
  t.is(calls, 0);
  clock.advance(1);
  t.is(calls, 1, 'once, though it was set twice');
  timer.arm(rounds, NOON_MS);
  timer.stop();
  clock.advance(ROUND_TIMEOUT_MS);
  t.is(calls, 1);
});

/** The host of a lone validator: its log and its store answer at once, everything else is the production code. */
async function lone(rounds: RoundsState) {
  const one = await makeTestkit(1, { clients: [{ ...devClient(kit.dev), roles: ['observe'] }] });
  const validator = one.validators[0]!;
  const clock = new ManualClock(NOON_MS);
  const context: Context = {
    chainId: one.genesis.chainId,
    epoch: 0,
    self: 0,
    validators: one.set.validators,
    delta0Ms: 100,
    deltaMaxMs: 1_600,
    sign: (bytes) => one.ed25519.sign(bytes, validator.secretKey),
    verify: (signature, bytes, publicKey) => one.ed25519.verify(signature, bytes, publicKey),
  };
  const wal = new FakeLink<WalWriterContract>('wal-writer');
  let lsn = 0;
  wal.answer('appendJournal', () => {
    lsn += 100;
    return { firstLsn: lsn };
  });
  wal.answer('compactable', () => ({ segments: 0, due: false }));
  const store = new FakeLink<StoreContract>('store');
  const stored: FinalizedForStore[] = [];
  store.answer('apply', ({ blocks: written }) => {
    stored.push(...written);
    return { height: written.at(-1)?.height ?? 0, full: false };
  });
  const reader = { find: () => undefined, refresh: () => undefined };
  const committed = new Committed(one.genesis.chain, one.view.tip, one.genesis.registry, rounds, reader);
  const blocks = new Blocks(committed);
  const mempool = new Mempool();
  const { view, height, hash } = one.view.tip;
  const core = createState(context, { finalized: { view, height, hash } });
  const { parts } = teller();
  const links = { 'wal-writer': wal, store, dedup: new FakeLink('dedup'), ingress: new FakeLink('ingress') };
  const shared = { context, core, nodeId: validator.name, links: links as never, committed, blocks, mempool, clock };
  const checkpoints = new Checkpointer({
    ...shared,
    log: parts.log,
    proof: { finalization: null, epoch: null, evidence: [], blocks: new Map(), unconfirmed: [] },
    intervalMs: 300_000,
  });
  const host = new Host({
    ...shared,
    checkpoints,
    unwritten: [],
    metrics: parts.metrics as ConsensusMetrics,
    log: parts.log,
    verifier: null,
    stored: () => undefined,
    nonce: () => '',
    report: () => {},
    quarantined: () => {},
  });
  let next = 0;
  return {
    one,
    committed,
    stored,
    host,
    propose(entry: Entry) {
      next += 1;
      mempool.add({ entry, lsn: next, route: InboxRoute.observation, content: String(next), origin: '' });
      host.pendingChanged();
    },
    /** Lets this much time pass, and everything happen that it leads to. */
    async pass(ms: number) {
      for (let turn = 0; turn < 20; turn += 1) {
        if (turn === 10) clock.advance(ms);
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

test('CO-3, DECISIONS 28: a round without its quorum fails in a block without entries, at its deadline and once', async (t) => {
  // Left waiting by a larger chain: one validator is a quorum of itself.
  const { rounds } = after(kit.view, makeBlock(kit, kit.view, [observationEntry(kit, first)]));
  const { one, committed, host, propose, pass } = await lone(rounds);
  host.start();
  propose(observationEntry(one, one.dev, { round_id: 'other' }, 'k1'));
  await pass(ROUND_TIMEOUT_MS - 1);
  t.like(committed.rounds.rounds, [{ status: 'Pending', openedAtMs: NOON_MS }, { status: 'Complete' }]);
  t.is(committed.tip.height, 1);
  await pass(1);
  t.is(committed.rounds.rounds[0]!.status, 'Failed');
  t.is(committed.tip.height, 2);
  t.is(committed.tip.nextSeq, 2, 'the block has no entries');
  await pass(10 * ROUND_TIMEOUT_MS);
  t.is(committed.tip.height, 2, 'and no other follows');
  host.stop();
});
