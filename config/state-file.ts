// The node's state file `state.json`: its two layouts, how they are read and how the current one is written.
// Called by the daemon (writes it from ledger state), by the migration and by `quorate status`. A file that cannot be
// understood is an error: this never makes up a fresh state in its place.
import { join } from 'node:path';
import { JsonError, type JsonObject, type JsonValue, parseStrict } from '../protocol/json.js';
import { diskSteps, type FileSteps, replaceFile } from './durable-file.js';

export const STATE_FILE = 'state.json';
export const STATE_VERSION = 2;
export const STATE_MODE = 0o644;

export const systemStates = [
  'iso_live',
  'recovery_candidate',
  'post_install_minimal',
  'configured',
  'degraded',
  'unknown',
] as const;

export type SystemState = (typeof systemStates)[number];

/** Layout 1, of the predecessor; fields it does not know are kept in `others` only to name what a migration drops. */
export interface StateV1 {
  readonly system_state: SystemState;
  readonly last_boot_time: string | null;
  readonly configuration_hash: string | null;
  readonly others: readonly string[];
}

/** Layout 2. The names are those of the file; times are RFC 3339 UTC, hashes lowercase hex. */
export interface NodeState {
  readonly schema_version: typeof STATE_VERSION;
  readonly system_state: SystemState;
  /** null until the node's key exists. */
  readonly node_id: string | null;
  readonly last_boot_time: string | null;
  readonly configuration_hash: string | null;
  /** Completed observation rounds. */
  readonly consensus_rounds: number;
  readonly validator_count: number;
  readonly byzantine_nodes: readonly ByzantineNode[];
  readonly tls_enabled: boolean;
  /** null until genesis exists. */
  readonly chain_id: string | null;
  /** Height of the last finalized block, 0 before the first. */
  readonly height: number;
  readonly last_finalized_hash: string | null;
  /** Validators that agree, and that this node reaches, itself included; null in a file of before the first start. */
  readonly quorum: { readonly needed: number; readonly reached: number } | null;
  /** The other validators, in the order of the genesis. */
  readonly peers: readonly PeerState[];
}

export interface PeerState {
  readonly node_id: string;
  readonly connected: boolean;
}

export interface ByzantineNode {
  readonly node_id: string;
  readonly detected_at: string;
  readonly reason: string;
}

/** What layout 2 holds and layout 1 did not: known to whoever opens the file. */
export interface StateFacts {
  readonly nodeId: string | null;
  readonly chainId: string | null;
  readonly validatorCount: number;
  readonly tlsEnabled: boolean;
}

export type ParsedState =
  | { readonly version: 1; readonly state: StateV1 }
  | { readonly version: 2; readonly state: NodeState };

/** The file is not a state file of a version that this program knows. The process ends with 78. */
export class StateFileError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StateFileError';
  }
}

/** The state of a node that never ran. */
export function freshState(facts: StateFacts): NodeState {
  return {
    schema_version: STATE_VERSION,
    system_state: 'configured',
    node_id: facts.nodeId,
    last_boot_time: null,
    configuration_hash: null,
    consensus_rounds: 0,
    validator_count: facts.validatorCount,
    byzantine_nodes: [],
    tls_enabled: facts.tlsEnabled,
    chain_id: facts.chainId,
    height: 0,
    last_finalized_hash: null,
    quorum: null,
    peers: [],
  };
}

/** Layout 1 → layout 2. Pure: what layout 1 says is kept, the rest starts as in a fresh state. */
export function convertV1(state: StateV1, facts: StateFacts): NodeState {
  return {
    ...freshState(facts),
    system_state: state.system_state,
    last_boot_time: state.last_boot_time,
    configuration_hash: state.configuration_hash,
  };
}

/** The bytes of the file: pretty, because operators read it. */
export function stateBytes(state: NodeState): Uint8Array {
  return Buffer.from(`${JSON.stringify(state, null, 2)}\n`);
}

/** Replaces the file atomically. @throws what the file system throws. */
export function writeStateFile(directory: string, state: NodeState, files: FileSteps = diskSteps): void {
  replaceFile(files, join(directory, STATE_FILE), stateBytes(state), STATE_MODE);
}

/**
 * @returns the state, or null when there is no file.
 * @throws StateFileError when it is damaged, of a newer version, or not a state file.
 */
export function readStateFile(directory: string, files: FileSteps = diskSteps): ParsedState | null {
  const path = join(directory, STATE_FILE);
  const bytes = files.read(path);
  return bytes === null ? null : parseState(bytes, path);
}

