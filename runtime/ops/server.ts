// The ops server on the main thread: metrics, health, and the admin calls behind the bearer token of the data directory.
// Called by operators, probes and the CLI. It carries no submission, and shows no secret.
import { createRequire } from 'node:module';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { allowedMethods } from '../../observability/allowed-methods.js';
import { type ProblemSlug, problem } from '../../observability/problems.js';
import { requestIdOf } from '../../observability/request-id.js';
import { equalConstantTime } from '../../protocol/crypto/hmac.js';
import { MISDEEDS, type Misdeed } from '../kernel/misdeeds.js';
import type { ActorStatus } from '../kernel/supervisor-types.js';
import { ActorError } from '../kernel/wire-error.js';
import { type AuditTrail, AuditUnwritable } from './audit-trail.js';
import { failing, type HealthSources, readiness } from './health.js';
import type { Metrics } from './metrics.js';

const { fastify } = createRequire(import.meta.url)('fastify') as typeof import('fastify');

export interface OpsParts {
  readonly metrics: Metrics;
  readonly health: HealthSources;
  /** 64 hex; compared in constant time. */
  readonly token: string;
  readonly actors: {
    status(): readonly ActorStatus[];
    restart(id: string): Promise<void>;
    kill(id: string): Promise<void>;
    reset(id: string): void;
    drill(id: string, misdeed: Misdeed): Promise<void>;
    inspect(id: string): Promise<object>;
  };
  readonly audit: Pick<AuditTrail, 'around'>;
  reload(by: string): Promise<ReloadAnswer>;
  /** Has the log compacted, and says what that freed. */
  compact(all: boolean): Promise<object>;
}

type OperatorAction =
  | { readonly event: 'actor_kill' | 'actor_restart' | 'actor_reset'; readonly actor: string }
  | { readonly event: 'actor_drill'; readonly actor: string; readonly misdeed: Misdeed };

export interface ReloadAnswer {
  readonly result: 'ok' | 'unchanged' | 'error';
  readonly errors: readonly string[];
  readonly changed: readonly string[];
}

const HEALTH_TYPE = 'application/health+json; charset=utf-8';

function noSchema(): never {
  throw new Error('routes of this server have no schemas');
}

