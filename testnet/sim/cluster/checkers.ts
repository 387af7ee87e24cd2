// What must hold of every simulated cluster, whatever befalls it: named checkers that count for themselves. Told by the node
// model what it does and sends, and by the cluster what clients ask and are answered. They must never ask the core.
import type { Evidence } from '../../../protocol/consensus/evidence.js';
import type { Message, Vote } from '../../../protocol/consensus/message.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from '../../../protocol/consensus/vote.js';
import { type Body, short } from './body.js';
import { shownVote } from './describe.js';
import type { Schedule } from './schedule.js';
import type { Trace } from './trace.js';

export type CheckerName =
  | 'agreement'
  | 'one chain'
  | 'one payload'
  | 'durable first'
  | 'durable in memory'
  | 'exactly once'
  | 'order'
  | 'validity'
  | 'evidence'
  | 'halt'
  | 'quarantine'
  | 'bounded memory'
  | 'wake-up'
  | 'log'
  | 'host'
  | 'exception'
  | 'restart'
  | 'rejoin'
  | 'liveness'
  | 'convergence';

/** As much of a node as checkers may know. */
export interface Watched {
  readonly index: number;
  /** Nothing that this node does is held against the protocol. */
  readonly isFaulty: boolean;
}

interface Submission {
  readonly home: number;
  /** No position up to this one may be given to it: they were answered before it was made. */
  readonly after: number;
  position: number | null;
  /** Its home said that it is on disk, and has not lost its log since. */
  kept: boolean;
}

interface Signed {
  notarized: string | null;
  nullified: boolean;
  finalized: string | null;
}

const VIOLATIONS_MAX = 5;

export class Checkers {
  readonly violations: string[] = [];
  readonly submissions: Submission[] = [];
  /** Block hash by height, as the first node to commit it saw it. */
  readonly chain: string[] = [];
  finalEntries = 0;
  readonly tally: Record<string, number> = {};
  readonly #schedule: Schedule;
  readonly #trace: Trace;
  readonly #firstPositions: number[] = [];
  readonly #finalByView = new Map<number, string>();
  readonly #signed = new Map<number, Signed>();
  #answered = -1;

  constructor(schedule: Schedule, trace: Trace) {
    this.#schedule = schedule;
    this.#trace = trace;
  }

  /** Counted, so that it can be seen that a simulation came to it. */
  came(to: string): void {
    this.tally[to] = (this.tally[to] ?? 0) + 1;
  }

  found(checker: CheckerName, what: string): void {
    const text = `${checker}: at ${this.#schedule.nowMs} ms: ${what}`;
    this.#trace.mixText(text);
    this.#trace.line(this.#schedule.nowMs, `VIOLATION ${text}`);
    if (this.violations.length < VIOLATIONS_MAX) this.violations.push(text);
  }

  // --- clients

