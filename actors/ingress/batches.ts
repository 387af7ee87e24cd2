// POST /v1/submissions:batch: many submissions in one body. Called by the server. Each entry goes through the door like
// a submission of its own, so it has its own place in the log and its own answer; one bad entry spoils no other.
import { canonicalize } from '../../protocol/canonical.js';
import { type JsonObject, type JsonValue, parseStrict } from '../../protocol/json.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import { type Answers, type Refusal, refusalOfError } from './answers.js';
import type { Door } from './door.js';
import type { IngressMetrics } from './metrics.js';
import { type Answer, emptySubmission } from './submission.js';
import type { Wait } from './wait.js';

export interface BatchParts {
  readonly door: Door;
  readonly answers: Answers;
  readonly metrics: IngressMetrics;
  readonly entriesMax: () => number;
  readonly bodyMax: () => number;
}

export class Batches {
  readonly #parts: BatchParts;

  constructor(parts: BatchParts) {
    this.#parts = parts;
  }

  /** 207 with one result an entry, in order: `{status, body}`; or one problem for the whole. */
  async submit(body: Uint8Array, requestId: string, wait: Wait): Promise<Answer> {
    const entries = this.#entries(body);
    if (!Array.isArray(entries)) return this.#parts.answers.problem(entries, requestId);
    const results = await Promise.all(entries.map((entry) => this.#one(entry, requestId, wait)));
    const list = results.map(({ status, body: text }) => `{"status":${status},"body":${text}}`);
    return this.#parts.answers.json(`{"results":[${list.join(',')}]}`, 207);
  }

  #entries(body: Uint8Array): JsonValue[] | Refusal {
    let parsed: JsonValue;
    try {
      parsed = parseStrict(body);
    } catch (error) {
      return refusalOfError(error);
    }
    const list = isObject(parsed) ? parsed.submissions : undefined;
    if (!Array.isArray(list) || Object.keys(parsed as JsonObject).length !== 1) {
      const found = isObject(parsed) ? `the members ${Object.keys(parsed).join(', ') || '(none)'}` : typeof parsed;
      return {
        slug: 'malformed-envelope',
        errors: [{ pointer: '', found, allowed: 'exactly {"submissions":[…]}' }],
      };
    }
    const max = this.#parts.entriesMax();
    if (list.length > max) {
      return { slug: 'batch-too-long', detail: `found ${list.length} entries`, members: { limit_entries: max } };
    }
    return list;
  }

  #one(entry: JsonValue, requestId: string, wait: Wait): Promise<Answer> {
    const { door, answers, metrics } = this.#parts;
    // The stored body of an entry is its canonical form: it never existed as bytes of its own.
    const raw = Buffer.from(canonicalize(entry));
    const limit = this.#parts.bodyMax();
    if (raw.length > limit) {
      return Promise.resolve(answers.problem({ slug: 'body-too-large', members: { limit_bytes: limit } }, requestId));
    }
    return new Promise((settle) => {
      const submission = emptySubmission(InboxRoute.envelope, raw, requestId, null);
      const refused = door.admit(submission, { requestId, settle, ...wait });
      if (refused === null) metrics.ingest.inc();
      else settle(answers.problem(refused, requestId));
    });
  }
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
