// The one judgement of an entry against the ledger: refuse it, or say what it changes (DECISIONS 18, 19).
// Called through executeBlock by leader, voter and replay; `judge` alone also by admission, ahead of consensus.
// Must never look at anything but its arguments: no clock, no configuration, no order of a hash map.
import { Buffer } from 'node:buffer';
import type { Attestation } from '../attestation.js';
import { canonicalize } from '../canonical.js';
import { sha256 } from '../crypto/hash.js';
import type { ChainParameters } from '../genesis.js';
import type { JsonObject } from '../json.js';
import { ACCUSATION, readAccusation } from '../kinds/accusation.js';
import { type FieldError, ShapeError } from '../kinds/kind.js';
import { RECORDED } from '../kinds/note.js';
import { asObservation, OBSERVATION, observationSignature } from '../kinds/observation.js';
import { leafHash } from '../merkle.js';
import {
  isOpen,
  keyOf,
  mayAttest,
  maySign,
  nextRegistry,
  type Registry,
  registryText,
  roleFor,
  signerOf,
} from '../registry.js';
import { accuse, observe } from '../rounds/fold.js';
import type { RoundsState } from '../rounds/round.js';
import { roundsChange, roundsChangeText } from '../rounds/text.js';
import type { Prepared } from '../submission.js';
import type { Tip } from './header.js';

/**
 * A submission whose signature was verified with `key`, and whose attestation (if any) was verified with its node's key. apply() does
 * not verify signatures; it checks that this key and this node counted for this client at block time.
 */
export interface Entry {
  readonly prepared: Prepared;
  /** The body as received. */
  readonly raw: Uint8Array;
  /** Client of the key: `prepared.issuer`, or for a PCS whoever's key verified it. */
  readonly issuer: string;
  readonly key: EntryKey;
  readonly attestation: Attestation | null;
}

export interface EntryKey {
  readonly keyId: string;
  readonly alg: 'ed25519' | 'hmac-sha256';
  readonly publicKey: Uint8Array | null;
}

/** Where an entry stands: block height from 1, index in the block from 0. */
export interface Position {
  readonly height: number;
  readonly index: number;
}

/**
 * What the ledger index keeps of a finalized (issuer, id). An entry may go only when the horizon refuses the submission anyway; a PCS
 * signs no time and would get a fresh one, so its entry stays.
 */
export interface IndexEntry extends Position {
  readonly digest: Buffer;
  readonly body: Buffer;
}

/** The state that an entry is judged against. */
export interface LedgerView {
  readonly chain: ChainParameters;
  readonly tip: Tip;
  readonly registry: Registry;
  readonly rounds: RoundsState;
  /** The index entry under `indexKey(issuer, id)`. */
  find(key: string): IndexEntry | undefined;
}

/** Index keys are raw (DECISIONS 22). Neither part can hold a NUL: both match IDENTIFIER. */
export function indexKey(issuer: string, id: string): string {
  return `${issuer}\0${id}`;
}

/** Refusals and the HTTP status each means. `duplicate` is no fault: its recorded outcome is the answer. */
export const REFUSAL_STATUS = {
  duplicate: 200,
  conflict: 409,
  'unknown-key': 401,
  'key-window': 401,
  attestation: 401,
  forbidden: 403,
  horizon: 422,
  'unknown-kind': 422,
  payload: 422,
  'too-large': 413,
  'block-full': 503,
  'rounds-waiting': 503,
} as const;
export type RefusalCode = keyof typeof REFUSAL_STATUS;

export interface Refusal {
  readonly ok: false;
  readonly code: RefusalCode;
  readonly status: number;
  /** One sentence: what was found, what is allowed. */
  readonly detail: string;
  /** Of a duplicate or a conflict: where the recorded entry stands. */
  readonly position?: Position;
  /** Of a payload: everything wrong with it. */
  readonly errors?: readonly FieldError[];
}

export interface Applied {
  readonly ok: true;
  /** Canonical JSON. */
  readonly outcome: string;
  /** Merkle leaf hash of the entry. */
  readonly leaf: Buffer;
  /** What the entry changes in the state, as the bytes that the state digest hashes. */
  readonly diff: Buffer;
  /** The registry from the next entry on, where this one changed it. */
  readonly registry?: Registry;
  /** The rounds from the next entry on, where this one changed them. */
  readonly rounds?: RoundsState;
}