export function createOpsServer(parts: OpsParts): FastifyInstance {
  const server = fastify({
    logger: false,
    forceCloseConnections: true,
    genReqId: (request) => requestIdOf(request.headers['x-request-id']),
    // Without this Fastify loads its own two, for schemas that no route here has.
    schemaController: { compilersFactory: { buildValidator: () => noSchema, buildSerializer: () => noSchema } },
  });
  server.addHook('onRequest', (request, reply, next) => {
    reply.header('x-request-id', request.id);
    next();
  });
  server.get('/metrics', async (_request, reply) => {
    const text = await parts.metrics.text();
    return reply.header('content-type', parts.metrics.contentType).send(text);
  });
  server.get('/livez', (_request, reply) => reply.header('content-type', HEALTH_TYPE).send({ status: 'pass' }));
  server.get('/healthz', (_request, reply) => reply.header('content-type', HEALTH_TYPE).send({ status: 'pass' }));
  server.get('/health', (_request, reply) => reply.send({ status: 'healthy' }));
  server.get('/readyz', async (_request, reply) => {
    const checks = await readiness(parts.health);
    const bad = failing(checks);
    return reply
      .code(bad.length === 0 ? 200 : 503)
      .header('content-type', HEALTH_TYPE)
      .send({ status: bad.length === 0 ? 'pass' : 'fail', failing: bad.map(({ name }) => name), checks });
  });

  server.register((admin, _options, done) => {
    admin.addHook('onRequest', (request, reply, next) => {
      if (authorised(request.headers.authorization, parts.token)) return next();
      sendProblem(reply, request, 'token-required', 'found no Authorization: Bearer with the token of this start');
    });
    admin.get('/v1/admin/actors', () => ({ actors: parts.actors.status() }));
    admin.get<{ Params: { id: string } }>('/v1/admin/actors/:id', (request) => parts.actors.inspect(request.params.id));
    admin.post<{ Params: { id: string; action: string } }>('/v1/admin/actors/:id/:action', async (request, reply) => {
      const { id, action } = request.params;
      if (!isOperatorAction(action)) {
        return sendProblem(reply, request, 'no-such-route', `found ${action}; allowed: restart, kill, reset`);
      }
      await audited(parts, request, { event: `actor_${action}`, actor: id }, () => parts.actors[action](id));
      return { actor: parts.actors.status().find((status) => status.id === id) };
    });
    admin.post<{ Params: { id: string; misdeed: string } }>(
      '/v1/admin/actors/:id/drill/:misdeed',
      async (request, reply) => {
        const { id, misdeed } = request.params;
        if (!isMisdeed(misdeed)) {
          return sendProblem(reply, request, 'no-such-route', `found ${misdeed}; allowed: ${MISDEEDS.join(', ')}`);
        }
        const facts = { event: 'actor_drill', actor: id, misdeed } as const;
        await audited(parts, request, facts, () => parts.actors.drill(id, misdeed));
        return { actor: id, misdeed };
      },
    );
    admin.post('/v1/admin/reload', async (request, reply) => {
      const answer = await parts.reload(operatorOf(request));
      return reply.code(answer.result === 'error' ? 422 : 200).send(answer);
    });
    admin.post<{ Querystring: { all?: string } }>('/v1/admin/wal/compact', (request, reply) => {
      const { all = 'false' } = request.query;
      if (all !== 'true' && all !== 'false') {
        return sendProblem(reply, request, 'malformed-request', `all: found ${all}; allowed: true, false`);
      }
      return parts.compact(all === 'true');
    });
    done();
  });

  server.setErrorHandler((error, request, reply) => {
    if (error instanceof AuditUnwritable) return sendProblem(reply, request, 'audit-unwritable', error.message);
    if (error instanceof ActorError && error.code === 'unknown_actor') {
      return sendProblem(reply, request, 'no-such-route', error.message);
    }
    if (error instanceof ActorError && error.code === 'refused') {
      return sendProblem(reply, request, 'forbidden', `${error.message}: a node in mode development is`);
    }
    // The actor is down, or does not answer in time: asking again later may help.
    if (error instanceof ActorError && error.retryable)
      return sendProblem(reply, request, 'unavailable', error.message);
    const { statusCode = 500, message } = error as FastifyError;
    return sendProblem(reply, request, statusCode < 500 ? 'malformed-request' : 'internal-error', message);
  });
  server.setNotFoundHandler((request, reply) => {
    const allowed = allowedMethods(server, request.url).join(', ');
    if (allowed === '') {
      return sendProblem(reply, request, 'no-such-route', `${request.method} ${request.url.split('?')[0]}`);
    }
    reply.header('allow', allowed);
    return sendProblem(reply, request, 'method-not-allowed', `${request.method} is not one of ${allowed}`);
  });
  return server;
}

/** An action is recorded before it is begun, and its result before it is answered. */
async function audited(
  { actors, audit }: OpsParts,
  request: FastifyRequest,
  action: OperatorAction,
  act: () => Promise<void> | void,
): Promise<void> {
  // A name that no actor has is no action; the supervisor says so.
  if (!actors.status().some(({ id }) => id === action.actor)) return act();
  const line = (result: 'started' | 'done' | 'failed', reason?: string) => {
    return { ...action, result, request_id: request.id, ...(reason === undefined ? {} : { reason }) };
  };
  return audit.around(operatorOf(request), line, act);
}

function isOperatorAction(word: string): word is 'restart' | 'kill' | 'reset' {
  return word === 'restart' || word === 'kill' || word === 'reset';
}

/** Who asks: whoever has the token, and from where. */
function operatorOf(request: FastifyRequest): string {
  return `operator at ${request.ip}`;
}

function sendProblem(reply: FastifyReply, request: FastifyRequest, slug: ProblemSlug, detail: string): FastifyReply {
  const { status, headers, body } = problem(slug, { requestId: request.id, detail });
  return reply.code(status).headers(headers).send(body);
}

function isMisdeed(text: string): text is Misdeed {
  return (MISDEEDS as readonly string[]).includes(text);
}

function authorised(header: string | undefined, token: string): boolean {
  const given = Buffer.from(header?.startsWith('Bearer ') ? header.slice('Bearer '.length) : '');
  const wanted = Buffer.from(token);
  return equalConstantTime(given, wanted);
}
