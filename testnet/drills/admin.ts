// What drills ask of a node's ops port, with its token. It must never retry: an answer that does not come is a finding.
import type { ActorId } from '../../config/schema.js';
import type { LocalNode } from '../local/node.js';

export interface Status {
  readonly id: ActorId;
  readonly state: string;
  readonly incarnation: number;
  readonly failures: number;
  readonly breaker: string;
  readonly standby: boolean | null;
}

export async function admin(node: LocalNode, method: 'GET' | 'POST', path: string): Promise<Record<string, unknown>> {
  const headers = { authorization: `Bearer ${node.adminToken}` };
  const response = await fetch(`${node.endpoints.ops}${path}`, { method, headers });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

export async function statusOf(node: LocalNode): Promise<readonly Status[]> {
  return (await admin(node, 'GET', '/v1/admin/actors')).actors as readonly Status[];
}
