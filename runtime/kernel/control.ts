// The control plane: Comlink on a port of its own, one per incarnation, wrapped so that every call settles: by its
// answer, its deadline, or the port's end. Used by the supervisor's side and by the runner; never for data.

import { createRequire } from 'node:module';
import type { MessagePort } from 'node:worker_threads';
import type * as comlink from 'comlink';
import type { Clock } from './contract.js';
import type { Misdeed } from './misdeeds.js';
import type { MetricSnapshot } from './retired.js';
import type { Ready } from './wire.js';
import { ActorError, fromWire, toWire, type WireError } from './wire-error.js';

const Comlink = createRequire(import.meta.url)('comlink') as typeof comlink;

/** `restart`: the actor cannot take its new configuration while it runs. */
export type PrepareResult = 'prepared' | 'unchanged' | 'restart';

/** What the supervisor may ask of an actor. */
export interface ControlSurface {
  init(): Promise<Ready>;
  prepare(config: unknown): Promise<PrepareResult>;
  commit(): Promise<void>;
  abort(): Promise<void>;
  drain(): Promise<void>;
  /** Stops the actor; the answer is its last metrics. */
  stop(): Promise<MetricSnapshot>;
  metrics(): Promise<MetricSnapshot>;
  inspect(): Promise<object>;
  /** Goes wrong on demand. Rejects with `refused` unless the supervisor was made for drills. */
  misbehave(misdeed: Misdeed): Promise<void>;
}

export type ControlName = keyof ControlSurface;
export type ControlReply<K extends ControlName> = Awaited<ReturnType<ControlSurface[K]>>;

/** The supervisor's end. */
export interface Control {
  /** Rejects with ActorError: what the actor threw, `deadline`, or the error given to `close`. */
  call<K extends ControlName>(
    name: K,
    args: Parameters<ControlSurface[K]>,
    deadlineMs: number,
  ): Promise<ControlReply<K>>;
  /** By `close`, or because the actor's end is gone. */
  readonly closed: boolean;
  /** Settles every call in flight, and every later one, with `error`. */
  close(error: ActorError): void;
}

/** Comlink carries only name, message and stack of an Error; so outcomes cross as plain data. */
type Settled = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: WireError };

const CONTROL_NAMES: { readonly [K in ControlName]: true } = {
  init: true,
  prepare: true,
  commit: true,
  abort: true,
  drain: true,
  stop: true,
  metrics: true,
  inspect: true,
  misbehave: true,
};

/** The actor's end: exposes these names and nothing that can be reached from a prototype. */
export function exposeControl(port: MessagePort, surface: ControlSurface): void {
  const facade: Record<string, (...args: unknown[]) => Promise<Settled>> = Object.create(null);
  for (const name of Object.keys(CONTROL_NAMES) as ControlName[]) {
    const method = surface[name].bind(surface) as (...args: unknown[]) => Promise<unknown>;
    facade[name] = async (...args) => {
      try {
        return { ok: true, value: await method(...args) };
      } catch (thrown) {
        return { ok: false, error: toWire(thrown) };
      }
    };
  }
  Comlink.expose(facade, port as unknown as comlink.Endpoint);
}

type RemoteFacade = { readonly [K in ControlName]: (...args: unknown[]) => Promise<Settled> } & {
  [Comlink.releaseProxy](): void;
};

export class ComlinkControl implements Control {
  readonly #port: MessagePort;
  readonly #clock: Clock;
  readonly #remote: RemoteFacade;
  readonly #open = new Set<(error: ActorError) => void>();
  #closed: ActorError | null = null;

  constructor(port: MessagePort, clock: Clock) {
    this.#port = port;
    this.#clock = clock;
    this.#remote = Comlink.wrap(port as unknown as comlink.Endpoint) as unknown as RemoteFacade;
    port.on('close', () => this.close(new ActorError('peer_down', 'the control port was closed by the other side')));
    port.unref();
  }

  get closed(): boolean {
    return this.#closed !== null;
  }

  call<K extends ControlName>(
    name: K,
    args: Parameters<ControlSurface[K]>,
    deadlineMs: number,
  ): Promise<ControlReply<K>> {
    if (this.#closed !== null) return Promise.reject(this.#closed);
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        timer.cancel();
        this.#open.delete(fail);
      };
      const fail = (error: ActorError): void => {
        finish();
        reject(error);
      };
      const timer = this.#clock.setTimer(deadlineMs, () =>
        fail(new ActorError('deadline', `"${name}" was not answered within ${deadlineMs} ms`, { deadlineMs })),
      );
      this.#open.add(fail);
      this.#remote[name](...args).then(
        (settled) => {
          finish();
          if (settled.ok) resolve(settled.value as ControlReply<K>);
          else reject(fromWire(settled.error));
        },
        (thrown) => fail(new ActorError('handler_failed', `"${name}" broke the control port: ${String(thrown)}`)),
      );
    });
  }

  close(error: ActorError): void {
    if (this.#closed !== null) return;
    this.#closed = error;
    for (const fail of [...this.#open]) fail(error);
    this.#remote[Comlink.releaseProxy]();
    this.#port.close();
  }
}