/** @param path only for the messages. @throws StateFileError naming field, what was found and what is allowed. */
export function parseState(bytes: Uint8Array, path: string): ParsedState {
  let value: JsonValue;
  try {
    value = parseStrict(bytes);
  } catch (error) {
    if (error instanceof JsonError) throw new StateFileError(`${path}: not JSON: ${error.message}. ${RESTORE}`);
    throw error;
  }
  if (!isObject(value))
    throw new StateFileError(`${path}: found ${describe(value)}, allowed is a JSON object. ${RESTORE}`);
  const fields = new Fields(path, value);
  const version = value.schema_version ?? 1;
  if (version === 1) return { version, state: readV1(fields) };
  if (version === STATE_VERSION) return { version, state: readV2(fields) };
  if (typeof version === 'number' && version > STATE_VERSION) {
    throw new StateFileError(
      `${path}: schema_version is ${version}, this program knows 1 and ${STATE_VERSION}: a newer version wrote it. Start that version.`,
    );
  }
  throw fields.wrong('schema_version', `1 or ${STATE_VERSION}`);
}

const RESTORE =
  'Restore it from a backup, or remove it if its contents may be lost: the node then writes a new one from its ledger.';

const V1_FIELDS: readonly string[] = ['schema_version', 'system_state', 'last_boot_time', 'configuration_hash'];

function readV1(fields: Fields): StateV1 {
  return {
    system_state: fields.systemState(),
    last_boot_time: fields.textOrNull('last_boot_time'),
    configuration_hash: fields.textOrNull('configuration_hash'),
    others: Object.keys(fields.object).filter((name) => !V1_FIELDS.includes(name)),
  };
}

function readV2(fields: Fields): NodeState {
  for (const name of Object.keys(freshState(NO_FACTS))) {
    if (fields.object[name] === undefined && !LATER_FIELDS.has(name))
      throw fields.wrong(name, 'a value: the field must be there');
  }
  return {
    schema_version: STATE_VERSION,
    system_state: fields.systemState(),
    node_id: fields.textOrNull('node_id'),
    last_boot_time: fields.textOrNull('last_boot_time'),
    configuration_hash: fields.textOrNull('configuration_hash'),
    consensus_rounds: fields.count('consensus_rounds'),
    validator_count: fields.count('validator_count'),
    byzantine_nodes: fields.byzantineNodes(),
    tls_enabled: fields.flag('tls_enabled'),
    chain_id: fields.hashOrNull('chain_id'),
    height: fields.count('height'),
    last_finalized_hash: fields.hashOrNull('last_finalized_hash'),
    quorum: fields.quorum(),
    peers: fields.peers(),
  };
}

/** Came after the first files of layout 2 were written. */
const LATER_FIELDS: ReadonlySet<string> = new Set(['quorum', 'peers']);

const NO_FACTS: StateFacts = { nodeId: null, chainId: null, validatorCount: 0, tlsEnabled: false };

/** Typed reading of one object, with errors that name the place. */
class Fields {
  readonly path: string;
  readonly object: JsonObject;

  constructor(path: string, object: JsonObject) {
    this.path = path;
    this.object = object;
  }

  wrong(name: string, allowed: string): StateFileError {
    const found = describe(this.object[name]);
    return new StateFileError(`${this.path}: ${name}: found ${found}, allowed is ${allowed}. ${RESTORE}`);
  }

  systemState(): SystemState {
    const found = systemStates.find((state) => state === this.object.system_state);
    if (found === undefined) throw this.wrong('system_state', systemStates.join(', '));
    return found;
  }

  text(name: string): string {
    const value = this.object[name];
    if (typeof value !== 'string') throw this.wrong(name, 'a string');
    return value;
  }

  textOrNull(name: string): string | null {
    return (this.object[name] ?? null) === null ? null : this.text(name);
  }

  hashOrNull(name: string): string | null {
    const value = this.textOrNull(name);
    if (value !== null && !/^[0-9a-f]{64}$/.test(value)) throw this.wrong(name, '64 lowercase hex digits or null');
    return value;
  }

  count(name: string): number {
    const value = this.object[name];
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      throw this.wrong(name, 'a whole number from 0 on');
    }
    return value;
  }

  flag(name: string): boolean {
    const value = this.object[name];
    if (typeof value !== 'boolean') throw this.wrong(name, 'true or false');
    return value;
  }

  byzantineNodes(): ByzantineNode[] {
    return this.#list('byzantine_nodes').map((entry) => {
      return { node_id: entry.text('node_id'), detected_at: entry.text('detected_at'), reason: entry.text('reason') };
    });
  }

  peers(): PeerState[] {
    if (this.object.peers === undefined) return [];
    return this.#list('peers').map((entry) => ({ node_id: entry.text('node_id'), connected: entry.flag('connected') }));
  }

  quorum(): NodeState['quorum'] {
    const value = this.object.quorum ?? null;
    if (value === null) return null;
    if (!isObject(value)) throw this.wrong('quorum', 'an object or null');
    const entry = new Fields(`${this.path}: quorum`, value);
    return { needed: entry.count('needed'), reached: entry.count('reached') };
  }

  #list(name: string): Fields[] {
    const list = this.object[name];
    if (!Array.isArray(list)) throw this.wrong(name, 'a list');
    return list.map((item, index) => {
      if (!isObject(item)) throw this.wrong(name, 'a list of objects');
      return new Fields(`${this.path}: ${name}[${index}]`, item);
    });
  }
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
