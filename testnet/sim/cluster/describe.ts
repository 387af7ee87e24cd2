// One line of a trace for what a core was told and what it answered. Called by the node model when a trace is kept.
import type { Output } from '../../../protocol/consensus/effect.js';
import type { Input } from '../../../protocol/consensus/input.js';
import type { Message } from '../../../protocol/consensus/message.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from '../../../protocol/consensus/vote.js';
import { short } from './body.js';

const KIND_LETTERS = new Map<VoteKind, string>([
  [NOTARIZE, 'N'],
  [NULLIFY, 'X'],
  [FINALIZE, 'F'],
]);

export function shownVote(kind: VoteKind, view: number, hash: string | null): string {
  return `${KIND_LETTERS.get(kind) ?? kind}${view}${hash === null ? '' : ` ${short(hash)}`}`;
}

function shownMessage(message: Message): string {
  switch (message.type) {
    case 'vote':
      return `${shownVote(message.vote.kind, message.vote.view, message.vote.hash)} by ${message.vote.signer}`;
    case 'proposal': {
      const { view, hash, parentView, height } = message.proposal.block;
      return `proposal ${view} ${short(hash)} of height ${height} on ${parentView}`;
    }
    case 'certificate': {
      const { kind, view, hash, signers } = message.certificate;
      return `certificate ${shownVote(kind, view, hash)} by ${signers.join()}`;
    }
    default:
      return JSON.stringify(message);
  }
}

export function shownInput(input: Input): string {
  switch (input.type) {
    case 'message':
      return `${input.from}→ ${shownMessage(input.message)}`;
    case 'built':
      return `built ${input.view} ${short(input.block?.hash ?? null)}`;
    case 'validated':
      return `${input.valid ? 'valid' : 'invalid'} ${short(input.hash)}`;
    case 'pending':
      return `pending ${input.count}`;
    default:
      return input.type;
  }
}

export function shownOutput({ records, effects }: Output): string {
  const written = records.map((record) => {
    if (record.type === 'vote') return shownVote(record.vote.kind, record.vote.view, record.vote.hash);
    if (record.type !== 'certificate') return record.type;
    return `certificate ${shownVote(record.certificate.kind, record.certificate.view, record.certificate.hash)}`;
  });
  const done = effects.map((effect) => {
    if (effect.type === 'broadcast') return `all ← ${shownMessage(effect.message)}`;
    return effect.type === 'send' ? `${effect.to} ← ${shownMessage(effect.message)}` : effect.type;
  });
  return [
    written.length === 0 ? '' : ` writes ${written.join(', ')};`,
    done.length === 0 ? '' : ` then ${done.join(', ')}`,
  ].join('');
}
