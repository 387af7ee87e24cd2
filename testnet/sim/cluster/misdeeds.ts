// What a Byzantine validator does with the messages that its own, production, core wants to send: a table of lies by name.
// Asked by the node model for each message. A liar has its own key and nobody else's, and must never be held to anything.
import type { Certificate } from '../../../protocol/consensus/certificate.js';
import { signedBytes } from '../../../protocol/consensus/certificate.js';
import type { Evidence } from '../../../protocol/consensus/evidence.js';
import type { BlockRef, Message, Proposal, Vote } from '../../../protocol/consensus/message.js';
import { quorum } from '../../../protocol/consensus/quorum.js';
import { parentCertificate, VOTE_KINDS } from '../../../protocol/consensus/state.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from '../../../protocol/consensus/vote.js';
import { BLOCK_ENTRIES_MAX, type Body, type Executed, GENESIS, makeBody } from './body.js';
import { mockHash } from './keys.js';
import type { SimNode } from './node.js';
import type { Chance } from './schedule.js';

export interface Letter {
  readonly to: number;
  readonly message: Message;
  readonly body: Body | null;
}

type Lie = (node: SimNode, letter: Letter, chance: Chance) => Letter[];

/** For each letter to one peer: what is sent to that peer instead. */
const LIES = {
  /** Nothing, to anybody. */
  silent: () => [],
  /** Another block to the other half of the peers. */
  equivocates: (node, letter) => {
    const { message, body } = letter;
    if (message.type !== 'proposal' || body === null || (letter.to & 1) === 0) return [letter];
    return [{ ...letter, ...proposed(node, message.proposal, { ...body, salt: body.salt + 1 }) }];
  },
  /** Both blocks to everybody. */
  'equivocates openly': (node, letter) => {
    const { message, body } = letter;
    if (message.type !== 'proposal' || body === null) return [letter];
    return [letter, { ...letter, ...proposed(node, message.proposal, { ...body, salt: body.salt + 1 }) }];
  },
  /** Every vote and its contradiction, to different peers. */
  'votes twice': (node, letter, chance) => {
    const { message } = letter;
    if (message.type !== 'vote') return [letter];
    const { kind, view, hash } = message.vote;
    const others: Vote[] = [voteOf(node, NULLIFY, view, null)];
    if (hash !== null) others.push(voteOf(node, FINALIZE, view, hash), voteOf(node, NOTARIZE, view, hash));
    else others.push(voteOf(node, FINALIZE, view, mockHash([view, node.index])));
    const other = chance.pick(others.filter((vote) => vote.kind !== kind));
    return chance.happens(0.5) ? [letter, { ...letter, message: { ...message, vote: other } }] : [letter];
  },
  /** To as many peers as make q with itself, or one less. */
  selects: (node, letter, chance) => {
    const n = node.context.validators.length;
    const place = (letter.to - node.index + n) % n;
    return place < quorum(n) - (chance.happens(0.5) ? 1 : 0) ? [letter] : [];
  },
  /** Votes, and keeps every certificate to itself. */
  'withholds certificates': (_, letter) => {
    const { message } = letter;
    if (message.type === 'certificate') return [];
    if (message.type !== 'proposal') return [letter];
    return [{ ...letter, message: { ...message, proposal: { ...message.proposal, justification: [] } } }];
  },
  /** The block stands on the parent of its parent, which nothing nullified. */
  'skips the parent': (node, letter) => {
    const { message, body } = letter;
    const parent = body === null ? undefined : node.chain.bodies.get(body.block.parentHash);
    if (message.type !== 'proposal' || body === null || parent === undefined) return [letter];
    const { parentView, parentHash, height } = parent.block;
    const block = { ...body.block, parentView, parentHash, height };
    return [{ ...letter, ...proposed(node, message.proposal, { ...body, block, entries: [] }) }];
  },
  /** The block stands on one that was proposed and never certified. */
  'builds on what failed': (node, letter) => {
    const { message, body } = letter;
    if (message.type !== 'proposal' || body === null) return [letter];
    const failed = [...node.state.blocks.values()]
      .map(({ block }) => block)
      .filter(({ view, hash }) => {
        if (view >= body.block.view || hash === body.block.parentHash) return false;
        return parentCertificate(node.state.views.get(view))?.hash !== hash;
      });
    const parent = failed.sort((one, other) => other.view - one.view)[0];
    if (parent === undefined) return [letter];
    const block = { ...body.block, parentView: parent.view, parentHash: parent.hash, height: parent.height + 1 };
    return [{ ...letter, ...proposed(node, message.proposal, { ...body, block, entries: [] }) }];
  },
  /** The block names a parent that is not there, or another height. */
  'invents a parent': (node, letter, chance) => {
    const { message, body } = letter;
    if (message.type !== 'proposal' || body === null) return [letter];
    const { height, parentHash } = body.block;
    const block = chance.happens(0.5)
      ? { ...body.block, height: height + 1 }
      : { ...body.block, parentHash: mockHash([height, Number.parseInt(parentHash.slice(0, 8), 16)]) };
    return [{ ...letter, ...proposed(node, message.proposal, { ...body, block }) }];
  },
  /** Old certificates in the place of those that are needed. */
  'justifies with the past': (node, letter) => {
    const { message } = letter;
    if (message.type !== 'proposal') return [letter];
    const held = node.ledger.executed
      .slice(-6)
      .flatMap(({ certificate }) => (certificate === null ? [] : [certificate]));
    return [{ ...letter, message: { ...message, proposal: { ...message.proposal, justification: held } } }];
  },
  /** More than anybody has to take. */
  oversizes: (node, letter) => {
    const { message, body } = letter;
    if (message.type !== 'proposal' || body === null) return [letter];
    const certificate = message.proposal.justification[0];
    if (certificate !== undefined && (letter.to & 1) === 0) {
      const justification = Array.from({ length: 100 }, () => certificate);
      return [{ ...letter, message: { ...message, proposal: { ...message.proposal, justification } } }];
    }
    const entries = Array.from({ length: BLOCK_ENTRIES_MAX + 1 }, (_, entry) => entry);
    return [{ ...letter, ...proposed(node, message.proposal, { ...body, entries }) }];
  },
  /** A block with what is final already, or was never submitted, or twice the same. */
  'proposes nonsense': (node, letter, chance) => {
    const { message, body } = letter;
    if (message.type !== 'proposal' || body === null) return [letter];
    const entries = chance.pick([[0], [1 << 20], [...body.entries, ...body.entries, 0]]);
    return [{ ...letter, ...proposed(node, message.proposal, { ...body, entries }) }];
  },
  /** A proposal whose body is another's, or less than what its hash is of. */
  'swaps bodies': (node, letter, chance) => {
    const { message, body } = letter;
    if (message.type !== 'proposal' || body === null) return [letter];
    if (chance.happens(0.5)) return [{ ...letter, body: { ...body, entries: body.entries.slice(1) } }];
    return [{ ...letter, body: node.ledger.executed[node.ledger.height - 1]?.body ?? null }];
  },
  /** Votes of others with no signature of theirs, and certificates that count one signer several times, or too few. */
  forges: (node, letter, chance) => {
    const { view } = node.state;
    const n = node.context.validators.length;
    const { epoch } = node.context;
    const hash = mockHash([view, letter.to]);
    const own = voteOf(node, chance.pick([NOTARIZE, FINALIZE]), view, hash);
    const signer = chance.between(0, n);
    const forged: Message[] = [
      { type: 'vote', epoch, vote: { ...own, signer } },
      {
        type: 'certificate',
        epoch,
        certificate: certificateBy(
          own,
          Array.from({ length: n }, () => node.index),
        ),
      },
      {
        type: 'certificate',
        epoch,
        certificate: certificateBy(
          own,
          Array.from({ length: n }, (_, index) => index),
        ),
      },
      { type: 'certificate', epoch, certificate: certificateBy(own, [node.index]) },
      { type: 'vote', epoch, vote: { ...own, view: Number.NaN } },
      { type: 'vote', epoch, vote: { ...own, kind: 7 as VoteKind } },
      { type: 'vote', epoch, vote: { ...own, hash: 'zz' } },
    ];
    return [letter, { to: letter.to, message: chance.pick(forged), body: null }];
  },
  /** What it says, signed for another epoch or labelled as one. */
  'crosses epochs': (node, letter, chance) => {
    const { message } = letter;
    if (chance.happens(0.5) || message.type !== 'vote')
      return [letter, { ...letter, message: { ...message, epoch: message.epoch - 1 } }];
    const { kind, view, hash } = message.vote;
    const signature = node.context.sign(
      signedBytes({ ...node.context, epoch: node.context.epoch - 1 }, kind, view, hash),
    );
    return [{ ...letter, message: { ...message, vote: { ...message.vote, signature } } }];
  },
  /** Accuses honest validators, with votes that do not prove it. */
  slanders: (node, letter, chance) => {
    const { epoch, validators } = node.context;
    const view = Math.max(1, node.state.view - chance.between(0, 1));
    const [first, second] = [
      voteOf(node, NOTARIZE, view, mockHash([view, 1])),
      voteOf(node, NOTARIZE, view, mockHash([view, 2])),
    ];
    const signer = chance.between(0, validators.length - 1);
    const other = voteOf(node, NULLIFY, view, null);
    const evidence = chance.pick<Evidence>([
      { rule: 'E1', first: { ...first, signer }, second: { ...second, signer } },
      { rule: 'E1', first, second: { ...second, signer } },
      { rule: 'E3', first: { ...first, signer }, second: { ...other, signer } },
      { rule: 'E2', first, second: first },
    ]);
    return [letter, { to: letter.to, message: { type: 'evidence', epoch, evidence }, body: null }];
  },
  /** Says of itself that it stands where it does not, and answers who asks where others are with what it likes. */
  'misstates itself': (node, letter, chance) => {
    const { message } = letter;
    const old = node.ledger.executed[0]?.certificate ?? null;
    if (message.type === 'recovered')
      return [{ ...letter, message: { ...message, certificate: chance.pick([null, old]) } }];
    if (message.type !== 'status') return [letter];
    const { status } = message;
    const lies = [
      { ...status, finalizedView: 0, height: 0, finalizedHash: GENESIS.hash, open: [] },
      { ...status, finalizedView: status.view + 1_000, view: status.view + 2_000, height: status.height + 1_000_000 },
      {
        ...status,
        open: Array.from({ length: 64 }, (_, at) => ({
          view: status.view + at,
          certificates: [],
          votes: [[], [], []],
        })),
      },
      { ...status, view: Number.MAX_SAFE_INTEGER },
    ];
    return [{ ...letter, message: { ...message, status: chance.pick(lies) } }];
  },
  /** Votes for views that nobody has reached. */
  floods: (node, letter, chance) => {
    const view = node.state.view + chance.pick([1, 2, 5, 1_000, 1_000_000]);
    const kind = chance.pick(VOTE_KINDS);
    const vote = voteOf(node, kind, view, kind === NULLIFY ? null : mockHash([view, chance.between(0, 9)]));
    return [letter, { to: letter.to, message: { type: 'vote', epoch: node.context.epoch, vote }, body: null }];
  },
  /** Gives every view up at once. */
  'gives up': (node, letter) => {
    const vote = voteOf(node, NULLIFY, node.state.view, null);
    return [{ to: letter.to, message: { type: 'vote', epoch: node.context.epoch, vote }, body: null }];
  },
} satisfies Record<string, Lie>;

