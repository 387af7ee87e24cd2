// /rpc/* on the peer port: who asks is what the certificate proved; the answer comes from ingress. Owned by the actor. It
// must never take a body over its bound, nor more from one peer than its share, at once or over time.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ProblemSlug, problem } from '../../observability/problems.js';
import { requestIdOf } from '../../observability/request-id.js';
import type { Clock, Link } from '../../runtime/kernel/contract.js';
import type { IngressContract, PeerAnswer } from '../ingress/contract.js';
import { NODE_HEADER } from '../peer/identity.js';
import type { RateLimit, RateVerdict } from '../peer/rate-limit.js';

export interface RpcParts {
  readonly ingress: Link<IngressContract>;
  /** Without TLS nothing proves who asks: then the header says it. */
  readonly trustHeader: () => boolean;
  readonly isPeer: (nodeId: string) => boolean;
  readonly answered: (peer: string, route: string, status: number) => void;
  readonly clock: Clock;
  readonly rate: RateLimit;
  readonly exceeded: (peer: string, window: string) => void;
}

const ROUTES: Readonly<Record<string, 'GET' | 'POST'>> = {
  '/rpc/submit': 'POST',
  '/rpc/status': 'GET',
  '/rpc/reconcile': 'POST',
  '/rpc/blocks': 'GET',
};
/** An observation, as a client's submission may be. */
const BODY_MAX_BYTES = 64 * 1024;
const IN_FLIGHT_MAX = 16;
/** Who asks too often waits for that answer, and holds a place meanwhile: 16 refusals in this time are all that it can cost. */
const HOLD_MS = 250;
/** The server ends a request after this; the peer client waits half of it. */
const DEADLINE_MS = 5_000;

export class RpcDoor {
  readonly #parts: RpcParts;
  readonly #inFlight = new Map<string, number>();

  constructor(parts: RpcParts) {
    this.#parts = parts;
  }

  /** @param proven node id that the certificate names, null when nothing does */
  async handle(request: IncomingMessage, response: ServerResponse, proven: string | null): Promise<void> {
    const requestId = requestIdOf(request.headers['x-request-id']);
    const url = request.url ?? '';
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    const method = ROUTES[path];
    const claimed = request.headers[NODE_HEADER];
    const from = proven ?? (this.#parts.trustHeader() && typeof claimed === 'string' ? claimed : null);
    const route = method === undefined ? 'unknown' : path;
    const peer = from !== null && this.#parts.isPeer(from) ? from : 'unknown';
    const answer = (given: PeerAnswer): void => {
      this.#parts.answered(peer, route, given.status);
      if (response.headersSent || response.destroyed) return;
      response.writeHead(given.status, { ...given.headers, 'x-request-id': requestId }).end(given.body);
    };
    const refuse = (slug: ProblemSlug, detail: string, retryAfterS = 1): void => {
      // What is left of the body is not worth reading. Before the end of the message nothing else tells whether there is one.
      if (!request.complete && hasBody(request)) response.setHeader('connection', 'close');
      answer(problem(slug, { requestId, detail, retryAfterS }));
    };
    if (from === null || peer === 'unknown') return refuse('forbidden', 'the certificate is no configured peer’s');
    const busy = this.#inFlight.get(from) ?? 0;
    if (busy >= IN_FLIGHT_MAX) {
      // Whoever sends one after the other without waiting for answers is not read on.
      response.setHeader('connection', 'close');
      return refuse('overloaded', `${busy} requests of ${from} are in hand`);
    }
    const { exceeded, retryAfterS, headers } = this.#take(from);
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (exceeded !== null) {
      const { quota, windowS } = exceeded;
      await this.#hold(from);
      return refuse('rate-limited', `${from} asked ${quota} times in ${windowS} s; allowed are ${quota}`, retryAfterS);
    }
    if (claimed !== undefined && claimed !== from) return refuse('forbidden', `the certificate is ${from}’s`);
    if (method === undefined) return refuse('no-such-route', `${request.method} ${path}`);
    if (request.method !== method) {
      response.setHeader('allow', method);
      return refuse('method-not-allowed', `${request.method} is not one of ${method}`);
    }
    this.#begun(from);
    try {
      const body = await bodyOf(request);
      if (body === null) return refuse('body-too-large', `over ${BODY_MAX_BYTES} bytes`);
      const query = mark < 0 ? '' : url.slice(mark + 1);
      answer(
        await this.#parts.ingress.ask(
          'rpc',
          { from, method, path, query, body, requestId },
          { deadlineMs: DEADLINE_MS },
        ),
      );
    } catch {
      refuse('unavailable', 'the part of this node that answers is not there');
    } finally {
      this.#ended(from);
    }
  }

  #begun(from: string): void {
    this.#inFlight.set(from, (this.#inFlight.get(from) ?? 0) + 1);
  }

  #ended(from: string): void {
    const left = (this.#inFlight.get(from) ?? 1) - 1;
    if (left === 0) this.#inFlight.delete(from);
    else this.#inFlight.set(from, left);
  }

  async #hold(from: string): Promise<void> {
    this.#begun(from);
    await new Promise<void>((resolve) => void this.#parts.clock.setTimer(HOLD_MS, resolve));
    this.#ended(from);
  }

  #take(from: string): RateVerdict {
    const verdict = this.#parts.rate.take(from);
    if (verdict.exceeded !== null) this.#parts.exceeded(from, verdict.exceeded.name);
    return verdict;
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** The whole body; null as soon as it is too large. Rejects when the peer goes away. */
async function bodyOf(request: IncomingMessage): Promise<Uint8Array | null> {
  if (Number(request.headers['content-length'] ?? 0) > BODY_MAX_BYTES) return null;
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += (part as Buffer).length;
    if (bytes > BODY_MAX_BYTES) return null;
    parts.push(part as Buffer);
  }
  // A buffer of its own: a pooled one would cross with its neighbours' bytes.
  return Uint8Array.from(Buffer.concat(parts));
}