/** What `judge` finds of an entry that is no repetition. */
export interface Judged {
  readonly ok: true;
  readonly outcome: string;
  readonly registry?: Registry;
}

const RECORDED_TEXT = canonicalize(RECORDED);
const DIFF_ENTRY = 1;
const DIFF_REGISTRY = 2;
const DIFF_ROUNDS = 3;

export function refusal(code: RefusalCode, detail: string, more: Pick<Refusal, 'position' | 'errors'> = {}): Refusal {
  return { ok: false, code, status: REFUSAL_STATUS[code], detail, ...more };
}

/** Judges one entry against the state before it. The index is the only authority on repetition (DECISIONS 19). */
export function apply(view: LedgerView, entry: Entry, blockTimeMs: number): Refusal | Applied {
  const key = indexKey(entry.issuer, entry.prepared.id);
  const recorded = view.find(key);
  if (recorded !== undefined) return repetition(entry, recorded);
  const judged = judge(view.chain, view.registry, entry, blockTimeMs);
  if (!judged.ok) return judged;
  if (entry.prepared.kind === OBSERVATION) return applyObservation(view, entry, key, blockTimeMs);
  if (entry.prepared.kind === ACCUSATION) return applyAccusation(view, entry, key, blockTimeMs);
  const leaf = entryLeaf(entry.prepared.digest.toString('hex'), entry.prepared.body.toString('hex'), judged.outcome);
  const diff = diffBytes(key, leaf, judged.registry);
  if (judged.registry === undefined) return { ok: true, outcome: judged.outcome, leaf, diff };
  return { ok: true, outcome: judged.outcome, leaf, diff, registry: judged.registry };
}

/** Its outcome says what became of it in its round; its round is all that it changes (CO-11). */
function applyObservation(view: LedgerView, entry: Entry, key: string, blockTimeMs: number): Refusal | Applied {
  const { prepared } = entry;
  const observation = asObservation(prepared.payload);
  const digest = prepared.digest.toString('hex');
  const observed = { observation, digest, signature: observationSignature(prepared.payload).toString('base64') };
  const folded = observe(view.rounds, observed, view.tip.validatorCount, blockTimeMs);
  if (folded === null) {
    return refusal('rounds-waiting', `${observation.node_id} has opened as many rounds as may wait for their quorum`);
  }
  const { accepted, counted, reason, state } = folded;
  const outcome = canonicalize({
    accepted,
    counted,
    round_id: observation.round_id,
    status: 200,
    ...(reason === null ? {} : { reason }),
  });
  return withRounds(view, entry, key, outcome, state);
}

/** Validators accuse observers other than themselves; what it takes to exclude one says the fold. */
function applyAccusation(view: LedgerView, entry: Entry, key: string, blockTimeMs: number): Refusal | Applied {
  const { prepared, issuer } = entry;
  const { nodeId, reason } = readAccusation(prepared.payload);
  if (nodeId === issuer || !view.registry.observers.has(nodeId)) {
    return payloadRefusal([{ pointer: '/node_id', found: nodeId, allowed: `an observer other than ${issuer}` }]);
  }
  const said = { nodeId, accuser: issuer, digest: prepared.digest.toString('hex') };
  const rounds = accuse(view.rounds, said, reason, view.tip.validatorCount, blockTimeMs);
  return withRounds(view, entry, key, RECORDED_TEXT, rounds);
}

function withRounds(view: LedgerView, { prepared }: Entry, key: string, outcome: string, rounds: RoundsState): Applied {
  const leaf = entryLeaf(prepared.digest.toString('hex'), prepared.body.toString('hex'), outcome);
  const diff = diffBytes(key, leaf, undefined);
  if (rounds === view.rounds) return { ok: true, outcome, leaf, diff };
  return { ok: true, outcome, leaf, diff: Buffer.concat([diff, roundsDiff(view.rounds, rounds)]), rounds };
}

