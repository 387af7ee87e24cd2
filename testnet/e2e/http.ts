// Requests as any client could make them, whole or byte by byte, and their answers. Used by the end-to-end tests. It knows
// nothing of the node but its addresses: what the product's own client would hide or repair must be visible here.
import { Agent, request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { JsonObject } from '../../protocol/json.js';

/** Members of all the bodies that the node sends; a test asserts those that it expects. */
export interface Body {
  readonly state?: string;
  readonly digest?: string;
  readonly outcome?: JsonObject;
  readonly receipt?: JsonObject;
  readonly type?: string;
  readonly title?: string;
  readonly status?: number | string;
  readonly detail?: string;
  readonly hint?: string;
  readonly request_id?: string;
  readonly retry_after_s?: number;
  readonly limit_bytes?: number;
  readonly limit_entries?: number;
  readonly errors?: readonly { readonly pointer: string; readonly found: string; readonly allowed: string }[];
  readonly results?: readonly { readonly status: number; readonly body: Body }[];
  readonly [member: string]: unknown;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The text as JSON, {} when it is none. */
  readonly body: Body;
}

export interface Call {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array | string;
  /** Without Content-Length. */
  readonly chunked?: true;
}

const ANSWER_LIMIT_MS = 30_000;

/** One base address with its connections. Answers of every status resolve; only a broken connection rejects. */
export class Http {
  readonly base: string;
  readonly #agent: Agent;

  constructor(base: string, connections = 64) {
    this.base = base;
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  get(path: string, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.call(path, { headers });
  }

  post(path: string, body: Uint8Array | string, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.call(path, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
  }

  call(path: string, { method = 'GET', headers = {}, body, chunked }: Call): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sized = body === undefined || chunked ? {} : { 'content-length': Buffer.byteLength(body) };
      const call = httpRequest(`${this.base}${path}`, {
        method,
        headers: { ...sized, ...headers },
        agent: this.#agent,
      });
      call.setTimeout(ANSWER_LIMIT_MS, () => call.destroy(new Error(`no answer to ${method} ${path}`)));
      call.on('error', reject);
      call.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('error', reject);
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve(answerOf(response.statusCode!, response.headers, Buffer.concat(chunks))));
      });
      call.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Opens a connection, lets `act` write on it, and resolves with the first answer, as soon as it is whole. */
export function exchange(base: string, act: (socket: Socket) => void): Promise<Answer> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(Number(port), hostname, () => act(socket));
    socket.setTimeout(ANSWER_LIMIT_MS, () => socket.destroy(new Error('the node neither answered nor closed')));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const answer = parseAnswer(text);
      if (answer === null) return;
      resolve(answer);
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`the node closed after ${JSON.stringify(text)}`)));
  });
}

/** Null while there is more to come. */
function parseAnswer(text: string): Answer | null {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const [first = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const body = text.slice(end + 4);
  if (body.length < Number(headers['content-length'])) return null;
  return answerOf(Number(first.split(' ')[1]), headers, Buffer.from(body, 'latin1'));
}

function answerOf(status: number, headers: IncomingHttpHeaders, bytes: Buffer): Answer {
  const text = bytes.toString('utf8');
  let body: Body = {};
  if (headers['content-type']?.includes('json') === true) body = JSON.parse(text) as Body;
  return { status, headers, text, body };
}
