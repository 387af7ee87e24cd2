// What consensus has to do with peers: sends the core's messages, takes in what comes, fetches and serves blocks, judges
// blocks of other leaders. Driven by the host; there is none on a chain of one. It must never let a peer's bytes throw: what
// cannot be read is counted and dropped.
import type { Logger } from 'pino';
import type { Context } from '../../protocol/consensus/context.js';
import { type Effect, requestOf, type Want } from '../../protocol/consensus/effect.js';
import type { Input, SyncedBlock } from '../../protocol/consensus/input.js';
import type { BlockRef, Message } from '../../protocol/consensus/message.js';
import { quorum } from '../../protocol/consensus/quorum.js';
import type { State as CoreState } from '../../protocol/consensus/state.js';
import {
  decodeMessage,
  decodeProposal,
  encodeMessage,
  encodeProposal,
  FRAME,
  WireError,
} from '../../protocol/consensus/wire.js';
import { decodeBlockBody, encodeBlockBody } from '../../protocol/peer/block-body.js';
import { decodeBlockFrame, encodeBlockFrame } from '../../protocol/peer/block-frames.js';
import { FrameError } from '../../protocol/peer/bytes.js';
import { frameFamily } from '../../protocol/peer/frame.js';
import type { Clock, Link, ReportValue } from '../../runtime/kernel/contract.js';
import type { GossipContract } from '../gossip/contract.js';
import type { FinalizedForStore } from '../store/contract.js';
import type { Blocks, ExecutedBlock, HeldBlock } from './blocks.js';
import { BodyRepair } from './body-repair.js';
import { CatchUp } from './catch-up.js';
import type { Committed } from './committed.js';
import { bodyEntries, Exchange } from './exchange.js';
import { Fetcher } from './fetcher.js';
import type { Mempool } from './mempool.js';
import type { ConsensusMetrics } from './metrics.js';
import { Peers } from './peers.js';
import { heldBlock, InvalidBlock, type SignatureVerifier, UnfitBody, Validation } from './validation.js';

type WithoutTime<T> = T extends unknown ? Omit<T, 'now'> : never;

/** An input, to which the host adds the time. */
export type TimelessInput = WithoutTime<Input>;

export interface NetworkParts {
  readonly context: Context;
  readonly core: CoreState;
  readonly gossip: Link<GossipContract>;
  readonly committed: Committed;
  readonly blocks: Blocks;
  readonly mempool: Mempool;
  readonly metrics: ConsensusMetrics;
  readonly clock: Clock;
  readonly log: Logger;
  readonly verifier: SignatureVerifier;
  stored(height: number): Uint8Array | undefined;
  report(name: string, value: ReportValue): void;
  feed(input: TimelessInput): void;
  /** A validator came within reach. */
  peerUp(nodeId: string): void;
  /** The mempool holds more, or less, than before. */
  pendingChanged(): void;
}

export type NetworkEffect = Extract<Effect, { readonly type: 'broadcast' | 'send' | 'validate' | 'fetch' | 'catchup' }>;

export class Network {
  readonly #parts: NetworkParts;
  readonly #peers: Peers;
  readonly #fetcher: Fetcher;
  readonly #exchange: Exchange;
  readonly #catchUp: CatchUp;
  readonly #validation: Validation;
  readonly #repair: BodyRepair;
  /** Final blocks that cannot be written before their bodies are here, and who waits for that. */
  readonly #missing = new Map<string, () => void>();
  #started = false;

