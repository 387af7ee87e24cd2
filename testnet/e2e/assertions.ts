// What the end-to-end tests assert in many places: a problem document is whole, a receipt holds. Used by tests only.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { run } from '../../cli/testkit.js';
import type { JsonObject } from '../../protocol/json.js';
import type { Answer, Body } from './http.js';

const PREFIX = 'urn:problem-type:quorate:';
const REQUEST_ID = /^[A-Za-z0-9\-_.]{1,64}$/;

/** IN-11 and IN-12: the answer is this problem, complete, under one request id. */
export function isProblem(t: ExecutionContext, answer: Answer, status: number, slug: string): void {
  t.is(answer.status, status, answer.text);
  t.is(answer.headers['content-type'], 'application/problem+json; charset=utf-8');
  t.is(answer.headers['x-request-id'], answer.body.request_id);
  isProblemBody(t, answer.body, status, slug);
  t.is(
    answer.headers['www-authenticate'] !== undefined,
    status === 401,
    'WWW-Authenticate comes with 401 and only then',
  );
  const retryAfter = answer.headers['retry-after'];
  t.is(retryAfter, answer.body.retry_after_s === undefined ? undefined : String(answer.body.retry_after_s));
}

export function isProblemBody(t: ExecutionContext, body: Body, status: number, slug: string): void {
  t.is(body.type, PREFIX + slug);
  t.is(body.status, status);
  t.true(body.title !== undefined && body.title.length > 0);
  t.true(body.hint !== undefined && body.hint.length > 0);
  t.regex(body.request_id ?? '', REQUEST_ID);
}

/** Receipts, checked by `quorate verify` against one validator file, as their holder would. */
export class Verifier {
  readonly #directory: string;
  readonly #validators: string;

  /** `validators` is what GET /v1/validators answered. */
  constructor(validators: string) {
    this.#directory = mkdtempSync(join(tmpdir(), 'quorate-verify-'));
    this.#validators = this.#file('validators.json', validators);
  }

  /** Exit code: 0 valid, 1 not valid, 2 unreadable. */
  async exitCode(receipt: JsonObject | string, envelope?: Uint8Array): Promise<number | null> {
    const file = this.#file('receipt.json', typeof receipt === 'string' ? receipt : JSON.stringify(receipt));
    const more = envelope === undefined ? [] : ['--envelope', this.#file('envelope.json', envelope)];
    const { code } = await run(['verify', file, '--validators', this.#validators, ...more]);
    return code;
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #file(name: string, content: string | Uint8Array): string {
    const path = join(this.#directory, name);
    writeFileSync(path, content);
    return path;
  }
}
