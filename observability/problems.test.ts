// The catalogue of problem documents: what is published stays, and every answer is complete.
import test from 'ava';
import { PROBLEM_TYPE_PREFIX, PROBLEMS, type ProblemKind, type ProblemSlug, problem } from './problems.js';

const SLUGS = Object.keys(PROBLEMS) as ProblemSlug[];

test('IN-11: a problem has type, title, status, hint and the request id, and its content type', (t) => {
  for (const slug of SLUGS) {
    const answer = problem(slug, { requestId: 'req-1' });
    const body = JSON.parse(answer.body) as Record<string, unknown>;
    t.is(body.type, PROBLEM_TYPE_PREFIX + slug);
    t.is(body.status, answer.status, 'the body repeats the real status');
    t.is(body.request_id, 'req-1');
    t.true(String(body.title).length > 0 && String(body.hint).length > 0);
    t.regex(answer.headers['content-type'] ?? '', /^application\/problem\+json/);
    t.notThrows(() => new URL(String(body.type)), 'type is an absolute URI');
  }
});

test('IN-11: published slugs keep their status', (t) => {
  const statuses = Object.fromEntries(SLUGS.map((slug) => [slug, PROBLEMS[slug].status]));
  t.deepEqual(statuses, {
    'malformed-json': 400,
    'malformed-envelope': 400,
    'malformed-request': 400,
    'unknown-key': 401,
    'bad-signature': 401,
    'key-not-valid-now': 401,
    'token-required': 401,
    forbidden: 403,
    'no-such-route': 404,
    'unknown-submission': 404,
    'unknown-round': 404,
    'method-not-allowed': 405,
    'request-timeout': 408,
    'content-conflict': 409,
    'still-in-flight': 409,
    'body-too-large': 413,
    'batch-too-long': 413,
    'unsupported-media-type': 415,
    'unknown-kind': 422,
    'invalid-payload': 422,
    'outside-horizon': 422,
    'idempotency-key-reused': 422,
    'rate-limited': 429,
    'headers-too-large': 431,
    'internal-error': 500,
    overloaded: 503,
    'mempool-full': 503,
    unavailable: 503,
    'dedup-unavailable': 503,
    quarantined: 503,
    'audit-unwritable': 503,
    draining: 503,
    'disk-full': 507,
  });
});

test('IN-11: 401 names a scheme, 429 and 503 say when to come back', (t) => {
  for (const slug of SLUGS) {
    const kind: ProblemKind = PROBLEMS[slug];
    const { headers } = problem(slug, { requestId: 'r', retryAfterS: 2.2 });
    t.is('www-authenticate' in headers, kind.status === 401, slug);
    t.is(headers['retry-after'], kind.retryable ? '3' : undefined, slug);
    if (kind.status === 429 || kind.status === 503) t.true(kind.retryable, slug);
  }
});

test('IN-11: details, members and wrong fields are in the document; their number is bounded', (t) => {
  const errors = Array.from({ length: 50 }, (_, i) => ({ pointer: `/payload/f${i}`, found: '1', allowed: 'text' }));
  const members = { limit_bytes: 65_536 };
  const body = JSON.parse(problem('invalid-payload', { requestId: 'r', detail: 'why', errors, members }).body) as {
    detail: string;
    errors: unknown[];
    limit_bytes: number;
  };
  t.is(body.detail, 'why');
  t.is(body.limit_bytes, 65_536);
  t.is(body.errors.length, 20);
  t.deepEqual(body.errors[0], { pointer: '/payload/f0', found: '1', allowed: 'text' });
});
