// The main thread as a caller of actors: its links, kept over the actors' restarts like any other. Used by the
// supervisor for `link`. It must never be a receiver: nothing of the data path runs on the supervisor's loop.
import type { Clock, ContractShape, Link } from './contract.js';
import { PortLink } from './link.js';
import type { Subscriber, Switchboard } from './switchboard.js';
import type { NoticeToActor } from './wire.js';

/** How the main thread is named as a caller; no actor can have this id. */
const MAIN = '(main)';

export class MainCaller implements Subscriber {
  readonly ready = null;
  readonly #switchboard: Switchboard;
  readonly #clock: Clock;
  readonly #links = new Map<string, PortLink<ContractShape>>();

  constructor(switchboard: Switchboard, clock: Clock) {
    this.#switchboard = switchboard;
    this.#clock = clock;
    switchboard.spawned(MAIN, this);
  }

  post(notice: NoticeToActor): void {
    if (notice.kind === 'link') this.#links.get(notice.peer)?.connect(notice);
    else if (notice.kind === 'down') this.#links.get(notice.peer)?.disconnect();
  }

  link<C extends ContractShape>(peer: string, outcomeUnknownOnDeath: boolean): Link<C> {
    let link = this.#links.get(peer);
    if (link === undefined) {
      link = new PortLink<ContractShape>(peer, this.#clock, outcomeUnknownOnDeath);
      this.#links.set(peer, link);
      this.#switchboard.add(MAIN, peer);
    }
    return link as unknown as Link<C>;
  }
}
