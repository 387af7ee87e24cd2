// Metrics of the client-facing door. Created once a thread by actor.ts; children are kept, since looking a label up
// costs more than counting.
import { HotHistogram, type HotSeries } from '../../observability/hot-histogram.js';
import { Counter, Gauge, type Registry } from '../../observability/prom-client.js';
import { tallied } from '../../observability/tally.js';

export type StageName = 'parse' | 'verify' | 'dedup' | 'answer';

const STAGE_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

interface Requests {
  readonly method: string;
  readonly route: string;
  readonly seconds: HotSeries;
  /** Answers since the last scrape, by status. */
  readonly counts: Map<number, number>;
}

export function createMetrics(registry: Registry, depth: () => number) {
  const registers = [registry];
  /** By route, then method: both are constants of the code, whose lookup costs nothing; a name put together would. */
  const children = new Map<string, Map<string, Requests>>();
  new Counter({
    name: 'quorate_http_requests_total',
    help: 'Requests answered, by route template and status.',
    labelNames: ['method', 'route', 'status'] as const,
    registers,
    collect() {
      for (const methods of children.values()) {
        for (const { method, route, counts } of methods.values()) {
          for (const [status, count] of counts) this.inc({ method, route, status: String(status) }, count);
          counts.clear();
        }
      }
    },
  });
  const duration = new HotHistogram({
    name: 'quorate_http_request_duration_seconds',
    help: 'Time from request to answer, waiting for finality included.',
    labelNames: ['method', 'route'] as const,
    buckets: STAGE_BUCKETS,
    registers,
  });
  const stages = new HotHistogram({
    name: 'quorate_stage_seconds',
    help: 'Time of one batch in a stage of the pipeline.',
    labelNames: ['stage'] as const,
    buckets: STAGE_BUCKETS,
    registers,
  });
  const stageSeries: Record<StageName, HotSeries> = {
    parse: stages.labels({ stage: 'parse' }),
    verify: stages.labels({ stage: 'verify' }),
    dedup: stages.labels({ stage: 'dedup' }),
    answer: stages.labels({ stage: 'answer' }),
  };
  new Gauge({
    name: 'quorate_ingest_in_flight',
    help: 'Clients waiting for an answer.',
    registers,
    collect() {
      this.set(depth());
    },
  });
  const accepted = tallied({ name: 'quorate_accepted', help: 'Submissions that ended accepted.', registers });
  const escalated = tallied({
    name: 'quorate_escalated',
    help: 'Submissions that ended final with a status other than 200.',
    registers,
  });
  const requestsOf = (method: string, route: string): Requests => {
    let methods = children.get(route);
    if (methods === undefined) {
      methods = new Map();
      children.set(route, methods);
    }
    let found = methods.get(method);
    if (found === undefined) {
      found = { method, route, seconds: duration.labels({ method, route }), counts: new Map() };
      methods.set(method, found);
    }
    return found;
  };
  return {
    ingest: tallied({ name: 'quorate_ingest_total', help: 'Submissions that passed admission.', registers }),
    dedupHits: new Counter({
      name: 'quorate_dedup_hits',
      help: 'Submissions answered with a recorded outcome.',
      registers,
    }),
    signatureErrors: new Counter({
      name: 'quorate_signature_errors',
      help: 'Submissions refused for an unknown key or a bad signature.',
      registers,
    }),
    shared: new Counter({
      name: 'quorate_submissions_shared_total',
      help: 'Submissions told to peers: for the first time, again, or lost on the way to gossip.',
      labelNames: ['turn'] as const,
      registers,
    }),
    gossiped: new Counter({
      name: 'quorate_submissions_gossiped_total',
      help: 'Submissions that peers told of, by what became of them here.',
      labelNames: ['result'] as const,
      registers,
    }),
    badObservations: new Counter({
      name: 'quorate_observation_bad_signatures_total',
      help: 'Observations that a peer sent over its own connection and whose signature does not hold.',
      labelNames: ['peer'] as const,
      registers,
    }),
    /** Starts the clock of a stage; the returned function stops it. */
    stage: (stage: StageName) => stageSeries[stage].startTimer(),
    outcome: (status: number) => (status === 200 ? accepted : escalated).inc(),
    request(method: string, route: string, status: number, seconds: number): void {
      const { seconds: series, counts } = requestsOf(method, route);
      series.observe(seconds);
      counts.set(status, (counts.get(status) ?? 0) + 1);
    },
  };
}

export type IngressMetrics = ReturnType<typeof createMetrics>;
