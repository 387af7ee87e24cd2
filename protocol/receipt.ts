// Receipts: proof that a submission with this digest, body and outcome is final at this place of the ledger.
// Written by every node for every entry; shown to anyone, who checks them with receipt-verify.ts and no node at all.
// Must never contain a field that nothing binds: each is in the leaf, in a header, or under the certificate (DECISIONS 20).
import type { Buffer } from 'node:buffer';
import { readSignature } from './attestation.js';
import { canonicalize } from './canonical.js';
import type { CertificateJson } from './consensus/vote.js';
import { IDENTIFIER } from './envelope.js';
import { type JsonObject, type JsonValue, parseStrict } from './json.js';
import { ShapeError } from './kinds/kind.js';
import { type Header, headerText, readHeaderAt } from './ledger/header.js';
import type { Tree } from './merkle.js';
import { Fields, Mistakes } from './shape.js';

/** As it stands in JSON; hashes in lowercase hex. */
export type Receipt = {
  readonly version: 1;
  readonly chain_id: string;
  readonly digest: string;
  readonly outcome: JsonObject;
  readonly height: number;
  readonly index: number;
  readonly body: string;
  readonly inclusion: { readonly tree_size: number; readonly path: readonly string[] };
  readonly block: Header;
  /** Headers after `block` up to the one the certificate is for; empty when that is `block` itself. */
  readonly chain: readonly Header[];
  readonly certificate: CertificateJson;
};

const MEMBERS = [
  'version',
  'chain_id',
  'digest',
  'outcome',
  'height',
  'index',
  'body',
  'inclusion',
  'block',
  'chain',
  'certificate',
];
const INCLUSION_MEMBERS = ['tree_size', 'path'];
const CERTIFICATE_MEMBERS = ['epoch', 'view', 'signers', 'signatures'];
const HASH = /^[0-9a-f]{64}$/;

/** What the receipts of one block share. */
export interface CertifiedBlock {
  readonly header: Header;
  readonly chain: readonly Header[];
  readonly certificate: CertificateJson;
}

/** What makes the receipt of one entry, all in final text: hex digest and body, canonical outcome. */
export interface ReceiptParts {
  readonly digest: string;
  readonly body: string;
  readonly outcome: string;
  readonly index: number;
}

/**
 * Writes the receipts of one block. Header, chain and certificate are turned into text once a block; a receipt is then a concatenation
 * (hot path). `tree` is the block's own.
 */
export class ReceiptWriter {
  readonly #tree: Tree;
  readonly #head: string;
  readonly #height: string;
  readonly #tail: string;

  constructor(block: CertifiedBlock, tree: Tree) {
    const { header, chain, certificate } = block;
    this.#tree = tree;
    this.#head = `{"version":1,"chain_id":"${header.chain_id}","digest":"`;
    this.#height = `,"height":${header.height},"index":`;
    this.#tail = `]},"block":${headerText(header)},"chain":[${chain.map(headerText).join(',')}],"certificate":${certificateText(certificate)}}`;
  }

  /** The receipt as JSON text without spaces, members in the order of the type. */
  text({ digest, body, outcome, index }: ReceiptParts): string {
    const path = this.#tree.path(index);
    const siblings = path.length === 0 ? '' : `"${path.join('","')}"`;
    const place = `${this.#height}${index},"body":"${body}","inclusion":{"tree_size":${this.#tree.size},"path":[`;
    return `${this.#head}${digest}","outcome":${outcome}${place}${siblings}${this.#tail}`;
  }
}

export function certificateText(certificate: CertificateJson): string {
  return canonicalize({
    epoch: certificate.epoch,
    view: certificate.view,
    signers: [...certificate.signers],
    signatures: [...certificate.signatures],
  });
}

/** Throws ShapeError with everything wrong. */
export function parseCertificate(value: JsonValue): CertificateJson {
  const mistakes = new Mistakes();
  const certificate = readCertificate(value, '', mistakes);
  mistakes.done();
  return certificate;
}

/** Signers and signatures in equal number, each signature in canonical base64. Who signed is not looked at here. */
export function readCertificate(value: JsonValue | undefined, pointer: string, mistakes: Mistakes): CertificateJson {
  const fields = new Fields(value, pointer, CERTIFICATE_MEMBERS, mistakes);
  const signers = fields.texts('signers', IDENTIFIER, 'a node_id', 1);
  const signatures = fields.items('signatures', 1);
  signatures.forEach((item, i) => {
    readSignature(item, `${fields.at('signatures')}/${i}`, mistakes);
  });
  if (signers.length !== signatures.length) {
    fields.wrong('signatures', `one for each of the ${signers.length} signers`, `${signatures.length} signatures`);
  }
  return {
    epoch: fields.count('epoch'),
    view: fields.count('view', 1),
    signers,
    signatures: signatures.map(String),
  };
}

/** A receipt from its value. Throws ShapeError with everything wrong; a member that has no place here is wrong too. */
export function parseReceipt(value: JsonValue): Receipt {
  const mistakes = new Mistakes();
  const fields = new Fields(value, '', MEMBERS, mistakes);
  const inclusion = fields.fields('inclusion', INCLUSION_MEMBERS);
  const receipt: Receipt = {
    version: fields.count('version', 1, 1) as 1,
    chain_id: fields.hex('chain_id'),
    digest: fields.hex('digest'),
    outcome: fields.anyObject('outcome'),
    height: fields.count('height', 1),
    index: fields.count('index'),
    body: fields.hex('body'),
    inclusion: {
      tree_size: inclusion.count('tree_size', 1),
      // Twice the same sibling would be possible in a tree of equal leaves, but entries of a block are never equal.
      path: inclusion.texts('path', HASH, '64 lowercase hex digits', 0, 64),
    },
    block: readHeaderAt(fields.value('block'), fields.at('block'), mistakes),
    chain: fields.items('chain').map((item, i) => readHeaderAt(item, `${fields.at('chain')}/${i}`, mistakes)),
    certificate: readCertificate(fields.value('certificate'), fields.at('certificate'), mistakes),
  };
  mistakes.done();
  return receipt;
}

const TOKENS = /"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*/g;

/**
 * Reads a receipt file for verification. Beyond strict JSON, numbers and strings must be spelled as RFC 8785 spells them: `12` but not
 * `1.2e1`. Otherwise a byte could change and the value stay. White space and the order of members are free.
 * Throws JsonError or ShapeError.
 */
export function readReceiptFile(bytes: Buffer): JsonValue {
  const value = parseStrict(bytes);
  const text = bytes.toString('utf8');
  for (const [token] of text.matchAll(TOKENS)) {
    const spelled = canonicalize(JSON.parse(token) as JsonValue);
    if (spelled !== token) throw new ShapeError([{ pointer: '', found: token, allowed: `the spelling ${spelled}` }]);
  }
  return value;
}
