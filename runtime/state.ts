// state.json while the node runs: opened (and migrated) before the actors start, kept current from what consensus
// reports, written a last time at the stop. Owned by the daemon. It is for operators: nothing of the ledger depends on it.
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/node.js';
import type { QuorateConfig } from '../config/schema.js';
import { type ByzantineNode, type NodeState, writeStateFile } from '../config/state-file.js';
import { type MigrationNote, openStateFile } from '../config/state-migration.js';
import { event } from '../observability/events.js';
import { Counter, type Registry } from '../observability/prom-client.js';
import { quorum } from '../protocol/consensus/quorum.js';
import { sha256Hex } from '../protocol/crypto/hash.js';
import type { JsonObject } from '../protocol/json.js';
import type { ReportValue } from './kernel/contract.js';
import type { AuditTrail } from './ops/audit-trail.js';

const WRITE_EVERY_MS = 5_000;

/** Hex; two nodes with the same hash run on the same settings. */
export function configurationHash(settings: QuorateConfig): string {
  return sha256Hex(JSON.stringify(settings));
}

export class StateFile {
  readonly #node: NodeConfig;
  readonly #log: Logger;
  readonly #audit: AuditTrail;
  readonly #migrations: Counter<'result'>;
  #state: NodeState | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(node: NodeConfig, log: Logger, registry: Registry, audit: AuditTrail) {
    this.#node = node;
    this.#log = log;
    this.#audit = audit;
    this.#migrations = new Counter({
      name: 'quorate_migration_events_total',
      help: 'Migrations of state.json at this start, by result; a failed one ends the process.',
      labelNames: ['result'],
      registers: [registry],
    });
  }

  /** Throws StateFileError, MigrationError. */
  open(): void {
    const { identity, chainId, genesis } = this.#node;
    const validators = (JSON.parse(genesis) as JsonObject).validators as JsonObject[];
    const validatorCount = validators.length;
    const others = validators.map(({ node_id }) => String(node_id)).filter((nodeId) => nodeId !== identity.nodeId);
    const tlsEnabled = (this.#node.peers?.tls ?? null) !== null;
    const { state } = openStateFile({
      directory: this.#node.places.data,
      nowMs: Date.now(),
      facts: { nodeId: identity.nodeId, chainId, validatorCount, tlsEnabled },
      audit: (event) => this.#audit.write(event),
      note: (note) => this.#note(note),
    });
    this.#state = {
      ...state,
      node_id: identity.nodeId,
      chain_id: chainId,
      validator_count: validatorCount,
      last_boot_time: new Date().toISOString(),
      configuration_hash: configurationHash(this.#node.settings),
      tls_enabled: tlsEnabled,
      quorum: { needed: quorum(validatorCount), reached: validatorCount - others.length },
      peers: others.map((nodeId) => ({ node_id: nodeId, connected: false })),
    };
    this.#write();
  }

  /** What consensus reported: it outlives the actor, which is gone when the file is written for the last time. */
  chainMoved({ data }: ReportValue): void {
    if (this.#state === null || data?.height === undefined) return;
    const height = Number(data.height);
    this.#state = {
      ...this.#state,
      height,
      last_finalized_hash: height === 0 ? null : String(data.hash),
      consensus_rounds: Number(data.consensus_rounds ?? 0),
      byzantine_nodes: byzantineNodes(String(data.byzantine_nodes ?? '[]')),
    };
  }

  /** Which validators consensus reaches. */
  reachMoved({ data }: ReportValue): void {
    if (this.#state === null || data === undefined) return;
    const ids = JSON.parse(String(data.ids)) as string[];
    this.#state = {
      ...this.#state,
      quorum: { needed: Number(data.quorum), reached: Number(data.reached) },
      peers: this.#state.peers.map(({ node_id }) => ({ node_id, connected: ids.includes(node_id) })),
    };
  }

  keepCurrent(): void {
    this.#write();
    this.#timer = setInterval(() => this.#write(), WRITE_EVERY_MS);
    this.#timer.unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#write();
  }

  /** A state file that cannot be written now is a warning: everything in it can be derived again. */
  #write(): void {
    if (this.#state === null) return;
    try {
      writeStateFile(this.#node.places.data, this.#state);
    } catch (error) {
      this.#log.warn({ err: error }, 'state.json could not be written');
    }
  }

  #note(note: MigrationNote): void {
    const versions = { from_version: 1, to_version: 2 };
    if (note.event === 'migration_started') {
      event(this.#log, 'state.migration_started', { ...versions, backup: note.backup });
    } else if (note.event === 'migration_succeeded') {
      this.#migrations.inc({ result: 'success' });
      event(this.#log, 'state.migration_succeeded', { ...versions, backup_checksum: note.checksum });
    } else if (note.event === 'migration_failed') {
      this.#migrations.inc({ result: 'failure' });
      event(this.#log, 'state.migration_failed', { reason: note.cause });
    } else {
      const reason = 'migration_verification_failed';
      event(this.#log, 'state.rolled_back', { reason, backup_checksum: note.checksum });
    }
  }
}

/** Of what consensus reports of an excluded observer, layout 2 holds three members. */
function byzantineNodes(text: string): ByzantineNode[] {
  return (JSON.parse(text) as ByzantineNode[]).map(({ node_id, detected_at, reason }) => ({
    node_id,
    detected_at,
    reason,
  }));
}
