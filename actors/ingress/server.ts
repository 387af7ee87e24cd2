// The client API over HTTP (fastify): admission, bodies as bytes, answers as the door gives them. Owned by the actor.
// It parses no body: the log comes first.
import type { Socket } from 'node:net';
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { allowedMethods } from '../../observability/allowed-methods.js';
import { event } from '../../observability/events.js';
import { requestIdOf } from '../../observability/request-id.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import type { Clock } from '../../runtime/kernel/contract.js';
import type { Answers, Refusal } from './answers.js';
import type { Batches, Wait } from './batches.js';
import { BodyTooLarge, readBody } from './bodies.js';
import { answerClientError } from './client-error.js';
import type { Door } from './door.js';
import { parseIdempotencyKey } from './idempotency.js';
import type { IngressMetrics } from './metrics.js';
import type { Queries } from './queries.js';
import type { IngressConfig } from './spec.js';
import { type Answer, emptySubmission } from './submission.js';

export interface ServerParts {
  readonly door: Door;
  readonly batches: Batches;
  readonly queries: Queries;
  readonly answers: Answers;
  readonly metrics: IngressMetrics;
  readonly clock: Clock;
  readonly settings: () => IngressConfig['settings'];
  readonly log: import('pino').Logger;
}

/** How often sockets are looked at for a request that is overdue; node's own default of 30 s would make 5 s mean 35. */
const CONNECTIONS_CHECK_MS = 500;
/**
 * Time that a submission has to become durable, however short its client's wait is: a wait of 0 asks for 202 at once, and
 * not for 503. Leaves a client timeout of 2.5 s room.
 */
const ADMISSION_MS = 2_000;
/** `/v1/submissions:batch`, as the router wants a colon spelled. */
const BATCH_ROUTE = '/v1/submissions::batch';
/** Longest path parameter that reaches its route, which then says what is wrong with it; headers end at 16 KiB. */
const PARAMETER_MAX = 16_384;

