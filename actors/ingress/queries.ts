// The GET calls of the client API: what is final, what is under way, who validates. Called by the server. Reads only.
import type { FastifyRequest } from 'fastify';
import type { Genesis } from '../../protocol/genesis.js';
import { ledgerPageText } from '../../protocol/ledger/block.js';
import { firstEpoch, validatorSetJson } from '../../protocol/validators.js';
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
}

type Query = (request: FastifyRequest) => Answer;

export interface Queries {
  readonly routes: readonly (readonly [path: string, query: Query])[];
}

const LEDGER_PAGE_MAX = 100;
const LEDGER_PAGE_DEFAULT = 20;
/** A page stops growing here; the next one goes on. */
const LEDGER_PAGE_BYTES = 4 * 1024 * 1024;

export function createQueries(parts: QueryParts): Queries {
  const { ledger, door, recorded, answers, genesis } = parts;
  const firstValidators = JSON.stringify(validatorSetJson(firstEpoch(genesis.chainIdHex, genesis.validators)));

  function submission(request: FastifyRequest): Answer {
    const { digest } = request.params as { digest: string };
    if (!/^[0-9a-f]{64}$/.test(digest)) {
      return answers.problem({ slug: 'malformed-request', detail: 'a digest is 64 lowercase hex digits' }, request.id);
    }
    return byDigest(Buffer.from(digest, 'hex'), request.id);
  }

  function byDigest(digest: Buffer, requestId: string): Answer {
    const position = ledger.position(digest);
    const final =
      position === undefined
        ? recorded.recent(digest.toString('latin1'))
        : recorded.fromLedger(position.height, position.index);
    if (final !== null) return { ...final, status: 200 };
    const hex = digest.toString('hex');
    if (door.underway(digest.toString('latin1'))) return answers.json(`{"state":"durable","digest":"${hex}"}`);
    const verdict = ledger.rejected(digest);
    if (verdict !== undefined) return answers.json(`{"state":"rejected","digest":"${hex}","outcome":${verdict}}`);
    return answers.problem({ slug: 'unknown-submission', members: { digest: hex } }, requestId);
  }

  function byName(request: FastifyRequest): Answer {
    const { issuer, id } = request.query as { issuer?: unknown; id?: unknown };
    if (typeof issuer !== 'string' || typeof id !== 'string') {
      return answers.problem({ slug: 'malformed-request', detail: 'both ?issuer= and &id= are needed' }, request.id);
    }
    const name = `${issuer}\0${id}`;
    const digest = ledger.find(name)?.digest ?? door.underwayAs(name);
    if (digest !== null) return byDigest(digest, request.id);
    return answers.problem({ slug: 'unknown-submission', detail: `nothing of ${issuer} with id ${id}` }, request.id);
  }

  function ledgerPage(request: FastifyRequest): Answer {
    const query = request.query as { from?: unknown; limit?: unknown };
    const from = count(query.from, 1);
    const limit = count(query.limit, LEDGER_PAGE_DEFAULT);
    if (from === null || limit === null || limit > LEDGER_PAGE_MAX) {
      const detail = `from is a height from 1, limit a count from 1 to ${LEDGER_PAGE_MAX}`;
      return answers.problem({ slug: 'malformed-request', detail }, request.id);
    }
    const blocks = [];
    let sizeBytes = 0;
    let height = from;
    for (; blocks.length < limit && sizeBytes < LEDGER_PAGE_BYTES; height++) {
      const block = ledger.block(height);
      if (block === undefined) return answers.json(ledgerPageText(blocks, null));
      blocks.push(block);
      for (const { raw } of block.entries) sizeBytes += raw.length;
    }
    const more = ledger.block(height) !== undefined;
    return answers.json(ledgerPageText(blocks, more ? height : null));
  }

  function status(): Answer {
    const head = ledger.head;
    const tip = head === undefined ? { height: 0, hash: genesis.chainIdHex } : (JSON.parse(head) as TipFacts);
    const body = {
      node_id: parts.nodeId,
      public_key: parts.publicKey,
      chain_id: genesis.chainIdHex,
      height: tip.height,
      hash: tip.hash,
      ...door.stats(),
    };
    return answers.json(JSON.stringify(body));
  }

  return {
    routes: [
      ['/v1/submissions/:digest', submission],
      ['/v1/submissions', byName],
      ['/v1/ledger', ledgerPage],
      ['/v1/validators', () => answers.json(ledger.validators ?? firstValidators)],
      ['/v1/status', status],
    ],
  };
}

interface TipFacts {
  readonly height: number;
  readonly hash: string;
}

/** A positive count, `missing` when absent, null when it is none. */
function count(value: unknown, missing: number): number | null {
  if (value === undefined) return missing;
  if (typeof value !== 'string' || !/^[1-9]\d{0,14}$/.test(value)) return null;
  return Number(value);
}
