// The built-in kind `accusation`: a validator says that a node sent it, over a connection that proved the node, an observation
// whose signature does not hold, or that it holds evidence against the node's votes. Called by admission and by ledger apply.
// Must never exclude by itself: one validator could lie, so that apply() counts how many say the same (DECISIONS 26).
import type { JsonObject } from '../json.js';
import { Fields, Mistakes } from '../shape.js';
import { type Kind, ShapeError, type Verdict } from './kind.js';
import { RECORDED } from './note.js';

export const ACCUSATION = 'accusation';

const REASONS = ['InvalidSignature', 'ProtocolEquivocation'] as const;

export interface Accusation {
  /** The node that is accused. */
  readonly nodeId: string;
  readonly reason: (typeof REASONS)[number];
  /** Hex SHA-256 of what the accuser has: the body that the node sent, or the canonical evidence document. */
  readonly body: string;
}

/** Whether accuser and accused may be these, says apply(). */
export const accusation: Kind = {
  name: ACCUSATION,
  check(payload: JsonObject): Verdict {
    try {
      readAccusation(payload);
    } catch (error) {
      if (error instanceof ShapeError) return { ok: false, errors: error.errors };
      throw error;
    }
    return { ok: true, outcome: RECORDED };
  },
};

/** Payload `{node_id, reason, body}`. Throws ShapeError with everything wrong. */
export function readAccusation(payload: JsonObject): Accusation {
  const mistakes = new Mistakes();
  const fields = new Fields(payload, '', ['node_id', 'reason', 'body'], mistakes);
  const reason = fields.oneOf('reason', REASONS);
  const found = { nodeId: fields.identifier('node_id'), reason, body: fields.hex('body') };
  mistakes.done();
  return found;
}

export function accusationPayload({ nodeId, reason, body }: Accusation): JsonObject {
  return { node_id: nodeId, reason, body };
}
