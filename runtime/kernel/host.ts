// Where incarnations live: the seam between the supervisor's decisions and real threads. Implemented by host-thread.ts;
// anything that keeps these promises can stand in for it. It must never decide about restarts.
import type { Control } from './control.js';
import type { Boot, DataPort, NoticeToActor, NoticeToSupervisor } from './wire.js';

export interface HostError {
  readonly message: string;
  readonly stack: string | null;
  readonly code: string | null;
}

/** What a host tells about one incarnation. `exit` comes exactly once and last; `error` only annotates it. */
export interface HostEvents {
  notice(notice: NoticeToSupervisor): void;
  error(error: HostError): void;
  exit(exitCode: number): void;
}

export interface Hosted {
  readonly control: Control;
  /** One-way and in order. To a dead incarnation: nothing happens. */
  post(notice: NoticeToActor): void;
  /** The stack of what it runs right now, or null where it runs no JavaScript or does not say within `limitMs`. */
  stack(limitMs: number): Promise<string | null>;
  /** Asks for the end; `exit` tells when it came, which may be never while the incarnation is in native code. */
  terminate(): void;
}

/** What is known of an actor's next incarnation long before it is needed. */
export type Reservation = Pick<Boot, 'id' | 'module' | 'memoryMb' | 'youngGenerationMb' | 'log' | 'config'>;

/** Bytes. */
export type MemoryFigures = Pick<NodeJS.MemoryUsage, 'rss' | 'heapUsed' | 'external'>;

export interface Host {
  /** Two ends of a new data port. */
  channel(): { readonly caller: DataPort; readonly receiver: DataPort };
  /** A new incarnation; the ports inside `boot` move into it. A failure to start is an `exit`, never a throw. */
  spawn(boot: Boot, events: HostEvents): Hosted;
  /** Memory of the process that holds the incarnations, for crash reports. */
  memory(): MemoryFigures;
  /** A next incarnation of this actor will be needed one day: whatever of it can be made ready may be made now. */
  reserve?(next: Reservation): void;
  /** What was reserved for this actor is ready: its next incarnation begins with it. */
  isReady?(id: string): boolean;
  /** Lets go of what was made ready and is not needed any more. Nothing is spawned afterwards. */
  close?(): Promise<void>;
}
