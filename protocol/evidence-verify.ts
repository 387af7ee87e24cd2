// Evidence against a validator as a document, and whether it holds: judged with the validator set alone, without a node.
// Called by a node that exports evidence and by whoever is shown it.
// Must never call valid what it did not bind: every member takes part in the verdict.
import { Buffer } from 'node:buffer';
import { readSignature } from './attestation.js';
import type { Context } from './consensus/context.js';
import { type Evidence, type EvidenceRule, evidenceFault } from './consensus/evidence.js';
import type { Vote } from './consensus/message.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from './consensus/vote.js';
import type { Ed25519 } from './crypto/ed25519.js';
import type { JsonObject, JsonValue } from './json.js';
import { ShapeError } from './kinds/kind.js';
import { Fields, Mistakes } from './shape.js';
import { parseValidatorSet, type ValidatorSet } from './validators.js';

export interface EvidenceVerdict {
  readonly valid: boolean;
  /** One sentence: what is proved, or what is wrong. */
  readonly detail: string;
}

const MEMBERS = ['version', 'chain_id', 'epoch', 'rule', 'signer', 'view', 'votes'];
const VOTE_MEMBERS = ['kind', 'hash', 'signature'];
const KINDS: ReadonlyMap<string, VoteKind> = new Map([
  ['notarize', NOTARIZE],
  ['nullify', NULLIFY],
  ['finalize', FINALIZE],
]);
const RULE = /^E[1-4]$/;
const SAYS: Readonly<Record<EvidenceRule, string>> = {
  E1: 'notarized two blocks',
  E2: 'finalized two blocks',
  E3: 'nullified the view and finalized a block',
  E4: 'notarized one block and finalized another',
};

/**
 * The document: `{version, chain_id, epoch, rule, signer (node id), view, votes: [{kind, hash or null, signature (base64)}, …]}`,
 * the votes in the order of their kinds.
 */
export function evidenceToJson(context: Context, { rule, first, second }: Evidence): JsonObject {
  return {
    version: 1,
    chain_id: Buffer.from(context.chainId).toString('hex'),
    epoch: context.epoch,
    rule,
    signer: context.validators[first.signer]!.nodeId,
    view: first.view,
    votes: [first, second].map(({ kind, hash, signature }) => ({
      kind: kind === NOTARIZE ? 'notarize' : kind === NULLIFY ? 'nullify' : 'finalize',
      hash,
      signature: Buffer.from(signature).toString('base64'),
    })),
  };
}

/**
 * Whether a document proves that a validator broke the rules, under `validators` (a GET /v1/validators answer). A validator
 * file of another shape throws ShapeError, as nothing can be said then.
 */
export function verifyEvidence(evidence: JsonValue, validators: JsonValue, ed25519: Ed25519): EvidenceVerdict {
  return verifyEvidenceWith(evidence, parseValidatorSet(validators), ed25519);
}

/** The same under a set that was read before. */
export function verifyEvidenceWith(evidence: JsonValue, set: ValidatorSet, ed25519: Ed25519): EvidenceVerdict {
  try {
    return judge(readEvidence(evidence), set, ed25519);
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    return { valid: false, detail: error.message };
  }
}

interface Document {
  readonly chainId: string;
  readonly epoch: number;
  readonly rule: EvidenceRule;
  readonly signer: string;
  readonly view: number;
  readonly votes: readonly Pick<Vote, 'kind' | 'hash' | 'signature'>[];
}

function readEvidence(value: JsonValue): Document {
  const mistakes = new Mistakes();
  const fields = new Fields(value, '', MEMBERS, mistakes);
  fields.count('version', 1, 1);
  const document: Document = {
    chainId: fields.hex('chain_id'),
    epoch: fields.count('epoch'),
    rule: fields.text('rule', RULE, 'E1, E2, E3 or E4') as EvidenceRule,
    signer: fields.identifier('signer'),
    view: fields.count('view', 1),
    votes: fields.objects('votes', VOTE_MEMBERS, (item) => readVote(item, mistakes), 2, 2),
  };
  mistakes.done();
  return document;
}

function readVote(item: Fields, mistakes: Mistakes): Pick<Vote, 'kind' | 'hash' | 'signature'> {
  const kind = KINDS.get(String(item.value('kind')));
  if (kind === undefined) item.wrong('kind', 'notarize, nullify or finalize');
  if (kind === NULLIFY && item.value('hash') !== null) item.wrong('hash', 'null, as a nullify vote names no block');
  return {
    kind: kind ?? NULLIFY,
    hash: kind === NULLIFY ? null : item.hex('hash'),
    signature: readSignature(item.value('signature'), item.at('signature'), mistakes),
  };
}

function judge({ chainId, epoch, rule, signer, view, votes }: Document, set: ValidatorSet, ed25519: Ed25519) {
  const no = (detail: string): EvidenceVerdict => ({ valid: false, detail });
  if (chainId !== set.chainId) return no(`chain ${chainId} in the evidence, ${set.chainId} in the validator file`);
  const members = set.epochs.find((known) => known.epoch === epoch)?.set;
  if (members === undefined) return no(`epoch ${epoch} is not in the validator file`);
  const index = members.findIndex(({ nodeId }) => nodeId === signer);
  if (index < 0) return no(`${signer} is no validator of epoch ${epoch}`);
  const context: Context = {
    chainId: Buffer.from(chainId, 'hex'),
    epoch,
    self: null,
    validators: members,
    delta0Ms: 0,
    deltaMaxMs: 0,
    sign: () => {
      throw new Error('evidence is judged, not signed');
    },
    verify: (signature, bytes, publicKey) => ed25519.verify(signature, bytes, publicKey),
  };
  const [first, second] = votes.map((vote): Vote => ({ ...vote, view, signer: index })) as [Vote, Vote];
  if (first.kind > second.kind) return no('the votes are not in the order of their kinds');
  const fault = evidenceFault(context, { rule, first, second });
  if (fault !== null) return no(fault);
  return { valid: true, detail: `${signer} ${SAYS[rule]} in view ${view} of epoch ${epoch}` };
}
