// Tells consensus which peers are connected. Owned by the actor. The newest state always arrives in the end: what found no
// room is told again, and a new incarnation of consensus is told everything.
import type { Clock, Link, Timer } from '../../runtime/kernel/contract.js';
import type { ConsensusContract } from '../consensus/contract.js';

const AGAIN_MS = 20;

export class StateTeller {
  readonly #consensus: Link<ConsensusContract>;
  readonly #clock: Clock;
  readonly #isConnected: (nodeId: string) => boolean;
  readonly #untold = new Set<string>();
  #again: Timer | null = null;
  #stopped = false;

  constructor(consensus: Link<ConsensusContract>, clock: Clock, isConnected: (nodeId: string) => boolean) {
    this.#consensus = consensus;
    this.#clock = clock;
    this.#isConnected = isConnected;
  }

  changed(nodeId: string): void {
    this.#untold.add(nodeId);
    this.#tell();
  }

  stop(): void {
    this.#stopped = true;
    this.#again?.cancel();
  }

  #tell(): void {
    if (this.#stopped) return;
    for (const nodeId of this.#untold) {
      const result = this.#consensus.tell('peerState', { nodeId, connected: this.#isConnected(nodeId) });
      if (result === 'overloaded') {
        this.#again ??= this.#clock.setTimer(AGAIN_MS, () => {
          this.#again = null;
          this.#tell();
        });
        return;
      }
      // Of one that is down the next incarnation is told everything.
      this.#untold.delete(nodeId);
    }
  }
}
