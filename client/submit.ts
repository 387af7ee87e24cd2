// Sends one signed submission until the node has answered for good: repeats with the same bytes, honours Retry-After, then
// waits for the receipt. Called by `quorate submit` and by programs. It never signs anew: a repetition is the same id with
// the same content, so it cannot be counted twice.
import type { JsonObject } from '../protocol/json.js';
import { bodyObject, connectionReason, isObject } from './http.js';
import { isRetryable, parseRetryAfter, retryDelayMs } from './retry.js';

/** The outside world, so that tests can replace it. */
export interface SubmitHost {
  readonly fetch: typeof fetch;
  nowMs(): number;
  /** Uniform in [0, 1). */
  random(): number;
  sleep(ms: number): Promise<void>;
}

export interface PollOptions {
  /** Base URL of the client API, without a slash at the end. */
  readonly api: string;
  readonly host: SubmitHost;
  /** Told before each pause that a failure causes. */
  readonly note?: (pause: Pause) => void;
}

export interface SubmitOptions extends PollOptions {
  /** How long to wait for the receipt; 0 asks for an answer as soon as the submission is durable. */
  readonly waitMs: number;
  /** `quorum`: content as soon as a quorum of validators has it on disk, final or not. */
  readonly durable?: 'quorum';
  /** How long to go on repeating while the node is busy or away. Default 30 s. */
  readonly retryMs?: number;
}

export interface Pause {
  readonly reason: string;
  readonly delayMs: number;
}

/** Signed bytes on their way: an envelope, or what goes to a call of its own. */
export interface Sendable {
  readonly body: Uint8Array;
  /** Lowercase hex. */
  readonly digest: string;
  /** Default `/v1/submissions`. */
  readonly path?: string;
}

export type Submitted =
  | { readonly state: 'final'; readonly digest: string; readonly outcome: JsonObject; readonly receipt: JsonObject }
  /** On the node's disk, or as was asked for on those of a quorum, and not final within the time given. */
  | { readonly state: 'durable'; readonly digest: string; readonly durable?: 'quorum' };

/** The node has said no, and the same bytes will not do better. */
export class SubmissionRefused extends Error {
  override readonly name = 'SubmissionRefused';
  readonly status: number;
  /** The problem document (RFC 9457), empty when there was none. */
  readonly problem: JsonObject;

  constructor(status: number, problem: JsonObject) {
    super(`${status} ${typeof problem.title === 'string' ? problem.title : 'refused'}`);
    this.status = status;
    this.problem = problem;
  }
}

/** No final answer in time. The submission may have arrived: sending the same bytes again is safe. */
export class NodeUnavailable extends Error {
  override readonly name = 'NodeUnavailable';
  readonly attempts: number;
  /** What the last attempt met. */
  readonly reason: string;
  /** How long the node asked to wait, when that was longer than the time left. */
  readonly askedToWaitMs: number | null;

  constructor(attempts: number, reason: string, askedToWaitMs: number | null) {
    super(`no answer after ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}: ${reason}`);
    this.attempts = attempts;
    this.reason = reason;
    this.askedToWaitMs = askedToWaitMs;
  }
}

/** Largest wait to ask of a node in one request: its own request timeout. Longer waits go on by polling. */
const REQUEST_WAIT_MS = 5_000;
/** What a request may take beyond the wait asked for, before it counts as lost. */
const REQUEST_GRACE_MS = 5_000;
const RETRY_MS = 30_000;

/** @throws SubmissionRefused, NodeUnavailable */
export async function submit(submission: Sendable, options: SubmitOptions): Promise<Submitted> {
  const startMs = options.host.nowMs();
  const untilQuorum = options.durable === 'quorum';
  // A quorum is not had at once: without a wait of the caller's own the node gets the longest.
  const wantedMs = untilQuorum && options.waitMs <= 0 ? REQUEST_WAIT_MS : options.waitMs;
  const waitMs = Math.min(wantedMs, REQUEST_WAIT_MS);
  const wait = waitMs <= 0 ? 'respond-async' : `wait=${Math.ceil(waitMs / 1000)}`;
  const prefer = untilQuorum ? `${wait}, durable=quorum` : wait;
  const answer = await repeat(options, startMs + (options.retryMs ?? RETRY_MS), () =>
    request(options.host, options.api + (submission.path ?? '/v1/submissions'), waitMs, {
      method: 'POST',
      headers: { 'content-type': 'application/json', prefer },
      body: submission.body,
    }),
  );
  if (answer.status >= 300) throw new SubmissionRefused(answer.status, answer.body);
  const final = finalAnswer(answer.body, submission.digest);
  if (final !== null) return final;
  if (untilQuorum && answer.body.durable === 'quorum') {
    return { state: 'durable', digest: submission.digest, durable: 'quorum' };
  }
  try {
    return await pollReceipt(submission.digest, options, startMs + options.waitMs);
  } catch (error) {
    // The node has said that it is durable: that it went away afterwards does not take this back.
    if (error instanceof NodeUnavailable) return { state: 'durable', digest: submission.digest };
    throw error;
  }
}

