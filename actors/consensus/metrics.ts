// Metrics of consensus. Created once a thread by actor.ts.
import { HotHistogram } from '../../observability/hot-histogram.js';
import { Counter, Gauge, Histogram, type Registry } from '../../observability/prom-client.js';
import { tallied, talliedBy } from '../../observability/tally.js';

export interface ConsensusFigures {
  height(): number;
  view(): number;
  mempool(): number;
  mempoolBytes(): number;
  /** NaN when no round is complete. */
  averageTis(): number;
  excludedNodes(): number;
  roundQuorum(): number;
}

export function createMetrics(registry: Registry, figures: ConsensusFigures, quorumSize: number) {
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  gauge('quorate_consensus_height', 'Height of the last final block.', figures.height);
  gauge('quorate_consensus_view', 'Current view.', figures.view);
  gauge('quorate_mempool_entries', 'Submissions that wait for a block.', figures.mempool);
  gauge('quorate_mempool_bytes', 'Bytes of the submissions that wait for a block.', figures.mempoolBytes);
  gauge(
    'quorate_average_tis',
    'Mean consensus TIS of the last ten complete observation rounds; NaN before the first.',
    figures.averageTis,
  );
  gauge('quorate_byzantine_nodes_total', 'Observers whose observations do not count.', figures.excludedNodes);
  gauge('quorate_round_quorum_size', 'Observations that complete a round.', figures.roundQuorum);
  gauge('quorate_quorum_size', 'Votes that make a certificate.', () => quorumSize);
  // Filled in by the part that knows; 0 on a chain of one.
  const network = {
    peers: () => 0,
    behind: () => 0,
    refused: (): Readonly<Record<string, number>> => ({}),
  };
  gauge('quorate_consensus_peers_connected', 'Validators that this one is connected to.', () => network.peers());
  gauge('quorate_consensus_blocks_behind', 'Blocks that a catch-up has yet to bring.', () => network.behind());
  new Counter({
    name: 'quorate_consensus_messages_refused_total',
    help: 'Messages of peers that the core dropped, by reason.',
    labelNames: ['reason'] as const,
    registers,
    collect() {
      this.reset();
      for (const [reason, count] of Object.entries(network.refused())) this.inc({ reason }, count);
    },
  });
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  const counterBy = <L extends string>(name: string, help: string, label: L) =>
    new Counter({ name, help, labelNames: [label], registers });
  return {
    figures: network,
    refusedFrames: counterBy(
      'quorate_consensus_frames_refused_total',
      'Frames of peers that were refused, by reason.',
      'reason',
    ),
    unsent: counterBy('quorate_consensus_frames_unsent_total', 'Frames that gossip did not take, by reason.', 'reason'),
    fetches: counterBy('quorate_consensus_fetches_total', 'Requests for blocks and certificates to peers.', 'what'),
    served: counterBy('quorate_consensus_served_total', 'Requests of peers for blocks, by what they got.', 'what'),
    catchups: counter('quorate_consensus_catchups_total', 'Requests for ranges of final blocks to peers.'),
    validated: counterBy('quorate_consensus_validated_total', 'Blocks of other leaders judged, by verdict.', 'verdict'),
    checked: counter('quorate_consensus_signatures_total', "Signatures checked in other leaders' blocks."),
    evidence: counterBy('quorate_consensus_evidence_total', 'Proven offences of validators, by rule.', 'rule'),
    validationSeconds: new Histogram({
      name: 'quorate_consensus_validation_seconds',
      help: "Time of judging another leader's block, its signatures included.",
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
      registers,
    }),
    votes: talliedBy('kind', { name: 'quorate_consensus_votes_total', help: 'Own votes signed, by kind.', registers }),
    rounds: new Counter({
      name: 'quorate_consensus_rounds_total',
      help: 'Observation rounds that became complete.',
      registers,
    }),
    roundsFailed: new Counter({
      name: 'quorate_consensus_rounds_failed_total',
      help: 'Observation rounds that failed: no quorum in time, or every observer excluded.',
      registers,
    }),
    roundSeconds: new Histogram({
      name: 'quorate_consensus_round_duration_seconds',
      help: 'Block time from the first observation of a round to its quorum.',
      buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
      registers,
    }),
    blocks: tallied({ name: 'quorate_consensus_blocks_total', help: 'Blocks that became final.', registers }),
    entries: tallied({ name: 'quorate_consensus_entries_total', help: 'Entries that became final.', registers }),
    refused: new Counter({
      name: 'quorate_consensus_refused_total',
      help: 'Submissions that a block builder refused, by reason.',
      labelNames: ['reason'] as const,
      registers,
    }),
    commitSeconds: new HotHistogram({
      name: 'quorate_consensus_commit_seconds',
      help: 'Time from building a block to its being final.',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }).labels({}),
    blockEntries: new HotHistogram({
      name: 'quorate_consensus_block_entries',
      help: 'Entries of a final block.',
      buckets: [1, 4, 16, 32, 64, 128, 256, 512, 1000],
      registers,
    }).labels({}),
  };
}

export type ConsensusMetrics = ReturnType<typeof createMetrics>;
