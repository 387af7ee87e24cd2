// What the supervisor tells, as auditable events: deaths, breakers, and what actors report of log, votes, registry and pins.
// Called by the daemon with each event. It keeps only what is needed to tell each thing once, and writes nothing.
import type { UnsignedAuditEvent } from '../../config/audit-events.js';
import type { ReportValue } from '../kernel/contract.js';
import type { SupervisorEvent } from '../kernel/supervisor-types.js';

type ReportEvent = Extract<SupervisorEvent, { readonly kind: 'report' }>;
type Facts = NonNullable<ReportValue['data']>;

export class AuditStory {
  /** Of the registry, as the log has it. */
  #version: number;
  /** What was told of log and votes: an actor reports it again after each restart. */
  readonly #told = new Set<string>();

  /** @param registryVersion what the newest record says, or that of the genesis. */
  constructor(registryVersion: number) {
    this.#version = registryVersion;
  }

  /** The event to record, or null. */
  hear(event: SupervisorEvent): UnsignedAuditEvent | null {
    const { actor, incarnation } = event;
    switch (event.kind) {
      case 'exit': {
        const { reason, exitCode, detail } = event;
        if (reason === 'stopped' || reason === 'killed') return null;
        return { event: 'actor_died', actor, incarnation, reason, exit_code: exitCode, detail };
      }
      case 'breaker':
        if (event.to === 'half-open') return null;
        // From half-open back to open is the same pause going on.
        if (event.to === 'open') return event.from === 'closed' ? { event: 'breaker_opened', actor } : null;
        return { event: 'breaker_closed', actor };
      case 'gave-up':
        return { event: 'restart_budget_spent', actor, group: event.group };
      case 'report':
        return this.#report(event);
      default:
        return null;
    }
  }

  #report({ actor, name, value: { data } }: ReportEvent): UnsignedAuditEvent | null {
    if (data === undefined) return null;
    if (name === 'pin-violation') {
      const { peer, fingerprint, refused } = data;
      const facts = { peer: String(peer), fingerprint: String(fingerprint), refused: refused === true };
      return this.#once({ event: 'pin_violation', ...facts }, `${peer} ${fingerprint} ${refused}`);
    }
    if (name === 'registry') return this.#registry(data);
    if (name === 'evidence') {
      const { rule, validator, view } = data;
      const facts = { rule: String(rule), validator: String(validator), view: Number(view) };
      return this.#once({ event: 'evidence_found', ...facts }, `${rule} ${validator} ${view}`);
    }
    if (name === 'exclusion') {
      const { node_id, reason, round_id } = data;
      const round = round_id === null ? null : String(round_id);
      const facts = { node_id: String(node_id), reason: String(reason), round_id: round };
      return this.#once({ event: 'observer_excluded', ...facts }, facts.node_id);
    }
    if (name === 'bad-observation') {
      return this.#once({ event: 'bad_observation', peer: String(data.peer) }, String(data.peer));
    }
    if (typeof data.halted === 'string') {
      return this.#once({ event: 'consensus_halted', reason: data.halted }, data.halted);
    }
    if (typeof data.quarantine === 'string') {
      return this.#once({ event: 'quarantined', actor, cause: data.quarantine }, data.quarantine);
    }
    return null;
  }

  #registry(data: Facts): UnsignedAuditEvent | null {
    const version = Number(data.version);
    if (version === this.#version) return null;
    this.#version = version;
    return {
      event: 'registry_changed',
      version,
      clients: Number(data.clients),
      keys: Number(data.keys),
      kinds: Number(data.kinds),
      registry_sha256: String(data.sha256),
    };
  }

  #once(event: UnsignedAuditEvent, what: string): UnsignedAuditEvent | null {
    const key = `${event.event} ${what}`;
    if (this.#told.has(key)) return null;
    this.#told.add(key);
    return event;
  }
}
