// What the node tells systemd (Type=notify): ready, reloading, stopping, alive, and a status line. Called by the daemon;
// silent without NOTIFY_SOCKET. The watchdog is fed from the main loop's timer, so that a loop that does not turn feeds
// nothing, and only while the vigil finds the supervisor sound.
import type { Logger } from 'pino';
import { event } from '../observability/events.js';
import type { Clock } from './kernel/contract.js';
import { NotifyHelper, type Teller } from './notify-helper.js';
import type { ReloadAnswer } from './ops/server.js';
import type { Vigilance } from './vigil.js';

export interface ServiceManagerParts {
  /** null: nobody listens. */
  readonly teller: Teller | null;
  /** WATCHDOG_USEC when it is meant for this process, else null. */
  readonly watchdogUsec: number | null;
  readonly clock: Clock;
  /** Monotonic microseconds as the system counts them (CLOCK_MONOTONIC). */
  readonly monotonicUsec: () => bigint;
  readonly log: Logger;
  readonly look: () => Vigilance;
  /** One line about the actors. */
  readonly summary: () => string;
}

/** A status line or an extension comes at least this often. */
const BEAT_MAX_MS = 10_000;
/** Replaying a long log may take longer than the manager's limit for a start: each beat asks for this much more. */
const EXTENSION_USEC = 30_000_000;
/** Past the node's own limit for a stop, so that its own forced end comes first. */
const STOP_MARGIN_MS = 10_000;
const CLOSE_LIMIT_MS = 500;
const STATUS_MAX_CHARACTERS = 300;

type Phase = 'starting' | 'ready' | 'stopping';

export class ServiceManager {
  readonly #parts: ServiceManagerParts;
  readonly #beatMs: number;
  #phase: Phase = 'starting';
  #reloads = 0;
  /** The summary of the last beat: a status line is sent when it changes. */
  #summary = '';
  #wasOk = true;

  constructor(parts: ServiceManagerParts) {
    this.#parts = parts;
    const { watchdogUsec } = parts;
    // Half of what is allowed, as sd_watchdog_enabled(3) asks for.
    this.#beatMs = watchdogUsec === null ? BEAT_MAX_MS : Math.min(BEAT_MAX_MS, Math.max(1, watchdogUsec / 2000));
  }

  /** From here on there is a beat, until the process ends. */
  starting(): void {
    if (this.#parts.teller === null) return;
    this.#tell(`EXTEND_TIMEOUT_USEC=${EXTENSION_USEC}`, status('Starting'));
    this.#nextBeat();
  }

  ready(api: string): void {
    this.#phase = 'ready';
    this.#summary = this.#parts.summary();
    this.#tell('READY=1', status(`Ready, client API on ${api}; ${this.#summary}`));
  }

  /** Around a reload: the manager waits from RELOADING to READY, whatever comes of it. */
  async reload(attempt: () => Promise<ReloadAnswer>): Promise<ReloadAnswer> {
    if (this.#phase !== 'ready') return attempt();
    this.#reloads += 1;
    this.#tell('RELOADING=1', `MONOTONIC_USEC=${this.#parts.monotonicUsec()}`, status('Reloading'));
    let outcome = 'Reload failed';
    try {
      const answer = await attempt();
      outcome = outcomeOf(answer);
      return answer;
    } finally {
      this.#reloads -= 1;
      // A stop that came meanwhile is the last word. The last of several reloads at once ends them for the manager.
      if ((this.#phase as Phase) === 'ready' && this.#reloads === 0) this.#tell('READY=1', status(outcome));
    }
  }

  /** @param limitMs the node forces its own end after this. */
  stopping(limitMs: number): void {
    this.#phase = 'stopping';
    const limitUsec = (limitMs + STOP_MARGIN_MS) * 1000;
    this.#tell('STOPPING=1', `EXTEND_TIMEOUT_USEC=${limitUsec}`, status('Stopping: what is in hand is finished'));
  }

  /** What was told last shall arrive; a manager that does not take it delays no end. */
  async close(): Promise<void> {
    await this.#parts.teller?.close(CLOSE_LIMIT_MS);
  }

  failing(reason: string): void {
    this.#phase = 'stopping';
    this.#tell('STOPPING=1', status(`Cannot go on: ${reason}`));
  }

  #nextBeat(): void {
    this.#parts.clock.setTimer(this.#beatMs, () => this.#beat());
  }

  #beat(): void {
    this.#nextBeat();
    const { teller, watchdogUsec, look, summary } = this.#parts;
    // The one before is still on its way: a second would only queue behind it.
    if (teller?.idle !== true) return;
    const { ok, reason } = look();
    if (ok !== this.#wasOk) this.#turned(ok, reason);
    const said: string[] = [];
    if (ok && watchdogUsec !== null) said.push('WATCHDOG=1');
    if (ok && this.#phase === 'starting') said.push(`EXTEND_TIMEOUT_USEC=${EXTENSION_USEC}`);
    const now = ok ? summary() : `Not sound: ${reason}`;
    if (this.#phase !== 'stopping' && this.#reloads === 0 && now !== this.#summary) {
      this.#summary = now;
      said.push(status(this.#phase === 'starting' ? `Starting: ${now}` : now));
    }
    if (said.length > 0) teller.tell(said);
  }

  #turned(ok: boolean, reason: string): void {
    this.#wasOk = ok;
    if (ok) event(this.#parts.log, 'watchdog.resumed', {});
    else event(this.#parts.log, 'watchdog.withheld', { reason });
  }

  #tell(...assignments: string[]): void {
    this.#parts.teller?.tell(assignments);
  }
}

function status(text: string): string {
  return `STATUS=${text.slice(0, STATUS_MAX_CHARACTERS)}`;
}

function outcomeOf({ result, errors, changed }: ReloadAnswer): string {
  if (result === 'error') return `Reload refused, the configuration before stays: ${errors.join('; ')}`;
  return result === 'ok' ? `Reloaded: ${changed.join(', ')}` : 'Reloaded: nothing differs';
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The teller of this environment; null without NOTIFY_SOCKET. Nothing is started before the first word. */
export function tellerOf(env: Environment, log: Logger): Teller | null {
  const socket = env.NOTIFY_SOCKET ?? '';
  if (socket === '') return null;
  const onFailure = (reason: string) => event(log, 'service_manager.unreachable', { socket, reason });
  return new NotifyHelper({ socket, path: env.PATH, onFailure });
}

/** WATCHDOG_USEC; null when it is absent, no positive number, or for another process (WATCHDOG_PID). */
export function watchdogUsecOf(env: Environment, pid: number): number | null {
  const { WATCHDOG_USEC: usec = '', WATCHDOG_PID: meant = '' } = env;
  if (!/^[1-9][0-9]{0,14}$/.test(usec)) return null;
  return meant === '' || meant === String(pid) ? Number(usec) : null;
}