export type LieName = keyof typeof LIES;
export const LIE_NAMES = Object.keys(LIES) as readonly LieName[];

export class Misdeed {
  readonly lies: readonly LieName[];
  /** Whether it answers when it is asked for something. */
  readonly serves: boolean;
  /** How often it lies. */
  readonly rate: number;
  readonly #chance: Chance;

  constructor(lies: readonly LieName[], rate: number, serves: boolean, chance: Chance) {
    this.lies = lies;
    this.rate = rate;
    this.serves = serves;
    this.#chance = chance;
  }

  /** What it serves to one who catches up: the truth, less of it, or blocks under other blocks' certificates. */
  altersBlocks(blocks: readonly Executed[]): readonly Executed[] {
    if (!this.#chance.happens(this.rate)) return blocks;
    const shifted = blocks.map(({ body }, at) => ({ body, certificate: blocks[at + 1]?.certificate ?? null }));
    const bare = blocks.map(({ body }) => ({ body, certificate: null }));
    return this.#chance.pick([[], blocks.slice(1), [...blocks].reverse(), shifted, bare]);
  }

  outgoing(node: SimNode, to: number | null, message: Message, body: Body | null): Letter[] {
    const peers = to === null ? node.context.validators.keys() : [to];
    const lie = this.#chance.happens(this.rate) && this.lies.length > 0 ? this.#chance.pick(this.lies) : null;
    const letters: Letter[] = [];
    for (const peer of peers) {
      if (peer === node.index) continue;
      const letter = { to: peer, message, body };
      if (lie === null) letters.push(letter);
      else letters.push(...(LIES[lie] as Lie)(node, letter, this.#chance));
    }
    return letters;
  }
}

function voteOf(node: SimNode, kind: VoteKind, view: number, hash: string | null): Vote {
  return {
    kind,
    view,
    hash,
    signer: node.index,
    signature: node.context.sign(signedBytes(node.context, kind, view, hash)),
  };
}

/** The same proposal with another block, properly signed. */
function proposed(node: SimNode, proposal: Proposal, changed: Body): Pick<Letter, 'message' | 'body'> {
  const { height, view, parentView, parentHash, timestamp }: BlockRef = changed.block;
  const body = makeBody({ height, view, parentView, parentHash, timestamp }, node.index, changed.entries, changed.salt);
  const { block } = body;
  const { signature } = voteOf(node, NOTARIZE, block.view, block.hash);
  return {
    message: { type: 'proposal', epoch: node.context.epoch, proposal: { ...proposal, block, signature } },
    body,
  };
}

function certificateBy({ kind, view, hash, signature }: Vote, signers: readonly number[]): Certificate {
  return { kind, view, hash, signers, signatures: signers.map(() => signature) };
}