/**
 * Asks for the state of a submission until it is final or the time is over.
 * @throws SubmissionRefused when it is unknown or was rejected, NodeUnavailable
 */
export async function pollReceipt(digest: string, options: PollOptions, untilMs: number): Promise<Submitted> {
  let pauseMs = 100;
  while (options.host.nowMs() < untilMs) {
    const answer = await readSubmission(digest, options, untilMs);
    if (answer.state === 'final') return answer;
    const leftMs = untilMs - options.host.nowMs();
    if (leftMs <= 0) break;
    await options.host.sleep(Math.min(pauseMs, leftMs));
    pauseMs = Math.min(1_000, pauseMs * 2);
  }
  return { state: 'durable', digest };
}

/**
 * Asks once; repeats only while the node is busy or away.
 * @throws SubmissionRefused when it is unknown or was rejected, NodeUnavailable
 */
export async function readSubmission(digest: string, options: PollOptions, untilMs: number): Promise<Submitted> {
  const answer = await repeat(options, untilMs, () =>
    request(options.host, `${options.api}/v1/submissions/${digest}`, 0, { method: 'GET', headers: {} }),
  );
  if (answer.status >= 300) throw new SubmissionRefused(answer.status, answer.body);
  if (answer.body.state === 'rejected') throw rejected(answer.body);
  return finalAnswer(answer.body, digest) ?? { state: 'durable', digest };
}

interface Answer {
  readonly status: number;
  readonly retryAfterMs: number | null;
  readonly body: JsonObject;
}

/** Runs `attempt` until its answer is not retryable, or the time is over, or the node asks for more time than is left. */
async function repeat(options: PollOptions, untilMs: number, attempt: () => Promise<Answer | Error>): Promise<Answer> {
  for (let failed = 1; ; failed++) {
    const answer = await attempt();
    const isError = answer instanceof Error;
    if (!isError && !isRetryable(answer.status, answer.retryAfterMs)) return answer;
    const reason = isError ? answer.message : new SubmissionRefused(answer.status, answer.body).message;
    const retryAfterMs = isError ? null : answer.retryAfterMs;
    const delayMs = retryDelayMs(failed, retryAfterMs, options.host.random());
    if (options.host.nowMs() + delayMs > untilMs) throw new NodeUnavailable(failed, reason, retryAfterMs);
    options.note?.({ reason, delayMs });
    await options.host.sleep(delayMs);
  }
}

/** @returns the answer, or the error of a connection that gave none. */
async function request(
  host: SubmitHost,
  url: string,
  waitMs: number,
  call: { method: string; headers: Record<string, string>; body?: Uint8Array },
): Promise<Answer | Error> {
  try {
    const response = await host.fetch(url, {
      ...call,
      redirect: 'error',
      signal: AbortSignal.timeout(waitMs + REQUEST_GRACE_MS),
    });
    const body = new Uint8Array(await response.arrayBuffer());
    const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'), host.nowMs());
    return { status: response.status, retryAfterMs, body: bodyObject(body) };
  } catch (error) {
    return new Error(connectionReason(error));
  }
}

/**
 * @returns the receipt, or null when the answer holds none.
 * @throws NodeUnavailable when it is about another submission: such an answer settles nothing.
 */
function finalAnswer(body: JsonObject, digest: string): Submitted | null {
  const { receipt, outcome } = body;
  if (body.state !== 'final' || !isObject(receipt) || !isObject(outcome)) return null;
  if (receipt.digest !== digest) {
    throw new NodeUnavailable(1, `the receipt is for ${JSON.stringify(receipt.digest)}, expected ${digest}`, null);
  }
  return { state: 'final', digest, outcome, receipt };
}

function rejected(body: JsonObject): SubmissionRefused {
  const outcome = isObject(body.outcome) ? body.outcome : {};
  const status = typeof outcome.status === 'number' ? outcome.status : 422;
  return new SubmissionRefused(status, { title: 'Rejected after it was stored', ...outcome });
}
