// What a simulated node has around it, and what travels between nodes. Made by the cluster, used by the node model, supply and
// network. Types only.
import type { JournalRecord } from '../../../protocol/consensus/journal.js';
import type { Message } from '../../../protocol/consensus/message.js';
import type { Body, Executed } from './body.js';
import type { Checkers } from './checkers.js';
import type { SimNode } from './node.js';
import type { Chance, Schedule } from './schedule.js';
import type { Trace } from './trace.js';

export type Packet =
  | { readonly type: 'consensus'; readonly message: Message; readonly body: Body | null }
  | { readonly type: 'wanted'; readonly hash: string }
  | { readonly type: 'body'; readonly body: Body }
  | { readonly type: 'range'; readonly fromHeight: number; readonly token: number }
  | { readonly type: 'blocks'; readonly blocks: readonly Executed[]; readonly token: number }
  | { readonly type: 'submissions'; readonly entries: readonly number[] };

/** What a node has around it. */
export interface Surroundings {
  readonly schedule: Schedule;
  readonly chance: Chance;
  readonly trace: Trace;
  readonly checkers: Checkers;
  readonly n: number;
  send(from: SimNode, to: number, packet: Packet): void;
  /** How long the next sync of this node's disk takes. */
  syncMs(node: SimNode): number;
  /** Before and after a batch became durable: true when the node was ended by that. */
  beforeSync(node: SimNode): boolean;
  afterSync(node: SimNode, records: readonly JournalRecord[]): boolean;
  /** The process ended itself. */
  ended(node: SimNode): void;
  isFaulty(index: number): boolean;
}
