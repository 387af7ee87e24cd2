// A minimal HTTP/1.1 response parser (RFC 9112) for the load generator: status line, headers, a body of Content-Length.
// One per connection, fed with what the socket read; it keeps what is incomplete.
// It must never guess: chunked coding, a missing or bad length, or bytes that are no response are errors that say so.

/** `body` is a view into memory that is reused after the call: read it at once, copy what is kept. */
export type OnResponse = (status: number, body: Buffer, close: boolean) => void;

export class ResponseError extends Error {
  override readonly name = 'ResponseError';
}

/** A server whose header section is longer than this is not one that we measure. */
const HEAD_MAX_BYTES = 16 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');

export class ResponseParser {
  private readonly onResponse: OnResponse;
  private kept: Buffer | null = null;

  constructor(onResponse: OnResponse) {
    this.onResponse = onResponse;
  }

  /** True while bytes of an unfinished response are held: a connection that ends then was cut. */
  get midway(): boolean {
    return this.kept !== null;
  }

  /** Calls `onResponse` for every response that `chunk` completes. Throws ResponseError; the connection is unusable then. */
  push(chunk: Buffer): void {
    let data = chunk;
    if (this.kept !== null) {
      data = Buffer.concat([this.kept, chunk]);
      this.kept = null;
    }
    let start = 0;
    while (start < data.length) {
      const next = this.one(data, start);
      if (next < 0) {
        // The caller reads into the same buffer again, so what is kept is copied.
        this.kept = Buffer.from(data.subarray(start));
        return;
      }
      start = next;
    }
  }

  /** Parses one response at `start`; returns the offset behind it, or -1 when it is not complete yet. */
  private one(data: Buffer, start: number): number {
    const end = data.indexOf(HEAD_END, start);
    if (end < 0) {
      if (data.length - start > HEAD_MAX_BYTES) throw new ResponseError(`header section over ${HEAD_MAX_BYTES} bytes`);
      return -1;
    }
    const head = data.toString('latin1', start, end);
    const status = statusOf(head);
    const bodyStart = end + 4;
    if (status < 200) return bodyStart; // An interim response (100, 103): the final one follows.
    const lengthBytes = status === 204 || status === 304 ? 0 : lengthOf(head);
    const bodyEnd = bodyStart + lengthBytes;
    if (data.length < bodyEnd) return -1;
    this.onResponse(status, data.subarray(bodyStart, bodyEnd), /\r\nconnection: *close *(?:\r|$)/i.test(head));
    return bodyEnd;
  }
}

function statusOf(head: string): number {
  const status = /^HTTP\/1\.1 ([1-5]\d\d)(?: |\r|$)/.exec(head)?.[1];
  if (status === undefined) {
    throw new ResponseError(`found ${JSON.stringify(head.slice(0, 40))} where "HTTP/1.1 <status>" belongs`);
  }
  return Number(status);
}

function lengthOf(head: string): number {
  const lengths = head.match(/\r\ncontent-length:[^\r]*/gi);
  if (lengths === null || /\r\ntransfer-encoding:/i.test(head)) {
    throw new ResponseError('the response has no Content-Length or is chunked; the load generator reads neither');
  }
  const value = lengths[0].slice(lengths[0].indexOf(':') + 1).trim();
  if (lengths.length > 1 || !/^\d{1,9}$/.test(value)) {
    throw new ResponseError(`Content-Length is ${JSON.stringify(lengths.join(','))}; one decimal number is allowed`);
  }
  return Number(value);
}
