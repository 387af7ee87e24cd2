// What one validator's consensus core is given and never changes: chain, epoch, members, timing, and two pure capabilities.
// Made by the consensus actor from genesis and keys; passed to every call of the core.
// Must never carry a clock, randomness or I/O: sign and verify are functions of their arguments alone.

export interface Validator {
  readonly nodeId: string;
  /** Ed25519 public key, 32 bytes, screened when the validator set was read. */
  readonly publicKey: Uint8Array;
}

export interface Context {
  /** SHA-256 of the canonical genesis, 32 bytes. */
  readonly chainId: Uint8Array;
  readonly epoch: number;
  /** Own index in `validators`, or null for a node that follows without a vote. */
  readonly self: number | null;
  /** In the order of the epoch: an index into this list is a validator's name everywhere inside the core. */
  readonly validators: readonly Validator[];
  /** Δ0 and its cap Δmax (R8), milliseconds. */
  readonly delta0Ms: number;
  readonly deltaMaxMs: number;
  /** Ed25519 over the bytes with the own key, 64 bytes. Deterministic, as RFC 8032 defines it: replay compares bytes. */
  sign(bytes: Uint8Array): Uint8Array;
  verify(signature: Uint8Array, bytes: Uint8Array, publicKey: Uint8Array): boolean;
  /** Another order of leaders, for tests that choose them. A node never has one. */
  leaderAt?(view: number): number;
}

/** leader(v) = order[v mod n] (CONSENSUS.md 1.4). */
export function leaderOf(context: Context, view: number): number {
  return context.leaderAt === undefined ? view % context.validators.length : context.leaderAt(view);
}