/**
 * The same signed content is a repetition, whatever its spelling; of a PCS, whose unsigned fields decide its verdict, only the same body
 * is (DECISIONS 17).
 */
function repetition(entry: Entry, recorded: IndexEntry): Refusal {
  const { prepared } = entry;
  const same = prepared.digest.equals(recorded.digest) && (!isPcsBody(prepared) || prepared.body.equals(recorded.body));
  const position = { height: recorded.height, index: recorded.index };
  const place = `at height ${position.height}, index ${position.index}`;
  if (same) return refusal('duplicate', `recorded ${place}`, { position });
  return refusal('conflict', `another submission of ${entry.issuer} with id ${prepared.id} is recorded ${place}`, {
    position,
  });
}

/**
 * Everything about an entry that does not depend on what was recorded before: key, window, role, attestation, time, kind, payload.
 * Admission calls it with its own clock to refuse early; the verdict that counts is the one at block time.
 */
export function judge(chain: ChainParameters, registry: Registry, entry: Entry, blockTimeMs: number): Refusal | Judged {
  const { prepared, attestation } = entry;
  const refused = keyFault(registry, entry, blockTimeMs) ?? timeFault(chain, entry, blockTimeMs);
  if (refused !== null) return refused;
  const kind = registry.checks.get(prepared.kind);
  if (kind === undefined) {
    const known = [...registry.checks.keys()].join(', ');
    return refusal('unknown-kind', `kind ${prepared.kind} is unknown; known: ${known}`);
  }
  if (prepared.kind === 'registry') return judgeRegistry(registry, prepared.payload);
  const verdict = kind.check(prepared.payload);
  if (!verdict.ok) return payloadRefusal(verdict.errors);
  if (attestation !== null) {
    return { ok: true, outcome: canonicalize({ ...verdict.outcome, authenticated_by: authenticator(attestation) }) };
  }
  return { ok: true, outcome: verdict.outcome === RECORDED ? RECORDED_TEXT : canonicalize(verdict.outcome) };
}

function judgeRegistry(registry: Registry, payload: JsonObject): Refusal | Judged {
  try {
    const next = nextRegistry(registry, payload);
    const outcome = canonicalize({ ...RECORDED, registry_version: next.version });
    return { ok: true, outcome, registry: next };
  } catch (error) {
    if (error instanceof ShapeError) return payloadRefusal(error.errors);
    throw error;
  }
}

function payloadRefusal(errors: readonly FieldError[]): Refusal {
  const first = errors[0];
  const detail = first === undefined ? '' : `${first.pointer || '/'}: found ${first.found}; allowed: ${first.allowed}`;
  return refusal('payload', `payload of ${errors.length} mistakes, first ${detail}`, { errors });
}

/** A bare PCS body signs neither its issuer nor its time, nor all of its fields. */
export function isPcsBody(prepared: Prepared): boolean {
  return prepared.alg === null;
}

/** Whether an entry rests on what its home node says (DECISIONS 17). */
export function needsAttestation(prepared: Prepared, alg: EntryKey['alg']): boolean {
  return alg === 'hmac-sha256' || isPcsBody(prepared);
}

function keyFault(registry: Registry, entry: Entry, blockTimeMs: number): Refusal | null {
  const { prepared, issuer, key } = entry;
  const client = signerOf(registry, issuer, prepared.kind);
  const record = keyOf(registry, issuer, key.keyId, prepared.kind);
  if (client === undefined || record === undefined) {
    return refusal('unknown-key', `key ${key.keyId} of ${issuer} is not in the registry`);
  }
  if (record.alg !== key.alg || (prepared.alg !== null && prepared.alg !== key.alg)) {
    return refusal('unknown-key', `key ${key.keyId} of ${issuer} is for ${record.alg}, not ${prepared.alg ?? key.alg}`);
  }
  if (record.publicKey !== null && (key.publicKey === null || !record.publicKey.equals(key.publicKey))) {
    return refusal('unknown-key', `key ${key.keyId} of ${issuer} is another key in the registry`);
  }
  if (prepared.issuer !== issuer && !isPcsBody(prepared)) {
    return refusal('unknown-key', `the envelope names issuer ${prepared.issuer}, the key belongs to ${issuer}`);
  }
  if (!isOpen(record, blockTimeMs)) {
    return refusal('key-window', `key ${key.keyId} of ${issuer} does not count at block time ${timeText(blockTimeMs)}`);
  }
  const role = roleFor(prepared.kind);
  if (!client.roles.includes(role)) return refusal('forbidden', `${issuer} has not the role ${role}`);
  if (!maySign(record, prepared.kind)) {
    return refusal('forbidden', `key ${key.keyId} of ${issuer} may not sign kind ${prepared.kind}`);
  }
  return attestationFault(registry, entry);
}