export function createServer(parts: ServerParts): FastifyInstance {
  const { door, batches, queries, answers, metrics, clock, log } = parts;
  const limits = () => parts.settings().limits;
  /** Whose body is still arriving: the request's id, for the answer to one that does not arrive in time. */
  const arriving = new WeakMap<Socket, string>();
  /** Refused before their body had ended: they have their answer. */
  const refused = new WeakSet<Socket>();
  const server = fastify({
    keepAliveTimeout: 72_000,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    genReqId: (request) => requestIdOf(request.headers['x-request-id']),
    logger: false,
    schemaController: { compilersFactory: { buildValidator: () => noSchema, buildSerializer: () => noSchema } },
    http: { connectionsCheckingInterval: CONNECTIONS_CHECK_MS },
    routerOptions: { maxParamLength: PARAMETER_MAX },
    clientErrorHandler: (error, socket) => {
      if (refused.has(socket)) return void socket.destroy();
      const requestId = arriving.get(socket) ?? requestIdOf(undefined);
      const answer = answerClientError(error, socket, answers, requestId);
      if (answer !== null) answered(requestId, 'unknown', 'unknown', answer.status, 0);
    },
    // Only a path that does not decode comes here.
    frameworkErrors: (error, request, reply) => {
      const answer = answers.problem({ slug: 'malformed-request', detail: error.message }, request.id);
      send(reply as FastifyReply, request as FastifyRequest, answer);
      answered(request.id, request.method, 'unknown', answer.status, 0);
    },
  });

  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', (request, payload, done) => {
    const { socket } = request.raw;
    arriving.set(socket, request.id);
    const isBatch = request.routeOptions.url === BATCH_ROUTE;
    readBody(payload, isBatch ? limits().batch_bytes : limits().body_bytes, (error, body) => {
      arriving.delete(socket);
      if (error instanceof BodyTooLarge) {
        refused.add(socket);
        payload.once('end', () => refused.delete(socket));
      }
      done(error, body);
    });
  });
  server.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url?.replace('::', ':') ?? 'unknown';
    answered(request.id, request.method, route, reply.statusCode, reply.elapsedTime);
    done();
  });
  server.setErrorHandler((error: FastifyError, request, reply) => {
    const refusal = refusalOfHttp(error);
    // The router closes after every body that it could not take; the rest of a large one is dropped instead (bodies.ts).
    if (refusal.slug === 'body-too-large') reply.removeHeader('connection');
    if (refusal.slug === 'internal-error') log.error({ err: error, request_id: request.id }, 'request failed');
    return send(reply, request, answers.problem(refusal, request.id));
  });
  server.setNotFoundHandler((request, reply) => {
    const allowed = allowedMethods(server, request.url);
    const refusal: Refusal =
      allowed.length > 0
        ? { slug: 'method-not-allowed', detail: `${request.method} is not one of ${allowed.join(', ')}` }
        : { slug: 'no-such-route', detail: `${request.method} ${request.url.split('?')[0]}` };
    if (allowed.length > 0) reply.header('allow', allowed.join(', '));
    return send(reply, request, answers.problem(refusal, request.id));
  });

  const submit = (route: number) => (request: FastifyRequest, reply: FastifyReply) =>
    answerSubmission(request, reply, route);
  server.post('/v1/submissions', submit(InboxRoute.envelope));
  server.post('/v1/pcs/submit', submit(InboxRoute.pcs));
  server.post(BATCH_ROUTE, async (request, reply) => {
    const refusal = refusalOfBody(request);
    if (refusal !== null) return send(reply, request, answers.problem(refusal, request.id));
    return send(reply, request, await batches.submit(request.body as Buffer, request.id, waitOf(request)));
  });
  for (const [path, query] of queries.routes) {
    server.get(path, (request, reply) => send(reply, request, query(request)));
  }
  return server;

  function answered(requestId: string, method: string, route: string, status: number, elapsedMs: number): void {
    metrics.request(method, route, status, elapsedMs / 1000);
    event(log, 'http.answered', { request_id: requestId, method, route, status, duration_ms: Math.round(elapsedMs) });
  }

  function answerSubmission(request: FastifyRequest, reply: FastifyReply, route: number): FastifyReply {
    const refusal = refusalOfBody(request);
    if (refusal !== null) return send(reply, request, answers.problem(refusal, request.id));
    const header = request.headers['idempotency-key'];
    const idempotencyKey = typeof header === 'string' ? parseIdempotencyKey(header) : null;
    if (header !== undefined && idempotencyKey === null) {
      const detail = 'Idempotency-Key must be a quoted string of 1 to 255 printable ASCII characters, as in "8e03978e"';
      return send(reply, request, answers.problem({ slug: 'malformed-request', detail }, request.id));
    }
    const submission = emptySubmission(route, request.body as Buffer, request.id, idempotencyKey);
    const settle = (answer: Answer) => void send(reply, request, answer);
    const refused = door.admit(submission, { requestId: request.id, settle, ...waitOf(request) });
    if (refused !== null) return send(reply, request, answers.problem(refused, request.id));
    metrics.ingest.inc();
    return reply;
  }

  /** RFC 7240 `wait=N` and `respond-async`; never longer than the server's own timeout. */
  function waitOf(request: FastifyRequest): Wait {
    const { server_timeout_ms: serverTimeoutMs, wait_default_ms: waitDefaultMs } = limits();
    const prefer = request.headers.prefer;
    let waitMs = waitDefaultMs;
    let respondAsync = false;
    if (prefer !== undefined) {
      const text = Array.isArray(prefer) ? prefer.join(',') : prefer;
      respondAsync = /(?:^|[,;\s])respond-async(?:$|[,;\s])/.test(text);
      const wait = /(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])/.exec(text);
      if (wait !== null) waitMs = Math.min(Number(wait[1]) * 1000, serverTimeoutMs);
    }
    const nowMs = clock.monotonic();
    return { deadlineMs: nowMs + waitMs, limitMs: nowMs + Math.max(waitMs, ADMISSION_MS), respondAsync };
  }
}

/**
 * No route has a schema: what comes in is judged by the door, and answers are text. Fastify would load its schema
 * compilers all the same, a third of the time it takes until the port is open.
 */
function noSchema(): never {
  throw new Error('routes of this server have no schemas');
}

function send(reply: FastifyReply, request: FastifyRequest, answer: Answer): FastifyReply {
  // Draining: this answer is the last one of its connection.
  if (!request.server.server.listening) reply.header('connection', 'close');
  return reply.code(answer.status).headers(answer.headers).header('x-request-id', request.id).send(answer.body);
}

function refusalOfBody(request: FastifyRequest): Refusal | null {
  const type = request.headers['content-type'];
  if (type !== undefined && !/^application\/(?:[a-z0-9.+-]+\+)?json\s*(?:;|$)/i.test(type)) {
    return { slug: 'unsupported-media-type', detail: `found ${type}, allowed application/json` };
  }
  if (!(request.body instanceof Uint8Array) || request.body.length === 0) {
    return { slug: 'malformed-json', detail: 'the body is empty' };
  }
  return null;
}

function refusalOfHttp(error: FastifyError | BodyTooLarge): Refusal {
  if (error instanceof BodyTooLarge) return { slug: 'body-too-large', members: { limit_bytes: error.limitBytes } };
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return { slug: 'unsupported-media-type', detail: error.message };
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return { slug: 'malformed-request', detail: error.message };
  }
  return { slug: 'internal-error' };
}
