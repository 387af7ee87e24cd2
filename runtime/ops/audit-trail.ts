// The node's hand on its audit log: writes events, keeps those that cannot be written yet, and says whether it can. Owned
// by the daemon; ops server and reload go through it. What an operator asks for must never be done when it cannot be
// recorded; what happens by itself must never be held up by the log.
import type { Logger } from 'pino';
import type { AuditEvent, UnsignedAuditEvent } from '../../config/audit-events.js';
import { AUDIT_FILE, AuditFile, type AuditLimits, type StampedEvent } from '../../config/audit-file.js';
import { event } from '../../observability/events.js';
import { redact } from '../../observability/logs.js';
import { Counter, Gauge, type Registry } from '../../observability/prom-client.js';
import type { AuditHead } from '../../protocol/audit-record.js';
import type { Check } from './health.js';

/** Events kept in memory while the file takes none; a thousand of 4 KiB are 4 MiB. More are counted only. */
const WAITING_MAX = 1_000;
const TRY_AGAIN_MS = 5_000;
const NODE = 'node';

export interface AuditTrailOptions {
  /** The data directory; its lock is held. */
  readonly directory: string;
  readonly limits: () => AuditLimits;
  readonly registry: Registry;
  readonly log: Logger;
  /** Wall clock, unix milliseconds. */
  readonly now: () => number;
  /** An fsync failed: nothing may be built on this disk. Told at most once. */
  readonly onBroken: (reason: string) => void;
  /** For tests; the data directory's file otherwise. */
  readonly file?: Pick<AuditFile, 'append' | 'head' | 'newest'>;
}

/** The action was not done, because it could not be recorded. */
export class AuditUnwritable extends Error {
  override readonly name = 'AuditUnwritable';
}

export class AuditTrail {
  readonly #options: AuditTrailOptions;
  readonly #file: Pick<AuditFile, 'append' | 'head' | 'newest'>;
  readonly #written: Counter<'event'>;
  #waiting: StampedEvent[] = [];
  /** Not recorded and not kept either: those over the bound, and actions that were refused. */
  #lost = 0;
  /** Why the last attempt failed; null when it did not. */
  #failure: string | null = null;
  #soon: NodeJS.Immediate | null = null;
  #again: NodeJS.Timeout | null = null;
  #broken = false;

  constructor(options: AuditTrailOptions) {
    this.#options = options;
    const { directory, limits, registry } = options;
    this.#file = options.file ?? new AuditFile(directory, limits);
    this.#written = new Counter({
      name: 'quorate_audit_events_total',
      help: 'Events written to the audit log since the start, by event.',
      labelNames: ['event'],
      registers: [registry],
    });
    const writable = () => (this.#failure === null ? 1 : 0);
    new Gauge({
      name: 'quorate_audit_writable',
      help: '1 when the last write of the audit log succeeded.',
      registers: [registry],
      collect() {
        this.set(writable());
      },
    });
    const seq = () => this.#head()?.seq ?? 0;
    new Gauge({
      name: 'quorate_audit_last_seq',
      help: 'Number of the newest record of the audit log.',
      registers: [registry],
      collect() {
        this.set(seq());
      },
    });
  }

  /** The version of the registry that the newest record about it names; null when there is none. */
  knownRegistryVersion(): number | null {
    try {
      const version = this.#file.newest('registry_changed')?.line.version;
      return typeof version === 'number' ? version : null;
    } catch {
      return null;
    }
  }

  /** Writes it durably, after everything that waits. @throws AuditUnwritable: it is not written, and not kept. */
  write(happened: UnsignedAuditEvent, by = NODE): void {
    const kept = this.#waiting.length;
    this.#keep(happened, by);
    if (this.flush()) return;
    this.#waiting.length = kept;
    this.#lost += 1;
    throw new AuditUnwritable(`${AUDIT_FILE} cannot be written (${this.#failure}), so nothing was done`);
  }

  /** For what has happened already: written in the next turn of the loop, or as soon as the file takes it. */
  record(happened: UnsignedAuditEvent, by = NODE): void {
    if (this.#waiting.length >= WAITING_MAX) this.#lost += 1;
    else this.#keep(happened, by);
    this.#soon ??= setImmediate(() => this.flush());
  }

  /** One line before the work and one with its result. The work is not begun when the first cannot be written. */
  async around<T>(
    by: string,
    lines: (result: 'started' | 'done' | 'failed', reason?: string) => UnsignedAuditEvent,
    work: () => Promise<T> | T,
  ): Promise<T> {
    this.write(lines('started'), by);
    try {
      const done = await work();
      this.finish(lines('done'), by);
      return done;
    } catch (error) {
      this.finish(lines('failed', (error as Error).message), by);
      throw error;
    }
  }

  /** The result of what `write` announced: written before anybody hears of it, where the file takes it. */
  finish(happened: UnsignedAuditEvent, by = NODE): void {
    this.record(happened, by);
    this.flush();
  }

  /** Writes what waits. @returns whether nothing waits any more. */
  flush(): boolean {
    if (this.#soon !== null) clearImmediate(this.#soon);
    this.#soon = null;
    const nowMs = this.#options.now();
    const events = [...this.#waiting];
    if (this.#lost > 0) {
      const reason = this.#failure ?? 'too many at once';
      events.push({ atMs: nowMs, event: { event: 'audit_lost', by: NODE, events: this.#lost, reason } });
    }
    if (events.length === 0) return true;
    try {
      this.#file.append(nowMs, events);
    } catch (error) {
      this.#failed(error as NodeJS.ErrnoException);
      return false;
    }
    for (const { event: written } of events) this.#written.inc({ event: written.event });
    this.#waiting = [];
    this.#lost = 0;
    if (this.#failure !== null) event(this.#options.log, 'audit.writable_again', { events: events.length });
    this.#failure = null;
    return true;
  }

  /** For readiness. */
  check(): Check {
    const ok = this.#failure === null;
    const count = this.#waiting.length;
    const detail = ok ? '' : `${AUDIT_FILE} cannot be written (${this.#failure}); ${count} events wait`;
    return { name: 'audit', ok, detail };
  }

  /** SEQ:HASH of the newest record, or null. In the log of the node, which is collected elsewhere, it is an anchor. */
  head(): string | null {
    const head = this.#head();
    return head === null ? null : `${head.seq}:${head.hash}`;
  }

  close(): void {
    this.flush();
    if (this.#again !== null) clearTimeout(this.#again);
  }

  #keep(happened: UnsignedAuditEvent, by: string): void {
    const safe = redact({ ...happened, by }) as unknown as AuditEvent;
    this.#waiting.push({ atMs: this.#options.now(), event: safe });
  }

  #head(): AuditHead | null {
    try {
      return this.#file.head();
    } catch {
      return null;
    }
  }

  #failed(error: NodeJS.ErrnoException): void {
    const reason = error.code ?? error.message;
    if (this.#failure === null) event(this.#options.log, 'audit.unwritable', { file: AUDIT_FILE, reason });
    this.#failure = reason;
    if (error.syscall === 'fsync' && !this.#broken) {
      this.#broken = true;
      this.#options.onBroken(`${AUDIT_FILE}: fsync failed (${reason})`);
    }
    this.#again ??= setTimeout(() => {
      this.#again = null;
      this.flush();
    }, TRY_AGAIN_MS).unref();
  }
}
