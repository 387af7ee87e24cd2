// The catalogue of error answers (RFC 9457 problem documents) and their builder. Called by every HTTP surface. A slug,
// once published, keeps its meaning and status; the builder must never repeat secrets or whole bodies of a request.

export interface ProblemKind {
  readonly title: string;
  readonly status: number;
  /** What the caller does next. */
  readonly hint: string;
  /** Sent again unchanged, the request may succeed: such answers carry Retry-After. */
  readonly retryable?: true;
  /** Of a 401: how to authenticate, where it is not by a signature in the body. */
  readonly scheme?: 'Bearer';
}

export const PROBLEMS = {
  'malformed-json': {
    title: 'The body is not JSON',
    status: 400,
    hint: 'Send one JSON value in UTF-8, without duplicate names, lone surrogates or numbers out of range.',
  },
  'malformed-envelope': {
    title: 'The body does not have the shape of a submission',
    status: 400,
    hint: 'Each entry of "errors" names a field, what was found and what is allowed.',
  },
  'malformed-request': {
    title: 'A parameter or header of the request is not valid',
    status: 400,
    hint: 'Correct the parameter or header that "detail" names.',
  },
  'unknown-key': {
    title: 'The issuer or its key is not known here',
    status: 401,
    hint: 'Register the key in clients.yml and reload, or sign with a registered one.',
  },
  'bad-signature': {
    title: 'The signature does not match the content',
    status: 401,
    hint: 'Sign the canonical form of exactly what is sent, with the key that "issuer" names.',
  },
  'key-not-valid-now': {
    title: 'The key is outside its window of validity',
    status: 401,
    hint: 'Sign with a key whose not_before and not_after contain the present.',
  },
  'token-required': {
    title: "This call needs the operator's token",
    status: 401,
    hint: 'Send Authorization: Bearer with the content of run/admin.token in the data directory.',
    scheme: 'Bearer',
  },
  forbidden: {
    title: 'The caller is known and may not do this',
    status: 403,
    hint: 'Ask the operator for the role or kind that "detail" names.',
  },
  'no-such-route': {
    title: 'There is nothing at this path',
    status: 404,
    hint: 'Check the path: the client API begins with /v1/; metrics, health and /v1/admin/ are on the ops port.',
  },
  'unknown-submission': {
    title: 'No submission with this digest is known here',
    status: 404,
    hint: 'Check the digest; a submission just sent to another node may not have arrived yet.',
  },
  'unknown-round': {
    title: 'No observation round with this id is kept here',
    status: 404,
    hint: 'GET /v1/rounds lists the rounds that are kept; older ones are in the ledger as observations.',
  },
  'method-not-allowed': {
    title: 'The path exists, the method does not',
    status: 405,
    hint: 'Use a method that the Allow header names.',
  },
  'request-timeout': {
    title: 'The body did not arrive in time',
    status: 408,
    hint: 'Send the whole body at once; submitting the same id again is safe.',
    retryable: true,
  },
  'content-conflict': {
    title: 'This id was used for other content',
    status: 409,
    hint: 'Choose a new id for new content, or send the first content again to get its recorded outcome.',
  },
  'still-in-flight': {
    title: 'The same request is still being worked on',
    status: 409,
    hint: 'Wait as Retry-After says and send it again: the recorded outcome will be the answer.',
    retryable: true,
  },
  'body-too-large': {
    title: 'The body is larger than the limit',
    status: 413,
    hint: '"limit_bytes" is what this call takes; put large content elsewhere and submit its hash.',
  },
  'batch-too-long': {
    title: 'The batch has more entries than the limit',
    status: 413,
    hint: 'Split it: "limit_entries" is what one call takes.',
  },
  'unsupported-media-type': {
    title: 'The content type is not one this call takes',
    status: 415,
    hint: 'Send Content-Type: application/json.',
  },
  'unknown-kind': {
    title: 'This kind is not registered',
    status: 422,
    hint: '"detail" lists the registered kinds; an operator adds one by a JSON Schema file in kinds_dir.',
  },
  'invalid-payload': {
    title: 'The payload does not satisfy its kind',
    status: 422,
    hint: 'Each entry of "errors" names a field of the payload, what was found and what is allowed.',
  },
  'outside-horizon': {
    title: 'issued_at is too old or too far ahead',
    status: 422,
    hint: 'Set issued_at to the present (UTC), check the clock, sign again and submit under the same id.',
  },
  'idempotency-key-reused': {
    title: 'This Idempotency-Key was used with another body',
    status: 422,
    hint: 'Use a new key for a new body.',
  },
  'rate-limited': {
    title: 'Too many requests',
    status: 429,
    hint: 'Wait as Retry-After says.',
    retryable: true,
  },
  'headers-too-large': {
    title: 'The headers are larger than the limit',
    status: 431,
    hint: 'Send fewer or shorter headers.',
  },
  'internal-error': {
    title: 'This node failed to handle the request',
    status: 500,
    hint: 'This is a defect: report it with the request id. Submitting the same id again is safe.',
  },
  overloaded: {
    title: 'This node has as much in hand as it may',
    status: 503,
    hint: 'Wait as Retry-After says and send it again with the same id.',
    retryable: true,
  },
  'mempool-full': {
    title: 'As many submissions wait for a block as may',
    status: 503,
    hint: 'Wait as Retry-After says and send it again with the same id, or to another node.',
    retryable: true,
  },
  unavailable: {
    title: 'A part of this node is restarting',
    status: 503,
    hint: 'Send it again with the same id: if the first attempt was recorded, its outcome is the answer.',
    retryable: true,
  },
  'dedup-unavailable': {
    title: 'The deduplication store does not answer',
    status: 503,
    hint: 'The submission is recorded and will be settled; send it again with the same id to see its outcome.',
    retryable: true,
  },
  quarantined: {
    title: 'This node found damage in its log and signs nothing',
    status: 503,
    hint: 'Use another node. Operator: "quorate wal verify" names the damage and the repair command.',
    retryable: true,
  },
  'audit-unwritable': {
    title: 'The audit log cannot be written, so nothing was done',
    status: 503,
    hint: 'Make room on the disk or mend the file that "detail" names, then call again.',
    retryable: true,
  },
  'disk-full': {
    title: 'The data disk of this node is full',
    status: 507,
    hint: 'Use another node, or wait as Retry-After says: nothing was recorded. Operator: free space; it goes on by itself.',
    retryable: true,
  },
  draining: {
    title: 'This node is shutting down',
    status: 503,
    hint: 'Use another node, or wait as Retry-After says.',
    retryable: true,
  },
} as const satisfies Record<string, ProblemKind>;

