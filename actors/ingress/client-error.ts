// Answers what node refuses before there is a request: bytes that are no HTTP, headers that are too large, requests that
// do not arrive in time. Called by the server for each such connection. It has no route and no reply, only the socket.
import type { Socket } from 'node:net';
import type { Answers } from './answers.js';
import type { Answer } from './submission.js';

const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};

/** Answers and closes. Null when nobody is there to be answered. */
export function answerClientError(
  error: Error & { code?: string },
  socket: Socket,
  answers: Answers,
  requestId: string,
): Answer | null {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return null;
  }
  const slug =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? 'request-timeout'
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? 'headers-too-large'
        : 'malformed-request';
  const detail = slug === 'malformed-request' ? { detail: 'the bytes are not an HTTP/1.1 request' } : {};
  const answer = answers.problem({ slug, ...detail }, requestId);
  const headers = {
    ...answer.headers,
    'x-request-id': requestId,
    'content-length': String(Buffer.byteLength(answer.body)),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const head = `HTTP/1.1 ${answer.status} ${STATUS_TEXT[answer.status] ?? 'Error'}\r\n${lines.join('\r\n')}\r\n\r\n`;
  // The client may never close its side: ending ours and dropping what it still sends frees the descriptor.
  socket.end(head + answer.body, () => socket.destroy());
  return answer;
}
