// The header of a block: its fields, its hash, its time, and the tip of a chain that the next header must continue.
// Called by the leader that builds a block, the voter that judges it, the store and the receipt verifier.
// Must never contain anything that two nodes could compute differently from the same chain.
import type { Buffer } from 'node:buffer';
import { canonicalize } from '../canonical.js';
import { sha256 } from '../crypto/hash.js';
import { parseTime } from '../envelope.js';
import type { JsonObject, JsonValue } from '../json.js';
import { Fields, Mistakes } from '../shape.js';

/** As it stands in receipts and in the ledger (DECISIONS 18). All hashes are 64 lowercase hex digits. */
export type Header = {
  /** Hash of the genesis. */
  readonly chain_id: string;
  readonly epoch: number;
  /** View in which the block was proposed, from 1. */
  readonly view: number;
  /** From 1, without gaps. */
  readonly height: number;
  readonly parent_view: number;
  /** Hash of the block before; the chain id at height 1. */
  readonly parent_hash: string;
  /** node_id of the leader of the view. */
  readonly proposer: string;
  /** The proposer's clock, RFC 3339 UTC with milliseconds. Block time is a median over these, never this value alone. */
  readonly timestamp: string;
  /** Root of the Merkle tree over the entries. */
  readonly entries_root: string;
  readonly entry_count: number;
  /** Sequence number of the first entry; with no entry, the number that the next one will have. From 1. */
  readonly first_seq: number;
  readonly validators_hash: string;
  /** SHA-256(state_digest of the block before ‖ diffs of the entries). */
  readonly state_digest: string;
};

const HEADER_MEMBERS = [
  'chain_id',
  'epoch',
  'view',
  'height',
  'parent_view',
  'parent_hash',
  'proposer',
  'timestamp',
  'entries_root',
  'entry_count',
  'first_seq',
  'validators_hash',
  'state_digest',
];

/** Canonical text of the header: the bytes under its hash, and the form in which receipts carry it. */
export function headerText(header: Header): string {
  return canonicalize(header);
}

/** Block hash: SHA-256 of `quorate/block/1\n` and the header's canonical text. */
export function blockHash(text: string): Buffer {
  return sha256(`quorate/block/1\n${text}`);
}

