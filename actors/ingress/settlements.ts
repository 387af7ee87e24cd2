// Log entries that ended without becoming final, told to the wal-writer once a turn, so that no restart takes them up
// again. Called by the door. One that gets lost is only replayed and ends again.
import type { Link } from '../../runtime/kernel/contract.js';
import type { WalWriterContract } from '../wal-writer/contract.js';

export class Settlements {
  readonly #link: Link<WalWriterContract>;
  /** Reason (protocol/wal-record) → LSNs. */
  readonly #lsns = new Map<number, number[]>();

  constructor(link: Link<WalWriterContract>) {
    this.#link = link;
  }

  add(lsn: number, reason: number): void {
    if (this.#lsns.size === 0) setImmediate(() => this.flush());
    const lsns = this.#lsns.get(reason);
    if (lsns === undefined) this.#lsns.set(reason, [lsn]);
    else lsns.push(lsn);
  }

  flush(): void {
    for (const [reason, lsns] of this.#lsns) this.#link.tell('settle', { lsns, reason });
    this.#lsns.clear();
  }
}
