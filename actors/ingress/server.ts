// The client API over HTTP (fastify): admission, bodies as bytes, answers as the door gives them. Owned by the actor.
// It parses no body: the log comes first.
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { InboxRoute } from '../../protocol/wal-record.js';
import type { Clock } from '../../runtime/kernel/contract.js';
import type { Answers, Refusal } from './answers.js';
import type { Batches } from './batches.js';
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
const REQUEST_ID = /^[A-Za-z0-9\-_.]{1,64}$/;

export function createServer(parts: ServerParts): FastifyInstance {
  const { door, batches, queries, answers, metrics, clock, log } = parts;
  const settings = parts.settings();
  const server = fastify({
    bodyLimit: settings.limits.body_bytes,
    requestTimeout: settings.limits.server_timeout_ms,
    keepAliveTimeout: 72_000,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    genReqId: (request) => requestIdOf(request.headers['x-request-id']),
    logger: false,
    schemaController: { compilersFactory: { buildValidator: () => noSchema, buildSerializer: () => noSchema } },
    http: { connectionsCheckingInterval: CONNECTIONS_CHECK_MS },
    clientErrorHandler: (error, socket) => answerClientError(error, socket, answers),
  });

  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  server.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'unknown';
    metrics.request(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    const level = reply.statusCode >= 500 ? 'error' : reply.statusCode >= 400 ? 'warn' : 'debug';
    if (log.isLevelEnabled(level)) {
      log[level]({ requestId: request.id, method: request.method, route, status: reply.statusCode }, 'request');
    }
    done();
  });
  server.setErrorHandler((error: FastifyError, request, reply) => {
    if (refusalOfHttp(error, settings).slug === 'internal-error')
      log.error({ err: error, requestId: request.id }, 'request failed');
    return send(reply, request, answers.problem(refusalOfHttp(error, settings), request.id));
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
  server.post('/v1/submissions::batch', { bodyLimit: settings.limits.batch_bytes }, async (request, reply) => {
    const refusal = refusalOfBody(request);
    if (refusal !== null) return send(reply, request, answers.problem(refusal, request.id));
    return send(reply, request, await batches.submit(request.body as Buffer, request.id, waitOf(request)));
  });
  for (const [path, query] of queries.routes) {
    server.get(path, (request, reply) => send(reply, request, query(request)));
  }
  return server;

  function answerSubmission(request: FastifyRequest, reply: FastifyReply, route: number): FastifyReply {
    const refusal = refusalOfBody(request);
    if (refusal !== null) return send(reply, request, answers.problem(refusal, request.id));
    const header = request.headers['idempotency-key'];
    const idempotencyKey = typeof header === 'string' ? parseIdempotencyKey(header) : null;
    if (header !== undefined && idempotencyKey === null) {
      const detail = 'Idempotency-Key must be a quoted string of 1 to 255 printable ASCII characters, as in "8e03978e"';
      return send(reply, request, answers.problem({ slug: 'malformed-request', detail }, request.id));
    }
    const { deadlineMs, respondAsync } = waitOf(request);
    const submission = emptySubmission(route, request.body as Buffer, request.id, idempotencyKey);
    const settle = (answer: Answer) => void send(reply, request, answer);
    const refused = door.admit(submission, { requestId: request.id, deadlineMs, respondAsync, settle });
    if (refused !== null) return send(reply, request, answers.problem(refused, request.id));
    metrics.ingest.inc();
    return reply;
  }

  /** RFC 7240 `wait=N` and `respond-async`; never longer than the server's own timeout. */
  function waitOf(request: FastifyRequest): { deadlineMs: number; respondAsync: boolean } {
    const limits = parts.settings().limits;
    const prefer = request.headers.prefer;
    let waitMs = limits.wait_default_ms;
    let respondAsync = false;
    if (prefer !== undefined) {
      const text = Array.isArray(prefer) ? prefer.join(',') : prefer;
      respondAsync = /(?:^|[,;\s])respond-async(?:$|[,;\s])/.test(text);
      const wait = /(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])/.exec(text);
      if (wait !== null) waitMs = Math.min(Number(wait[1]) * 1000, limits.server_timeout_ms);
    }
    return { deadlineMs: clock.monotonic() + waitMs, respondAsync };
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

function requestIdOf(header: string | string[] | undefined): string {
  return typeof header === 'string' && REQUEST_ID.test(header) ? header : randomUUID();
}

function refusalOfHttp(error: FastifyError, settings: IngressConfig['settings']): Refusal {
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return { slug: 'body-too-large', members: { limit_bytes: settings.limits.body_bytes } };
  }
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return { slug: 'unsupported-media-type', detail: error.message };
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return { slug: 'malformed-request', detail: error.message };
  }
  return { slug: 'internal-error' };
}

function allowedMethods(server: FastifyInstance, url: string): string[] {
  const path = url.split('?')[0]!;
  return (['GET', 'POST'] as const).filter((method) => server.findRoute({ method, url: path }) !== null);
}

/** What node refuses before there is a request: no route, no reply object, only the socket. */
function answerClientError(error: Error & { code?: string }, socket: Socket, answers: Answers): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  const slug =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? 'request-timeout'
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? 'headers-too-large'
        : 'malformed-request';
  const detail = slug === 'malformed-request' ? 'the bytes are not an HTTP/1.1 request' : undefined;
  const answer = answers.problem({ slug, ...(detail === undefined ? {} : { detail }) }, randomUUID());
  const headers = { ...answer.headers, connection: 'close', 'content-length': String(Buffer.byteLength(answer.body)) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.end(
    `HTTP/1.1 ${answer.status} ${STATUS_TEXT[answer.status] ?? 'Error'}\r\n${lines.join('\r\n')}\r\n\r\n${answer.body}`,
  );
}

const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};