  /** A client submits at `home`; its number. */
  submitted(home: number): number {
    return this.submissions.push({ home, after: this.#answered, position: null, kept: false }) - 1;
  }

  /** The home node told its client that the submission is on its disk. */
  kept(entry: number): void {
    this.submissions[entry]!.kept = true;
  }

  /** The home node told its client that the submission is final at this position. */
  answered(node: Watched, entry: number, position: number): void {
    const known = this.submissions[entry]!.position;
    if (known !== position) this.found('agreement', `node ${node.index} answers ${position} for ${entry} at ${known}`);
    this.#answered = Math.max(this.#answered, position);
  }

  // --- finality

  committed(node: Watched, body: Body, finalView: number, finalHash: string): void {
    if (node.isFaulty) return;
    const { hash, height } = body.block;
    const final = this.#finalByView.get(finalView);
    if (final === undefined) this.#finalByView.set(finalView, finalHash);
    else if (final !== finalHash) {
      this.found('one chain', `view ${finalView} has two final blocks, ${short(final)} and ${short(finalHash)}`);
    }
    const agreed = this.chain[height];
    if (agreed === undefined) this.#extend(node, body);
    else if (agreed !== hash) {
      const text = `node ${node.index} commits ${short(hash)} at height ${height}, where ${short(agreed)} is final`;
      this.found('agreement', text);
    }
  }

  #extend(node: Watched, { block, entries }: Body): void {
    const { height, hash, parentHash } = block;
    const parent = this.chain[height - 1];
    if (height > 1 && parent !== parentHash) {
      this.found('one chain', `${short(hash)} of height ${height} does not follow ${parent && short(parent)}`);
    }
    this.chain[height] = hash;
    let position = this.#firstPositions[height - 1] ?? 0;
    for (const entry of entries) {
      const submission = this.submissions[entry];
      if (submission === undefined) {
        this.found('validity', `node ${node.index} commits ${entry}, which nobody submitted`);
        continue;
      }
      if (submission.position !== null) {
        this.found('exactly once', `submission ${entry} is final at ${submission.position} and at ${position}`);
      } else this.finalEntries += 1;
      submission.position ??= position;
      if (position <= submission.after) {
        this.found(
          'order',
          `submission ${entry} is at ${position}, and ${submission.after} was answered before it came`,
        );
      }
      position += 1;
    }
    this.#firstPositions[height] = position;
  }

  // --- what leaves a node

  /** Every own signature in a message; `isDurable` says whether the node's log has the vote. */
  sent(node: Watched, message: Message, isDurable: (vote: Omit<Vote, 'signature'>) => boolean): void {
    if (node.isFaulty) return;
    for (const vote of ownVotes(node.index, message)) {
      this.#follows(node, vote.kind, vote.view, vote.hash);
      if (isDurable(vote)) continue;
      this.found(
        'durable first',
        `node ${node.index} sends ${shownVote(vote.kind, vote.view, vote.hash)} before it is durable`,
      );
    }
  }

  /** CONSENSUS.md 1.5, over everything that a signer ever let out, crashes or not. */
  #follows(node: Watched, kind: VoteKind, view: number, hash: string | null): void {
    const key = view * 128 + node.index;
    const signed = this.#signed.get(key) ?? { notarized: null, nullified: false, finalized: null };
    this.#signed.set(key, signed);
    const { notarized, nullified, finalized } = signed;
    const wrong =
      (kind === NOTARIZE &&
        ((notarized !== null && notarized !== hash) || (finalized !== null && finalized !== hash))) ||
      (kind === NULLIFY && finalized !== null) ||
      (kind === FINALIZE &&
        (nullified || (finalized !== null && finalized !== hash) || (notarized !== null && notarized !== hash)));
    if (wrong) {
      const before = `notarized ${short(notarized)}, finalized ${short(finalized)}${nullified ? ', nullified' : ''}`;
      this.found('one payload', `node ${node.index} signs ${shownVote(kind, view, hash)} after ${before}`);
    }
    if (kind === NOTARIZE) signed.notarized ??= hash;
    else if (kind === FINALIZE) signed.finalized ??= hash;
    else signed.nullified = true;
  }

  // --- what a node says of others and of itself

  evidence(node: Watched, { rule, first }: Evidence, isFaulty: (index: number) => boolean): void {
    this.came('accusations');
    if (node.isFaulty || isFaulty(first.signer)) return;
    this.found('evidence', `node ${node.index} accuses honest node ${first.signer} of ${rule} in view ${first.view}`);
  }

  /** After a lost log: no signature of before may be at or above what the node signs from now on. */
  rejoined(node: Watched, floorView: number): void {
    this.came('rejoins');
    for (const key of this.#signed.keys()) {
      const view = Math.floor(key / 128);
      if (key % 128 !== node.index || view <= floorView) continue;
      this.found('rejoin', `node ${node.index} rejoins above view ${floorView}, and has signed in view ${view}`);
      return;
    }
  }

  stopped(node: Watched, how: 'halt' | 'quarantine', reason: string): void {
    if (!node.isFaulty) this.found(how, `node ${node.index}: ${reason}`);
  }
}

function* ownVotes(self: number, message: Message): Generator<Omit<Vote, 'signature'>> {
  if (message.type === 'vote') {
    if (message.vote.signer === self) yield message.vote;
  } else if (message.type === 'proposal') {
    const { view, hash } = message.proposal.block;
    yield { kind: NOTARIZE, view, hash, signer: self };
  } else if (message.type === 'certificate' && message.certificate.signers.includes(self)) {
    const { kind, view, hash } = message.certificate;
    yield { kind, view, hash, signer: self };
  }
}
