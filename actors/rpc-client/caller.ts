// Calls to one peer: connections over pinned mTLS, attempts with backoff, a breaker. Owned by the actor, one for each
// configured peer. It must never leave a call pending, nor send to anybody but this peer.
import { createRequire } from 'node:module';
import type { SecureContext } from 'node:tls';
import type { Dispatcher, Pool } from 'undici';
import type { PeerConfig } from '../../config/node.js';
import {
  afterFailure,
  afterSuccess,
  at,
  BREAKER_DEFAULTS,
  type Breaker,
  CLOSED,
} from '../../runtime/kernel/breaker.js';
import type { Clock } from '../../runtime/kernel/contract.js';
import { NODE_HEADER, type PinRules } from '../peer/identity.js';
import { DialError, dial, handshakeStatus } from '../peer/tls.js';
import type { PeerCall, PeerOutcome, PeerReply } from './contract.js';
import type { RpcClientMetrics } from './metrics.js';
import { ATTEMPTS_MAX, isRetried, outcomeOf, retryDelayMs, TIMEOUT_MS } from './retry.js';

/** The largest package of all: a node without peers does without. */
export const loadUndici = (): typeof import('undici') => createRequire(import.meta.url)('undici');

export interface CallerParts {
  readonly ownId: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly metrics: RpcClientMetrics;
  readonly dialing: () => { readonly context: SecureContext | null; readonly rules: PinRules };
  /** 2 500 ms unless a test says otherwise. */
  readonly timeoutMs?: number;
}

export const ANSWER_MAX_BYTES = 1024 * 1024;
const CONNECTIONS = 4;
const NOTHING = new Uint8Array(0);

type Attempt = Pick<PeerReply, 'outcome' | 'status' | 'body' | 'detail'>;

export class PeerCaller {
  readonly config: PeerConfig;
  readonly #parts: CallerParts;
  readonly #pool: Pool;
  #breaker: Breaker = CLOSED;
  #closed = false;

  constructor(config: PeerConfig, parts: CallerParts) {
    this.config = config;
    this.#parts = parts;
    const { context } = parts.dialing();
    const host = config.host.includes(':') ? `[${config.host}]` : config.host;
    const undici = loadUndici();
    this.#pool = new undici.Pool(`${context === null ? 'http' : 'https'}://${host}:${config.port}`, {
      connections: CONNECTIONS,
      pipelining: 1,
      maxResponseSize: ANSWER_MAX_BYTES,
      connect: (_options, callback) => this.#connect(callback),
    });
  }

  get breakerPhase(): Breaker['phase'] {
    return at(this.#breaker, this.#parts.clock.monotonic()).phase;
  }

  /** Never rejects. */
  async call(call: PeerCall): Promise<PeerReply> {
    const { clock, metrics, random } = this.#parts;
    const peer = this.config.nodeId;
    const attemptsMax = Math.min(ATTEMPTS_MAX, Math.max(1, call.attempts ?? ATTEMPTS_MAX));
    let last: Attempt = { outcome: 'network_error', status: null, body: NOTHING, detail: null };
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      if (this.breakerPhase === 'open' || this.#closed) {
        const detail = this.#closed ? 'the peer is no longer configured' : 'the circuit breaker of the peer is open';
        return { ...last, detail: last.detail ?? detail, attempts: attempt - 1 };
      }
      last = await this.#attempt(call);
      metrics.requests.inc({ peer, status: last.outcome });
      const isAlive = last.outcome === 'success' || last.outcome === 'http_4xx';
      const judge = isAlive ? afterSuccess : afterFailure;
      this.#breaker = judge(this.#breaker, BREAKER_DEFAULTS, clock.monotonic());
      if (!isRetried(last.outcome) || attempt === attemptsMax) return { ...last, attempts: attempt };
      const delayMs = retryDelayMs(attempt, random());
      metrics.backoff.observe({ peer }, delayMs / 1000);
      await new Promise<void>((resolve) => void clock.setTimer(delayMs, resolve));
    }
    return { ...last, attempts: attemptsMax };
  }

  /** Whatever is in flight fails as network_error. */
  async destroy(): Promise<void> {
    this.#closed = true;
    await this.#pool.destroy();
  }

  async #attempt({ method, path, body, headers, requestId }: PeerCall): Promise<Attempt> {
    const { clock, ownId, timeoutMs = TIMEOUT_MS } = this.#parts;
    const abort = new AbortController();
    const timer = clock.setTimer(timeoutMs, () => abort.abort());
    try {
      const response = await this.#pool.request({
        method,
        path,
        body,
        headers: { ...headers, 'x-request-id': requestId, [NODE_HEADER]: ownId },
        signal: abort.signal,
      });
      const bytes = await bodyOf(response);
      const { statusCode: status } = response;
      const outcome = outcomeOf(status);
      const detail = outcome === 'success' ? null : `${method} ${path} was answered ${status}`;
      return { outcome, status, body: bytes, detail };
    } catch (error) {
      const outcome = abort.signal.aborted ? 'timeout' : outcomeOfError(error as Error);
      const detail = outcome === 'timeout' ? `no answer within ${timeoutMs} ms` : describe(error as Error);
      return { outcome, status: null, body: NOTHING, detail };
    } finally {
      timer.cancel();
    }
  }

  #connect(callback: (...result: [Error, null] | [null, import('node:net').Socket]) => void): void {
    const { dialing, metrics, timeoutMs = TIMEOUT_MS } = this.#parts;
    const { context, rules } = dialing();
    const peer = this.config.nodeId;
    const onPinMismatch = () => metrics.pinningViolations.inc({ peer });
    dial({ peer: this.config, context, rules, timeoutMs, onPinMismatch }).socket.then(
      (socket) => {
        if (context !== null) metrics.handshakes.inc({ status: 'success' });
        callback(null, socket);
      },
      (error: DialError) => {
        if (error.status !== null) metrics.handshakes.inc({ status: error.status });
        callback(error, null);
      },
    );
  }
}

async function bodyOf({ body }: Dispatcher.ResponseData): Promise<Uint8Array> {
  // A buffer of its own, so that it crosses to the asker without its neighbours.
  return Uint8Array.from(new Uint8Array(await body.arrayBuffer()));
}

function outcomeOfError(error: Error): PeerOutcome {
  // The listener judges our certificate after its half of the handshake: its alert comes with the first request.
  const status = error instanceof DialError ? error.status : handshakeStatus(error);
  if (status === null || status === 'error') return 'network_error';
  return status === 'handshake_timeout' ? 'timeout' : 'tls_error';
}

function describe(error: Error): string {
  const { code } = error as { code?: string };
  return `${code === undefined ? '' : `${code}: `}${error.message}`;
}
