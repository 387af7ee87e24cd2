// Checks of order: who may be spawned, begin, be stopped, and when. Called by supervisor.ts for every moment. It knows the
// strategies by their definition, not by the kernel's functions, and must never ask the supervisor what it thinks.
import type { SimulatedThread } from '../../runtime/kernel/simulated-thread.js';
import { type Above, type ActorRecord, type Records, takenBy } from './record.js';
import type { World } from './world.js';

/** One recovery: its members go down in reverse, and until all are gone nobody of it comes back. */
interface Operation {
  readonly dead: string;
  readonly held: ReadonlySet<string>;
  /** In start order. */
  readonly members: readonly { readonly record: ActorRecord; readonly thread: SimulatedThread }[];
  /** Who went down together, with how often each had been tried by then; null until it is over. */
  triedBefore: Map<string, number> | null;
}

const gone = ({ thread }: { readonly thread: SimulatedThread }): boolean => thread.exitedAtMs !== null;

export class OrderChecker {
  readonly #world: World;
  readonly #records: Records;
  #open: Operation[] = [];
  readonly #together = new Map<string, Operation>();
  readonly #dueAtMs = new Map<string, number>();

  constructor(world: World, records: Records) {
    this.#world = world;
    this.#records = records;
  }

  get finished(): boolean {
    return this.#open.length === 0;
  }

  /** A recovery was decided or asked for. */
  recover(dead: ActorRecord, level: Above, delayMs: number): void {
    const ids = takenBy(level);
    const onlyLoads = ({ thread, begunAtMs }: ActorRecord) => thread !== null && begunAtMs === null;
    const held = ids.map((id) => this.#records.of(id)).filter((record) => record === dead || !onlyLoads(record));
    const members = held.flatMap((record) => (record.thread === null ? [] : [{ record, thread: record.thread }]));
    const dueAtMs = this.#world.nowMs + delayMs;
    for (const { record } of [{ record: dead }, ...members]) this.#dueAtMs.set(record.spec.id, dueAtMs);
    const operation: Operation = {
      dead: dead.spec.id,
      held: new Set(held.map(({ spec }) => spec.id)),
      members,
      triedBefore: null,
    };
    this.#open.push(operation);
    this.#close();
  }

  /** An operator's reset: whatever it waited for, it may start now. */
  reset(id: string): void {
    this.#dueAtMs.set(id, 0);
  }

  memberOfOpen(thread: SimulatedThread): boolean {
    return this.#open.some(({ members }) => members.some((member) => member.thread === thread));
  }

  spawned(thread: SimulatedThread, before: SimulatedThread | undefined): void {
    const { id } = thread.boot;
    const { nowMs, mode } = this.#world;
    const found = (checker: string, what: string) => this.#world.found(checker, `${thread.name} spawned ${what}`);
    if (mode !== 'running') found('no orphan', `while the supervisor is ${mode}`);
    if (before !== undefined && before.exitedAtMs === null)
      found('successor after exit', `before ${before.name} exited`);
    if (thread.boot.incarnation !== (before?.boot.incarnation ?? 0) + 1) found('successor after exit', 'out of turn');
    for (const operation of this.#open) {
      if (!operation.held.has(id)) continue;
      const living = operation.members.filter((member) => !gone(member)).map((member) => member.thread.name);
      found('stop order', `while ${living} of the recovery of ${operation.dead} still run`);
    }
    const dueAtMs = this.#dueAtMs.get(id) ?? 0;
    if (nowMs < dueAtMs - 0.01) found('backoff', `${dueAtMs - nowMs} ms before its time`);
  }

  begins(record: ActorRecord): void {
    const { id } = record.spec;
    if (this.#world.mode !== 'running') this.#world.found('no orphan', `${id} begins while ${this.#world.mode}`);
    for (const other of record.standsOn) {
      if (this.#records.of(other).upAtMs === null) this.#world.found('start order', `${id} begins, ${other} is not up`);
    }
    const together = this.#together.get(id);
    for (const other of record.comesAfter) {
      const { tried } = this.#records.of(other);
      const before = this.#together.get(other) === together ? together?.triedBefore?.get(other) : undefined;
      if (tried <= (before ?? 0)) this.#world.found('start order', `${id} begins, ${other} was not tried before it`);
    }
  }

  asked(record: ActorRecord, thread: SimulatedThread, name: 'drain' | 'stop'): void {
    const { mode, endsAtMs } = this.#world;
    // The process is about to end with what cannot be stopped: the rest no longer waits for it.
    if (mode === 'halted') return;
    const later = this.#records.all.filter(({ place }) => place > record.place);
    if (name === 'drain') {
      // One that comes up meanwhile is no longer drained, for it has taken nothing yet.
      const early = later.filter(({ upAtMs, drainAsked }) => upAtMs !== null && upAtMs < endsAtMs && !drainAsked);
      if (mode === 'running' || early.length > 0) {
        this.#world.found('stop order', `${thread.name} drains while ${mode}, before ${early.map(nameOf)}`);
      }
      return;
    }
    if (this.#open.some((operation) => itsTurn(operation, thread))) return;
    const { upAtMs, drainAsked } = record;
    if (mode !== 'running' && upAtMs !== null && upAtMs < endsAtMs && !drainAsked) {
      this.#world.found('stop order', `${thread.name} is stopped before it was drained`);
    }
    if (mode !== 'running' && later.every((other) => other.thread === null)) return;
    this.#world.found('stop order', `${thread.name} is stopped, and it is not its turn in anything`);
  }

  /** An end as `stopped` needs something that took it along; called before `exited`. */
  ended(thread: SimulatedThread, reason: string): void {
    if (reason !== 'stopped' || this.#world.mode !== 'running' || this.memberOfOpen(thread)) return;
    this.#world.found('affected set', `${thread.name} was stopped, and nothing takes it along`);
  }

  /** The record of whoever exited is up to date. */
  exited(): void {
    this.#close();
  }

  #close(): void {
    this.#open = this.#open.filter((operation) => {
      if (!operation.members.every(gone)) return true;
      const taken = new Set([operation.dead, ...operation.members.map(({ record }) => record.spec.id)]);
      operation.triedBefore = new Map([...taken].map((id) => [id, this.#records.of(id).tried]));
      if (taken.size > 1) for (const id of taken) this.#together.set(id, operation);
      return false;
    });
  }
}

function itsTurn({ members }: Operation, thread: SimulatedThread): boolean {
  const index = members.findIndex((member) => member.thread === thread);
  return index >= 0 && members.slice(index + 1).every(gone);
}

function nameOf({ spec }: ActorRecord): string {
  return spec.id;
}
