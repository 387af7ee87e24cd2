// Ingress: the client-facing door. Owns the HTTP listener and the verify pool. Called by clients, and by consensus with
// what became of their submissions. It must never answer for something that the log does not have.
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { listenRefusal } from '../../config/listen-refusal.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { sha256Hex } from '../../protocol/crypto/hash.js';
import { parseGenesis } from '../../protocol/genesis.js';
import type { JsonObject } from '../../protocol/json.js';
import { registryText, restoreRegistry } from '../../protocol/registry.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import { unpackBytes } from '../../runtime/kernel/batch.js';
import type { ActorContext } from '../../runtime/kernel/contract.js';
import { defineActor } from '../../runtime/kernel/define.js';
import { LedgerReader } from '../ledger/reader.js';
import { backendOf, batchSize, VerifyPool, VerifyThreads, type VerifyThreadsOptions } from '../verify/pool.js';
import { Accuser } from './accuser.js';
import { Answers } from './answers.js';
import { Batches } from './batches.js';
import { Connections } from './connections.js';
import { type IngressContract, ingressPolicies } from './contract.js';
import { Door } from './door.js';
import type { DoorLinks } from './door-parts.js';
import { EvidenceBook } from './evidence.js';
import { IdempotencyKeys } from './idempotency.js';
import { Keyring } from './keyring.js';
import { createMetrics } from './metrics.js';
import { Queries } from './queries.js';
import { Recorded } from './recorded.js';
import { isGranted, type WishSigner, wishEnvelope } from './registry-wish.js';
import { handleRpc, type RpcParts } from './rpc.js';
import type { IngressConfig } from './spec.js';
import { emptySubmission } from './submission.js';

interface State {
  readonly context: ActorContext<DoorLinks, IngressConfig>;
  readonly door: Door;
  readonly rpc: RpcParts;
  readonly evidence: EvidenceBook;
  readonly recorded: Recorded;
  readonly idempotencyKeys: IdempotencyKeys;
  readonly server: FastifyInstance;
  readonly connections: Connections;
  readonly pool: VerifyPool;
  readonly ledger: LedgerReader;
  readonly keyring: Keyring;
  readonly signer: WishSigner;
  readonly sweep: NodeJS.Timeout;
  readonly replays: NodeJS.Timeout;
  readonly inForce: { config: IngressConfig; prepared: IngressConfig | null };
}

/** Loads while everything before it in `init` runs, and in a standby before that: half of what this actor loads. */
const serverModule = import('./server.js');
// What is wrong with it is told to whoever waits for it.
serverModule.catch(() => {});

const SWEEP_MS = 25;
/** How often the log is asked for entries that nobody works on: the remains of an append whose answer got lost. */
const REPLAY_MS = 30_000;
const WISH_DEADLINE_MS = 30_000;
const WISH_AGAIN_MS = 100;