function attestationFault(registry: Registry, entry: Entry): Refusal | null {
  const { prepared, issuer, key, attestation } = entry;
  const needed = needsAttestation(prepared, key.alg);
  if (attestation === null) {
    return needed
      ? refusal('attestation', `an entry of ${issuer} with ${key.alg} needs a home node's attestation`)
      : null;
  }
  // One entry, one form: an attestation more would be another outcome for the same submission.
  if (!needed) return refusal('attestation', 'an envelope signed with ed25519 carries no attestation');
  if (attestation.issuer !== issuer || attestation.keyId !== key.keyId) {
    return refusal('attestation', `the attestation is for key ${attestation.keyId} of ${attestation.issuer}`);
  }
  const record = keyOf(registry, issuer, key.keyId);
  if (record === undefined || !mayAttest(registry, record, attestation.nodeId)) {
    return refusal('attestation', `node ${attestation.nodeId} is no home of key ${key.keyId} of ${issuer}`);
  }
  return null;
}

/** DECISIONS 22: a signed time within [block time − horizon, block time + future]; without one, the attestation's. */
function timeFault(chain: ChainParameters, entry: Entry, blockTimeMs: number): Refusal | null {
  const timeMs = entry.prepared.issuedAtMs ?? entry.attestation?.timeMs;
  if (timeMs === undefined) return refusal('attestation', 'a submission without a signed time needs an attestation');
  const earliestMs = blockTimeMs - chain.horizonMs;
  const latestMs = blockTimeMs + chain.futureMs;
  if (timeMs >= earliestMs && timeMs <= latestMs) return null;
  return refusal(
    'horizon',
    `issued at ${timeText(timeMs)}; allowed from ${timeText(earliestMs)} to ${timeText(latestMs)}`,
  );
}

function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

function authenticator(attestation: Attestation): JsonObject {
  return { issuer: attestation.issuer, key_id: attestation.keyId, node_id: attestation.nodeId };
}

/**
 * Leaf of an entry: SHA-256(0x00 ‖ canonical({digest, body, outcome})) (DECISIONS 20). All three come in their final text: lowercase
 * hex and canonical JSON need no escaping, and the member names stand in canonical order.
 */
export function entryLeaf(digest: string, body: string, outcome: string): Buffer {
  return leafHash(`{"body":"${body}","digest":"${digest}","outcome":${outcome}}`);
}

/**
 * 1 ‖ length of the index key (u16 BE) ‖ index key ‖ leaf, and for a new registry 2 ‖ SHA-256 of its canonical text. The leaf stands for
 * digest, body and outcome; the position follows from the order and the header.
 */
function diffBytes(key: string, leaf: Buffer, registry: Registry | undefined): Buffer {
  const size = 3 + key.length + leaf.length;
  const diff = Buffer.allocUnsafe(registry === undefined ? size : size + 33);
  diff[0] = DIFF_ENTRY;
  diff[1] = key.length >>> 8;
  diff[2] = key.length & 0xff;
  diff.write(key, 3, 'latin1');
  diff.set(leaf, 3 + key.length);
  if (registry !== undefined) {
    diff[size] = DIFF_REGISTRY;
    diff.set(sha256(registryText(registry)), size + 1);
  }
  return diff;
}

/** 3 ‖ SHA-256 of the change as text. Of an entry behind its own diff; of time that passed before the first entry's. */
export function roundsDiff(before: RoundsState, after: RoundsState): Buffer {
  return Buffer.concat([Buffer.of(DIFF_ROUNDS), sha256(roundsChangeText(roundsChange(before, after)))]);
}
