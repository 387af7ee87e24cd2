// POST /v1/submissions, /v1/pcs/submit and /v1/observations, on node's own HTTP: the hot routes. Called by the server before its router,
// which would cost them more than HTTP itself. It parses no body: the log comes first.
import type { IncomingMessage, OutgoingHttpHeader, ServerResponse } from 'node:http';
import { requestIdOf } from '../../observability/request-id.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import type { Refusal } from './answers.js';
import type { Arrivals } from './arrivals.js';
import { refusalOfBody, refusalOfRead } from './bodies.js';
import { parseIdempotencyKey } from './idempotency.js';
import type { Answered, ServerParts } from './server.js';
import { type Answer, emptySubmission } from './submission.js';
import { waitOf } from './wait.js';

/** Path → route as the log names it. */
const ROUTES: ReadonlyMap<string, number> = new Map([
  ['/v1/submissions', InboxRoute.envelope],
  ['/v1/pcs/submit', InboxRoute.pcs],
  ['/v1/observations', InboxRoute.observation],
]);

export class Submissions {
  readonly #parts: ServerParts;
  readonly #arrivals: Arrivals;
  readonly #answered: Answered;
  readonly #isDraining: () => boolean;

  constructor(parts: ServerParts, arrivals: Arrivals, answered: Answered, isDraining: () => boolean) {
    this.#parts = parts;
    this.#arrivals = arrivals;
    this.#answered = answered;
    this.#isDraining = isDraining;
  }

  /** Whether a POST to this URL is a submission. */
  static takes(url: string): boolean {
    return ROUTES.has(pathOf(url));
  }

  /** False when the request is not a submission; then nothing of it was touched. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    if (request.method !== 'POST') return false;
    const path = pathOf(request.url ?? '');
    const route = ROUTES.get(path);
    if (route === undefined) return false;
    const startedAtMs = this.#parts.clock.monotonic();
    const requestId = requestIdOf(request.headers['x-request-id']);
    const settle = (answer: Answer): void => {
      write(response, requestId, answer, this.#isDraining());
      this.#answered(requestId, 'POST', path, answer.status, this.#parts.clock.monotonic() - startedAtMs);
    };
    const refuse = (refusal: Refusal): void => settle(this.#parts.answers.problem(refusal, requestId));
    this.#arrivals.read(request, requestId, this.#parts.settings().limits.body_bytes, (error, body) => {
      // Gone in the middle of its body: nobody is there to be answered.
      if (error !== null && request.destroyed) return;
      try {
        const refusal = error === null ? this.#submit(request, requestId, route, body!, settle) : refusalOfRead(error);
        if (refusal !== null) refuse(refusal);
      } catch (thrown) {
        this.#parts.log.error({ err: thrown, request_id: requestId }, 'request failed');
        refuse({ slug: 'internal-error' });
      }
    });
    return true;
  }

  #submit(
    request: IncomingMessage,
    requestId: string,
    route: number,
    body: Buffer,
    settle: (answer: Answer) => void,
  ): Refusal | null {
    const { door, metrics, clock } = this.#parts;
    const { headers } = request;
    const refusal = refusalOfBody(headers['content-type'], body);
    if (refusal !== null) return refusal;
    const header = headers['idempotency-key'];
    const idempotencyKey = typeof header === 'string' ? parseIdempotencyKey(header) : null;
    if (header !== undefined && idempotencyKey === null) {
      const detail = 'Idempotency-Key must be a quoted string of 1 to 255 printable ASCII characters, as in "8e03978e"';
      return { slug: 'malformed-request', detail };
    }
    const submission = emptySubmission(route, body, requestId, idempotencyKey);
    const wait = waitOf(headers.prefer, this.#parts.settings().limits, clock.monotonic());
    const { deadlineMs, limitMs, respondAsync, untilQuorum = false } = wait;
    const refused = door.admit(submission, { requestId, settle, deadlineMs, limitMs, respondAsync, untilQuorum });
    if (refused === null) metrics.ingest.inc();
    return refused;
  }
}

function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query === -1 ? url : url.slice(0, query);
}

/** Node takes headers in pairs as they are, and puts head and body into one write where both are of one encoding. */
function write(response: ServerResponse, requestId: string, answer: Answer, isLast: boolean): void {
  if (response.destroyed || response.headersSent) return;
  const { body } = answer;
  const sizeBytes = answer.isAscii === true ? body.length : Buffer.byteLength(body);
  const headers: (string | number)[] = ['x-request-id', requestId, 'content-length', sizeBytes];
  for (const name in answer.headers) headers.push(name, answer.headers[name]!);
  if (isLast) headers.push('connection', 'close');
  response
    .writeHead(answer.status, headers as OutgoingHttpHeader[])
    .end(body, sizeBytes === body.length ? 'latin1' : 'utf8');
}
