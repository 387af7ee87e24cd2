// Which methods a path has, for the Allow header of a 405. Called by the not-found handlers of the HTTP surfaces.
// It must never answer for a path that no route has: that is a 404.
import type { FastifyInstance } from 'fastify';

/** Empty when the path is unknown. `url` may have a query. */
export function allowedMethods(server: Pick<FastifyInstance, 'findRoute'>, url: string): readonly string[] {
  const path = url.split('?')[0] ?? '';
  return (['GET', 'POST'] as const).filter((method) => server.findRoute({ method, url: path }) !== null);
}