export type ProblemSlug = keyof typeof PROBLEMS;

/** RFC 9457 section 3.1.1: an absolute URI that only identifies. There is nothing to fetch at it. */
export const PROBLEM_TYPE_PREFIX = 'urn:problem-type:quorate:';
export const PROBLEM_CONTENT_TYPE = 'application/problem+json; charset=utf-8';

/** One field that is wrong; `pointer` is an RFC 6901 JSON Pointer into the body. */
export interface ProblemField {
  readonly pointer: string;
  readonly found: string;
  readonly allowed: string;
}

export interface ProblemDetails {
  readonly requestId: string;
  /** What happened this time, in one sentence. */
  readonly detail?: string;
  readonly errors?: readonly ProblemField[];
  /** Whole seconds; also sent as the Retry-After header. */
  readonly retryAfterS?: number;
  /** Extension members of this slug (`limit_bytes`, `digest` …). */
  readonly members?: Readonly<Record<string, string | number | boolean | null | readonly string[]>>;
}

export interface ProblemAnswer {
  readonly status: number;
  /** Lower-case names, Content-Type included. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text. */
  readonly body: string;
}

/** Seconds to wait when a retryable problem is answered and nobody computed a better figure. */
const RETRY_AFTER_DEFAULT_S = 1;
const ERRORS_MAX = 20;

/** The JSON object of a problem, for bodies that embed one (batch results). */
export function problemDocument(slug: ProblemSlug, details: ProblemDetails): Record<string, unknown> {
  const kind: ProblemKind = PROBLEMS[slug];
  return {
    type: PROBLEM_TYPE_PREFIX + slug,
    title: kind.title,
    status: kind.status,
    ...(details.detail === undefined ? {} : { detail: details.detail }),
    hint: kind.hint,
    request_id: details.requestId,
    // Someone else's body decides how many fields are wrong: the answer stays bounded.
    ...(details.errors === undefined ? {} : { errors: details.errors.slice(0, ERRORS_MAX) }),
    ...(kind.retryable === undefined ? {} : { retry_after_s: retryAfterS(details) }),
    ...details.members,
  };
}

/** A whole answer: status, headers (RFC 9110 wants WWW-Authenticate with every 401) and the JSON text. */
export function problem(slug: ProblemSlug, details: ProblemDetails): ProblemAnswer {
  const kind: ProblemKind = PROBLEMS[slug];
  const headers: Record<string, string> = { 'content-type': PROBLEM_CONTENT_TYPE, 'cache-control': 'no-store' };
  if (kind.status === 401) headers['www-authenticate'] = `${kind.scheme ?? 'Signature'} realm="quorate"`;
  if (kind.retryable !== undefined) headers['retry-after'] = String(retryAfterS(details));
  return { status: kind.status, headers, body: JSON.stringify(problemDocument(slug, details)) };
}

function retryAfterS(details: ProblemDetails): number {
  return Math.max(1, Math.ceil(details.retryAfterS ?? RETRY_AFTER_DEFAULT_S));
}
