// Accuses a peer of an observation whose signature does not hold, or of votes that contradict each other: an `accusation` envelope
// signed with the validator key. Called by the answers to peers, and with evidence. One word a peer and process; the ledger keeps
// one for ever, and excludes only when enough say the same.
import { sha256Hex } from '../../protocol/crypto/hash.js';
import { envelopeSignedBytes } from '../../protocol/envelope.js';
import { ACCUSATION, type Accusation, accusationPayload } from '../../protocol/kinds/accusation.js';
import type { Registry } from '../../protocol/registry.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import type { Clock } from '../../runtime/kernel/contract.js';
import type { Door } from './door.js';
import type { WishSigner } from './registry-wish.js';
import { emptySubmission } from './submission.js';

export interface AccuserParts {
  readonly door: Pick<Door, 'admit'>;
  readonly signer: WishSigner;
  readonly registry: () => Registry;
  readonly clock: Clock;
}

/** Nobody waits for it: it goes on in the log after this. */
const WAIT_MS = 5_000;

export class Accuser {
  readonly #parts: AccuserParts;
  /** Peers are configured, so that these are few. */
  readonly #accused = new Set<string>();

  constructor(parts: AccuserParts) {
    this.#parts = parts;
  }

  /** `body` is what the peer sent, or the evidence. Says nothing where the ledger would refuse it: alone, no validator, or no observer. */
  accuse(nodeId: string, reason: Accusation['reason'], body: Uint8Array): void {
    const { signer, registry, door, clock } = this.#parts;
    const { frame, observers } = registry();
    const isValidator = frame.observers.length > 1 && frame.validators.has(signer.nodeId);
    if (!isValidator || !observers.has(nodeId) || nodeId === signer.nodeId || this.#accused.has(nodeId)) return;
    const nowMs = clock.monotonic();
    const raw = accusationEnvelope(signer, { nodeId, reason, body: sha256Hex(body) }, clock.now());
    const submission = emptySubmission(InboxRoute.envelope, raw, ACCUSATION, null);
    const refused = door.admit(submission, {
      requestId: ACCUSATION,
      deadlineMs: nowMs + WAIT_MS,
      limitMs: nowMs + WAIT_MS,
      respondAsync: false,
      settle: () => {},
    });
    if (refused === null) this.#accused.add(nodeId);
  }
}

/** Its id names the accused: a second accusation by the same validator is the same id, and the ledger has it already. */
export function accusationEnvelope(signer: WishSigner, accusation: Accusation, nowMs: number): Buffer {
  const unsigned = {
    kind: ACCUSATION,
    id: `${ACCUSATION}-${sha256Hex(accusation.nodeId)}`,
    issuer: signer.nodeId,
    issued_at: new Date(nowMs).toISOString(),
    payload: accusationPayload(accusation),
    alg: 'ed25519' as const,
  };
  const signature = signer.ed25519.sign(envelopeSignedBytes(unsigned), signer.secretKey);
  return Buffer.from(JSON.stringify({ ...unsigned, sig: Buffer.from(signature).toString('base64') }));
}
