// Reads the body of a request as bytes, counted on the stream (IN-8). Called by the server before anything is parsed. It
// must never hold more than the limit in memory, whatever Content-Length says or leaves out.
import type { IncomingMessage } from 'node:http';

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

/**
 * Bytes past the limit that are still read, and thrown away, before the answer. A connection closed on a client that is
 * still writing is reset, and the reset can overtake the answer: then the client learns nothing. Larger ones are not
 * worth their bandwidth.
 */
const DISCARD_MAX_BYTES = 1024 * 1024;

export type BodyDone = (error: Error | null, body?: Buffer) => void;

/** Calls `done` once: with the whole body, or with what went wrong. */
export function readBody(request: IncomingMessage, limitBytes: number, done: BodyDone): void {
  const limitAllBytes = limitBytes + DISCARD_MAX_BYTES;
  if (Number(request.headers['content-length']) > limitAllBytes) {
    done(new BodyTooLarge(limitBytes));
    return;
  }
  let chunks: Buffer[] = [];
  let sizeBytes = 0;
  const end = (error: Error | null) => {
    request.off('data', onData).off('end', onEnd).off('error', end);
    if (error !== null) done(error);
    else if (sizeBytes > limitBytes) done(new BodyTooLarge(limitBytes));
    else done(null, Buffer.concat(chunks, sizeBytes));
  };
  const onEnd = () => end(null);
  const onData = (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes <= limitBytes) chunks.push(chunk);
    else if (sizeBytes <= limitAllBytes) chunks = [];
    else end(null);
  };
  request.on('data', onData).on('end', onEnd).on('error', end);
}
