// One HTTP call to a node, with a deadline and an answer that is always an object or a CliError that says what to do.
// Called by the commands that ask or administer a node; submissions go through client/submit.ts, which retries.
// It never retries and never prints.
import { bodyObject, connectionReason } from '../client/http.js';
import type { JsonObject } from '../protocol/json.js';
import { EXIT } from '../runtime/exit-codes.js';
import { CliError, type Terminal } from './output.js';

export interface Answer {
  readonly status: number;
  /** Empty when the body is no JSON object. */
  readonly body: JsonObject;
}

export interface CallOptions {
  readonly method?: 'GET' | 'POST';
  /** Bearer token of the admin calls. */
  readonly token?: string;
  /** Statuses, besides 2xx, that are an answer and no error. */
  readonly alsoFine?: readonly number[];
  /** Default 10 s: these calls answer at once unless something hangs. */
  readonly deadlineMs?: number;
}

/** @throws CliError: 69 no answer, 77 refused credentials, 65 any other 4xx. */
export async function call(terminal: Terminal, url: string, options: CallOptions = {}): Promise<Answer> {
  const headers: Record<string, string> = { accept: 'application/json, application/problem+json' };
  if (options.token !== undefined) headers.authorization = `Bearer ${options.token}`;
  let answer: Answer;
  try {
    const response = await terminal.fetch(url, {
      method: options.method ?? 'GET',
      headers,
      redirect: 'error',
      signal: AbortSignal.timeout(options.deadlineMs ?? 10_000),
    });
    answer = { status: response.status, body: bodyObject(new Uint8Array(await response.arrayBuffer())) };
  } catch (error) {
    throw noAnswer(url, error);
  }
  if ((answer.status >= 200 && answer.status < 300) || options.alsoFine?.includes(answer.status) === true)
    return answer;
  throw refused(url, answer);
}

/** The error of a call that got no HTTP answer: refused, reset, or past its deadline. */
export function noAnswer(url: string, error: unknown): CliError {
  return new CliError(EXIT.unavailable.code, `${new URL(url).origin} does not answer: ${connectionReason(error)}.`, {
    hint: 'Check that the node runs ("quorate status") and that the address is right.',
    cause: error,
  });
}

/** The error of an answer that says no: a problem document (RFC 9457), or whatever there is of one. */
export function refused(url: string, answer: Answer): CliError {
  const title = text(answer.body.title) ?? 'no explanation';
  const detail = text(answer.body.detail);
  const lines = [`${answer.status} ${title}${detail === undefined ? '' : `: ${detail}`}`, ...fieldErrors(answer.body)];
  const hint = text(answer.body.hint);
  return new CliError(exitOf(answer.status), `${new URL(url).origin} answered ${lines.join('\n  ')}`, {
    ...(hint === undefined ? {} : { hint }),
    detail: { status: answer.status, problem: answer.body },
  });
}

function exitOf(status: number): number {
  if (status === 401 || status === 403) return EXIT.permission.code;
  if (status >= 500 || status === 408 || status === 429) return EXIT.unavailable.code;
  return EXIT.data.code;
}

/** `/payload/text: found …, allowed is …` for each entry of the problem's `errors`. */
function fieldErrors(problem: JsonObject): string[] {
  if (!Array.isArray(problem.errors)) return [];
  return problem.errors.map((entry) => {
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return String(entry);
    const { pointer, found, allowed } = entry;
    if (pointer === undefined && found === undefined) return JSON.stringify(entry);
    return `${text(pointer) ?? ''}: found ${shown(found)}, allowed is ${shown(allowed)}`;
  });
}

function shown(value: JsonObject[string] | undefined): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? null);
}

function text(value: JsonObject[string] | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
