// The event catalogue: every line that operators and alerts may rely on, with its level and fixed wording. Called
// wherever something worth telling happens. What varies goes into fields, never into the wording.
import type { Logger } from 'pino';
import { levelForStatus } from './logs.js';

type EventLevel = 'debug' | 'info' | 'warn' | 'error' | 'fatal';

/** Event name → its fields. Names are dotted, subject first; fields carry their unit last. */
export interface EventFields {
  'node.starting': { version: string; mode: string; data_dir: string; config_file: string | null };
  'node.ready': {
    api: string;
    ops: string;
    node_id: string;
    chain_id: string;
    startup_ms: number;
    /** SEQ:HASH, as `quorate audit verify --head` takes it: an anchor where logs are collected. */
    audit_head: string | null;
  };
  'node.not_ready': { checks: readonly string[] };
  'node.stopping': { signal: string };
  'node.stopped': { drained: boolean; duration_ms: number; audit_head: string | null };
  'node.stop_forced': { reason: string; cut: readonly string[] };
  'node.fatal': { exit_code: number; reason: string };
  'node.already_running': { data_dir: string; pid: number | null };

  'config.warning': { warning: string };
  'config.refused': { problems: readonly string[] };
  'config.reload_ok': { changed: readonly string[] };
  'config.reload_unchanged': Record<never, never>;
  'config.reload_refused': { problems: readonly string[]; actor?: string };

  'key.generated': { file: string; node_id: string };
  'key.mode_refused': { file: string; found: string; allowed: string };
  'key.changed': { found: string; remembered: string };
  'client_key.generated': { file: string; issuer: string };
  'genesis.created': { file: string; chain_id: string };
  'registry.changed': { version: number; clients: number; kinds: number; height: number };

  'actor.started': { actor: string; incarnation: number; startup_ms: number };
  'actor.died': { actor: string; incarnation: number; reason: string; err?: Error };
  'actor.restarting': { actor: string; incarnation: number; delay_ms: number; policy: string };
  'actor.breaker_opened': { actor: string; failures: number; open_ms: number };
  'actor.breaker_closed': { actor: string };
  'actor.budget_spent': { group: string; restarts: number; period_ms: number };
  'actor.crash_bundle': { actor: string; reason: string; file: string };
  'actor.crash_bundle_failed': { err: Error };
  'actor.killed': { actor: string; incarnation: number; by: string };

  'wal.opened': { segments: number; next_lsn: number; unsettled: number; duration_ms: number };
  'wal.torn_tail': { segment: string; offset_bytes: number; copied_to: string };
  'wal.quarantined': { segment: string; offset_bytes: number; reason: string; repair: string };
  'wal.fsync_failed': { segment: string; err: Error };
  'wal.compacted': { segments: number; bytes: number; carried: number; first_lsn: number };
  'wal.over_cap': { size_bytes: number; cap_bytes: number };
  'disk.low': { free_bytes: number };
  'disk.critical': { free_bytes: number };
  'disk.stopped': { free_bytes: number };
  'disk.recovered': { free_bytes: number };
  'store.full': { free_bytes: number };
  'store.opened': { height: number; duration_ms: number };
  'store.replayed': { from_height: number; to_height: number; duration_ms: number };
  'store.integrity_failed': { height: number; reason: string };

  'state.migration_started': { from_version: number; to_version: number; backup: string };
  'state.migration_succeeded': { from_version: number; to_version: number; backup_checksum: string };
  'state.migration_failed': { reason: string };
  'state.rolled_back': { reason: string; backup_checksum: string };
  'state.corrupt': { file: string; reason: string };

  'audit.unwritable': { file: string; reason: string };
  'audit.writable_again': { events: number };

