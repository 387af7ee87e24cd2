// OB-1: every figure of /metrics is documented, moves when what it counts happens, and never falls when an actor is
// killed. docs/METRICS.md is compared with a running node in both directions.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { JsonObject } from '../../protocol/json.js';
import type { Metrics } from '../local/metrics.js';
import { Client, HmacClient, pcsOfShard, register } from './clients.js';
import { eventually, Subject } from './subject.js';

const page = readFileSync(new URL('../../../docs/METRICS.md', import.meta.url), 'utf8');
const g1 = JSON.parse(
  readFileSync(new URL('../../../protocol/kinds/golden/g1.json', import.meta.url), 'utf8'),
) as JsonObject;

/** Nothing that a test could do from outside: what happens then ends the process, and with it the page. */
const ENDS_THE_PROCESS = ['quorate_wal_errors'];
/** Of a log that is longer than this one becomes: compaction.test.ts and the tests of the log move them. */
const OF_A_LONG_LOG = [
  'quorate_wal_pruned_segments_total',
  'quorate_wal_pruned_bytes_total',
  'quorate_wal_carried_entries_total',
];
/** Of a disk in trouble: the drills of the full and the slow disk move them. */
const OF_A_BAD_DISK = [
  'quorate_disk_pressure',
  'quorate_disk_ballast_bytes',
  'quorate_wal_over_cap',
  'quorate_wal_fsync_stalled',
  'quorate_store_commit_stalled',
];
/** Of peers, which this node has none of: the tests of gossip, rpc-client and of consensus and ingress with peers move them. */
const OF_PEERS = [
  'quorate_peer_connected',
  'quorate_peer_queue_bytes',
  'quorate_peer_inbound_bytes',
  'quorate_peer_frames_total',
  'quorate_peer_bytes_total',
  'quorate_peer_frames_dropped_total',
  'quorate_peer_closed_total',
  'quorate_peer_served_total',
  'quorate_rate_limit_violations_total',
  'quorate_peer_request_total',
  'quorate_peer_backoff_seconds',
  'quorate_tls_handshakes_total',
  'quorate_pinning_violations_total',
  'quorate_tls_certificate_expiry_seconds',
  'quorate_consensus_peers_connected',
  'quorate_consensus_blocks_behind',
  'quorate_consensus_catchups_total',
  'quorate_consensus_fetches_total',
  'quorate_consensus_served_total',
  'quorate_consensus_validated_total',
  'quorate_consensus_validation_seconds',
  'quorate_consensus_signatures_total',
  'quorate_consensus_evidence_total',
  'quorate_consensus_frames_refused_total',
  'quorate_consensus_messages_refused_total',
  'quorate_consensus_frames_unsent_total',
  'quorate_submissions_shared_total',
  'quorate_submissions_gossiped_total',
];
const CONSTANT = [
  'quorate_build_info',
  'quorate_start_time_seconds',
  'quorate_quorum_size',
  'quorate_round_quorum_size',
  'quorate_audit_writable',
];
/** A round of one validator does not run out of time, and bad signatures count where a peer's connection proves them. */
const OF_SEVERAL_NODES = ['quorate_consensus_rounds_failed_total', 'quorate_observation_bad_signatures_total'];
const NOT_HERE = [...ENDS_THE_PROCESS, ...OF_A_LONG_LOG, ...OF_PEERS, ...OF_SEVERAL_NODES];
const ACTORS = ['wal-writer', 'store', 'consensus', 'dedup', 'gossip', 'rpc-client', 'ingress'];

const agent = new HmacClient('agent', 'testsecret');
const client = new Client('client');
const observer = new Client('observer');
const liar = new Client('liar');

let subject: Subject;

test.before(async () => {
  subject = await Subject.start({
    clients: [
      register(agent),
      register(client),
      register(observer, { roles: ['observe'] }),
      register(liar, { roles: ['observe'] }),
    ],
    settings: {
      wal: { segment_bytes: 1_048_576 },
      supervision: { budget: { intensity: 1_000 }, backoff: { floor_ms: 1, ceiling_ms: 10 } },
    },
    // Of the first version: the start migrates it.
    state: { schema_version: 1, system_state: 'configured' },
  });
});