  constructor(parts: NetworkParts) {
    this.#parts = parts;
    const { context, gossip, metrics, clock, core, blocks } = parts;
    this.#peers = new Peers(context, gossip, metrics);
    this.#fetcher = new Fetcher({
      clock,
      peers: () => this.#peers.connected,
      request: (nodeId, want) => this.#request(nodeId, want),
      isWanted: (key) => core.wanted.has(key),
    });
    this.#exchange = new Exchange({ ...parts, peers: this.#peers });
    this.#catchUp = new CatchUp({
      context,
      clock,
      send: (nodeId, frame) => {
        this.#peers.send(nodeId, frame);
        this.#peers.flush();
      },
      hold: (block) => blocks.hold(block),
      synced: (peer, fromHeight, gathered) => {
        const list = this.#executable(gathered);
        parts.feed({ type: 'synced', peer, fromHeight, blocks: list });
        for (const { block } of gathered) this.#dropUnwanted(block.hash, block.height);
      },
    });
    this.#validation = new Validation({ ...parts, checked: (count) => metrics.checked.inc(count) });
    this.#repair = new BodyRepair({
      clock,
      peers: () => this.#peers.connected,
      request: (nodeId, { hash, view }) => this.#request(nodeId, { type: 'block', hash, view }),
      isWanted: ({ hash }) => this.#missing.has(hash) || (core.blocks.has(hash) && blocks.get(hash) === undefined),
    });
    metrics.figures.peers = () => this.#peers.connected.length;
    metrics.figures.behind = () => this.#catchUp.behind;
    metrics.figures.refused = () => core.refused;
    // A new gossip tells every state again; until then nobody is reached.
    gossip.onDown(() => {
      for (const nodeId of this.#peers.connected) this.peerState(nodeId, false);
    });
    this.#reportQuorum();
  }

  /** From here on the core hears of peers. */
  start(): void {
    this.#started = true;
    const { context, feed } = this.#parts;
    for (const [index, { nodeId }] of context.validators.entries()) {
      if (index === context.self) continue;
      feed({ type: 'peer', peer: index, connected: this.#peers.connected.includes(nodeId) });
    }
  }

  stop(): void {
    this.#fetcher.stop();
    this.#repair.stop();
    this.#catchUp.stop();
  }

  flush(): void {
    this.#peers.flush();
  }

  /** The core has taken an input. */
  fed(): void {
    this.#fetcher.sweep();
    this.#peers.flush();
  }

  // --- what peers say

  peerState(nodeId: string, connected: boolean): void {
    if (!this.#peers.state(nodeId, connected)) return;
    this.#reportQuorum();
    const peer = this.#peers.indexOf(nodeId)!;
    if (this.#started) this.#parts.feed({ type: 'peer', peer, connected });
    if (connected) {
      this.#fetcher.peerUp();
      this.#parts.peerUp(nodeId);
    } else this.#catchUp.failed(nodeId);
    this.#peers.flush();
  }

  /** Readiness (OB-2): whether this node, with those it reaches, could make a certificate. */
  #reportQuorum(): void {
    const { context, report } = this.#parts;
    const needed = quorum(context.validators.length);
    const reached = this.#peers.connected.length + (context.self === null ? 0 : 1);
    const ok = reached >= needed;
    // A report carries plain values only.
    const ids = JSON.stringify(this.#peers.connected);
    const data = { connected: this.#peers.connected.length, peers: this.#peers.count, quorum: needed, reached, ids };
    const detail = `${reached} of ${context.validators.length} validators are within reach, ${needed} are needed`;
    report('quorum', { ok, detail, data });
  }

  frames(from: string, frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      try {
        this.#frame(from, frame);
      } catch (error) {
        const reason = error instanceof FrameError ? error.reason : error instanceof WireError ? 'malformed' : null;
        if (reason === null) throw error;
        this.#parts.metrics.refusedFrames.inc({ reason });
        this.#parts.log.debug({ peer: from, reason: (error as Error).message }, 'a frame of a peer was refused');
      }
    }
    this.#peers.flush();
  }

  #frame(from: string, frame: Uint8Array): void {
    const family = frameFamily(frame);
    if (family === 'consensus') this.#message(from, frame);
    else if (family === 'blocks') this.#blockFrame(from, frame);
    else throw new FrameError('unknown-type', `frame of type ${frame[0] ?? 'none'}`);
  }

  #message(from: string, frame: Uint8Array): void {
    const { feed } = this.#parts;
    const index = this.#peers.indexOf(from);
    if (frame[0] !== FRAME.proposal) {
      feed({ type: 'message', from: index, message: decodeMessage(frame) });
      return;
    }
    const { epoch, signature, justification, body: bytes } = decodeProposal(frame);
    const body = decodeBlockBody(bytes);
    const held = this.#hold(heldBlock(body, this.#parts.mempool));
    const proposal = { block: held.ref, signature, justification };
    feed({ type: 'message', from: index, message: { type: 'proposal', epoch, proposal } });
    this.#dropUnwanted(held.ref.hash, held.ref.height);
  }

  #blockFrame(from: string, bytes: Uint8Array): void {
    const { core, feed } = this.#parts;
    const frame = decodeBlockFrame(bytes);
    switch (frame.type) {
      case 'request':
        this.#exchange.serveBlock(from, frame.hash);
        return;
      case 'range':
        this.#exchange.serveRange(from, frame);
        return;
      case 'absent':
        this.#fetcher.absent(from, frame);
        return;
      case 'body': {
        const body = decodeBlockBody(frame.body);
        const asked = core.wanted.has(`block ${body.hash}`);
        if (!asked && this.#repair.take(body.hash)) {
          this.#hold(heldBlock(body, this.#parts.mempool));
          this.#judgeAgain(body.hash);
          return;
        }
        if (!asked) throw new FrameError('unasked', 'a block that nobody asked for');
        const held = this.#hold(heldBlock(body, this.#parts.mempool));
        feed({ type: 'block', block: held.ref });
        this.#dropUnwanted(held.ref.hash, held.ref.height);
        return;
      }
      case 'stored':
        this.#catchUp.stored(from, frame.block);
        return;
      case 'end':
        this.#catchUp.end(from, frame);
        return;
    }
  }

  #hold(block: HeldBlock): HeldBlock {
    this.#parts.blocks.hold(block);
    return block;
  }

  /**
   * What the core did not keep is forgotten, so that a peer cannot fill this memory. A block at or below the core's tip may
   * be on its way to be committed; the commit forgets it.
   */
  #dropUnwanted(hash: string, height: number): void {
    const { core, blocks } = this.#parts;
    if (core.blocks.has(hash) || height <= core.finalized.height) return;
    blocks.drop(hash);
  }

  /**
   * Of what a peer gave, the blocks whose bodies lead to their headers: what a certificate makes final is written without a
   * further look, and a peer can send other bodies under it.
   */
  #executable(list: readonly SyncedBlock[]): readonly SyncedBlock[] {
    const { blocks, core } = this.#parts;
    let certified = 0;
    for (const [index, { block, certificate }] of list.entries()) {
      if (block.height <= core.finalized.height) continue;
      try {
        blocks.settled(block.hash);
      } catch (error) {
        this.#parts.log.warn(
          { block: block.hash, reason: (error as Error).message },
          'a peer sent bodies that are not of their block',
        );
        break;
      }
      if (certificate !== null) certified = index + 1;
    }
    return list.slice(0, certified);
  }

  /** Calls back when the right bodies of this final block are here, and it was executed. */
  bring(block: BlockRef, done: () => void): void {
    this.#missing.set(block.hash, done);
    this.#repair.unfit(block);
  }

  #judgeAgain(hash: string): void {
    const { blocks } = this.#parts;
    const done = this.#missing.get(hash);
    if (done === undefined) {
      void this.#validate(hash);
      return;
    }
    const held = blocks.held(hash);
    try {
      blocks.settled(hash);
    } catch {
      blocks.drop(hash);
      if (held !== undefined) this.#repair.unfit(held.ref);
      return;
    }
    this.#missing.delete(hash);
    this.#repair.fits(hash);
    done();
  }

  // --- what the core wants

  carryOut(effect: NetworkEffect): void {
    switch (effect.type) {
      case 'broadcast': {
        const frame = this.#encode(effect.message);
        if (frame !== null) this.#peers.broadcast(frame);
        return;
      }
      case 'send': {
        const nodeId = this.#peers.nodeIdOf(effect.to);
        const frame = nodeId === null ? null : this.#encode(effect.message);
        if (frame !== null) this.#peers.send(nodeId!, frame);
        return;
      }
      case 'validate':
        void this.#validate(effect.block.hash);
        return;
      case 'fetch':
        this.#fetcher.add(effect.want, effect.holder === null ? null : this.#peers.nodeIdOf(effect.holder));
        return;
      case 'catchup':
        this.#parts.metrics.catchups.inc();
        this.#catchUp.start(effect);
        return;
    }
  }

  /** Null for a proposal whose block was overtaken meanwhile. */
  #encode(message: Message): Uint8Array | null {
    if (message.type !== 'proposal') return encodeMessage(message);
    const block = this.#parts.blocks.body(message.proposal.block.hash);
    if (block === undefined) return null;
    return encodeProposal(message, encodeBlockBody(block.headerText, bodyEntries(block.pooled)));
  }

  #request(nodeId: string, want: Want): void {
    this.#parts.metrics.fetches.inc({ what: want.type });
    const frame =
      want.type === 'block'
        ? encodeBlockFrame({ type: 'request', hash: want.hash, view: want.view })
        : encodeMessage(requestOf(want, this.#parts.context.epoch) as Exclude<Message, { type: 'proposal' }>);
    this.#peers.send(nodeId, frame);
    this.#peers.flush();
  }

  async #validate(hash: string): Promise<void> {
    const { metrics, mempool, feed, pendingChanged, log, clock, core } = this.#parts;
    const endSeconds = metrics.validationSeconds.startTimer();
    const held = this.#parts.blocks.held(hash);
    let valid = false;
    try {
      const block = await this.#validation.judge(hash);
      mempool.hold(block.pooled, clock.monotonic());
      this.#repair.fits(hash);
      valid = true;
    } catch (error) {
      if (error instanceof UnfitBody && held !== undefined && core.blocks.has(hash)) {
        log.warn(
          { block: hash, reason: error.message },
          'the bodies of a block do not fit it; others are asked for theirs',
        );
        metrics.validated.inc({ verdict: 'unfit' });
        this.#parts.blocks.drop(hash);
        this.#repair.unfit(held.ref);
        return;
      }
      if (!(error instanceof InvalidBlock || error instanceof UnfitBody)) throw error;
      // Overtaken by a commit: nobody waits for the verdict.
      if (core.blocks.has(hash)) {
        log.error({ block: hash, reason: error.message }, 'a block of another leader breaks the rules');
      }
    }
    endSeconds();
    metrics.validated.inc({ verdict: valid ? 'valid' : 'invalid' });
    feed({ type: 'validated', hash, valid });
    if (valid) pendingChanged();
  }

  /** A block is final. */
  committed(block: ExecutedBlock, stored: FinalizedForStore): void {
    this.#exchange.remember(stored, block.ref.hash);
    for (const { ref } of this.#parts.blocks.heldBlocks()) this.#dropUnwanted(ref.hash, ref.height);
  }
}
