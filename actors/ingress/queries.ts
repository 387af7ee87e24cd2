// The GET calls of the client API: what is final, what is under way, who validates. Called by the server. Reads only.
// Who was told that something is final finds it: a read that the database cannot answer yet waits for it.
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyRequest } from 'fastify';
import { quorum as quorumOf } from '../../protocol/consensus/quorum.js';
import type { Genesis } from '../../protocol/genesis.js';
import type { JsonObject } from '../../protocol/json.js';
import { ledgerPageText } from '../../protocol/ledger/block.js';
import { roundAnswer, roundsAnswer } from '../../protocol/rounds/answer.js';
import type { RoundsState } from '../../protocol/rounds/round.js';
import { firstEpoch, validatorSetJson } from '../../protocol/validators.js';
import type { Link } from '../../runtime/kernel/contract.js';
import type { GossipContract } from '../gossip/contract.js';
import type { LedgerReader } from '../ledger/reader.js';
import type { Answers } from './answers.js';
import type { Door } from './door.js';
import type { Recorded } from './recorded.js';
import type { Answer } from './submission.js';

export interface QueryParts {
  readonly ledger: LedgerReader;
  readonly door: Door;
  readonly recorded: Recorded;
  readonly answers: Answers;
  readonly genesis: Genesis;
  readonly nodeId: string;
  readonly publicKey: string;
  readonly evidence: () => string;
  readonly gossip: Link<GossipContract>;
}

export type Query = (request: FastifyRequest) => Answer | Promise<Answer>;

const LEDGER_PAGE_MAX = 100;
const LEDGER_PAGE_DEFAULT = 20;
/** A page stops growing here; the next one goes on. */
const LEDGER_PAGE_BYTES = 4 * 1024 * 1024;

export class Queries {
  readonly routes: readonly (readonly [path: string, query: Query])[];
  readonly #parts: QueryParts;

  constructor(parts: QueryParts) {
    this.#parts = parts;
    const { answers, genesis, ledger } = parts;
    const firstValidators = JSON.stringify(validatorSetJson(firstEpoch(genesis.chainIdHex, genesis.validators)));
    this.routes = [
      ['/v1/submissions/:digest', (request) => this.#submission(request)],
      ['/v1/submissions', (request) => this.#byName(request)],
      ['/v1/ledger', (request) => this.#ledgerPage(request)],
      ['/v1/rounds', async () => answers.json(JSON.stringify(roundsAnswer(await this.rounds())))],
      ['/v1/rounds/:roundId', (request) => this.#round(request)],
      ['/v1/validators', () => answers.json(ledger.validators ?? firstValidators)],
      ['/v1/evidence', () => answers.json(parts.evidence())],
      ['/v1/status', () => this.#status()],
    ];
  }

  async #submission(request: FastifyRequest): Promise<Answer> {
    const { digest } = request.params as { digest: string };
    if (/^[0-9a-f]{64}$/.test(digest)) return this.#byDigest(Buffer.from(digest, 'hex'), request.id);
    return this.#malformed('a digest is 64 lowercase hex digits', request);
  }

  async #byName(request: FastifyRequest): Promise<Answer> {
    const { ledger, door, answers } = this.#parts;
    const { issuer, id } = request.query as { issuer?: unknown; id?: unknown };
    if (typeof issuer !== 'string' || typeof id !== 'string') {
      return this.#malformed('both ?issuer= and &id= are needed', request);
    }
    const name = `${issuer}\0${id}`;
    const find = () => ledger.find(name)?.digest ?? door.underwayAs(name);
    let digest = find();
    if (digest === null) {
      await this.#catchUp();
      digest = find();
    }
    if (digest !== null) return this.#byDigest(digest, request.id);
    return answers.problem({ slug: 'unknown-submission', detail: `nothing of ${issuer} with id ${id}` }, request.id);
  }

  async #byDigest(digest: Buffer, requestId: string): Promise<Answer> {
    const known = this.#finalOrUnderway(digest);
    if (known !== null) return known;
    await this.#catchUp();
    const unknown = () =>
      this.#parts.answers.problem(
        { slug: 'unknown-submission', members: { digest: digest.toString('hex') } },
        requestId,
      );
    return this.#finalOrUnderway(digest) ?? this.#rejected(digest) ?? unknown();
  }

  #finalOrUnderway(digest: Buffer): Answer | null {
    const { ledger, door, recorded, answers } = this.#parts;
    const name = digest.toString('latin1');
    const position = ledger.position(digest);
    const final = position === undefined ? recorded.recent(name) : recorded.fromLedger(position.height, position.index);
    if (final !== null) return { ...final, status: 200 };
    return door.underway(name) ? answers.json(`{"state":"durable","digest":"${digest.toString('hex')}"}`) : null;
  }