export default defineActor<IngressContract, State, DoorLinks, IngressConfig>({
  policies: ingressPolicies,

  async ahead(config) {
    const threads = new VerifyThreads(verifyThreads(config));
    await threads.start();
    return threads;
  },

  async init(context) {
    const { config, clock, log, links } = context;
    const { settings } = config;
    const backend = backendOf(settings.verify);
    // The port must be back soon after a death (DECISIONS 36): without a standby the pool's threads start on other cores
    // while this one loads the HTTP server, which takes about as long.
    const wanted = verifyThreads(config);
    const ahead = context.ahead instanceof VerifyThreads ? context.ahead : null;
    const threads = ahead?.fits(wanted) ? ahead : new VerifyThreads(wanted);
    if (ahead !== threads) void ahead?.pool.destroy();
    const pool = new VerifyPool(threads, context.registry);
    const poolStarted = threads.start();
    const [{ createServer }, ed25519] = await Promise.all([serverModule, loadEd25519(backend ?? undefined)]);
    const genesis = parseGenesis(JSON.parse(config.genesis) as JsonObject);
    const ledger = context.vitals.gated(() => LedgerReader.open(config.ledger));
    const stored = ledger.registry;
    const keyring = new Keyring({
      genesis: genesis.registry,
      registry:
        stored === undefined ? genesis.registry : restoreRegistry(genesis.registry, JSON.parse(stored) as JsonObject),
      chainId: config.chainId,
      nodeId: config.nodeId,
      validators: new Map(genesis.validators.map(({ nodeId, publicKey }) => [nodeId, publicKey])),
      secrets: config.hmacSecrets,
    });
    const answers = new Answers(Math.random);
    const monotonic = () => clock.monotonic();
    const inForce: State['inForce'] = { config, prepared: null };
    const limits = () => inForce.config.settings.limits;
    const recorded = new Recorded(settings.idempotency, monotonic, ledger, answers);
    const idempotencyKeys = new IdempotencyKeys(settings.idempotency, monotonic);
    const metrics = createMetrics(context.registry, () => door.depth);
    const door: Door = new Door({
      links,
      pool,
      keyring,
      recorded,
      answers,
      idempotencyKeys,
      metrics,
      clock,
      log,
      nodes: genesis.validators.length,
      inFlightMax: () => inForce.config.settings.limits.in_flight_max,
      verifyBatchSize: (waiting) => batchSize(waiting, inForce.config.settings.verify),
    });
    const signer = { nodeId: config.nodeId, ed25519, secretKey: ed25519.keyPair(config.seed).secretKey };
    const accuser = new Accuser({ door, signer, registry: () => keyring.registry, clock });
    const evidence = new EvidenceBook(accuser);
    const queries = new Queries({
      ledger,
      door,
      recorded,
      answers,
      genesis,
      nodeId: config.nodeId,
      publicKey: config.publicKey,
      evidence: () => evidence.text(),
      gossip: links.gossip,
    });
    const server = createServer({
      door,
      batches: new Batches({
        door,
        answers,
        metrics,
        entriesMax: () => limits().batch_entries,
        bodyMax: () => limits().body_bytes,
      }),
      queries,
      answers,
      metrics,
      clock,
      settings: () => inForce.config.settings,
      log,
    });
    const connections = new Connections(server.server);
    connections.limit(limits());
    const state: State = {
      context,
      door,
      rpc: {
        door,
        answers,
        metrics,
        clock,
        log,
        limits,
        rounds: () => queries.rounds(),
        report: (name, value) => context.report(name, value),
        accuse: (nodeId, body) => accuser.accuse(nodeId, 'InvalidSignature', body),
      },
      evidence,
      recorded,
      idempotencyKeys,
      server,
      connections,
      pool,
      ledger,
      keyring,
      signer,
      sweep: setInterval(() => door.sweep(), SWEEP_MS),
      replays: setInterval(() => void door.replay(), REPLAY_MS),
      inForce,
    };
    const verifiedBy = await poolStarted;
    // Last of all: a thread that is ended before it is up is not asked to `abandon` its connections.
    await listen(context, server);
    const address = server.server.address() as AddressInfo;
    context.report('listening', { ok: true, data: { host: address.address, port: address.port, verify: verifiedBy } });
    askForRegistry(state);
    return state;
  },

  tell: {
    connected: (state, { registry, quarantine }) => {
      state.door.connected(registry, quarantine);
      reportRegistry(state);
    },
    finalized: (state, block) => {
      state.door.finalized(block);
      if (block.registry !== null) reportRegistry(state);
    },
    notarized: (state, block) => state.door.notarized(block),
    refused: (state, batch) => state.door.refused(batch),
    gossiped: (state, { from, frames }) => state.door.gossiped(from, unpackBytes(frames)),
    peerUp: (state) => state.door.peerUp(),
    evidence: (state, { documents }) => state.evidence.add(documents),
  },
  ask: {
    rpc: ({ rpc }, request) => handleRpc(rpc, request),
  },

  reconfigure: {
    prepare(state, next) {
      if (next.wish !== null) isGranted(state.keyring.registry, next.wish);
      state.inForce.prepared = next;
    },
    commit(state) {
      state.inForce.config = state.inForce.prepared!;
      state.inForce.prepared = null;
      const { hmacSecrets, settings } = state.inForce.config;
      state.keyring.replaceSecrets(hmacSecrets);
      state.recorded.resize(settings.idempotency);
      state.idempotencyKeys.resize(settings.idempotency);
      state.connections.limit(settings.limits);
      askForRegistry(state);
    },
    abort(state) {
      state.inForce.prepared = null;
    },
  },

  /** The port closes first; then every request in hand gets its answer, and every answer its way to the socket. */
  async drain(state) {
    const closed = state.connections.drain();
    await state.door.drain();
    await closed;
  },

  async stop(state) {
    clearInterval(state.sweep);
    clearInterval(state.replays);
    await state.server.close();
    await state.pool.close();
    await state.ledger.close();
  },

  /** Connections in which a request is being read would be read on in a thread that ends. */
  abandon(state) {
    state.server.server.close();
    state.server.server.closeAllConnections();
  },

  inspect: (state) => state.door.stats(),
});

