// The Piscina pool that checks signatures in batches, off every event loop. Owned by ingress.
import { createRequire } from 'node:module';
import { isDeepStrictEqual } from 'node:util';
import type { Piscina } from 'piscina';
import type { QuorateConfig } from '../../config/schema.js';
import { HotHistogram, type HotSeries } from '../../observability/hot-histogram.js';
import type { Registry } from '../../observability/prom-client.js';
import type { Ed25519Backend } from '../../protocol/crypto/ed25519.js';
import { packBytes } from '../../runtime/kernel/batch.js';
import { packChecks, type SignatureCheck } from './checks.js';
import type { AttestRequest, VerifyRequest, VerifyThreadData } from './task.js';
import { TaskDeadlines } from './task-deadlines.js';

const { Piscina: Threads } = createRequire(import.meta.url)('piscina') as typeof import('piscina');

export interface VerifyThreadsOptions extends VerifyThreadData {
  readonly threads: number;
}

/** A batch of 32 Ed25519 checks takes 2–5 ms; one that takes 1 000 × that is a thread that will not come back. */
const TASK_DEADLINE_MS = 5_000;

/**
 * A further thread is given a part of what waits for every so many signatures, which take it about a millisecond. Fewer cost
 * more to hand over than it gains: under load each thread has work anyway, and two halves are twice the messages and wake-ups.
 */
const PART_MIN = 16;

/** Signatures of one batch, so that `waiting` of them keep the threads busy and none is handed more than `batch_max`. */
export function batchSize(waiting: number, limits: { readonly threads: number; readonly batch_max: number }): number {
  const parts = Math.max(1, Math.min(limits.threads, Math.floor(waiting / PART_MIN)));
  return Math.max(1, Math.min(limits.batch_max, Math.ceil(waiting / parts)));
}

/** What `verify.backend` asks for; null: whichever loads. */
export function backendOf({ backend }: Pick<QuorateConfig['verify'], 'backend'>): Ed25519Backend | null {
  return backend === 'auto' ? null : backend;
}

/** The threads alone: to start them takes longer than all else of ingress, so they may be there before it. */
export class VerifyThreads {
  readonly pool: Piscina;
  readonly #options: VerifyThreadsOptions;

  constructor(options: VerifyThreadsOptions) {
    const { threads, backend, seed } = options;
    this.#options = options;
    this.pool = new Threads({
      filename: new URL('./task.js', import.meta.url).href,
      minThreads: threads,
      maxThreads: threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      maxQueue: 4_096,
      // Its histograms cost as much as handing over the task; quorate_verify_seconds says the same.
      recordTiming: false,
      execArgv: [],
      env: {},
      workerData: { backend, seed } satisfies VerifyThreadData,
    });
  }

  /** Whether they are what these options would make. */
  fits(options: VerifyThreadsOptions): boolean {
    return isDeepStrictEqual(options, this.#options);
  }

  /** Waits for a thread and tells which back end verifies. Throws when none loads. */
  async start(): Promise<Ed25519Backend> {
    return this.pool.run(null, { name: 'backendName' });
  }
}

export class VerifyPool {
  readonly #pool: Piscina;
  readonly #deadlines = new TaskDeadlines(TASK_DEADLINE_MS);
  readonly #seconds: HotSeries;
  readonly #batchSize: HotSeries;

  constructor({ pool }: VerifyThreads, registry: Registry) {
    this.#pool = pool;
    const registers = [registry];
    this.#seconds = new HotHistogram({
      name: 'quorate_verify_seconds',
      help: 'Time of one verification batch, waiting for a thread included.',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1],
      registers,
    }).labels({});
    this.#batchSize = new HotHistogram({
      name: 'quorate_verify_batch_size',
      help: 'Signatures in one verification batch.',
      buckets: [1, 2, 4, 8, 16, 32, 64],
      registers,
    }).labels({});
  }

  /** One verdict byte a check, 1 valid. Rejects when the threads died or did not answer in time. */
  async verify(checks: readonly SignatureCheck[]): Promise<Uint8Array> {
    const bytes = packChecks(checks);
    this.#batchSize.observe(checks.length);
    const end = this.#seconds.startTimer();
    const request: VerifyRequest = { bytes, count: checks.length };
    try {
      return await this.#deadlines.within((signal) =>
        this.#pool.run(request, { name: 'verifyBatch', transferList: [bytes.buffer], signal }),
      );
    } finally {
      end();
    }
  }

  /** The node's signature over each message. */
  async attest(messages: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const request: AttestRequest = { messages: packBytes(messages) };
    const signatures: Uint8Array = await this.#pool.run(request, {
      name: 'attestBatch',
      transferList: [request.messages],
    });
    return messages.map((_, index) => signatures.subarray(64 * index, 64 * (index + 1)));
  }

  async close(): Promise<void> {
    // A task that hangs is waited for, and still aborted.
    try {
      await this.#pool.close();
    } finally {
      this.#deadlines.stop();
    }
  }
}
