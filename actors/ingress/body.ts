// Takes a request's body in as bytes, under a limit that a reload may change. Called by fastify for every request with
// a body, in place of its own parser, whose limit is fixed when the server is made. It must never hold more than the limit.
import { errorCodes, type FastifyRequest } from 'fastify';

type Done = (error: Error | null, body?: Buffer) => void;

/** A content-type parser: the whole body, or 413 as soon as it is known to be too large. */
export function bodyReader(limitOf: (request: FastifyRequest) => number) {
  return (request: FastifyRequest, payload: NodeJS.ReadableStream, done: Done): void => {
    const limit = limitOf(request);
    if (Number(request.headers['content-length']) > limit) {
      done(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
      return;
    }
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    const finish = (error: Error | null): void => {
      payload.removeListener('data', onData).removeListener('end', onEnd).removeListener('error', onError);
      // A copy: the chunks are views into the socket's read buffer.
      if (error === null) done(null, Buffer.concat(chunks, sizeBytes));
      else done(error);
    };
    const onData = (chunk: Buffer): void => {
      sizeBytes += chunk.length;
      if (sizeBytes > limit) finish(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
      else chunks.push(chunk);
    };
    const onEnd = (): void => finish(null);
    const onError = (error: Error): void => finish(Object.assign(error, { statusCode: 400 }));
    payload.on('data', onData).on('end', onEnd).on('error', onError).resume();
  };
}
