// Consensus: orders submissions into blocks, executes them, and makes them final. Called by ingress (propose). It owns
// the node's vote: nothing else signs for consensus, and it signs nothing while the log is in doubt.
import { randomBytes } from 'node:crypto';
import { readAttestation } from '../../protocol/attestation.js';
import type { Context } from '../../protocol/consensus/context.js';
import { encodeJournal } from '../../protocol/consensus/journal.js';
import { quorum } from '../../protocol/consensus/quorum.js';
import type { State as CoreState } from '../../protocol/consensus/state.js';
import { type Ed25519, type Ed25519Backend, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { type Genesis, parseGenesis } from '../../protocol/genesis.js';
import type { JsonObject } from '../../protocol/json.js';
import { OBSERVATION } from '../../protocol/kinds/observation.js';
import type { Entry, EntryKey } from '../../protocol/ledger/apply.js';
import { genesisTip, type Tip } from '../../protocol/ledger/header.js';
import { registryText, restoreRegistry } from '../../protocol/registry.js';
import { averageTis, exclusionJson } from '../../protocol/rounds/answer.js';
import { roundQuorum } from '../../protocol/rounds/round.js';
import { Mistakes } from '../../protocol/shape.js';
import type { Prepared } from '../../protocol/submission.js';
import { type Epoch, firstEpoch, parseValidatorSet, type ValidatorSet } from '../../protocol/validators.js';
import { RecordType } from '../../protocol/wal-record.js';
import { EXIT } from '../../runtime/exit-codes.js';
import { packBytes, unpackBytes } from '../../runtime/kernel/batch.js';
import type { ActorContext, Clock, Links } from '../../runtime/kernel/contract.js';
import { defineActor } from '../../runtime/kernel/define.js';
import { LedgerReader } from '../ledger/reader.js';
import { backendOf, VerifyPool, VerifyThreads } from '../verify/pool.js';
import { Blocks } from './blocks.js';
import { certificateOf } from './catch-up.js';
import { Checkpointer } from './checkpoint.js';
import { Committed } from './committed.js';
import { type ConsensusContract, consensusPolicies, type ProposeBatch, type ProposedForm } from './contract.js';
import { type ConsensusLinks, evidenceText, Host } from './host.js';
import { LogPages } from './log-pages.js';
import { Mempool, type Pooled } from './mempool.js';
import { createMetrics } from './metrics.js';
import { LogLedgerMismatch, replayLog } from './replay.js';
import type { ConsensusConfig } from './spec.js';

/** Δmax = 16 · Δ0 ≤ 5 s (R8): a larger cap would make recovery slow. */
const DELTA_MAX_FACTOR = 16;
const DELTA_MAX_MS = 5_000;

type ActorParts = ActorContext<ConsensusLinks, ConsensusConfig>;

interface State {
  readonly host: Host;
  readonly checkpoints: Checkpointer;
  readonly mempool: Mempool;
  readonly committed: Committed;
  readonly reader: LedgerReader;
  readonly pool: VerifyPool | null;
  /** What checks votes and certificates here, and bodies in the thread; null where there is none. */
  readonly verify: { readonly own: Ed25519Backend; readonly bodies: Ed25519Backend | null };
  readonly core: CoreState;
  readonly report: () => void;
  readonly reports: NodeJS.Timeout;
  readonly nodeId: string;
  readonly clock: Clock;
}

const DOUBT_DEADLINE_MS = 120_000;
const REJOIN_ADVICE = 'it signs again when enough of the other validators have told it where they are';
const REPAIR_ADVICE = 'run "quorate wal verify", then "quorate wal repair"';

/** How often the main thread learns the height: for state.json and status, not for anything that waits. */
const REPORT_MS = 1_000;

export default defineActor<ConsensusContract, State, ConsensusLinks, ConsensusConfig>({
  policies: consensusPolicies,

  /** What costs a thread most when it does it for the first time. Nothing of it is kept: the ledger goes on meanwhile. */
  async ahead(config) {
    await loadEd25519(backendOf(config.verify) ?? undefined);
    const reader = LedgerReader.open(config.ledger);
    readCommitted(parseGenesis(JSON.parse(config.genesis) as JsonObject), reader);
    await reader.close();
    return null;
  },

  async init(actor) {
    const { config, links, clock, log } = actor;
    const genesis = parseGenesis(JSON.parse(config.genesis) as JsonObject);
    const condition = await links['wal-writer'].ask('condition', null);
    const pages = new LogPages(links, condition.replayFrom);
    const reader = actor.vitals.gated(() => LedgerReader.open(config.ledger));
    const committed = readCommitted(genesis, reader);
    const blocks = new Blocks(committed);
    const nodes = genesis.validators.length;
    const mempool = new Mempool(nodes);
    // Bodies of other leaders' blocks that this node has not seen (DECISIONS 7); it starts while the log is replayed.
    const backend = backendOf(config.verify);
    const threads = nodes === 1 ? null : new VerifyThreads({ threads: 1, backend, seed: config.seed });
    const ed25519 = await loadEd25519(backend ?? undefined);
    const { context, core, proof, unwritten } = await replayLog({
      links,
      committed,
      blocks,
      log,
      validators: readValidators(genesis, reader),
      quarantine: condition.quarantine,
      pages,
      contextOf: contextMaker(genesis, config, ed25519),
    }).catch((error: unknown) => {
      if (error instanceof LogLedgerMismatch) actor.fatal(EXIT.data.code, error.message);
      throw error;
    });
    proveTip(context, core, committed, reader);
    const shared = { context, core, nodeId: config.nodeId, links, committed, blocks, clock, log };
    const metrics = createMetrics(
      actor.registry,
      {
        height: () => committed.tip.height,
        view: () => core.view,
        mempool: () => mempool.size,
        mempoolBytes: () => mempool.sizeBytes,
        averageTis: () => averageTis(committed.rounds) ?? Number.NaN,
        excludedNodes: () => committed.rounds.excluded.length,
        roundQuorum: () => roundQuorum(committed.tip.validatorCount),
      },
      quorum(nodes),
    );
    const tellConnected = (): void => {
      links.ingress.tell('connected', { registry: registryText(committed.registry), quarantine: core.quarantined });
    };
    const checkpoints = new Checkpointer({ ...shared, mempool, proof, intervalMs: config.compactIntervalMs });
    const pool = threads === null ? null : new VerifyPool(threads, actor.registry);
    const verify = { own: ed25519.backend, bodies: (await threads?.start()) ?? null };
    const host = new Host({
      ...shared,
      verifier: pool,
      stored: (height) => reader.blockBytes(height),
      nonce: () => randomBytes(32).toString('hex'),
      mempool,
      checkpoints,
      unwritten,
      metrics,
      report: (name, value) => actor.report(name, value),
      quarantined: () => {
        reportChain(actor, committed, core.quarantined);
        tellConnected();
      },
    });
    // A log that takes no records would refuse the first one.
    if (condition.state !== 'corrupt') {
      if (nodes > 1 && condition.quarantine !== null && !core.rejoined)
        await recordDoubt(links, context.epoch, condition.quarantine);
      host.start();
    }
    links.ingress.onUp(tellConnected);
    links.ingress.onUp(() => {
      const documents = core.evidence.map((evidence) => evidenceText(context, evidence));
      if (documents.length > 0) links.ingress.tell('evidence', { documents });
    });
    reportChain(actor, committed, core.quarantined);
    let reported = committed.tip.height;
    const report = (): void => {
      if (committed.tip.height === reported || core.halted !== null) return;
      reported = committed.tip.height;
      reportChain(actor, committed, core.quarantined);
    };
    const reports = setInterval(report, REPORT_MS);
    const { nodeId } = config;
    return { host, checkpoints, mempool, committed, reader, pool, verify, core, report, reports, nodeId, clock };
  },

  tell: {
    peerFrames: ({ host }, { from, frames }) => host.peerFrames(from, unpackBytes(frames)),
    peerState: ({ host }, { nodeId, connected }) => host.peerState(nodeId, connected),
    wantNotarized: ({ host }) => host.wantNotarized(),
  },

  ask: {
    propose: (state, batch) => {
      if (state.core.quarantined !== null) return { left: batch.lsns.map((_, index) => index), full: true };
      const left: number[] = [];
      let index = 0;
      for (const pooled of unpack(batch, state.nodeId)) {
        if (!state.mempool.add(pooled, state.clock.monotonic())) left.push(index);
        index += 1;
      }
      state.host.pendingChanged();
      return { left, full: state.mempool.isFull(state.nodeId) };
    },
    compact: ({ checkpoints }, { all }) => checkpoints.compactNow(all),
  },

  async drain(state) {
    await state.host.drain();
    // The last height, for state.json.
    state.report();
  },

  async stop(state) {
    clearInterval(state.reports);
    state.host.stop();
    await state.pool?.close();
    await state.reader.close();
  },

  inspect: (state) => ({
    tip: state.committed.tip,
    mempool: state.mempool.size,
    unwritten: state.committed.unwritten.blocks,
    quarantined: state.core.quarantined,
    epoch: state.committed.tip.epoch,
    verify: state.verify,
  }),
});

function readCommitted(genesis: Genesis, reader: LedgerReader): Committed {
  const head = reader.head;
  const tip =
    head === undefined
      ? genesisTip(genesis.chainIdHex, genesis.validatorsHash, genesis.validators.length)
      : (JSON.parse(head) as Tip);
  const text = reader.registry;
  const registry =
    text === undefined ? genesis.registry : restoreRegistry(genesis.registry, JSON.parse(text) as JsonObject);
  return new Committed(genesis.chain, tip, registry, reader.rounds, reader);
}

/**
 * A doubt about the log goes into the log before anything else does: the next start would find one that is not empty, and no
 * reason to doubt it.
 */
async function recordDoubt(links: Links<ConsensusLinks>, epoch: number, reason: string): Promise<void> {
  const records = packBytes([encodeJournal({ type: 'quarantine', epoch, reason })]);
  const request = { records, types: [RecordType.journal], settles: [] };
  await links['wal-writer'].ask('appendJournal', request, { transfer: [records], deadlineMs: DOUBT_DEADLINE_MS });
}

/** What a peer that is behind is given first: why the tip is final. The database has it where the log has let it go. */
function proveTip(context: Context, core: CoreState, committed: Committed, reader: LedgerReader): void {
  const { height, hash } = core.finalized;
  if (core.finalized.certificate !== null || height === 0 || height !== committed.tip.height) return;
  const block = reader.block(height);
  if (block === undefined || block.chain.length > 0) return;
  core.finalized = { ...core.finalized, certificate: certificateOf(context, block, hash) };
}

function readValidators(genesis: Genesis, reader: LedgerReader): ValidatorSet {
  const stored = reader.validators;
  if (stored === undefined) return firstEpoch(genesis.chainIdHex, genesis.validators);
  return parseValidatorSet(JSON.parse(stored) as JsonObject);
}

function contextMaker(genesis: Genesis, config: ConsensusConfig, ed25519: Ed25519): (epoch: Epoch) => Context {
  const { secretKey } = ed25519.keyPair(config.seed);
  return ({ epoch, set }) => {
    const self = set.findIndex(({ nodeId }) => nodeId === config.nodeId);
    return {
      chainId: genesis.chainId,
      epoch,
      self: self === -1 ? null : self,
      validators: set,
      delta0Ms: config.deltaMs,
      deltaMaxMs: Math.max(config.deltaMs, Math.min(DELTA_MAX_MS, DELTA_MAX_FACTOR * config.deltaMs)),
      sign: (bytes) => ed25519.sign(bytes, secretKey),
      verify: (signature, bytes, publicKey) => ed25519.verify(signature, bytes, publicKey),
    };
  };
}

function reportChain(actor: ActorParts, committed: Committed, quarantine: string | null): void {
  const advice = committed.tip.validatorCount > 1 ? REJOIN_ADVICE : REPAIR_ADVICE;
  const { rounds } = committed;
  const { height, hash } = committed.tip;
  actor.report('consensus', {
    ok: quarantine === null,
    ...(quarantine === null ? {} : { detail: `quarantined: ${quarantine}; ${advice}` }),
    data: {
      height,
      hash,
      quarantine,
      consensus_rounds: rounds.completed,
      // A report carries plain values only.
      byzantine_nodes: JSON.stringify(rounds.excluded.map(exclusionJson)),
    },
  });
}

/** The columns as entries. Payloads are parsed again only when a kind looks at them: ingress checked them already. */
function* unpack(batch: ProposeBatch, nodeId: string): Generator<Pooled> {
  const digests = Buffer.from(batch.digests.buffer, batch.digests.byteOffset, batch.digests.byteLength);
  const bodies = Buffer.from(batch.bodies.buffer, batch.bodies.byteOffset, batch.bodies.byteLength);
  const keys = batch.forms.map(keyOfForm);
  for (const [index, sent] of unpackBytes(batch.raws).entries()) {
    // A copy: one long-lived body must not keep its whole batch in memory.
    const raw = Buffer.from(sent);
    const digest = digests.subarray(32 * index, 32 * index + 32);
    const body = bodies.subarray(32 * index, 32 * index + 32);
    const form = batch.forms[batch.formOf[index]!]!;
    const attestation = batch.attestations?.[index] ?? '';
    const entry: Entry = {
      prepared: new Proposed(form, batch.ids[index]!, batch.issuedAtMs[index]!, raw, digest, body),
      raw,
      issuer: form.issuer,
      key: keys[batch.formOf[index]!]!,
      attestation:
        attestation === '' ? null : readAttestation(JSON.parse(attestation) as JsonObject, '', new Mistakes()),
    };
    const content = (entry.prepared.alg === null ? body : digest).toString('latin1', 0, 32);
    yield { entry, lsn: batch.lsns[index]!, route: form.route, content, origin: form.origin || nodeId };
  }
}

function keyOfForm({ keyId, publicKey }: ProposedForm): EntryKey {
  if (publicKey === '') return { keyId, alg: 'hmac-sha256', publicKey: null };
  return { keyId, alg: 'ed25519', publicKey: Buffer.from(publicKey, 'hex') };
}

/** What ingress has prepared. A class, because an accessor in an object literal is defined anew, and slowly, each time. */
class Proposed implements Prepared {
  readonly kind: string;
  readonly issuer: string;
  readonly id: string;
  readonly issuedAtMs: number | null;
  readonly alg: 'ed25519' | 'hmac-sha256' | null;
  readonly digest: Buffer;
  readonly body: Buffer;
  readonly signedBytes = EMPTY;
  readonly signature = EMPTY;
  readonly #raw: Buffer;

  constructor(form: ProposedForm, id: string, issuedAtMs: number, raw: Buffer, digest: Buffer, body: Buffer) {
    const isPcs = form.alg === '';
    this.kind = form.kind;
    this.issuer = isPcs ? '' : form.issuer;
    this.id = id;
    this.issuedAtMs = Number.isNaN(issuedAtMs) ? null : issuedAtMs;
    this.alg = isPcs ? null : (form.alg as 'ed25519' | 'hmac-sha256');
    this.digest = digest;
    this.body = body;
    this.#raw = raw;
  }

  get payload(): JsonObject {
    const parsed = JSON.parse(this.#raw.toString('utf8')) as JsonObject;
    if (this.alg === null) return parsed;
    return (this.kind === OBSERVATION ? parsed.observation : parsed.payload) as JsonObject;
  }
}

const EMPTY = Buffer.alloc(0);
