// A final block as it is stored: header, certificate and entries with their outcomes, and what is answered from it.
// Called by the store, by the finalized broadcast, by replay, and by everything that reads the ledger.
// Must never be trusted after reading from disk before decodeBlock (checksum) or, for its meaning, blockFault accepted it.
import { Buffer } from 'node:buffer';
import { type Attestation, attestationJson } from '../attestation.js';
import { canonicalize } from '../canonical.js';
import type { CertificateJson } from '../consensus/vote.js';
import { sha256 } from '../crypto/hash.js';
import { OBSERVATION } from '../kinds/observation.js';
import { buildTree, type Tree } from '../merkle.js';
import { certificateText, ReceiptWriter } from '../receipt.js';
import { type Prepared, prepareEnvelope, prepareObservation, preparePcs } from '../submission.js';
import { type Entry, type EntryKey, entryLeaf, isPcsBody } from './apply.js';
import type { BlockResult } from './execute.js';
import { blockHash, type Header, headerText } from './header.js';

/** Which call the body came through, and so how it is read again: an envelope, a bare PCS body, or an observation. */
export type Route = 'envelope' | 'pcs' | 'observation';

export interface StoredEntry {
  readonly route: Route;
  readonly kind: string;
  readonly issuer: string;
  readonly key: EntryKey;
  readonly id: string;
  /** Hex. */
  readonly digest: string;
  /** Hex SHA-256 of `raw`. */
  readonly body: string;
  /** The body as received: strict JSON in UTF-8. */
  readonly raw: Uint8Array;
  /** Canonical JSON. */
  readonly outcome: string;
  readonly attestation: Attestation | null;
}

export interface StoredBlock {
  readonly header: Header;
  /** Hex. */
  readonly hash: string;
  readonly certificate: CertificateJson;
  /** Headers after this one up to the certified descendant; empty when the certificate is for this block. */
  readonly chain: readonly Header[];
  readonly entries: readonly StoredEntry[];
}

/** What finality adds to an executed block. `hash` is hex. */
export function storedBlock(
  header: Header,
  hash: string,
  certificate: CertificateJson,
  chain: readonly Header[],
  result: BlockResult,
): StoredBlock {
  const entries = result.accepted.map(({ entry, outcome }): StoredEntry => {
    const { prepared } = entry;
    return {
      route: routeOf(prepared),
      kind: prepared.kind,
      issuer: entry.issuer,
      key: entry.key,
      id: prepared.id,
      digest: prepared.digest.toString('hex'),
      body: prepared.body.toString('hex'),
      raw: entry.raw,
      outcome,
      attestation: entry.attestation,
    };
  });
  return { header, hash, certificate, chain, entries };
}

/** The form of the body: bare PCS bodies and observations are no envelopes. */
export function routeOf(prepared: Pick<Prepared, 'alg' | 'kind'>): Route {
  if (prepared.kind === OBSERVATION) return 'observation';
  return prepared.alg === null ? 'pcs' : 'envelope';
}

const PREPARE: Readonly<Record<Route, (body: Uint8Array) => Prepared>> = {
  envelope: prepareEnvelope,
  pcs: preparePcs,
  observation: prepareObservation,
};

/** The entry as executeBlock takes it, for replay. Its signature was verified before the block was voted for. */
export function restoreEntry(stored: StoredEntry): Entry {
  const prepared = PREPARE[stored.route](stored.raw);
  const { raw, issuer, key, attestation } = stored;
  return { prepared, raw, issuer, key, attestation };
}

export function blockTree(block: StoredBlock): Tree {
  return buildTree(block.entries.map(({ digest, body, outcome }) => entryLeaf(digest, body, outcome)));
}

/** Writes the receipts of a block by index. Pass the tree that executing the block made, where it is at hand. */
export class BlockReceipts {
  readonly #block: StoredBlock;
  readonly #writer: ReceiptWriter;

  constructor(block: StoredBlock, tree: Tree = blockTree(block)) {
    this.#block = block;
    this.#writer = new ReceiptWriter(block, tree);
  }

  /** JSON text. RangeError for an index outside the block. */
  text(index: number): string {
    const entry = this.#block.entries[index];
    if (entry === undefined) throw new RangeError(`entry ${index} of a block of ${this.#block.entries.length}`);
    return this.#writer.text({ digest: entry.digest, body: entry.body, outcome: entry.outcome, index });
  }
}

/**
 * Why a block does not hold together, or null: header under its hash, entries under the root, each body and digest under its entry.
 * Finds any changed byte of header, bodies, digests and outcomes; certificates are checked with the validators, see receipt-verify.
 */
export function blockFault(block: StoredBlock): string | null {
  const { header, entries } = block;
  const hash = blockHash(headerText(header)).toString('hex');
  if (hash !== block.hash) return `header hashes to ${hash}, stored as ${block.hash}`;
  if (entries.length !== header.entry_count) return `${entries.length} entries, the header has ${header.entry_count}`;
  for (const [index, entry] of entries.entries()) {
    const fault = entryFault(entry);
    if (fault !== null) return `entry ${index}: ${fault}`;
  }
  const root = blockTree(block).root.toString('hex');
  return root === header.entries_root ? null : `entries lead to root ${root}, the header has ${header.entries_root}`;
}

function entryFault(stored: StoredEntry): string | null {
  const body = sha256(stored.raw).toString('hex');
  if (body !== stored.body) return `body hashes to ${body}, stored as ${stored.body}`;
  let entry: Entry;
  try {
    entry = restoreEntry(stored);
  } catch (error) {
    return `body cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
  const { digest, id, issuer, kind } = entry.prepared;
  if (digest.toString('hex') !== stored.digest) return `signed bytes have digest ${digest.toString('hex')}`;
  if (id !== stored.id || kind !== stored.kind) return `body is ${kind} ${id}, stored as ${stored.kind} ${stored.id}`;
  if (!isPcsBody(entry.prepared) && issuer !== stored.issuer)
    return `body is of ${issuer}, stored as of ${stored.issuer}`;
  return null;
}

/**
 * One block of GET /v1/ledger as JSON text: height, view, hash, the other header fields, entries, certificate, and `chain` where it is not
 * empty. `envelope` is the body as received, which for a PCS is the PCS itself.
 */
export function ledgerText(block: StoredBlock): string {
  const { header, hash, certificate, chain, entries } = block;
  const { height, view, ...rest } = header;
  const head = `{"height":${height},"view":${view},"hash":"${hash}",${canonicalize(rest).slice(1, -1)}`;
  const ancestry = chain.length === 0 ? '' : `"chain":[${chain.map(headerText).join(',')}],`;
  const list = entries.map(ledgerEntryText).join(',');
  return `${head},"entries":[${list}],${ancestry}"certificate":${certificateText(certificate)}}`;
}

/** One entry of GET /v1/ledger and of the stream, as JSON text. */
export function ledgerEntryText(entry: StoredEntry): string {
  const { digest, body, issuer, id, kind, raw, outcome, attestation } = entry;
  const names = `"digest":"${digest}","body":"${body}","kind":"${kind}","issuer":"${issuer}","id":"${id}"`;
  const text = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('utf8');
  const attested = attestation === null ? '' : `,"attestation":${canonicalize(attestationJson(attestation))}`;
  return `{${names},"envelope":${text},"outcome":${outcome}${attested}}`;
}

/** A page of GET /v1/ledger. `next` is the height to go on from; null at the tip. */
export function ledgerPageText(blocks: readonly StoredBlock[], next: number | null): string {
  return `{"blocks":[${blocks.map(ledgerText).join(',')}],"next":${next}}`;
}
