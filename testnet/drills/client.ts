// A client that goes on submitting while the node comes and goes: it keeps every promise that it was given, to hold the
// node to it afterwards. Used by the crash drills. It must never forget an answer nor send a new body under an old id.
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientKey } from '../../bench/submissions.js';
import { envelopeText } from '../../bench/submissions.js';
import { type Ed25519, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { sha256Hex } from '../../protocol/crypto/hash.js';
import { prepareEnvelope } from '../../protocol/submission.js';
import { type Answered, Connections, type Exchange } from './exchange.js';
import { Random } from './random.js';

export interface DrillClientOptions {
  readonly key: ClientKey;
  readonly connections: number;
  readonly seed: number;
  /** Begins every id; a client on the same data directory needs another one. */
  readonly prefix: string;
  /** Length of a body; default 480. Long ones fill the log with few submissions. */
  readonly bodyBytes?: number;
}

/** What was promised for one submission. */
export interface Promised {
  readonly id: string;
  readonly digest: string;
  /** Of the body that was sent. */
  readonly bodyHash: string;
  /** SHA-256 of the first 200's body, outcome and receipt; null while it was only promised to be durable (202). */
  answer: string | null;
}

export interface ClientFigures {
  sent: number;
  acknowledged: number;
  /** 202: on this node's disk, so it must become final too. */
  durable: number;
  /** Sent again after an outcome that nobody knew, and answered then. */
  resolved: number;
  /** Acknowledged ones that were sent again on purpose. */
  replayed: number;
  /** 503: not now. */
  deferred: number;
  /** Answered 507: nothing was recorded, for want of room. */
  refusedFull: number;
  lost: number;
}

interface Work {
  readonly id: string;
  readonly digest: string;
  readonly body: Buffer;
  /** An earlier attempt may have been recorded. */
  unknown: boolean;
  /** It was acknowledged before; the answer must be the same. */
  replay: boolean;
}

const PAUSE_MS = 20;
/** A node that was started again has settled what its log holds long before this. */
const FINISH_MS = 60_000;
/** One in so many requests sends something acknowledged once more. */
const REPLAY_EVERY = 16;
const REMEMBERED_BODIES = 256;

export class DrillClient {
  readonly promises = new Map<string, Promised>();
  readonly figures: ClientFigures = {
    sent: 0,
    acknowledged: 0,
    durable: 0,
    resolved: 0,
    replayed: 0,
    deferred: 0,
    refusedFull: 0,
    lost: 0,
  };
  /** Answers that no crash explains. */
  readonly faults: string[] = [];
  readonly #options: DrillClientOptions;
  readonly #sign: (message: Uint8Array) => Uint8Array;
  readonly #random: Random;
  /** Some of what was acknowledged, to be sent again. */
  readonly #recent: Work[] = [];
  /** Sent, or to be sent again. */
  readonly #open = new Set<Work>();
  /** To be sent once more at the end. */
  readonly #again: Work[] = [];
  #node: Connections | null = null;
  #made = 0;
  #mode: 'run' | 'finish' | 'stop' = 'run';
  #workers: Promise<void>[] = [];

  private constructor(options: DrillClientOptions, ed25519: Ed25519) {
    const { secretKey } = ed25519.keyPair(Buffer.from(options.key.seed, 'hex'));
    this.#options = options;
    this.#sign = (message) => ed25519.sign(message, secretKey);
    this.#random = new Random(options.seed);
  }

  static async create(options: DrillClientOptions): Promise<DrillClient> {
    return new DrillClient(options, await loadEd25519());
  }

  start(): void {
    this.#workers = Array.from({ length: this.#options.connections }, () => this.#work());
  }

  /** The node is there, at this address; null: it is gone. */
  pointAt(url: string | null): void {
    this.#node?.close();
    this.#node = url === null ? null : new Connections(url, this.#options.connections);
  }

  /**
   * Begins nothing new, and resolves when every submission under way has its answer, and those that are remembered were
   * answered once more. Needs a living node.
   */
  async finish(): Promise<void> {
    this.#mode = 'finish';
    this.#again.push(...this.#recent);
    const limit = new AbortController();
    const late = delay(FINISH_MS, true, { signal: limit.signal }).catch(() => false);
    const isLate = await Promise.race([Promise.all(this.#workers).then(() => false), late]);
    limit.abort();
    if (isLate) {
      const open = [...this.#open].map(({ id }) => id).join(', ');
      this.faults.push(`not answered with 200 within ${FINISH_MS} ms of a healthy node: ${open}`);
    }
    await this.abandon();
  }

  /** Ends without asking for what is open. */
  async abandon(): Promise<void> {
    this.#mode = 'stop';
    this.pointAt(null);
    await Promise.all(this.#workers);
  }

  async #work(): Promise<void> {
    let work: Work | null = null;
    while (this.#mode !== 'stop') {
      if (work === null) {
        const next: Work | undefined = this.#mode === 'finish' ? this.#again.pop() : this.#next();
        if (next === undefined) return;
        work = next;
        this.#open.add(work);
      }
      const node = this.#node;
      if (node === null) {
        await delay(PAUSE_MS);
        continue;
      }
      this.figures.sent += 1;
      const done = this.#judge(work, await node.post('/v1/submissions', work.body));
      if (done) {
        this.#open.delete(work);
        work = null;
      } else await delay(this.#random.between(1, PAUSE_MS));
    }
  }

  #next(): Work {
    if (this.#recent.length > 0 && this.#random.between(1, REPLAY_EVERY) === 1) {
      return this.#recent[this.#random.between(0, this.#recent.length - 1)]!;
    }
    const { key, prefix, bodyBytes } = this.#options;
    const id = `${prefix}-${this.#made++}`;
    const body = Buffer.from(envelopeText(key.issuer, id, new Date().toISOString(), this.#sign, bodyBytes));
    return { id, digest: prepareEnvelope(body).digest.toString('hex'), body, unknown: false, replay: false };
  }

  /** Whether the submission needs no further attempt. */
  #judge(work: Work, exchange: Exchange): boolean {
    switch (exchange.status) {
      case 200:
        this.#acknowledged(work, exchange);
        return true;
      case 202:
        if (!this.promises.has(work.id)) this.figures.durable += 1;
        this.#promised(work);
        work.unknown = true;
        return false;
      case 507:
        this.figures.refusedFull += 1;
        return false;
      case 503:
        this.figures.deferred += 1;
        work.unknown = true;
        return false;
      case 0:
        this.figures.lost += 1;
        work.unknown = true;
        if (exchange.text === 'silent') this.faults.push(`${work.id}: a connection stayed open without an answer`);
        return false;
      default:
        this.faults.push(`${work.id}: answered ${exchange.status}: ${exchange.text.slice(0, 400)}`);
        return true;
    }
  }

  #acknowledged(work: Work, { text }: Answered): void {
    const promised = this.#promised(work);
    const answer = sha256Hex(text);
    if (promised.answer === null) {
      promised.answer = answer;
      this.figures.acknowledged += 1;
    } else if (promised.answer !== answer) {
      this.faults.push(`${work.id}: acknowledged again with another outcome or receipt: ${text.slice(0, 1_500)}`);
    }
    if (work.replay) this.figures.replayed += 1;
    else if (work.unknown) this.figures.resolved += 1;
    if (!work.replay) this.#remember({ ...work, unknown: false, replay: true });
  }

  #promised({ id, digest, body }: Work): Promised {
    let promised = this.promises.get(id);
    if (promised === undefined) {
      promised = { id, digest, bodyHash: sha256Hex(body), answer: null };
      this.promises.set(id, promised);
    }
    return promised;
  }

  #remember(work: Work): void {
    // A machine so busy that nothing was acknowledged before the end: then it is sent once more here.
    if (this.#mode === 'finish') this.#again.push(work);
    if (this.#recent.length < REMEMBERED_BODIES) this.#recent.push(work);
    else this.#recent[this.#random.between(0, REMEMBERED_BODIES - 1)] = work;
  }
}
