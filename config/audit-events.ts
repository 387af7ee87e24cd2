// The catalogue of auditable events: what is written to audit.jsonl, with which fields. Called by whoever audits, and by
// the reference that is made from it. No field may hold a secret: a test looks at the names, whoever adds one at the values.

/** Event → its fields. Hashes are SHA-256 in hex. */
export interface AuditFields {
  audit_began: { foreign_bytes?: number; foreign_sha256?: string };
  audit_continued: { file: number; foreign_bytes?: number; foreign_sha256?: string };
  audit_recovered: { foreign_bytes: number; foreign_sha256: string; cause: 'torn' | 'damaged' };
  audit_removed: { first_file: number; last_file: number; last_seq: number | null; last_hash: string | null };
  audit_lost: { events: number; reason: string };

  node_started: {
    version: string;
    mode: string;
    pid: number;
    node_id: string;
    chain_id: string;
    config_sha256: string;
  };
  node_stopped: { signal: string };
  node_failed: { exit_code: number; reason: string };

  config_reload: {
    result: 'started' | 'applied' | 'unchanged' | 'refused';
    changed?: readonly string[];
    problems?: readonly string[];
    config_sha256?: string;
  };

  key_generated: { node_id: string; file: string };
  genesis_created: { chain_id: string; file: string; dev_client: boolean };
  registry_changed: { version: number; clients: number; keys: number; kinds: number; registry_sha256: string };

  actor_kill: OperatorAction;
  actor_restart: OperatorAction;
  actor_reset: OperatorAction;
  actor_drill: OperatorAction & { misdeed: string };
  actor_died: { actor: string; incarnation: number; reason: string; exit_code: number; detail: string };
  breaker_opened: { actor: string };
  breaker_closed: { actor: string };
  restart_budget_spent: { actor: string; group: string };
  pin_violation: { peer: string; fingerprint: string; refused: boolean };

  quarantined: { actor: string; cause: string };
  consensus_halted: { reason: string };
  evidence_found: { rule: string; validator: string; view: number };
  observer_excluded: { node_id: string; reason: string; round_id: string | null };
  bad_observation: { peer: string };

  state_migration: { from_version: number; to_version: number; backup_checksum: string; result: MigrationStep };
  state_rollback: {
    from_version: number;
    to_version: number;
    backup_checksum: string;
    reason: 'migration_verification_failed';
    result: 'rolled_back';
  };
  wal_compact: { segments: number; bytes: number; carried: number };
  wal_repair: {
    accept_loss: boolean;
    state: string;
    segment: string | null;
    offset: number | null;
    reason: string | null;
    result: string;
    epoch?: number;
    last_trusted_height?: number;
    kept_in?: string | null;
  };
}

interface OperatorAction {
  actor: string;
  result: 'started' | 'done' | 'failed';
  request_id: string;
  reason?: string;
}

type MigrationStep = 'started' | 'success' | 'failure';

export type AuditEventName = keyof AuditFields;

/** One event with its fields, as it is handed to the log. */
export type AuditEvent = {
  [Name in AuditEventName]: { readonly event: Name; readonly by: string } & Readonly<AuditFields[Name]>;
}[AuditEventName];

/** The event before it is known who did it. */
export type UnsignedAuditEvent = {
  [Name in AuditEventName]: { readonly event: Name } & Readonly<AuditFields[Name]>;
}[AuditEventName];

interface AuditSpec<Fields> {
  readonly about: string;
  readonly fields: { readonly [F in keyof Required<Fields>]: string };
}

const FOREIGN = {
  foreign_bytes: 'bytes in front of this line that are no record; absent when there are none',
  foreign_sha256: 'their SHA-256, without the last end of line',
} as const;

const OPERATOR = {
  actor: 'which actor',
  result: '`started` before it is done, then `done` or `failed`',
  request_id: 'X-Request-Id of the admin call',
  reason: 'why it failed; only then',
} as const;