export function timestampText(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/** Unix milliseconds of a checked header's timestamp. */
export function timestampMs(header: Header): number {
  return parseTime(header.timestamp) as number;
}

/** Throws ShapeError with everything wrong. Shape only: whether it continues a chain says `headerFault`. */
export function parseHeader(value: JsonValue): Header {
  const mistakes = new Mistakes();
  const header = readHeader(new Fields(value, '', HEADER_MEMBERS, mistakes));
  mistakes.done();
  return header;
}

/** A header inside a larger document. */
export function readHeaderAt(value: JsonValue | undefined, pointer: string, mistakes: Mistakes): Header {
  return readHeader(new Fields(value, pointer, HEADER_MEMBERS, mistakes));
}

function readHeader(fields: Fields): Header {
  const timestamp = fields.value('timestamp');
  // One time, one text: another spelling of the same instant would be another hash for the same block.
  if (timestampText(fields.time('timestamp')) !== timestamp) {
    fields.wrong('timestamp', 'RFC 3339 UTC with exactly three fraction digits, such as 2026-11-20T12:00:00.000Z');
  }
  return {
    chain_id: fields.hex('chain_id'),
    epoch: fields.count('epoch'),
    view: fields.count('view', 1),
    height: fields.count('height', 1),
    parent_view: fields.count('parent_view'),
    parent_hash: fields.hex('parent_hash'),
    proposer: fields.identifier('proposer'),
    timestamp: typeof timestamp === 'string' ? timestamp : '',
    entries_root: fields.hex('entries_root'),
    entry_count: fields.count('entry_count'),
    first_seq: fields.count('first_seq', 1),
    validators_hash: fields.hex('validators_hash'),
    state_digest: fields.hex('state_digest'),
  };
}

/** Where a chain stands after a block: all that the next block needs to know of its past. Plain data, so that it can be stored. */
export interface Tip {
  readonly chainId: string;
  readonly epoch: number;
  readonly height: number;
  readonly view: number;
  /** Block hash, hex; the chain id before the first block. */
  readonly hash: string;
  /** Median time of the chain, never going back; 0 before the first block. */
  readonly blockTimeMs: number;
  /** Timestamps of the last min(height, n − 1) headers, oldest first. */
  readonly timestampsMs: readonly number[];
  readonly nextSeq: number;
  readonly stateDigest: string;
  readonly validatorsHash: string;
  /** n of the median rule. */
  readonly validatorCount: number;
}

/** The tip before the first block. Its parent hash and its state digest are the chain id: what the genesis says is the state so far. */
export function genesisTip(chainId: string, validatorsHash: string, validatorCount: number): Tip {
  return {
    chainId,
    epoch: 0,
    height: 0,
    view: 0,
    hash: chainId,
    blockTimeMs: 0,
    timestampsMs: [],
    nextSeq: 1,
    stateDigest: chainId,
    validatorsHash,
    validatorCount,
  };
}

/**
 * Time of a block on this tip: max(time of the tip, median of the last min(height, n) timestamps, own included) (DECISIONS 21).
 * Of an even number the lower of the two in the middle: an integer, and with at most f liars it still lies between honest clocks.
 */
export function blockTimeMs(tip: Tip, ownTimestampMs: number): number {
  const times = [...tip.timestampsMs, ownTimestampMs].sort((a, b) => a - b);
  return Math.max(tip.blockTimeMs, times[Math.floor((times.length - 1) / 2)] as number);
}

/** What the leader adds to what the entries and the tip already decide. */
export interface Proposal {
  readonly view: number;
  readonly proposer: string;
  readonly timestampMs: number;
}

/** What executing the entries decides. */
export interface EntriesResult {
  readonly entriesRoot: string;
  readonly entryCount: number;
  readonly stateDigest: string;
}

export function makeHeader(tip: Tip, proposal: Proposal, result: EntriesResult): Header {
  return {
    chain_id: tip.chainId,
    epoch: tip.epoch,
    view: proposal.view,
    height: tip.height + 1,
    parent_view: tip.view,
    parent_hash: tip.hash,
    proposer: proposal.proposer,
    timestamp: timestampText(proposal.timestampMs),
    entries_root: result.entriesRoot,
    entry_count: result.entryCount,
    first_seq: tip.nextSeq,
    validators_hash: tip.validatorsHash,
    state_digest: result.stateDigest,
  };
}

/**
 * Why a header is not the one that this tip and these executed entries lead to, or null. The proposer being the leader of its view is
 * the consensus rules' part (R3). No comparison with a clock: a rule that an honest leader cannot always meet would stop the chain.
 */
export function headerFault(tip: Tip, header: Header, result: EntriesResult): string | null {
  const proposal = { view: header.view, proposer: header.proposer, timestampMs: timestampMs(header) };
  const expected: JsonObject = makeHeader(tip, proposal, result);
  const actual: JsonObject = header;
  for (const member of HEADER_MEMBERS) {
    if (actual[member] !== expected[member]) return `${member} is ${actual[member]}, expected ${expected[member]}`;
  }
  return header.view > tip.view ? null : `view ${header.view} is not after the parent's view ${tip.view}`;
}

/** The tip after a block. `hash` is the block's, hex. */
export function nextTip(tip: Tip, header: Header, hash: string): Tip {
  const ownTimestampMs = timestampMs(header);
  return {
    ...tip,
    height: header.height,
    view: header.view,
    hash,
    blockTimeMs: blockTimeMs(tip, ownTimestampMs),
    timestampsMs: newest([...tip.timestampsMs, ownTimestampMs], tip.validatorCount - 1),
    nextSeq: header.first_seq + header.entry_count,
    stateDigest: header.state_digest,
  };
}

/** The tip in a new epoch with its own validators. */
export function enterEpoch(tip: Tip, epoch: number, validatorsHash: string, validatorCount: number): Tip {
  return {
    ...tip,
    epoch,
    validatorsHash,
    validatorCount,
    timestampsMs: newest(tip.timestampsMs, validatorCount - 1),
  };
}

function newest(timestampsMs: readonly number[], count: number): readonly number[] {
  return timestampsMs.slice(Math.max(0, timestampsMs.length - count));
}
