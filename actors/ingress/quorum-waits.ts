// Clients that are content when a quorum of validators has their submission on disk (`Prefer: durable=quorum`). Used by the door. A
// notarized block proves it: a validator votes for a block only once its body is durable (docs/CONSENSUS.md, 1.7).
import type { Clock, Link } from '../../runtime/kernel/contract.js';
import type { ConsensusContract } from '../consensus/contract.js';
import type { Answers } from './answers.js';
import type { NotarizedBlock } from './contract.js';
import { bytesKey, type Submission } from './submission.js';
import type { WaitingClients } from './waiting-clients.js';

/** Consensus that starts anew has forgotten who asked: with the next such client, this soon, it knows again. */
const ASK_AGAIN_MS = 1_000;

export class QuorumWaits {
  readonly #consensus: Link<ConsensusContract>;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #answers: Pick<Answers, 'durable'>;
  readonly #waiting: WaitingClients;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    consensus: Link<ConsensusContract>,
    clock: Pick<Clock, 'monotonic'>,
    answers: Pick<Answers, 'durable'>,
    waiting: WaitingClients,
  ) {
    this.#consensus = consensus;
    this.#clock = clock;
    this.#answers = answers;
    this.#waiting = waiting;
  }

  /** Such a client has come, and its submission is not proposed yet. */
  begun(): void {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#askedAtMs < ASK_AGAIN_MS) return;
    if (this.#consensus.tell('wantNotarized', null) === 'ok') this.#askedAtMs = nowMs;
  }

  /** @param find what is under way, by the key of its content */
  notarized({ digests, bodies }: NotarizedBlock, find: (content: string) => Submission | undefined): void {
    for (let at = 0; at < digests.length; at += 32) {
      const submission = find(bytesKey(digests, at)) ?? find(bytesKey(bodies, at));
      if (submission === undefined) continue;
      const answer = () => this.#answers.durable(submission, 'quorum');
      if (this.#waiting.answerEarly(submission, ({ untilQuorum }) => untilQuorum === true, answer)) {
        submission.toldDurable = true;
      }
    }
  }
}
