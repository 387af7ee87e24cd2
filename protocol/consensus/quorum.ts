// How many validators may fail and how many must agree, for every n (CONSENSUS.md 1.3).
// Called by the consensus core, the genesis and the receipt verifier.
// Must never differ between two nodes: these numbers decide what counts as final.

/** Byzantine validators assumed among `n`: ⌊(n − 1) / 3⌋. `n` is a positive integer. */
export function faults(n: number): number {
  return Math.floor((n - 1) / 3);
}

/**
 * Signatures that make a certificate among `n` validators: ⌊(n + f) / 2⌋ + 1.
 * Two such sets share at least f + 1 validators, so at least one honest one (PBFT's ⌈(n + f + 1) / 2⌉).
 */
export function quorum(n: number): number {
  return Math.floor((n + faults(n)) / 2) + 1;
}
