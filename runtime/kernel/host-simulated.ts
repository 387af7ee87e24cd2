// A host without threads, for simulations: incarnations take simulated time, fail and die as a plan says, and run the
// production code of an actor's thread meanwhile. Called by the supervisor through host.ts, made by testnet/sim. Time,
// order and chance come from what it is given alone; it must never touch the system's.
import type { MessagePort } from 'node:worker_threads';
import { ComlinkControl, type ControlName } from './control.js';
import type { Host, HostEvents, Hosted, MemoryFigures } from './host.js';
import { SimulatedPort, type Wire } from './simulated-port.js';
import { type Moment, SimulatedThread, type ThreadPlan } from './simulated-thread.js';
import type { Boot, ThreadLog } from './wire.js';
import { ActorError } from './wire-error.js';

export interface SimulatedHostOptions {
  /** Of control calls and notices. */
  readonly wire: Wire;
  /** Of the ports between actors. */
  readonly dataWire: Wire;
  /** In [0, 1). */
  readonly random: () => number;
  readonly threadLog: ThreadLog;
  /** What becomes of an incarnation; asked once for each, before anything of it runs. */
  readonly plan: (boot: Boot, thread: () => SimulatedThread) => ThreadPlan;
  readonly observe: (thread: SimulatedThread, moment: Moment) => void;
  /** The supervisor asks an incarnation something, whether it will hear it or not. */
  readonly asked: (thread: SimulatedThread, name: ControlName) => void;
}

export class SimulatedHost implements Host {
  /** In the order of their spawning. */
  readonly threads: SimulatedThread[] = [];
  readonly #options: SimulatedHostOptions;

  readonly #controls: ComlinkControl[] = [];
  #over = false;

  constructor(options: SimulatedHostOptions) {
    this.#options = options;
  }

  /** The newest incarnation of an actor whose thread still runs. */
  living(id: string): SimulatedThread | undefined {
    return this.threads.findLast(({ boot, gone }) => boot.id === id && !gone);
  }

  channel(): ReturnType<Host['channel']> {
    const [caller, receiver] = SimulatedPort.pair(this.#options.dataWire);
    return { caller, receiver };
  }

  /**
   * Nothing of this world is looked at any more. Comlink keeps a port, and whatever its listeners hold, until its proxy is
   * released: without this every world of a long run stays in memory.
   */
  end(): void {
    this.#over = true;
    for (const control of this.#controls) control.close(new ActorError('peer_down', 'the simulation is over'));
  }

  memory(): MemoryFigures {
    return { rss: 0, heapUsed: 0, external: 0 };
  }

  spawn(boot: Boot, events: HostEvents): Hosted {
    const { wire, random, threadLog, plan, observe } = this.#options;
    const [ours, theirs] = SimulatedPort.pair(wire);
    let made: SimulatedThread | null = null;
    const itself = (): SimulatedThread => {
      if (made === null) throw new Error('a plan is made before its thread');
      return made;
    };
    const thread = new SimulatedThread({
      boot,
      events,
      plan: plan(boot, itself),
      wire,
      random,
      threadLog,
      control: theirs,
      observe,
    });
    made = thread;
    ours.onOwnClose = () => {
      if (!this.#over) thread.fenced();
    };
    for (const { port } of boot.connected) thread.adopt(port as SimulatedPort);
    this.threads.push(thread);
    observe(thread, 'spawned');
    const control = new ComlinkControl(ours as unknown as MessagePort, wire.clock);
    this.#controls.push(control);
    return {
      control: {
        get closed() {
          return control.closed;
        },
        call: (name, args, deadlineMs) => {
          this.#options.asked(thread, name);
          return control.call(name, args, deadlineMs);
        },
        close: (error) => control.close(error),
      },
      post: (notice) => thread.post(notice),
      stack: (limitMs) => thread.stack(limitMs),
      terminate: () => thread.terminate(),
    };
  }
}
