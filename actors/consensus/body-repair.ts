// Blocks whose bodies turned out not to be theirs: the hash covers the header, so a peer can send others with it. Driven by the
// network part of consensus. It asks the others in turn until bodies come that lead to the header, or nobody wants them any more.
import type { BlockRef } from '../../protocol/consensus/message.js';
import type { Clock, Timer } from '../../runtime/kernel/contract.js';

export interface BodyRepairParts {
  readonly clock: Clock;
  /** Node ids that can be asked now. */
  peers(): readonly string[];
  request(nodeId: string, block: BlockRef): void;
  /** Whether it still matters. */
  isWanted(block: BlockRef): boolean;
}

interface Repair {
  readonly block: BlockRef;
  /** Requests so far: whose turn it is. */
  turn: number;
  timer: Timer | null;
  /** A body came, and is being judged. */
  judging: boolean;
}

const ANSWER_MS = 400;

export class BodyRepair {
  readonly #parts: BodyRepairParts;
  readonly #repairs = new Map<string, Repair>();

  constructor(parts: BodyRepairParts) {
    this.#parts = parts;
  }

  /** The bodies that are here do not fit. Called again when the next ones do not either. */
  unfit(block: BlockRef): void {
    const known = this.#repairs.get(block.hash);
    if (known === undefined) {
      const repair = { block, turn: 0, timer: null, judging: false };
      this.#repairs.set(block.hash, repair);
      this.#ask(repair);
      return;
    }
    known.judging = false;
    // The timer of the last request is still running: a peer that sends rubbish at once is not asked faster.
    if (known.timer === null) this.#ask(known);
  }

  /** True when bodies of this block are asked for, and none is being judged; from now on one is. */
  take(hash: string): boolean {
    const repair = this.#repairs.get(hash);
    if (repair === undefined || repair.judging) return false;
    repair.judging = true;
    return true;
  }

  fits(hash: string): void {
    this.#repairs.get(hash)?.timer?.cancel();
    this.#repairs.delete(hash);
  }

  stop(): void {
    for (const hash of [...this.#repairs.keys()]) this.fits(hash);
  }

  #ask(repair: Repair): void {
    if (!this.#parts.isWanted(repair.block)) {
      this.fits(repair.block.hash);
      return;
    }
    const peers = this.#parts.peers();
    const nodeId = peers[repair.turn % Math.max(1, peers.length)];
    repair.turn += 1;
    if (nodeId !== undefined) this.#parts.request(nodeId, repair.block);
    repair.timer = this.#parts.clock.setTimer(ANSWER_MS, () => {
      repair.timer = null;
      if (!repair.judging) this.#ask(repair);
    });
  }
}
