// What the door is made of: links to other actors, and the parts of this one that it calls. Put together by actor.ts, and
// with stand-ins by tests. Types only.
import type { Logger } from 'pino';
import type { Clock, Links } from '../../runtime/kernel/contract.js';
import type { ConsensusContract } from '../consensus/contract.js';
import type { DedupContract } from '../dedup/contract.js';
import type { GossipContract } from '../gossip/contract.js';
import type { StoreContract } from '../store/contract.js';
import type { VerifyPool } from '../verify/pool.js';
import type { WalWriterContract } from '../wal-writer/contract.js';
import type { Answers } from './answers.js';
import type { IdempotencyKeys } from './idempotency.js';
import type { Keyring } from './keyring.js';
import type { IngressMetrics } from './metrics.js';
import type { Recorded } from './recorded.js';

export type DoorLinks = {
  'wal-writer': WalWriterContract;
  dedup: DedupContract;
  consensus: ConsensusContract;
  store: StoreContract;
  gossip: GossipContract;
};

export interface DoorParts {
  readonly links: Links<DoorLinks>;
  readonly pool: VerifyPool;
  readonly keyring: Keyring;
  readonly recorded: Recorded;
  readonly answers: Answers;
  readonly idempotencyKeys: IdempotencyKeys;
  readonly metrics: IngressMetrics;
  readonly clock: Clock;
  readonly log: Logger;
  /** Validators of the chain: with more than one, peers are told what is admitted here. */
  readonly nodes: number;
  readonly inFlightMax: () => number;
  /** How many of `waiting` signatures go to the pool as one batch. */
  readonly verifyBatchSize: (waiting: number) => number;
}