function verifyThreads(config: IngressConfig): VerifyThreadsOptions {
  return { threads: config.settings.verify.threads, backend: backendOf(config.settings.verify), seed: config.seed };
}

/** Opens the port. At the first start a port that cannot be had ends the process: waiting would not free it. */
async function listen(context: ActorContext<DoorLinks, IngressConfig>, server: FastifyInstance): Promise<void> {
  const { host, port } = context.config;
  try {
    await server.listen({ host, port });
  } catch (error) {
    const refusal = context.incarnation === 1 ? listenRefusal(error, '--listen', `${host}:${port}`) : null;
    if (refusal !== null) context.fatal(refusal.exitCode, refusal.reason);
    throw error;
  }
}

/** Submits the operator's wish when the ledger does not grant it yet; the node is not ready until it does. */
function askForRegistry(state: State): void {
  const { wish } = state.inForce.config;
  if (wish === null || isGranted(state.keyring.registry, wish)) {
    reportRegistry(state);
    return;
  }
  const { clock } = state.context;
  const askAgain = () => void setTimeout(() => askForRegistry(state), WISH_AGAIN_MS).unref();
  state.context.report('registry', { ok: false, detail: 'the configured clients and kinds are not in force yet' });
  const raw = wishEnvelope(state.keyring.registry, wish, state.signer, clock.now());
  const requestId = 'registry-wish';
  const submission = emptySubmission(InboxRoute.envelope, raw, requestId, null);
  const refused = state.door.admit(submission, {
    requestId,
    deadlineMs: clock.monotonic() + WISH_DEADLINE_MS,
    limitMs: clock.monotonic() + WISH_DEADLINE_MS,
    respondAsync: false,
    settle: (answer) => {
      // Not known whether it was logged, as when the wal-writer died: to ask again is safe, the version decides.
      if (answer.status === 503 || answer.status === 507) askAgain();
      else if (answer.status !== 200)
        state.context.log.error({ answer: answer.body }, 'the registry could not be changed');
    },
  });
  if (refused !== null) askAgain();
}

function reportRegistry(state: State): void {
  const { wish } = state.inForce.config;
  const { registry } = state.keyring;
  const granted = wish === null || isGranted(registry, wish);
  state.context.report('registry', {
    ok: granted,
    ...(granted ? {} : { detail: 'the configured clients and kinds are not in force' }),
    data: {
      version: registry.version,
      clients: registry.clients.length,
      keys: registry.clients.reduce((count, { keys }) => count + keys.length, 0),
      kinds: registry.kinds.length,
      sha256: sha256Hex(registryText(registry)),
    },
  });
}
