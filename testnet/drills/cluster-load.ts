// Load for the drills of several nodes: clients that submit signed notes one after the other, each to a node of its own, and
// go to the next node with the same bytes when theirs does not answer with a receipt. Called by cluster-drills.ts. It must
// never count a submission as acknowledged before it holds its receipt.

import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { envelopeText } from '../../bench/submissions.js';
import type { ClientKey } from '../../client/sign.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';

export interface ClusterLoadOptions {
  readonly apis: readonly string[];
  readonly key: ClientKey;
  readonly connections: number;
  /** Submissions a second over all clients, at most. */
  readonly perSecond: number;
  /** Begins every id. */
  readonly prefix: string;
}

export interface Success {
  readonly id: string;
  /** Of the attempt that ended so; performance.now(). */
  readonly sentAtMs: number;
  readonly endedAtMs: number;
  /** Whose answer it was. */
  readonly node: number;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

const WAIT_S = 2;
const ATTEMPT_LIMIT_MS = 3_500;
const AGAIN_MS = 50;
const LAST_CALLS_MS = 60_000;

export class ClusterLoad {
  /** Receipts as they were given, by id. */
  readonly receipts = new Map<string, string>();
  /** Ids that nobody acknowledged in the end. */
  readonly abandoned: string[] = [];
  /** Kinds of answers with their numbers. */
  readonly endings: Record<string, number> = {};
  /** Answers that no client should get. */
  readonly faults: string[] = [];
  readonly #options: ClusterLoadOptions;
  readonly #listeners = new Set<(success: Success) => void>();
  #sign: (message: Uint8Array) => Uint8Array = () => new Uint8Array(0);
  #stopAtMs = Number.POSITIVE_INFINITY;
  #clients: Promise<void>[] = [];

  constructor(options: ClusterLoadOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const ed25519 = await loadEd25519();
    const { secretKey } = ed25519.keyPair(this.#options.key.seed);
    this.#sign = (message) => ed25519.sign(message, secretKey);
    this.#clients = Array.from({ length: this.#options.connections }, (_, index) => this.#client(index));
  }

  /** Resolves when every client has its last receipt, or has given up on it. */
  async stop(): Promise<void> {
    this.#stopAtMs = performance.now();
    await Promise.all(this.#clients);
  }

  /** The first receipt for a submission that was sent after `afterMs` to a node that `counts`; null after `limitMs`. */
  nextSuccess(
    afterMs: number,
    limitMs: number,
    counts: (node: number) => boolean = () => true,
  ): Promise<Success | null> {
    return new Promise((resolve) => {
      const done = (success: Success | null): void => {
        clearTimeout(limit);
        this.#listeners.delete(listener);
        resolve(success);
      };
      const limit = setTimeout(() => done(null), limitMs);
      const listener = (success: Success): void => {
        if (success.sentAtMs >= afterMs && counts(success.node)) done(success);
      };
      this.#listeners.add(listener);
    });
  }

  async #client(index: number): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const { connections, perSecond, prefix, key } = this.#options;
    const turnMs = (1_000 * connections) / perSecond;
    let nextAtMs = performance.now() + (turnMs * index) / connections;
    for (let count = 0; performance.now() < this.#stopAtMs; count++) {
      const aheadMs = nextAtMs - performance.now();
      if (aheadMs > 0) await delay(aheadMs);
      nextAtMs = Math.max(nextAtMs, performance.now() - turnMs) + turnMs;
      const id = `${prefix}-${index}-${count}`;
      const body = envelopeText(key.issuer, id, new Date().toISOString(), this.#sign);
      const receipt = await this.#submit(agent, index, id, body);
      if (receipt === null) this.abandoned.push(id);
      else this.receipts.set(id, receipt);
    }
    agent.destroy();
  }

  async #submit(agent: Agent, first: number, id: string, body: string): Promise<string | null> {
    const { apis } = this.#options;
    for (let attempt = 0; performance.now() < this.#stopAtMs + LAST_CALLS_MS; attempt++) {
      const node = (first + attempt) % apis.length;
      const sentAtMs = performance.now();
      const answer = await post(`${apis[node]}/v1/submissions`, agent, body);
      const receipt = this.#judge(id, answer);
      if (receipt !== null) {
        const success = { id, sentAtMs, endedAtMs: performance.now(), node };
        for (const listener of this.#listeners) listener(success);
        return receipt;
      }
      await delay(AGAIN_MS);
    }
    return null;
  }

  #judge(id: string, answer: Answer | Error): string | null {
    const ending = answer instanceof Error ? answer.message : String(answer.status);
    this.endings[ending] = (this.endings[ending] ?? 0) + 1;
    if (answer instanceof Error || answer.status === 202 || answer.status === 503) return null;
    const marker = ',"receipt":';
    const at = answer.body.indexOf(marker);
    if (answer.status === 200 && at > 0) return answer.body.slice(at + marker.length, -1);
    if (this.faults.length < 20) this.faults.push(`${id}: ${answer.status} ${answer.body.slice(0, 300)}`);
    return null;
  }
}

function post(url: string, agent: Agent, body: string): Promise<Answer | Error> {
  return new Promise((resolve) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      prefer: `wait=${WAIT_S}`,
    };
    let late = false;
    const call = request(url, { method: 'POST', agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => done({ status: response.statusCode!, body: Buffer.concat(chunks).toString('utf8') }));
      response.on('error', failed);
    });
    const limit = setTimeout(() => {
      late = true;
      call.destroy();
    }, ATTEMPT_LIMIT_MS);
    const done = (answer: Answer | Error): void => {
      clearTimeout(limit);
      resolve(answer);
    };
    const failed = (error: Error & { code?: string }): void =>
      done(new Error(late ? 'no answer' : (error.code ?? error.message)));
    call.on('error', failed);
    call.end(body);
  });
}
