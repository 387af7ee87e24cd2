// Incarnations as worker threads. Called by the supervisor through host.ts. It must attach its listeners before
// anything else can happen: a Worker without an 'error' listener takes the process down.
import { MessageChannel, MessagePort, type TransferListItem } from 'node:worker_threads';
import type { Clock } from './contract.js';
import { ComlinkControl } from './control.js';
import type { Host, HostError, HostEvents, Hosted } from './host.js';
import { inSource } from './source-places.js';
import { newThread, Standbys } from './standby.js';
import { captureStack } from './thread-stack.js';
import type { Boot, DataPort, NoticeToActor, NoticeToSupervisor } from './wire.js';
import { ActorError, describe } from './wire-error.js';

export interface ThreadHostOptions {
  readonly clock: Clock;
  /** The threads' environment: only what is listed here reaches them. Default: nothing. */
  readonly env?: Readonly<Record<string, string>>;
  /** From the first start of an actor until its standby is made. Default: 5 s. */
  readonly firstStandbyMs?: number;
}

/** What entry.ts finds in workerData: all of it, or for a standby what it can load ahead; the rest then comes as a message. */
export interface ThreadBoot {
  readonly boot: Boot;
  readonly control: MessagePort;
}
export interface StandbyBoot {
  readonly standby: { readonly modules: readonly string[]; readonly gate: SharedArrayBuffer; readonly config: unknown };
}

/** Runs each incarnation in a worker thread of its own, which inherits neither flags nor environment. */
export function threadHost(options: ThreadHostOptions): Host {
  const standbys = new Standbys(options);
  return {
    channel() {
      const { port1, port2 } = new MessageChannel();
      return { caller: port1, receiver: port2 };
    },
    memory: () => process.memoryUsage(),
    spawn(boot, events) {
      try {
        return spawn(boot, events, options, standbys);
      } catch (thrown) {
        return stillborn(thrown, events);
      }
    },
    reserve: (next) => standbys.reserve(next),
    isReady: (id) => standbys.has(id),
    close: () => standbys.close(),
  };
}

/** A thread that could not even be made, such as for a configuration that cannot be cloned: told as any other exit. */
function stillborn(thrown: unknown, events: HostEvents): Hosted {
  setImmediate(() => {
    events.error(errorOf(thrown));
    events.exit(1);
  });
  const refusal = new ActorError('start_failed', describe(thrown));
  return {
    control: { closed: true, call: () => Promise.reject(refusal), close() {} },
    post() {},
    stack: () => Promise.resolve(null),
    terminate() {},
  };
}

function spawn(boot: Boot, events: HostEvents, options: ThreadHostOptions, standbys: Standbys): Hosted {
  const { port1: ours, port2: theirs } = new MessageChannel();
  const data: ThreadBoot = { boot, control: theirs };
  const transfer = [theirs, ...boot.connected.map(({ port }) => movable(port))];
  const standby = standbys.take(boot);
  const worker = standby ?? newThread(boot, data, transfer, options.env);
  standby?.postMessage(data, transfer);
  worker.on('error', (thrown) => events.error(errorOf(thrown)));
  worker.on('messageerror', (thrown) => events.error(errorOf(thrown)));
  worker.on('message', (notice) => events.notice(notice as NoticeToSupervisor));
  worker.on('exit', (exitCode) => events.exit(exitCode));
  return {
    control: new ComlinkControl(ours, options.clock),
    post: (notice) => worker.postMessage(notice, transferOf(notice)),
    stack: (limitMs) => captureStack(worker.threadId, limitMs),
    terminate() {
      // Its promise says no more than 'exit', and may never settle.
      worker.terminate().catch((thrown) => events.error(errorOf(thrown)));
    },
  };
}

function transferOf(notice: NoticeToActor): TransferListItem[] {
  return 'port' in notice ? [movable(notice.port)] : [];
}

function movable(port: DataPort): MessagePort {
  if (!(port instanceof MessagePort)) throw new TypeError('the thread host can only move its own ports');
  return port;
}

function errorOf(thrown: unknown): HostError {
  if (!(thrown instanceof Error)) return { message: describe(thrown), stack: null, code: null };
  const code = (thrown as { code?: unknown }).code;
  return {
    message: `${thrown.name}: ${thrown.message}`,
    stack: thrown.stack === undefined ? null : inSource(thrown.stack),
    code: typeof code === 'string' ? code : null,
  };
}
