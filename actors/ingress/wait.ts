// How long a client is kept waiting, and for what: RFC 7240 `wait=N` and `respond-async`, and `durable=quorum`. Called by the
// server for each submission. It must never give a wait longer than the server's own timeout.
import type { QuorateConfig } from '../../config/schema.js';
import type { Waiter } from './submission.js';

export type Wait = Pick<Waiter, 'deadlineMs' | 'limitMs' | 'respondAsync' | 'untilQuorum'>;

/**
 * Time that a submission has to become durable, however short its client's wait is: a wait of 0 asks for 202 at once, and
 * not for 503. Leaves a client timeout of 2.5 s room.
 */
const ADMISSION_MS = 2_000;

/** From the header Prefer; times are of the monotonic clock, in milliseconds. */
export function waitOf(
  prefer: string | string[] | undefined,
  limits: Pick<QuorateConfig['limits'], 'wait_default_ms' | 'server_timeout_ms'>,
  nowMs: number,
): Wait {
  let waitMs = limits.wait_default_ms;
  let respondAsync = false;
  let untilQuorum = false;
  if (prefer !== undefined) {
    const text = Array.isArray(prefer) ? prefer.join(',') : prefer;
    respondAsync = /(?:^|[,;\s])respond-async(?:$|[,;\s])/.test(text);
    untilQuorum = /(?:^|[,;\s])durable=quorum(?:$|[,;\s])/.test(text);
    const wait = /(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])/.exec(text);
    if (wait !== null) waitMs = Math.min(Number(wait[1]) * 1000, limits.server_timeout_ms);
  }
  const deadlineMs = nowMs + waitMs;
  const limitMs = nowMs + Math.max(waitMs, ADMISSION_MS);
  // Who wants to hear of a quorum's disks is not answered when this node's alone has it.
  return untilQuorum
    ? { deadlineMs, limitMs, respondAsync: false, untilQuorum }
    : { deadlineMs, limitMs, respondAsync };
}
