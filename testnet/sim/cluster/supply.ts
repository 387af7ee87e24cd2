// How a simulated node gets what it lacks from its peers, and serves them: one block or certificate at a time, and whole
// ranges of the ledger. Owned by the node model. It must never serve what its own disk would not give again.
import { requestOf, SYNC_BLOCKS_MAX, type Want } from '../../../protocol/consensus/effect.js';
import { wantKey } from '../../../protocol/consensus/turn.js';
import { type Executed, isSound } from './body.js';
import type { SimNode } from './node.js';
import type { Surroundings } from './surroundings.js';

/** One answer to `catchup` in the making. */
interface Syncing {
  readonly peer: number;
  readonly fromHeight: number;
  readonly token: number;
  readonly gathered: Executed[];
}

const FETCH_EVERY_MS = 300;
/** A peer that does not answer a request for blocks in time has answered nothing. */
const SYNC_WITHIN_MS = 1_000;
const SYNC_PAGE_BLOCKS = 64;

export class Supply {
  readonly #node: SimNode;
  readonly #world: Surroundings;
  readonly #fetching = new Set<string>();
  #syncing: Syncing | null = null;
  #token = 0;

  constructor(node: SimNode, world: Surroundings) {
    this.#node = node;
    this.#world = world;
  }

  end(): void {
    this.#fetching.clear();
    this.#syncing = null;
  }

  /** Asks one peer after the other until the want is met or passed. */
  fetch(want: Want, holder: number | null): void {
    const { n, chance } = this.#world;
    const node = this.#node;
    const key = wantKey(want);
    if (this.#fetching.has(key) || n === 1) return;
    this.#fetching.add(key);
    let peer = holder ?? chance.between(0, n - 1);
    const attempt = (): void => {
      if (!node.state.wanted.has(key)) {
        this.#fetching.delete(key);
        return;
      }
      if (peer === node.index) peer = (peer + 1) % n;
      if (want.type === 'block') this.#world.send(node, peer, { type: 'wanted', hash: want.hash });
      else {
        const message = requestOf(want, node.context.epoch);
        this.#world.send(node, peer, { type: 'consensus', message, body: null });
      }
      peer = (peer + 1) % n;
      node.after(FETCH_EVERY_MS, attempt);
    };
    attempt();
  }

  serve(to: number, hash: string): void {
    const { journal, misdeed } = this.#node;
    const body = journal.stored.get(hash);
    if (body !== undefined && misdeed?.serves !== false) this.#world.send(this.#node, to, { type: 'body', body });
  }

  catchUp(peer: number, fromHeight: number): void {
    this.#token += 1;
    const token = this.#token;
    this.#syncing = { peer, fromHeight, token, gathered: [] };
    this.#world.send(this.#node, peer, { type: 'range', fromHeight, token });
    this.#node.after(SYNC_WITHIN_MS, () => this.#synced(token));
  }

  serveRange(to: number, fromHeight: number, token: number): void {
    const { misdeed, ledger } = this.#node;
    if (misdeed?.serves === false) return;
    const blocks = ledger.executed.slice(fromHeight - 1, fromHeight - 1 + SYNC_PAGE_BLOCKS);
    this.#world.send(this.#node, to, { type: 'blocks', blocks: misdeed?.altersBlocks(blocks) ?? blocks, token });
  }

  /** Gathers pages until one ends in a block with its own certificate. */
  receiveBlocks(from: number, blocks: readonly Executed[], token: number): void {
    const syncing = this.#syncing;
    if (syncing === null || syncing.token !== token || syncing.peer !== from) return;
    const sound = blocks.filter(({ body }) => isSound(body));
    syncing.gathered.push(...sound);
    const isWhole = sound.some(({ certificate }) => certificate !== null) || sound.length < SYNC_PAGE_BLOCKS;
    if (isWhole || syncing.gathered.length >= SYNC_BLOCKS_MAX) this.#synced(token);
    else {
      const fromHeight = syncing.fromHeight + syncing.gathered.length;
      this.#world.send(this.#node, from, { type: 'range', fromHeight, token });
    }
  }

  #synced(token: number): void {
    const node = this.#node;
    const syncing = this.#syncing;
    if (syncing === null || syncing.token !== token) return;
    this.#syncing = null;
    const { peer, fromHeight, gathered } = syncing;
    for (const { body } of gathered) node.chain.hold(body);
    const blocks = gathered.map(({ body, certificate }) => ({ block: body.block, certificate }));
    node.feed({ type: 'synced', now: node.now(), peer, fromHeight, blocks });
    for (const { body } of gathered) node.dropUnknown(body.block.hash);
  }
}
