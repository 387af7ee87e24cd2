// Rounds as the host tells and times them: counted once, excluded observers named, and a timer that finds its deadline.
import test from 'ava';
import pino from 'pino';
import { Registry } from 'prom-client';
import { after, makeBlock, makeTestkit, NOON_MS, observationEntry } from '../../protocol/ledger/testkit.js';
import { NO_ROUNDS, ROUND_TIMEOUT_MS } from '../../protocol/rounds/round.js';
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { ReportValue } from '../../runtime/kernel/contract.js';
import { createMetrics } from './metrics.js';
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
