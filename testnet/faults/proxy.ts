// A TCP proxy that misbehaves on command: delay, throttle, stall one way or both, refuse, half-open. For tests and drills of
// the peer network, one proxy for each way from a node to another. It never changes a byte: what TLS protects stays whole.
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** forward: from who connected to the target. */
export type Direction = 'forward' | 'backward';

/** Held back by delay, throttle or a stall before the sender is not read any more. */
const HELD_MAX_BYTES = 256 * 1024;

interface Weather {
  delayMs: number;
  /** Bytes a second; infinite when not throttled. */
  rate: number;
  readonly stalled: Set<Direction>;
  refusing: boolean;
}

export class FaultyProxy {
  readonly #server: Server;
  readonly #target: Target;
  readonly #weather: Weather = { delayMs: 0, rate: Number.POSITIVE_INFINITY, stalled: new Set(), refusing: false };
  readonly #links = new Set<ProxiedLink>();
  /** Accepted since it was opened, refused ones included. */
  accepted = 0;

  private constructor(target: Target) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /** Listens on loopback, on a free port unless one is given. */
  static async open(target: Target, port = 0): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(target);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen(port, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get connections(): number {
    return this.#links.size;
  }

  /** Good weather: everything that was held goes on. Connections that were cut stay cut. */
  heal(): void {
    this.#weather.delayMs = 0;
    this.#weather.rate = Number.POSITIVE_INFINITY;
    this.#weather.refusing = false;
    this.#weather.stalled.clear();
    for (const link of this.#links) link.healed();
  }

  /** Every byte comes this much later. */
  delay(delayMs: number): void {
    this.#weather.delayMs = delayMs;
  }

  throttle(bytesPerSecond: number): void {
    this.#weather.rate = bytesPerSecond;
  }

  /** As a partition: nothing gets through, nothing is closed; later bytes follow earlier ones once it heals. */
  stall(...directions: Direction[]): void {
    for (const direction of directions.length === 0 ? (['forward', 'backward'] as const) : directions) {
      this.#weather.stalled.add(direction);
    }
  }

  /** As a dead process: connections are reset, new ones too. */
  refuse(): void {
    this.#weather.refusing = true;
    this.reset();
  }

  /** Connections that stand are reset; new ones are let through. */
  reset(): void {
    for (const link of [...this.#links]) link.destroy();
  }

  /** The target's end is gone, and who connected is not told. */
  halfOpen(): void {
    for (const link of this.#links) link.loseTarget();
  }

  async close(): Promise<void> {
    this.reset();
    await new Promise((resolve) => void this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    this.accepted += 1;
    if (this.#weather.refusing) return void socket.resetAndDestroy();
    const link = new ProxiedLink(socket, this.#target, this.#weather, () => void this.#links.delete(link));
    this.#links.add(link);
  }
}

class ProxiedLink {
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #ways: readonly Way[];
  readonly #onEnd: () => void;
  #lostTarget = false;

  constructor(source: Socket, target: Target, weather: Weather, onEnd: () => void) {
    this.#source = source;
    this.#onEnd = onEnd;
    this.#target = connect({ ...target, noDelay: true, allowHalfOpen: true });
    source.setNoDelay(true);
    this.#ways = [
      new Way(source, this.#target, 'forward', weather),
      new Way(this.#target, source, 'backward', weather),
    ];
    source.on('error', () => this.destroy());
    source.on('close', () => this.destroy());
    this.#target.on('error', () => this.#targetGone());
    this.#target.on('close', () => this.#targetGone());
  }

  healed(): void {
    for (const way of this.#ways) way.healed();
  }

  loseTarget(): void {
    this.#lostTarget = true;
    this.#target.destroy();
  }

  destroy(): void {
    for (const way of this.#ways) way.stop();
    this.#target.destroy();
    if (!this.#source.destroyed) this.#source.resetAndDestroy();
    this.#onEnd();
  }

  #targetGone(): void {
    // What it sent before it went still has to arrive.
    if (!this.#lostTarget && this.#ways[1]!.isEmpty) this.destroy();
  }
}

interface Held {
  /** Null: the end of what is sent this way. */
  readonly bytes: Buffer | null;
  readonly dueMs: number;
}

class Way {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #direction: Direction;
  readonly #weather: Weather;
  readonly #held: Held[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  /** When the throttled line is free again. */
  #freeMs = 0;
  #stopped = false;

  constructor(from: Socket, to: Socket, direction: Direction, weather: Weather) {
    this.#from = from;
    this.#to = to;
    this.#direction = direction;
    this.#weather = weather;
    from.on('data', (bytes) => this.#take(bytes));
    from.on('end', () => this.#take(null));
    to.on('drain', () => this.pump());
  }

  get isEmpty(): boolean {
    return this.#held.length === 0;
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Forgets what it waited for: the weather has changed. */
  healed(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#freeMs = 0;
    this.pump();
  }

  pump(): void {
    if (this.#stopped || this.#timer !== null) return;
    while (this.#held.length > 0 && !this.#weather.stalled.has(this.#direction)) {
      const { bytes, dueMs } = this.#held[0]!;
      const waitMs = Math.max(this.#weather.delayMs > 0 ? dueMs : 0, this.#freeMs) - Date.now();
      if (waitMs > 0) {
        this.#wait(waitMs);
        break;
      }
      this.#held.shift();
      if (bytes === null) {
        this.#to.end();
        continue;
      }
      this.#heldBytes -= bytes.length;
      this.#freeMs = Date.now() + (bytes.length / this.#weather.rate) * 1000;
      if (!this.#to.write(bytes)) break;
    }
    if (this.#heldBytes < HELD_MAX_BYTES) this.#from.resume();
  }

  #take(bytes: Buffer | null): void {
    this.#held.push({ bytes, dueMs: Date.now() + this.#weather.delayMs });
    this.#heldBytes += bytes?.length ?? 0;
    if (this.#heldBytes >= HELD_MAX_BYTES) this.#from.pause();
    this.pump();
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.pump();
    }, ms);
  }
}