  'peers.listening': { address: string; port: number; peers: number; tls: boolean };
  'peers.insecure': { peers: number };
  'peer.connected': { peer: string; direction: string; address: string };
  'peer.disconnected': { peer: string; reason: string };
  'peer.refused': { peer: string; reason: string; detail: string };
  'peer.handshake_refused': { address: string; reason: string; detail: string; not_logged: number };
  'peer.pin_mismatch': { peer: string; fingerprint: string; refused: boolean };
  'certificate.expires_soon': { role: string; peer: string; days_left: number; expires_at: string };
  'certificate.expires_very_soon': { role: string; peer: string; days_left: number; expires_at: string };
  'observation.bad_signature': { peer: string; request_id: string };
  'observer.excluded': { node_id: string; reason: string; round_id: string | null };

  'http.answered': {
    request_id: string;
    method: string;
    route: string;
    status: number;
    duration_ms: number;
    problem?: string;
  };
  'log.reopened': { file: string };

  'status.written': { file: string };
  'status.failed': { file: string; err: Error };
  'service_manager.unreachable': { socket: string; reason: string };
  'watchdog.withheld': { reason: string };
  'watchdog.resumed': Record<never, never>;
}

export type EventName = keyof EventFields;

interface EventSpec {
  readonly level: EventLevel;
  readonly wording: string;
}

