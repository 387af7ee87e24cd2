// Load for the kill drill: connections that submit signed notes one after the other and repeat each with the same bytes
// until it is acknowledged. Used by actor-kills.ts. It must never wait longer than RETRY_MS before it tries again, however
// long the node asks: what is measured is when the node answers, not when a polite client would ask.
import { createHash } from 'node:crypto';
import { Agent, type IncomingMessage, request } from 'node:http';
import { envelopeText } from '../../bench/submissions.js';
import type { ClientKey } from '../../client/sign.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';

/** How one request ended. `no-answer` is what a client would call a hang. */
export type Ending = 'final' | 'durable' | 'retry' | 'connection' | 'no-answer' | 'wrong';

export interface Attempt {
  readonly sentAtMs: number;
  readonly endedAtMs: number;
  readonly ending: Ending;
  /** Status and problem type, error code, or what is wrong with the answer. */
  readonly detail: string;
}

/** What the node promised for one id: null until a receipt was given, for 202 promises no more than the entry. */
export interface Acknowledged {
  readonly receiptHash: Buffer | null;
}

export interface LoadOptions {
  readonly api: string;
  readonly key: ClientKey;
  readonly connections: number;
  /** What a call may take beyond its wait. */
  readonly graceMs: number;
  /** Submissions a second over all connections at most; default: as many as are answered. */
  readonly perSecond?: number;
  readonly onAttempt: (attempt: Attempt) => void;
}

const WAIT_MS = 2_000;
const RETRY_MS = 50;
/** Every so many submissions ask for no more than durability: their promise is kept by the log alone for a while. */
const ASYNC_EVERY = 16;
/** After the load was told to stop, a connection still brings its last submission to an end. */
const LAST_CALLS_MS = 20_000;

export class KillLoad {
  readonly acknowledged = new Map<string, Acknowledged>();
  /** Ids that were given up unacknowledged when the load had ended. */
  readonly abandoned: string[] = [];
  readonly #options: LoadOptions;
  #stopAtMs = Number.POSITIVE_INFINITY;
  #sign: (message: Uint8Array) => Uint8Array = () => new Uint8Array(0);
  #connections: Promise<void>[] = [];

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const ed25519 = await loadEd25519();
    const { secretKey } = ed25519.keyPair(this.#options.key.seed);
    this.#sign = (message) => ed25519.sign(message, secretKey);
    this.#connections = Array.from({ length: this.#options.connections }, (_, index) => this.#connection(index));
  }

  /** Resolves when every connection has the answer to its last submission, or has given up on it. */
  async stop(): Promise<void> {
    this.#stopAtMs = performance.now();
    await Promise.all(this.#connections);
  }

  async #connection(index: number): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const { perSecond = Number.POSITIVE_INFINITY, connections } = this.#options;
    const turnMs = (1_000 * connections) / perSecond;
    let nextAtMs = performance.now() + (turnMs * index) / connections;
    for (let count = 0; performance.now() < this.#stopAtMs; count++) {
      const aheadMs = nextAtMs - performance.now();
      if (aheadMs > 0) await new Promise((resolve) => setTimeout(resolve, aheadMs));
      // What was missed while the node was away is not made up for.
      nextAtMs = Math.max(nextAtMs, performance.now() - turnMs) + turnMs;
      const id = `kill-${index}-${count}`;
      const body = envelopeText(this.#options.key.issuer, id, new Date().toISOString(), this.#sign);
      const prefer = count % ASYNC_EVERY === ASYNC_EVERY - 1 ? 'respond-async' : `wait=${WAIT_MS / 1000}`;
      const acknowledged = await this.#submit(agent, body, prefer);
      if (acknowledged === null) this.abandoned.push(id);
      else this.acknowledged.set(id, acknowledged);
    }
    agent.destroy();
  }

  /** The same bytes until they are acknowledged. Null when the load ended long ago. */
  async #submit(agent: Agent, body: string, prefer: string): Promise<Acknowledged | null> {
    while (performance.now() < this.#stopAtMs + LAST_CALLS_MS) {
      const sentAtMs = performance.now();
      const answer = await post(
        `${this.#options.api}/v1/submissions`,
        agent,
        body,
        prefer,
        WAIT_MS + this.#options.graceMs,
      );
      const { ending, detail, acknowledged } = answer;
      this.#options.onAttempt({ sentAtMs, endedAtMs: performance.now(), ending, detail });
      if (acknowledged !== undefined) return acknowledged;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    return null;
  }
}

interface Answer {
  readonly ending: Ending;
  readonly detail: string;
  readonly acknowledged?: Acknowledged;
}

function post(url: string, agent: Agent, body: string, prefer: string, limitMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      prefer,
    };
    let late = false;
    const call = request(url, { method: 'POST', agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => done(judge(response, Buffer.concat(chunks).toString('utf8'))));
      response.on('error', failed);
    });
    const limit = setTimeout(() => {
      late = true;
      call.destroy();
    }, limitMs);
    const done = (answer: Answer): void => {
      clearTimeout(limit);
      resolve(answer);
    };
    const failed = (error: Error & { code?: string }): void => {
      if (late) done({ ending: 'no-answer', detail: `no answer within ${limitMs} ms` });
      else done({ ending: 'connection', detail: error.code ?? error.message });
    };
    call.on('error', failed);
    call.end(body);
  });
}

function judge({ statusCode, headers }: IncomingMessage, text: string): Answer {
  if (statusCode === 200) {
    const receipt = receiptOf(text);
    if (receipt === null) return { ending: 'wrong', detail: `200 without a receipt: ${text.slice(0, 200)}` };
    return { ending: 'final', detail: '200', acknowledged: { receiptHash: hashOf(receipt) } };
  }
  if (statusCode === 202) return { ending: 'durable', detail: '202', acknowledged: { receiptHash: null } };
  if (statusCode === 503 && headers['retry-after'] !== undefined)
    return { ending: 'retry', detail: `503 ${problemType(text)}` };
  return { ending: 'wrong', detail: `${statusCode} ${text.slice(0, 300)}` };
}

/** Receipts are compared as the bytes that were given out. */
export function hashOf(receipt: string): Buffer {
  return createHash('sha256').update(receipt).digest();
}

/** A final answer ends in `,"receipt":{…}}`. */
function receiptOf(answer: string): string | null {
  const marker = ',"receipt":';
  const at = answer.indexOf(marker);
  return at < 0 || !answer.startsWith('{"state":"final"') ? null : answer.slice(at + marker.length, -1);
}

function problemType(text: string): string {
  try {
    const { type, detail } = JSON.parse(text) as { type?: string; detail?: string };
    return `${type?.split('/').at(-1) ?? '(no type)'}${detail === undefined ? '' : `: ${detail}`}`;
  } catch {
    return '(no problem document)';
  }
}
