// A door of one validator with stand-ins for everything around it: a log that takes all, a dedup that knows nothing, consensus as
// the test says. Called by tests of this folder only.
import { pino } from '../../observability/pino.js';
import { Registry } from '../../observability/prom-client.js';
import { HMAC_SECRET, NOON_MS, type Testkit } from '../../protocol/ledger/testkit.js';
import { registryText } from '../../protocol/registry.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import { unpackBytes } from '../../runtime/kernel/batch.js';
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { ConsensusContract } from '../consensus/contract.js';
import type { DedupContract } from '../dedup/contract.js';
import type { GossipContract } from '../gossip/contract.js';
import type { LedgerReader } from '../ledger/reader.js';
import type { StoreContract } from '../store/contract.js';
import { FakeLink } from '../testing/links.js';
import { CHECK_ED25519, type SignatureCheck } from '../verify/checks.js';
import type { VerifyPool } from '../verify/pool.js';
import type { WalWriterContract } from '../wal-writer/contract.js';
import { Answers } from './answers.js';
import { Door } from './door.js';
import { IdempotencyKeys } from './idempotency.js';
import { Keyring } from './keyring.js';
import { createMetrics } from './metrics.js';
import { Recorded } from './recorded.js';
import { type Answer, emptySubmission, type Waiter } from './submission.js';

const LIMITS = { max: 1_000, ttl_ms: 60_000 };

export interface Node {
  readonly door: Door;
  readonly clock: ManualClock;
  readonly registry: Registry;
  readonly checks: { count: number };
  readonly wal: FakeLink<WalWriterContract>;
  readonly consensus: FakeLink<ConsensusContract>;
  readonly dedup: FakeLink<DedupContract>;
  readonly gossip: FakeLink<GossipContract>;
}

export function nodeOf(kit: Testkit, index: number): Node {
  const { name, secretKey } = kit.validators[index]!;
  const clock = new ManualClock(NOON_MS);
  const registry = new Registry();
  const checks = { count: 0 };
  const wal = new FakeLink<WalWriterContract>('wal-writer');
  let lsn = 0;
  wal.answer('appendInbox', ({ records }) => {
    const firstLsn = lsn + 1;
    lsn += unpackBytes(records).length;
    return { firstLsn };
  });
  wal.answer('unsettled', () => ({ records: new ArrayBuffer(4), lsns: [], types: [], next: null, until: 0 }));
  const consensus = new FakeLink<ConsensusContract>('consensus');
  consensus.answer('propose', () => ({ left: [], full: false }));
  const dedup = new FakeLink<DedupContract>('dedup');
  dedup.answer('admit', () => ({ known: [] }));
  const gossip = new FakeLink<GossipContract>('gossip');
  const pool = {
    verify: async (list: readonly SignatureCheck[]) => {
      checks.count += list.length;
      return Uint8Array.from(list, ({ operation, signature, message, key }) =>
        operation !== CHECK_ED25519 || kit.ed25519.verify(signature, message, key) ? 1 : 0,
      );
    },
    attest: async (messages: readonly Uint8Array[]) => messages.map((message) => kit.ed25519.sign(message, secretKey)),
  } as unknown as VerifyPool;
  const answers = new Answers(() => 0.5);
  const monotonic = () => clock.monotonic();
  const ledger = { block: () => undefined } as unknown as LedgerReader;
  const door = new Door({
    links: { 'wal-writer': wal, dedup, consensus, store: new FakeLink<StoreContract>('store'), gossip },
    pool,
    keyring: new Keyring({
      genesis: kit.genesis.registry,
      registry: kit.genesis.registry,
      chainId: kit.genesis.chainIdHex,
      nodeId: name,
      validators: new Map(kit.validators.map((each) => [each.name, each.publicKey])),
      secrets: index === 0 ? [{ issuer: 'hmac', keyId: 'h1', secret: HMAC_SECRET }] : [],
    }),
    recorded: new Recorded(LIMITS, monotonic, ledger, answers),
    answers,
    idempotencyKeys: new IdempotencyKeys(LIMITS, monotonic),
    metrics: createMetrics(registry, () => 0),
    clock,
    log: pino({ level: 'silent' }),
    nodes: kit.validators.length,
    inFlightMax: () => 100,
    verifyBatchSize: () => 32,
  });
  door.connected(registryText(kit.genesis.registry), null);
  return { door, clock, registry, checks, wal, consensus, dedup, gossip };
}

/** Admits a body as a client's, and gives its answers; a refusal at admission is the only one. */
export function submit(
  { door, clock }: Node,
  raw: Uint8Array,
  respondAsync = false,
  more: Partial<Pick<Waiter, 'untilQuorum' | 'deadlineMs'>> = {},
): Answer[] {
  const answers: Answer[] = [];
  const deadlineMs = clock.monotonic() + 60_000;
  const waiter = { requestId: 'r', deadlineMs, limitMs: deadlineMs, respondAsync };
  const refused = door.admit(emptySubmission(InboxRoute.envelope, raw, 'r', null), {
    ...waiter,
    ...more,
    settle: (answer) => void answers.push(answer),
  });
  if (refused !== null) answers.push(new Answers(() => 0.5).problem(refused, 'r'));
  return answers;
}

export function sentBy({ gossip }: Node): Buffer[] {
  return gossip.told('send').flatMap(({ frames }) => unpackBytes(frames));
}
