// What peers ask over /rpc/submit, /rpc/status and /rpc/reconcile: the bodies of FORMATS A6. Called with requests of a peer
// port, which knows from the connection who asks. Opens no port; an observation goes through the same door as any other.
import type { Logger } from 'pino';
import type { QuorateConfig } from '../../config/schema.js';
import { event } from '../../observability/events.js';
import type { JsonObject } from '../../protocol/json.js';
import { rpcRound, rpcStatus } from '../../protocol/rounds/answer.js';
import type { RoundsState } from '../../protocol/rounds/round.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import type { Clock, ReportValue } from '../../runtime/kernel/contract.js';
import type { Answers } from './answers.js';
import type { PeerRequest } from './contract.js';
import type { Door } from './door.js';
import type { IngressMetrics } from './metrics.js';
import { type Answer, emptySubmission } from './submission.js';
import { waitOf } from './wait.js';

export interface RpcParts {
  readonly door: Pick<Door, 'admit'>;
  readonly answers: Pick<Answers, 'problem'>;
  readonly metrics: Pick<IngressMetrics, 'ingest' | 'badObservations'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Largest body, and how long an answer may wait for finality. */
  readonly limits: () => Pick<QuorateConfig['limits'], 'body_bytes' | 'wait_default_ms' | 'server_timeout_ms'>;
  /** At least as new as what this node has answered. */
  readonly rounds: () => Promise<RoundsState>;
  readonly report: (name: string, value: ReportValue) => void;
  /** Puts this validator's word against the peer into the ledger, where one alone does nothing (DECISIONS 26). */
  readonly accuse: (nodeId: string, body: Uint8Array) => void;
}

type Handler = (parts: RpcParts, request: PeerRequest) => Promise<Answer>;

const ROUTES: ReadonlyMap<string, readonly [method: string, handler: Handler]> = new Map([
  ['/rpc/submit', ['POST', submit]],
  ['/rpc/status', ['GET', status]],
  ['/rpc/reconcile', ['POST', reconcile]],
]);

/** Answers one request of a peer. Never rejects for what a peer sent. */
export function handleRpc(parts: RpcParts, request: PeerRequest): Promise<Answer> {
  const route = ROUTES.get(request.path);
  if (route === undefined) return Promise.resolve(failure(404, `Not found: ${request.method} ${request.path}`));
  const [method, handler] = route;
  if (method === request.method) return handler(parts, request);
  const refused = failure(405, `${request.path} takes ${method}, found ${request.method}`);
  return Promise.resolve({ ...refused, headers: { ...refused.headers, allow: method } });
}

async function submit(parts: RpcParts, request: PeerRequest): Promise<Answer> {
  const { door, answers, clock, metrics, limits } = parts;
  const { body, requestId } = request;
  const limitBytes = limits().body_bytes;
  if (body.length > limitBytes) return failure(413, `body of ${body.length} bytes; allowed are ${limitBytes}`);
  if (body.length === 0) return failure(400, 'the body is empty');
  const submission = emptySubmission(InboxRoute.observation, body, requestId, null);
  const answer = await new Promise<Answer>((settle) => {
    const refused = door.admit(submission, { requestId, settle, ...waitOf(undefined, limits(), clock.monotonic()) });
    if (refused === null) metrics.ingest.inc();
    else settle(answers.problem(refused, requestId));
  });
  return spell(parts, request, answer);
}

/** The client API's answer in the words of /rpc/submit. */
function spell(parts: RpcParts, request: PeerRequest, answer: Answer): Answer {
  const body = JSON.parse(answer.body) as JsonObject;
  if (body.state === 'final') {
    // The same observation again, also while the first was under way (FORMATS A6).
    if (answer.headers['idempotent-replayed'] === 'true') return failure(409, 'Duplicate observation');
    const { accepted } = body.outcome as JsonObject;
    if (accepted === true) return json(200, { success: true, message: 'Observation accepted' });
    return json(200, { success: false, message: 'Observation rejected (Byzantine detected)' });
  }
  if (body.state === 'durable') return json(202, { success: true, message: 'Observation recorded, not final yet' });
  if (answer.status === 401 && String(body.type).endsWith('bad-signature')) blame(parts, request);
  const told = failure(answer.status, String(body.detail ?? firstError(body) ?? body.title));
  const retryAfter = answer.headers['retry-after'];
  return retryAfter === undefined ? told : { ...told, headers: { ...told.headers, 'retry-after': retryAfter } };
}

function firstError({ errors }: JsonObject): string | undefined {
  if (!Array.isArray(errors)) return undefined;
  const [first] = errors as JsonObject[];
  return first === undefined
    ? undefined
    : `${first.pointer === '' ? '/' : first.pointer}: found ${first.found}; allowed: ${first.allowed}`;
}

/** The connection proves who sent it, so it is that node's fault: counted, told and audited here. Others have only our word. */
function blame({ metrics, log, report, accuse }: RpcParts, { from, requestId, body }: PeerRequest): void {
  metrics.badObservations.inc({ peer: from });
  event(log, 'observation.bad_signature', { peer: from, request_id: requestId });
  report('bad-observation', { ok: true, data: { peer: from } });
  accuse(from, body);
}

async function status({ rounds }: RpcParts, { query }: PeerRequest): Promise<Answer> {
  const state = await rounds();
  const roundId = new URLSearchParams(query).get('round_id');
  if (roundId === null) return json(200, rpcStatus(state));
  const round = state.rounds.find((each) => each.roundId === roundId);
  return round === undefined ? failure(404, `Round not found: ${roundId}`) : json(200, rpcRound(round));
}

/**
 * Rounds follow from the ledger: those that reached their quorum are complete, and nothing can make another one so. What is left to force
 * is none, so this says how many wait; comparing nodes is what `quorate reconcile` does with it.
 */
async function reconcile({ rounds }: RpcParts): Promise<Answer> {
  const waiting = (await rounds()).rounds.filter((round) => round.status === 'Pending').length;
  return json(200, { reconciled: waiting, message: `Reconciled ${waiting} pending rounds` });
}

function json(code: number, body: JsonObject): Answer {
  const headers = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' };
  return { status: code, headers, body: JSON.stringify(body) };
}

function failure(code: number, error: string): Answer {
  return json(code, { error });
}