test.after.always(() => subject?.dispose());

// --- documentation ---

interface Documented {
  readonly type: string;
  readonly labels: readonly string[];
}

function documented(): Map<string, Documented> {
  const rows = [...page.matchAll(/^\| `(quorate_\w+)` \| (\w+) \| ([\w, ]*?) ?\| \S.* \|$/gm)];
  return new Map(
    rows.map(([, name, type, labels]) => [name!, { type: type!, labels: labels!.split(', ').filter((l) => l !== '') }]),
  );
}

test.serial(
  'OB-1: every exported metric is documented with its type and labels, and every documented one exported',
  async (t) => {
    await drive();
    const { types, series } = await subject.metrics();
    const rows = documented();
    const own = [...types].filter(([name]) => name.startsWith('quorate_'));
    t.deepEqual(
      own.map(([name]) => name).filter((name) => !rows.has(name)),
      [],
      'exported and not documented',
    );
    t.deepEqual(
      [...rows.keys()].filter((name) => !types.has(name)),
      [],
      'documented and not exported',
    );
    for (const [name, type] of own) t.is(rows.get(name)!.type, type, name);
    for (const key of series.keys()) {
      const row = rows.get(key.split('{')[0]!.replace(/_(bucket|sum|count)$/, '')) ?? rows.get(key.split('{')[0]!);
      if (row === undefined) {
        t.regex(key, /^(process|nodejs)_/);
        continue;
      }
      const labels = [...key.matchAll(/(\w+)="/g)].map(([, label]) => label!).filter((label) => label !== 'le');
      t.deepEqual(
        labels.filter((label) => !row.labels.includes(label)),
        [],
        key,
      );
    }
  },
);

/** FORMATS of the three predecessors: every metric name that they have or that their alerts ask for. */
const PREDECESSORS = `
anna_consensus_rounds_total anna_byzantine_nodes_total anna_quorum_size anna_average_tis anna_peer_request_total
anna_peer_reload_total anna_migration_events_total anna_peer_backoff_seconds anna_tls_handshakes_total
anna_rate_limit_violations_total anna_pinning_violations_total anna_recovery_actions_total anna_task_restart_total
anna_backoff_duration_seconds
annex_http_requests_total annex_http_request_duration_seconds annex_db_pool_connections_active
annex_db_pool_connections_idle annex_db_pool_timeout_total annex_ws_connections_total annex_ws_connections_active
annex_messages_total annex_retention_deleted_total annex_pruning_pruned_total annex_federation_messages_relayed_total
annex_broadcast_lag_total annex_db_size_bytes annex_db_wal_size_bytes annex_disk_available_bytes annex_db_integrity_ok
annex_backup_completed_total annex_backup_failed_total annex_backup_last_success_epoch annex_db_wal_checkpointed_pages
annex_db_wal_busy_pages annex_retention_batch_duration_seconds annex_build_info annex_http_responses_success_total
annex_http_responses_client_error_total annex_http_responses_server_error_total annex_http_handler_panics_total
annex_ws_connections_open annex_ws_connections_max annex_db_pool_connections annex_db_pool_idle_connections
annex_storage_max_bytes annex_storage_writes_blocked annex_storage_state
flk_ingest_total flk_dedup_hits flk_accepted flk_escalated flk_signature_errors flk_wal_errors flk_signature_err
http_requests_total http_request_duration_seconds`
  .trim()
  .split(/\s+/);

test('OB-1: every metric of the predecessors is mapped to an exported one, or said to be none with the reason', (t) => {
  const rows = new Map(
    [...page.matchAll(/^\| `(\w+)` \| (`quorate_\w+`.*|none, because .+) \|$/gm)].map(([, a, b]) => [a!, b!]),
  );
  t.deepEqual([...rows.keys()].sort(), [...PREDECESSORS].sort());
  const names = documented();
  for (const [name, ours] of rows) {
    const target = /^`(\w+)`/.exec(ours)?.[1];
    if (target !== undefined) t.true(names.has(target), `${name} → ${target}`);
  }
});

// --- everything moves ---

test.serial('OB-1: every counter and histogram moves when what it counts happens', async (t) => {
  const before = await fresh();
  await failToStart('dedup');
  await drive();
  const after = await fresh();
  const idle = [...after.types]
    .filter(([name, type]) => name.startsWith('quorate_') && type !== 'gauge' && !NOT_HERE.includes(name))
    .map(([name, type]) => (type === 'histogram' ? `${name}_count` : name))
    // Migration happens before there is a page to look at: the start has counted it.
    .filter((name) => after.total(name) <= (name === 'quorate_migration_events_total' ? 0 : before.total(name)));
  t.deepEqual(idle, []);
  const labelled: readonly (readonly [name: string, ...labels: string[]])[] = [
    ['quorate_http_requests_total', 'method="POST"', 'route="/v1/submissions"', 'status="200"'],
    ['quorate_http_requests_total', 'route="/v1/submissions"', 'status="401"'],
    ['quorate_http_requests_total', 'route="/v1/pcs/submit"', 'status="202"'],
    ['quorate_http_requests_total', 'route="/v1/submissions:batch"', 'status="207"'],
    ['quorate_http_requests_total', 'method="GET"', 'route="/v1/submissions/:digest"', 'status="200"'],
    ['quorate_http_requests_total', 'route="unknown"', 'status="404"'],
    ...['parse', 'verify', 'dedup', 'answer'].map(
      (stage) => ['quorate_stage_seconds_count', `stage="${stage}"`] as const,
    ),
    ...['inbox', 'settled', 'journal', 'block'].map((type) => ['quorate_wal_records_total', `type="${type}"`] as const),
    ...['notarize', 'finalize'].map((kind) => ['quorate_consensus_votes_total', `kind="${kind}"`] as const),
    ['quorate_consensus_refused_total', 'reason="horizon"'],
    ...['ok', 'unchanged', 'error'].map((result) => ['quorate_peer_reload_total', `result="${result}"`] as const),
    ['quorate_recovery_actions_total', 'action="restart"', 'result="success"'],
    ['quorate_recovery_actions_total', 'action="restart"', 'result="failure"'],
    ['quorate_recovery_actions_total', 'action="backoff"', 'result="success"'],
    ['quorate_recovery_actions_total', 'action="circuit_open"', 'result="success"'],
    ['quorate_actor_restarts_total', 'actor="gossip"', 'reason="killed"'],
    ['quorate_task_restart_total', 'task="gossip"'],
  ];
  for (const [name, ...labels] of labelled) {
    t.true(after.total(name, ...labels) > before.total(name, ...labels), `${name} ${labels.join(' ')}`);
  }
  t.is(after.total('quorate_migration_events_total', 'result="success"'), 1);
});

test.serial('OB-1: every gauge moves, under load and while an actor is away', async (t) => {
  const seen = new Map<string, Set<number>>();
  const look = async () => {
    const metrics = await subject.metrics();
    for (const [name, type] of metrics.types) {
      if (type !== 'gauge' || !name.startsWith('quorate_')) continue;
      seen.set(name, (seen.get(name) ?? new Set()).add(metrics.total(name)));
    }
  };
  const still = () =>
    [...seen]
      .filter(([name, values]) => ![...CONSTANT, ...OF_A_BAD_DISK, ...OF_PEERS].includes(name) && values.size < 2)
      .map(([name]) => name);
  let done = false;
  const load = Array.from({ length: 48 }, async () => {
    while (!done) await subject.submit(client.sign({ text: 'x'.repeat(4_000) })).catch(() => undefined);
  });
  await look();
  for (const [audit_id, tis] of [
    ['one', 0.2],
    ['two', 0.3],
  ] as const) {
    await subject.observe(liar.observe({ round_id: 'lies', audit_id, tis }));
    await look();
  }
  await subject.admin('/actors/gossip/kill');
  try {
    await eventually('every gauge to move', async () => {
      await look();
      return still().length === 0 ? true : null;
    });
  } finally {
    done = true;
    await Promise.all(load);
  }
  t.deepEqual(still(), []);
  await subject.ready();
  const metrics = await subject.metrics();
  for (const name of CONSTANT) t.true(metrics.total(name) > 0, name);
  for (const actor of ACTORS) t.is(metrics.total('quorate_actor_state', `actor="${actor.replace('-', '_')}"`), 2);
});

test.serial('OB-1, RT-9: no counter falls when an actor is killed, and each goes on afterwards', async (t) => {
  await drive();
  let before = await fresh();
  for (const actor of ACTORS) {
    await subject.admin(`/actors/${actor}/kill`);
    const during = await subject.metrics();
    neverFalls(t, before, during, `${actor} away`);
    await subject.ready();
    await drive();
    const after = await fresh();
    neverFalls(t, during, after, `${actor} back`);
    const names = ['quorate_wal_records_total', 'quorate_store_entries_total', 'quorate_consensus_entries_total'];
    names.push('quorate_dedup_reads_total', 'quorate_ingest_total', 'quorate_verify_seconds_count', 'quorate_accepted');
    for (const name of names) t.true(after.total(name) > before.total(name), `${name} after a kill of ${actor}`);
    before = after;
  }
});

function neverFalls(t: ExecutionContext, before: Metrics, after: Metrics, when: string): void {
  const fallen = [...before.series].filter(([key, value]) => {
    const name = key.split('{')[0]!;
    const base = name.replace(/_(bucket|sum|count)$/, '');
    const grows = before.types.get(name) === 'counter' || before.types.get(base) === 'histogram';
    return grows && !((after.series.get(key) ?? Number.NaN) >= value);
  });
  t.deepEqual(fallen, [], when);
}

/** One of everything that is counted. */
async function drive(): Promise<void> {
  const signed = client.sign();
  await subject.submit(signed);
  await subject.submit(signed);
  await subject.submit(new Client('stranger').sign());
  await subject.submit(client.sign({ issuedAtMs: 0 }));
  await subject.submit('{');
  await subject.submitPcs(agent.signPcs({ ...pcsOfShard(g1, signed.digest), regime: 'sticky' }));
  await subject.api.post('/v1/submissions:batch', JSON.stringify({ submissions: [client.sign().envelope] }));
  await subject.observe(observer.observe({ round_id: signed.digest }));
  await subject.api.get(`/v1/submissions/${signed.digest}`);
  await subject.api.get('/nonesuch');
  await reload();
  await subject.admin('/actors/gossip/kill');
  await subject.ready();
}

/** A scrape that every actor answered: on a busy machine one may miss its tenth of a second. */
function fresh(): Promise<Metrics> {
  return eventually('a scrape without a stale actor', async () => {
    const metrics = await subject.metrics();
    return metrics.total('quorate_actor_scrape_stale') === 0 ? metrics : null;
  });
}

/** Takes the ledger away from an actor that reads it at its start, until its breaker opens; then all is put right again. */
async function failToStart(actor: string): Promise<void> {
  const ledger = join(subject.node.dataDir, 'ledger');
  renameSync(ledger, `${ledger}.away`);
  try {
    await subject.admin(`/actors/${actor}/kill`);
    // 6: the breaker is open.
    await eventually('an open breaker', async () => {
      return (await subject.metrics()).total('quorate_actor_state', `actor="${actor}"`) === 6 ? true : null;
    });
  } finally {
    // What failed starts have left there.
    rmSync(ledger, { recursive: true, force: true });
    renameSync(`${ledger}.away`, ledger);
  }
  await subject.admin(`/actors/${actor}/reset`);
  await subject.ready();
}

/** A reload of each result. */
async function reload(): Promise<void> {
  const path = join(subject.directory, 'quorate.yaml');
  const text = readFileSync(path, 'utf8');
  const config = JSON.parse(text) as { shutdown_ms?: number };
  await subject.admin('/reload');
  writeFileSync(path, '{"no_such_setting":1}');
  await subject.admin('/reload');
  writeFileSync(path, JSON.stringify({ ...config, shutdown_ms: (config.shutdown_ms ?? 30_000) + 1 }));
  await subject.admin('/reload');
}
