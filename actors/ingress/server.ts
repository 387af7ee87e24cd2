// The client API over HTTP: submissions on node's own server (submissions.ts), everything else through fastify's router.
// Owned by the actor. It parses no body: the log comes first.
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { allowedMethods } from '../../observability/allowed-methods.js';
import { event } from '../../observability/events.js';
import { requestIdOf } from '../../observability/request-id.js';
import type { Clock } from '../../runtime/kernel/contract.js';
import type { Answers, Refusal } from './answers.js';
import { Arrivals } from './arrivals.js';
import type { Batches } from './batches.js';
import { BodyTooLarge, refusalOfBody, refusalOfRead } from './bodies.js';
import { answerClientError } from './client-error.js';
import type { Door } from './door.js';
import type { IngressMetrics } from './metrics.js';
import type { Queries } from './queries.js';
import type { IngressConfig } from './spec.js';
import type { Answer } from './submission.js';
import { Submissions } from './submissions.js';
import { waitOf } from './wait.js';

const { fastify } = createRequire(import.meta.url)('fastify') as typeof import('fastify');

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

/** Counts and logs one answer. `elapsedMs` is from the request's headers to the answer. */
export type Answered = (requestId: string, method: string, route: string, status: number, elapsedMs: number) => void;

/** How often sockets are looked at for a request that is overdue; node's own default of 30 s would make 5 s mean 35. */
const CONNECTIONS_CHECK_MS = 500;
/** Idle connections are closed after this, which is longer than what proxies before the node keep theirs (60 s). */
const KEEP_ALIVE_MS = 72_000;
/** `/v1/submissions:batch`, as the router wants a colon spelled. */
const BATCH_ROUTE = '/v1/submissions::batch';
/** Longest path parameter that reaches its route, which then says what is wrong with it; headers end at 16 KiB. */
const PARAMETER_MAX = 16_384;

export function createServer(parts: ServerParts): FastifyInstance {
  const { answers, metrics, log } = parts;
  const arrivals = new Arrivals();
  const answered: Answered = (requestId, method, route, status, elapsedMs) => {
    metrics.request(method, route, status, elapsedMs / 1000);
    event(log, 'http.answered', { request_id: requestId, method, route, status, duration_ms: Math.round(elapsedMs) });
  };
  // Draining: an answer is the last one of its connection.
  const isDraining = (): boolean => !server.server.listening;
  const submissions = new Submissions(parts, arrivals, answered, isDraining);
  const server: FastifyInstance = fastify({
    serverFactory: (router) => httpServer(submissions, router),
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    genReqId: (request) => requestIdOf(request.headers['x-request-id']),
    logger: false,
    schemaController: { compilersFactory: { buildValidator: () => noSchema, buildSerializer: () => noSchema } },
    routerOptions: { maxParamLength: PARAMETER_MAX },
    clientErrorHandler: (error, socket) => {
      if (arrivals.wasRefused(socket)) return void socket.destroy();
      const requestId = arrivals.requestIdOf(socket) ?? requestIdOf(undefined);
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
  server.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url?.replace('::', ':') ?? 'unknown';
    answered(request.id, request.method, route, reply.statusCode, reply.elapsedTime);
    done();
  });
  answerErrors(server, parts);
  addRoutes(server, parts, arrivals);
  return server;
}

function httpServer(submissions: Submissions, router: RequestListener): Server {
  const options = { connectionsCheckingInterval: CONNECTIONS_CHECK_MS, keepAliveTimeout: KEEP_ALIVE_MS };
  return createHttpServer(options, (request, response) => {
    if (!submissions.handle(request, response)) router(request, response);
  });
}

function answerErrors(server: FastifyInstance, { answers, log }: ServerParts): void {
  server.setErrorHandler((error: FastifyError, request, reply) => {
    const refusal = refusalOfHttp(error);
    // The router closes after every body that it could not take; the rest of a large one is dropped instead (bodies.ts).
    if (refusal.slug === 'body-too-large') reply.removeHeader('connection');
    if (refusal.slug === 'internal-error') log.error({ err: error, request_id: request.id }, 'request failed');
    return send(reply, request, answers.problem(refusal, request.id));
  });
  server.setNotFoundHandler((request, reply) => {
    const allowed = [...allowedMethods(server, request.url)];
    if (Submissions.takes(request.url)) allowed.push('POST');
    const refusal: Refusal =
      allowed.length > 0
        ? { slug: 'method-not-allowed', detail: `${request.method} is not one of ${allowed.join(', ')}` }
        : { slug: 'no-such-route', detail: `${request.method} ${request.url.split('?')[0]}` };
    if (allowed.length > 0) reply.header('allow', allowed.join(', '));
    return send(reply, request, answers.problem(refusal, request.id));
  });
}

function addRoutes(server: FastifyInstance, parts: ServerParts, arrivals: Arrivals): void {
  const { batches, queries, answers, clock } = parts;
  const limits = () => parts.settings().limits;
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', (request, payload, done) => {
    const isBatch = request.routeOptions.url === BATCH_ROUTE;
    arrivals.read(payload, request.id, isBatch ? limits().batch_bytes : limits().body_bytes, done);
  });
  server.post(BATCH_ROUTE, async (request, reply) => {
    const refusal = refusalOfBody(request.headers['content-type'], request.body);
    if (refusal !== null) return send(reply, request, answers.problem(refusal, request.id));
    const wait = waitOf(request.headers.prefer, limits(), clock.monotonic());
    return send(reply, request, await batches.submit(request.body as Buffer, request.id, wait));
  });
  for (const [path, query] of queries.routes) {
    server.get(path, async (request, reply) => send(reply, request, await query(request)));
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

function refusalOfHttp(error: FastifyError | BodyTooLarge): Refusal {
  if (error instanceof BodyTooLarge) return refusalOfRead(error);
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return { slug: 'unsupported-media-type', detail: error.message };
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return { slug: 'malformed-request', detail: error.message };
  }
  return { slug: 'internal-error' };
}