  #rejected(digest: Buffer): Answer | null {
    const verdict = this.#parts.ledger.rejected(digest);
    if (verdict === undefined) return null;
    const text = `{"state":"rejected","digest":"${digest.toString('hex')}","outcome":${verdict}}`;
    return this.#parts.answers.json(text);
  }

  async #ledgerPage(request: FastifyRequest): Promise<Answer> {
    const { ledger, door, answers } = this.#parts;
    const query = request.query as { from?: unknown; limit?: unknown };
    const from = count(query.from, 1);
    const limit = count(query.limit, LEDGER_PAGE_DEFAULT);
    if (from === null || limit === null || limit > LEDGER_PAGE_MAX) {
      return this.#malformed(`from is a height from 1, limit a count from 1 to ${LEDGER_PAGE_MAX}`, request);
    }
    if (from + limit > door.finalHeight) await this.#catchUp();
    const blocks = [];
    let sizeBytes = 0;
    let height = from;
    for (; blocks.length < limit && sizeBytes < LEDGER_PAGE_BYTES; height++) {
      const block = ledger.block(height);
      if (block === undefined) return answers.json(ledgerPageText(blocks, null));
      blocks.push(block);
      for (const { raw } of block.entries) sizeBytes += raw.length;
    }
    return answers.json(ledgerPageText(blocks, ledger.hasBlock(height) ? height : null));
  }

  /** The observation rounds, at least as new as what clients were told. */
  async rounds(): Promise<RoundsState> {
    await this.#catchUp();
    return this.#parts.ledger.rounds;
  }

  async #round(request: FastifyRequest): Promise<Answer> {
    const { roundId } = request.params as { roundId: string };
    const state = await this.rounds();
    const round = state.rounds.find((each) => each.roundId === roundId);
    const { answers } = this.#parts;
    if (round !== undefined) return answers.json(JSON.stringify(roundAnswer(state, round)));
    return answers.problem({ slug: 'unknown-round', detail: `Round not found: ${roundId.slice(0, 128)}` }, request.id);
  }

  async #status(): Promise<Answer> {
    const { ledger, genesis, door, answers, nodeId, publicKey } = this.#parts;
    const head = ledger.head;
    const tip = head === undefined ? { height: 0, hash: genesis.chainIdHex } : (JSON.parse(head) as TipFacts);
    const body = {
      node_id: nodeId,
      public_key: publicKey,
      chain_id: genesis.chainIdHex,
      height: tip.height,
      hash: tip.hash,
      ...(await this.#reach()),
      ...door.stats(),
    };
    return answers.json(JSON.stringify(body));
  }

  /** How much of the quorum is within reach, and which peers; null where the part that knows is restarting. */
  async #reach(): Promise<{ readonly quorum: JsonObject; readonly peers: JsonObject[] | null }> {
    const { gossip, genesis, nodeId } = this.#parts;
    const validators = genesis.validators.length;
    const own = genesis.validators.some((validator) => validator.nodeId === nodeId) ? 1 : 0;
    const quorum = { validators, needed: quorumOf(validators) };
    try {
      const views = await gossip.ask('peers', null, { deadlineMs: PEERS_DEADLINE_MS });
      const reached = own + views.filter(({ validator, connected }) => validator && connected).length;
      const peers = views.map(({ nodeId: node_id, validator, connected, sinceMs }) => {
        return { node_id, validator, connected, since: sinceMs === null ? null : new Date(sinceMs).toISOString() };
      });
      return { quorum: { ...quorum, reached }, peers };
    } catch {
      return { quorum: { ...quorum, reached: null }, peers: null };
    }
  }

  #malformed(detail: string, request: FastifyRequest): Answer {
    return this.#parts.answers.problem({ slug: 'malformed-request', detail }, request.id);
  }

  /** Resolves when the database has every block that clients were told of, or after CATCH_UP_MS. */
  async #catchUp(): Promise<void> {
    const { ledger, door } = this.#parts;
    const height = door.finalHeight;
    // The head is committed last: a block that is there may not be found by index, digest or round yet.
    for (let waitedMs = 0; height > 0 && headHeight(ledger) < height; waitedMs += CATCH_UP_STEP_MS) {
      if (waitedMs >= CATCH_UP_MS) return;
      await delay(CATCH_UP_STEP_MS);
      ledger.refresh();
    }
  }
}

/** A transaction of the store is a second under load; one that takes longer is not waited for. */
const CATCH_UP_MS = 3_000;
const CATCH_UP_STEP_MS = 10;
/** A gossip that lives answers in a turn. */
const PEERS_DEADLINE_MS = 1_000;

interface TipFacts {
  readonly height: number;
  readonly hash: string;
}

function headHeight({ head }: Pick<LedgerReader, 'head'>): number {
  return head === undefined ? 0 : (JSON.parse(head) as TipFacts).height;
}

/** A positive count, `missing` when absent, null when it is none. */
function count(value: unknown, missing: number): number | null {
  if (value === undefined) return missing;
  if (typeof value !== 'string' || !/^[1-9]\d{0,14}$/.test(value)) return null;
  return Number(value);
}
