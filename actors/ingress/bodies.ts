// Reads the body of a request as bytes, counted on the stream (IN-8). Called by the server before anything is parsed. It
// must never hold more than the limit in memory, whatever Content-Length says or leaves out.
import type { IncomingMessage } from 'node:http';
import type { Refusal } from './answers.js';

/** The body is larger than this call takes (413). */
export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';
  readonly statusCode = 413;
  readonly limitBytes: number;

  constructor(limitBytes: number) {
    super(`the body is larger than ${limitBytes} bytes`);
    this.limitBytes = limitBytes;
  }
}

export type BodyDone = (error: Error | null, body?: Buffer) => void;

/**
 * Calls `done` once: with the whole body, or with what went wrong. What comes after too much is read and dropped until the
 * request ends or its time is over: closing on a client that still writes would reset the connection, and the reset can
 * overtake the answer.
 */
export function readBody(request: IncomingMessage, limitBytes: number, done: BodyDone): void {
  if (Number(request.headers['content-length']) > limitBytes) {
    request.resume();
    done(new BodyTooLarge(limitBytes));
    return;
  }
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  let isDone = false;
  const end = (error: Error | null) => {
    // An error may follow the end, and data follows what was too much.
    if (isDone) return;
    isDone = true;
    if (error === null) done(null, Buffer.concat(chunks, sizeBytes));
    else done(error);
  };
  request
    .on('data', (chunk: Buffer) => {
      if (isDone) return;
      sizeBytes += chunk.length;
      if (sizeBytes <= limitBytes) chunks.push(chunk);
      else end(new BodyTooLarge(limitBytes));
    })
    .on('end', () => end(null))
    .on('error', end);
}

/** Why a whole body cannot be a submission, by its type and size alone; null when it may be one. */
export function refusalOfBody(contentType: string | undefined, body: unknown): Refusal | null {
  if (contentType !== undefined && !/^application\/(?:[a-z0-9.+-]+\+)?json\s*(?:;|$)/i.test(contentType)) {
    return { slug: 'unsupported-media-type', detail: `found ${contentType}, allowed application/json` };
  }
  if (!(body instanceof Uint8Array) || body.length === 0)
    return { slug: 'malformed-json', detail: 'the body is empty' };
  return null;
}

/** Why a body was not read to its end. */
export function refusalOfRead(error: Error): Refusal {
  if (error instanceof BodyTooLarge) return { slug: 'body-too-large', members: { limit_bytes: error.limitBytes } };
  return { slug: 'malformed-request', detail: error.message };
}
