// What clients are told: final answers with receipts, 202, and problem documents. Called by the door, the queries and
// the server. It decides nothing: it spells.

import {
  type ProblemDetails,
  type ProblemField,
  type ProblemSlug,
  problem as problemAnswer,
} from '../../observability/problems.js';
import { SignatureFormatError } from '../../protocol/envelope.js';
import { JsonError } from '../../protocol/json.js';
import { ShapeError } from '../../protocol/kinds/kind.js';
import { restoreTree } from '../../protocol/merkle.js';
import { ReceiptWriter } from '../../protocol/receipt.js';
import type { FinalizedBlock } from './contract.js';
import type { Answer, Submission } from './submission.js';

/** Why something is not done, before it is spelled for one request. */
export interface Refusal {
  readonly slug: ProblemSlug;
  readonly detail?: string;
  readonly errors?: readonly ProblemField[];
  readonly members?: NonNullable<ProblemDetails['members']>;
}

/** Codes of apply() (protocol/ledger/apply) as problems. A duplicate is no problem: it is answered with its outcome. */
const SLUG_OF_CODE: Readonly<Record<string, ProblemSlug>> = {
  conflict: 'content-conflict',
  'unknown-key': 'unknown-key',
  'key-window': 'key-not-valid-now',
  attestation: 'forbidden',
  forbidden: 'forbidden',
  horizon: 'outside-horizon',
  'unknown-kind': 'unknown-kind',
  payload: 'invalid-payload',
  'too-large': 'body-too-large',
  'rounds-waiting': 'overloaded',
};

const JSON_HEADERS = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' } as const;

export class Answers {
  readonly #random: () => number;
  #lastOutcome = '';
  #lastStatus = 0;
  #lastIsAscii = false;

  /** `random` in [0, 1) spreads Retry-After, so that clients refused together do not come back together. */
  constructor(random: () => number) {
    this.#random = random;
  }

  problem({ slug, detail, errors, members }: Refusal, requestId: string): Answer {
    return problemAnswer(slug, {
      requestId,
      retryAfterS: 1 + Math.floor(2 * this.#random()),
      ...(detail === undefined ? {} : { detail }),
      ...(errors === undefined ? {} : { errors }),
      ...(members === undefined ? {} : { members }),
    });
  }

  /** `on`: whose disks have it, for who asked for a quorum's; null for the rest. */
  durable(submission: Submission, on: 'node' | 'quorum' | null = null): Answer {
    const digest = submission.prepared!.digest.toString('hex');
    return {
      status: 202,
      headers: { ...JSON_HEADERS, location: `/v1/submissions/${digest}` },
      body: `{"state":"durable","digest":"${digest}"${on === null ? '' : `,"durable":"${on}"`}}`,
    };
  }

  json(body: string, status = 200): Answer {
    return { status, headers: JSON_HEADERS, body };
  }

  /** A final answer; the HTTP status is the outcome's (DECISIONS 33). */
  final(outcome: string, receipt: string): Answer {
    // Most outcomes of a node are the same few bytes.
    if (outcome !== this.#lastOutcome) {
      this.#lastStatus = (JSON.parse(outcome) as { status: number }).status;
      this.#lastIsAscii = Buffer.byteLength(outcome) === outcome.length;
      this.#lastOutcome = outcome;
    }
    return {
      status: this.#lastStatus,
      headers: JSON_HEADERS,
      body: `{"state":"final","outcome":${outcome},"receipt":${receipt}}`,
      // All else in a receipt is hex, base64, numbers and identifiers.
      isAscii: this.#lastIsAscii,
    };
  }

  refusalOfCode(code: string, detail: string): Refusal {
    return { slug: SLUG_OF_CODE[code] ?? 'internal-error', detail };
  }

  receiptsOf(block: FinalizedBlock): BlockAnswers {
    return new BlockAnswers(this, block);
  }
}

/** The final answers of one block. */
export class BlockAnswers {
  readonly #answers: Answers;
  readonly #block: FinalizedBlock;
  readonly #writer: ReceiptWriter;
  readonly #digests: Buffer;
  readonly #bodies: Buffer;

  constructor(answers: Answers, block: FinalizedBlock) {
    this.#answers = answers;
    this.#block = block;
    this.#writer = new ReceiptWriter(block.certified, restoreTree(block.tree, block.outcomes.length));
    this.#digests = Buffer.from(block.digests.buffer, block.digests.byteOffset, block.digests.byteLength);
    this.#bodies = Buffer.from(block.bodies.buffer, block.bodies.byteOffset, block.bodies.byteLength);
  }

  answer(index: number): Answer {
    const outcome = this.#block.outcomes[index]!;
    const digest = this.#digests.toString('hex', 32 * index, 32 * index + 32);
    const body = this.#bodies.toString('hex', 32 * index, 32 * index + 32);
    return this.#answers.final(outcome, this.#writer.text({ digest, body, outcome, index }));
  }
}

/** A body that could not be read. Anything unexpected is a defect and says so. */
export function refusalOfError(error: unknown): Refusal {
  if (error instanceof JsonError) return { slug: 'malformed-json', detail: error.message };
  if (error instanceof ShapeError) return { slug: 'malformed-envelope', errors: error.errors };
  if (error instanceof SignatureFormatError) return { slug: 'bad-signature', detail: error.message };
  return { slug: 'internal-error', detail: error instanceof Error ? error.message : String(error) };
}

/** The log did not take it. Of a full disk and a quarantine it says that nothing was recorded; of the rest nobody knows. */
export function refusalOfLog({ message }: Error): Refusal {
  if (/quarantine/i.test(message)) return { slug: 'quarantined', detail: message };
  const full = /disk-full: (.*)/.exec(message);
  if (full !== null) return { slug: 'disk-full', detail: full[1]! };
  return { slug: 'unavailable', detail: 'whether the submission was recorded is not known' };
}
