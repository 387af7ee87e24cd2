// The admin calls of a node's ops server, with the bearer token of its data directory. Called by actors.ts, status.ts and
// reload.ts. It never prints or stores the token.
import { isObject } from '../client/http.js';
import type { JsonObject } from '../protocol/json.js';
import { EXIT } from '../runtime/exit-codes.js';
import { adminToken, opsUrl } from './endpoint.js';
import { type Answer, type CallOptions, call } from './http.js';
import { CliError, type Terminal } from './output.js';

export interface Admin {
  call(path: string, options?: Omit<CallOptions, 'token'>): Promise<Answer>;
}

/** @throws CliError when the data directory names no node or its token is not readable. */
export function adminOf(terminal: Terminal, directory: string, ops: string | undefined): Admin {
  const base = opsUrl(ops, directory);
  const token = adminToken(directory, terminal);
  return { call: (path, options) => call(terminal, `${base}${path}`, { ...options, token }) };
}

/** One row of `GET /v1/admin/actors`; fields that this program does not know stay in the JSON output. */
export type ActorRow = JsonObject & { id: string };

/** @throws CliError */
export async function listActors(admin: Admin): Promise<ActorRow[]> {
  const { body } = await admin.call('/v1/admin/actors');
  const list = Array.isArray(body.actors) ? body.actors : null;
  const rows = list?.filter(isActorRow);
  if (list === null || rows?.length !== list.length) {
    throw new CliError(EXIT.data.code, 'the node answered something else than {"actors":[{"id":…}]}.', {
      hint: 'Node and command may be of different versions: compare "quorate --version".',
    });
  }
  return rows;
}

function isActorRow(value: JsonObject[string]): value is ActorRow {
  return isObject(value) && typeof value.id === 'string';
}
