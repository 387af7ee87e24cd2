// The name of one request in answers, logs and problem documents (IN-12). Called by every HTTP surface. A caller's own id
// is kept only in an alphabet that cannot break a log line or a header.
import { randomUUID } from 'node:crypto';

const REQUEST_ID = /^[A-Za-z0-9\-_.]{1,64}$/;

/** The value of X-Request-Id where it is one, else a new UUIDv4. A repeated header is none. */
export function requestIdOf(header: string | string[] | undefined): string {
  return typeof header === 'string' && REQUEST_ID.test(header) ? header : randomUUID();
}
