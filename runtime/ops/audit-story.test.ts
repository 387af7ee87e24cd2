// Which of the supervisor's events are auditable, and that each thing is told once.
import test from 'ava';
import type { ReportValue } from '../kernel/contract.js';
import type { ActorEvent } from '../kernel/supervisor-types.js';
import { AuditStory } from './audit-story.js';

function teller(registryVersion = 0) {
  const story = new AuditStory(registryVersion);
  return (fields: ActorEvent, actor = 'dedup') => story.hear({ ...fields, atMs: 0, actor, incarnation: 2 });
}

function report(name: string, data: NonNullable<ReportValue['data']>): ActorEvent {
  return { kind: 'report', name, value: { ok: false, data } };
}

test('ST-8: deaths that nobody asked for are told, stops and kills are not', (t) => {
  const tell = teller();
  const exit = { kind: 'exit', detail: 'boom', exitCode: 1 } as const;
  t.deepEqual(tell({ ...exit, reason: 'crashed' }), {
    event: 'actor_died',
    actor: 'dedup',
    incarnation: 2,
    reason: 'crashed',
    exit_code: 1,
    detail: 'boom',
  });
  for (const reason of ['hung', 'out_of_memory', 'exited', 'start_failed', 'start_timeout'] as const) {
    t.like(tell({ ...exit, reason }), { event: 'actor_died', reason });
  }
  for (const reason of ['stopped', 'killed'] as const) t.is(tell({ ...exit, reason }), null);
  t.is(tell({ kind: 'up' }), null);
});

test('ST-8, NET-2: a certificate that matches no pin is told once for each peer and certificate', (t) => {
  const tell = teller();
  const facts = { peer: 'node_2', fingerprint: 'sha256:01234567...89abcdef', refused: true };
  t.deepEqual(tell(report('pin-violation', facts), 'gossip'), { event: 'pin_violation', ...facts });
  t.is(tell(report('pin-violation', facts), 'gossip'), null);
  t.like(tell(report('pin-violation', { ...facts, peer: 'unknown' }), 'gossip'), { peer: 'unknown' });
});

test('ST-8: a breaker is told when it opens and when it closes, not with each trial; a spent budget too', (t) => {
  const tell = teller();
  t.deepEqual(tell({ kind: 'breaker', from: 'closed', to: 'open' }), { event: 'breaker_opened', actor: 'dedup' });
  t.is(tell({ kind: 'breaker', from: 'open', to: 'half-open' }), null);
  t.is(tell({ kind: 'breaker', from: 'half-open', to: 'open' }), null);
  t.deepEqual(tell({ kind: 'breaker', from: 'half-open', to: 'closed' }), { event: 'breaker_closed', actor: 'dedup' });
  t.like(tell({ kind: 'gave-up', group: 'core' }), { event: 'restart_budget_spent', group: 'core' });
});

test('ST-8: quarantine, a halt and evidence are told once, whoever reports them how often', (t) => {
  const tell = teller();
  t.deepEqual(tell(report('log', { quarantine: 'a bad batch' }), 'wal-writer'), {
    event: 'quarantined',
    actor: 'wal-writer',
    cause: 'a bad batch',
  });
  t.is(tell(report('consensus', { height: 1, hash: 'x', quarantine: 'a bad batch' }), 'consensus'), null);
  t.is(tell(report('consensus', { height: 2, hash: 'y', quarantine: null }), 'consensus'), null);
  t.deepEqual(tell(report('consensus', { halted: 'why' }), 'consensus'), { event: 'consensus_halted', reason: 'why' });
  t.is(tell(report('consensus', { halted: 'why' }), 'consensus'), null);
  const evidence = { rule: 'E1', validator: 'node_a', view: 4 };
  t.deepEqual(tell(report('evidence', evidence)), { event: 'evidence_found', ...evidence });
  t.is(tell(report('evidence', evidence)), null);
  t.like(tell(report('evidence', { ...evidence, view: 5 })), { event: 'evidence_found', view: 5 });
});

test('ST-8, CO-5: an excluded observer and a peer whose observation is badly signed are told once', (t) => {
  const tell = teller();
  const exclusion = { node_id: 'node_a', reason: 'ConflictingObservations', round_id: 'r' };
  t.deepEqual(tell(report('exclusion', exclusion)), { event: 'observer_excluded', ...exclusion });
  t.is(tell(report('exclusion', exclusion)), null);
  t.deepEqual(tell(report('bad-observation', { peer: 'node_b' })), { event: 'bad_observation', peer: 'node_b' });
  t.is(tell(report('bad-observation', { peer: 'node_b' })), null);
});

test('ST-8: a registry is told when its version is another one than the log has, also of the time before this start', (t) => {
  const facts = (version: number) => report('registry', { version, clients: 2, keys: 3, kinds: 1, sha256: 'ab' });
  const tell = teller(4);
  t.is(tell(facts(4)), null);
  t.deepEqual(tell(facts(5)), {
    event: 'registry_changed',
    version: 5,
    clients: 2,
    keys: 3,
    kinds: 1,
    registry_sha256: 'ab',
  });
  t.is(tell(facts(5)), null, 'ingress was restarted');
  t.like(
    teller(4)(facts(6)),
    { event: 'registry_changed', version: 6 },
    'changed, and the node ended before it was told',
  );
  t.is(tell({ kind: 'report', name: 'registry', value: { ok: false, detail: 'not yet' } }), null);
});
