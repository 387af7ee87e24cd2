// The operator's wish for the registry as a submission of this node: a `registry` envelope signed with the validator
// key, which counts where the validator is alone (DECISIONS 16). Called by the actor at start and on reload. Pure.
import type { RegistryWish } from '../../config/node.js';
import { canonicalize } from '../../protocol/canonical.js';
import type { Ed25519 } from '../../protocol/crypto/ed25519.js';
import { sha256Hex } from '../../protocol/crypto/hash.js';
import { envelopeSignedBytes } from '../../protocol/envelope.js';
import type { JsonObject } from '../../protocol/json.js';
import { parseWish, wishJson } from '../../protocol/kinds/registry-kind.js';
import type { Registry } from '../../protocol/registry.js';

/** Whether the registry is what the operator wants. Throws ShapeError when the wish could never become one. */
export function isGranted(registry: Registry, wish: RegistryWish): boolean {
  const wanted = parseWish(payloadOf(wish), registry.frame);
  return canonicalize(wishJson(wanted)) === canonicalize(wishJson(registry));
}

export interface WishSigner {
  readonly nodeId: string;
  readonly ed25519: Ed25519;
  readonly secretKey: Uint8Array;
}

/** The envelope's bytes. Its id names version and content: asking twice for the same is one submission. */
export function wishEnvelope(registry: Registry, wish: RegistryWish, signer: WishSigner, nowMs: number): Buffer {
  const payload = payloadOf(wish);
  const unsigned = {
    kind: 'registry',
    id: `registry-${registry.version + 1}-${sha256Hex(canonicalize(payload)).slice(0, 16)}-${nowMs}`,
    issuer: signer.nodeId,
    issued_at: new Date(nowMs).toISOString(),
    payload,
    alg: 'ed25519' as const,
    sig: '',
  };
  const signature = signer.ed25519.sign(envelopeSignedBytes(unsigned), signer.secretKey);
  return Buffer.from(canonicalize({ ...unsigned, sig: Buffer.from(signature).toString('base64') }));
}

function payloadOf(wish: RegistryWish): JsonObject {
  return { clients: [...wish.clients], kinds: [...wish.kinds] };
}
