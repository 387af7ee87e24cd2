// What an equivocator says instead of one of its own frames: another block of the same view, or a vote for another block,
// with signatures that hold. Called by actor.ts for what goes to the peer that it deceives.
import { NOTARIZE, voteSignBytes } from '../../../protocol/consensus/vote.js';
import {
  decodeMessage,
  decodeProposal,
  encodeMessage,
  encodeProposal,
  FRAME,
} from '../../../protocol/consensus/wire.js';
import { blockHash, headerText, timestampMs, timestampText } from '../../../protocol/ledger/header.js';
import { decodeBlockBody, encodeBlockBody } from '../../../protocol/peer/block-body.js';

export interface Liar {
  readonly chainId: Uint8Array;
  /** Its place among the validators. */
  readonly index: number;
  sign(bytes: Uint8Array): Uint8Array;
}

export interface Contradiction {
  readonly view: number;
  readonly frame: Uint8Array;
}

/** Null for what is neither an own notarize vote nor a proposal. */
export function contradiction(liar: Liar, frame: Uint8Array): Contradiction | null {
  if (frame[0] === FRAME.proposal) return otherProposal(liar, frame);
  return frame[0] === FRAME.vote ? otherVote(liar, frame) : null;
}

function otherProposal(liar: Liar, frame: Uint8Array): Contradiction {
  const { epoch, justification, body: bytes } = decodeProposal(frame);
  const { header, entries } = decodeBlockBody(bytes);
  // A millisecond later: a valid block, and another hash.
  const text = headerText({ ...header, timestamp: timestampText(timestampMs(header) + 1) });
  const signature = liar.sign(voteSignBytes(liar.chainId, epoch, NOTARIZE, header.view, blockHash(text)));
  // Of the block only its hash is signed here; its reference is the receiver's to derive.
  const block = { hash: '', height: 0, view: 0, parentView: 0, parentHash: '', timestamp: 0, entryCount: 0 };
  const proposal = { block, signature, justification };
  const other = encodeProposal({ type: 'proposal', epoch, proposal }, encodeBlockBody(text, entries));
  return { view: header.view, frame: other };
}

function otherVote(liar: Liar, frame: Uint8Array): Contradiction | null {
  const message = decodeMessage(frame);
  if (message.type !== 'vote' || message.vote.kind !== NOTARIZE || message.vote.signer !== liar.index) return null;
  const { epoch, vote } = message;
  const hash = Buffer.from(vote.hash!, 'hex');
  hash[0]! ^= 1;
  const signature = liar.sign(voteSignBytes(liar.chainId, epoch, NOTARIZE, vote.view, hash));
  const other = encodeMessage({ ...message, vote: { ...vote, hash: hash.toString('hex'), signature } });
  return { view: vote.view, frame: other };
}