/** Changing a wording breaks somebody's alert: treat it as an interface. */
export const EVENTS = {
  'node.starting': { level: 'info', wording: 'Node starting' },
  'node.ready': { level: 'info', wording: 'Node ready' },
  'node.not_ready': { level: 'warn', wording: 'Node not ready' },
  'node.stopping': { level: 'info', wording: 'Node stopping: no new work is taken' },
  'node.stopped': { level: 'info', wording: 'Node stopped' },
  'node.stop_forced': { level: 'warn', wording: 'Stop forced before everything had finished' },
  'node.fatal': { level: 'fatal', wording: 'Node cannot go on' },
  'node.already_running': { level: 'fatal', wording: 'Another process holds this data directory' },

  'config.warning': { level: 'warn', wording: 'Configuration accepted with a warning' },
  'config.refused': { level: 'fatal', wording: 'Configuration refused' },
  'config.reload_ok': { level: 'info', wording: 'Configuration reloaded' },
  'config.reload_unchanged': { level: 'info', wording: 'Configuration reloaded: nothing changed' },
  'config.reload_refused': { level: 'error', wording: 'Reload refused: the last good configuration stays in force' },

  'key.generated': { level: 'warn', wording: 'Node key generated: for development only, keep it out of production' },
  'key.mode_refused': { level: 'fatal', wording: 'Key file mode refused' },
  'key.changed': { level: 'fatal', wording: 'Node key does not belong to this data' },
  'client_key.generated': { level: 'warn', wording: 'Development client key generated and registered' },
  'genesis.created': { level: 'info', wording: 'Genesis created: this is a new chain' },
  'registry.changed': { level: 'info', wording: 'Registry of clients and kinds changed' },

  'actor.started': { level: 'info', wording: 'Actor started' },
  'actor.died': { level: 'error', wording: 'Actor died' },
  'actor.restarting': { level: 'warn', wording: 'Actor will be restarted' },
  'actor.breaker_opened': { level: 'error', wording: 'Circuit breaker opened' },
  'actor.breaker_closed': { level: 'info', wording: 'Circuit breaker closed' },
  'actor.budget_spent': { level: 'fatal', wording: 'Restart budget spent' },
  'actor.crash_bundle': { level: 'error', wording: 'Crash bundle written' },
  'actor.crash_bundle_failed': { level: 'warn', wording: 'Crash bundle could not be written' },
  'actor.killed': { level: 'warn', wording: 'Actor killed on request' },

  'wal.opened': { level: 'info', wording: 'Log opened' },
  'wal.torn_tail': { level: 'warn', wording: 'Torn tail of the log set aside; nothing acknowledged was in it' },
  'wal.quarantined': { level: 'fatal', wording: 'Log damaged: quarantined, this node signs nothing' },
  'wal.fsync_failed': { level: 'fatal', wording: 'fsync failed: nothing may be built on this disk' },
  'wal.compacted': { level: 'info', wording: 'Log compacted: segments that nothing needs were deleted' },
  'wal.over_cap': { level: 'error', wording: 'Log larger than its cap' },
  'disk.low': { level: 'warn', wording: 'Data disk getting full' },
  'disk.critical': { level: 'error', wording: 'Data disk nearly full: the node is not ready' },
  'disk.stopped': { level: 'error', wording: 'Data disk full: nothing is admitted until there is room' },
  'disk.recovered': { level: 'info', wording: 'Data disk has room again: submissions are admitted' },
  'store.full': { level: 'error', wording: 'Ledger database has no room: final blocks wait in the log' },
  'store.opened': { level: 'info', wording: 'Ledger store opened' },
  'store.replayed': { level: 'info', wording: 'Ledger store brought up to date from the log' },
  'store.integrity_failed': { level: 'fatal', wording: 'Ledger integrity check failed' },

  'state.migration_started': { level: 'info', wording: 'State migration started' },
  'state.migration_succeeded': { level: 'info', wording: 'State migration succeeded' },
  'state.migration_failed': { level: 'fatal', wording: 'State migration failed' },
  'state.rolled_back': { level: 'fatal', wording: 'State migration rolled back: the old state is in force' },
  'state.corrupt': { level: 'fatal', wording: 'State file corrupt: refusing to start fresh over it' },

  'audit.unwritable': { level: 'error', wording: 'Audit log cannot be written: operator actions are refused' },
  'audit.writable_again': { level: 'info', wording: 'Audit log is written again' },

  'peers.listening': { level: 'info', wording: 'Peer port open' },
  'peers.insecure': {
    level: 'warn',
    wording: 'INSECURE PEERS: anyone on the network can read and forge what nodes tell each other',
  },
  'peer.connected': { level: 'info', wording: 'Peer connected' },
  'peer.disconnected': { level: 'warn', wording: 'Peer disconnected' },
  'peer.refused': { level: 'warn', wording: 'Connection with a peer refused' },
  'peer.handshake_refused': { level: 'warn', wording: 'TLS handshake refused on the peer port' },
  'peer.pin_mismatch': { level: 'error', wording: 'Certificate matches no pin of the peer' },
  'certificate.expires_soon': { level: 'warn', wording: 'Certificate expires within 30 days' },
  'certificate.expires_very_soon': { level: 'error', wording: 'Certificate expires within 7 days, or has' },
  'observation.bad_signature': { level: 'warn', wording: 'Peer sent an observation whose signature does not hold' },
  'observer.excluded': { level: 'error', wording: 'Observer excluded: its observations no longer count' },

  'http.answered': { level: 'debug', wording: 'Request answered' },
  'log.reopened': { level: 'info', wording: 'Log file reopened' },

  'status.written': { level: 'info', wording: 'Status written to a file' },
  'status.failed': { level: 'warn', wording: 'Status could not be written' },
  'service_manager.unreachable': { level: 'warn', wording: 'Service manager cannot be told: the node goes on without' },
  'watchdog.withheld': { level: 'error', wording: 'Watchdog of the service manager no longer fed' },
  'watchdog.resumed': { level: 'info', wording: 'Watchdog of the service manager fed again' },
} as const satisfies { readonly [Name in EventName]: EventSpec };

/** Writes one catalogued event: `{event, …fields, msg}`. The level of an HTTP answer follows its status. */
export function event<Name extends EventName>(log: Logger, name: Name, fields: EventFields[Name]): void {
  const spec: EventSpec = EVENTS[name];
  const level = 'status' in fields ? levelForStatus(fields.status) : spec.level;
  // Most lines of a busy node are below the level: they must not cost an object.
  if (!log.isLevelEnabled(level)) return;
  const line: object = { event: name, ...fields };
  log[level](line, spec.wording);
}