/** An event, once published, keeps its name and the meaning of its fields. */
export const AUDIT_EVENTS: { readonly [Name in AuditEventName]: AuditSpec<AuditFields[Name]> } = {
  audit_began: {
    about: 'The log begins. Lines of before there was a chain stay in front of it, sealed.',
    fields: FOREIGN,
  },
  audit_continued: {
    about: 'The log goes on in a new file; `prev` is the last hash of the old one.',
    fields: { file: 'number of the new file', ...FOREIGN },
  },
  audit_recovered: {
    about: 'The writer found bytes behind the last record and goes on behind them.',
    fields: {
      ...FOREIGN,
      cause: '`torn`: a crash cut an append short. `damaged`: no crash explains it, and verification names the line',
    },
  },
  audit_removed: {
    about: 'The oldest files are removed, as `audit.files_kept` says. Written before they go.',
    fields: {
      first_file: 'number of the first file that goes',
      last_file: 'number of the last one',
      last_seq: 'number of the last record in them; null when it could not be read',
      last_hash: 'hash of that record',
    },
  },
  audit_lost: {
    about: 'The log could not be written for so long that events were lost.',
    fields: { events: 'how many', reason: 'why it could not be written' },
  },
  node_started: {
    about: 'The node holds the data directory and begins to start.',
    fields: {
      version: 'version of the program',
      mode: '`development` or `production`',
      pid: 'process id',
      node_id: 'which node: the key in use',
      chain_id: 'which chain',
      config_sha256: 'hash of the settings in force, as in `state.json`',
    },
  },
  node_stopped: { about: 'The node stopped in order.', fields: { signal: 'what it was told' } },
  node_failed: {
    about: 'The node ends because it cannot go on, or because its stop was forced.',
    fields: { exit_code: 'see the table of exit codes', reason: 'why' },
  },
  config_reload: {
    about: 'A reload, by SIGHUP or by the admin call: one line before, one with what came of it.',
    fields: {
      result: '`started`, then `applied`, `unchanged` or `refused`',
      changed: 'settings whose value is new, `clients and kinds`, `peers, pins and certificates`',
      problems: 'why it was refused',
      config_sha256: 'hash of the settings now in force',
    },
  },
  key_generated: {
    about: 'A node key was made, by a first start in development mode or by `quorate init`.',
    fields: { node_id: 'the node that it makes', file: 'where it was written' },
  },
  genesis_created: {
    about: 'A chain was made.',
    fields: { chain_id: 'its id', file: 'where it was written', dev_client: 'was a development client registered?' },
  },
  registry_changed: {
    about: 'Other clients, client keys or kinds are in force. The ledger holds the entry that changed them.',
    fields: {
      version: 'version of the registry, one more with each change',
      clients: 'how many clients',
      keys: 'how many keys they have',
      kinds: 'how many kinds of the operator',
      registry_sha256: 'hash of its canonical text',
    },
  },
  actor_kill: { about: 'An operator kills the thread of an actor.', fields: OPERATOR },
  actor_restart: { about: 'An operator restarts an actor.', fields: OPERATOR },
  actor_reset: { about: "An operator closes an actor's breaker.", fields: OPERATOR },
  actor_drill: {
    about: 'A drill makes an actor go wrong from within; a node in development mode only.',
    fields: { ...OPERATOR, misdeed: 'how: `throw`, `exit`, `loop` and others' },
  },
  pin_violation: {
    about: 'A certificate matched no pin of the peer that it stood for: once for each, until the node starts anew.',
    fields: {
      peer: 'node id, `unknown` when it stood for nobody',
      fingerprint: 'of the certificate, masked',
      refused: 'false where `pinned_certs` does not enforce',
    },
  },
  actor_died: {
    about: 'An actor ended and nobody had asked for it.',
    fields: {
      actor: 'which actor',
      incarnation: 'which of its lives, from 1',
      reason: '`crashed`, `hung`, `out_of_memory`, `exited`, `start_failed`, `start_timeout`',
      exit_code: 'of its thread',
      detail: 'what it said',
    },
  },
  breaker_opened: { about: 'An actor died too often and is held back.', fields: { actor: 'which actor' } },
  breaker_closed: { about: 'An actor is trusted again.', fields: { actor: 'which actor' } },
  restart_budget_spent: {
    about: 'A group of actors was restarted too often; the one above it takes over, or the process ends.',
    fields: { actor: 'who died last', group: 'whose budget' },
  },
  quarantined: {
    about: 'The node does not trust its log: it serves what is final and signs nothing.',
    fields: { actor: 'who found it', cause: 'what was found' },
  },
  consensus_halted: { about: 'Consensus stands still for good.', fields: { reason: 'why' } },
  evidence_found: {
    about: 'Two votes of one validator prove that it broke the rules.',
    fields: { rule: 'E1 to E4, see CONSENSUS.md', validator: 'whose votes', view: 'in which view' },
  },
  observer_excluded: {
    about: 'The observations of a node no longer count, by what the ledger holds against it.',
    fields: {
      node_id: 'which observer',
      reason: '`ConflictingObservations`, `ExcessiveDeviation`, `InvalidSignature`, `ProtocolEquivocation`',
      round_id: 'round in which it showed, or null: a bad signature is of none',
    },
  },
  bad_observation: {
    about: 'A peer sent an observation whose signature does not hold, over its own connection; once a peer and start.',
    fields: { peer: 'node id that the connection proved' },
  },
  state_migration: {
    about: 'The migration of `state.json`, by a start or by `quorate migrate-state`.',
    fields: {
      from_version: 'layout before',
      to_version: 'layout after',
      backup_checksum: 'SHA-256 of `state.backup.v1`',
      result: '`started`, `success`, `failure`',
    },
  },
  state_rollback: {
    about: 'A migration failed and the old file is back in place.',
    fields: {
      from_version: 'the layout that was given up',
      to_version: 'the layout that is back',
      backup_checksum: 'SHA-256 of `state.backup.v1`',
      reason: 'always `migration_verification_failed`; the log has the cause',
      result: 'always `rolled_back`',
    },
  },
  wal_compact: {
    about:
      '`quorate wal compact` took segments off the log of a stopped node; a running one does so by itself, and counts it.',
    fields: {
      segments: 'that are gone',
      bytes: 'freed',
      carried: 'entries without an outcome that were written anew',
    },
  },
  wal_repair: {
    about: '`quorate wal repair` changes the log: one line before, one after.',
    fields: {
      accept_loss: 'may it give up what cannot be read?',
      state: 'of the log before: `torn`, `suspect`, `corrupt`',
      segment: 'where the damage begins; null when the log is missing or its end in doubt',
      offset: 'byte in that segment',
      reason: 'what is wrong there',
      result: '`started`, then what came of it',
      epoch: 'the epoch that begins, where something was given up',
      last_trusted_height: 'receipts above it are void',
      kept_in: 'where lies what was taken out',
    },
  },
};

export const AUDIT_EVENT_NAMES = Object.keys(AUDIT_EVENTS) as readonly AuditEventName[];
