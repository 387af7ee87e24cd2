// Proof that a validator broke the vote rules: two votes it signed and no honest validator signs both (CONSENSUS.md 1.9).
// Called where votes are counted, and by whoever receives, exports or executes evidence.
// Must never accuse on a signature that was not verified.
import { ballotFault, verifySignature } from './certificate.js';
import type { Context } from './context.js';
import type { Vote } from './message.js';
import { FINALIZE, NOTARIZE, NULLIFY } from './vote.js';

/**
 * E1 two blocks notarized in one view (a double proposal too), E2 two finalized, E3 nullified and finalized,
 * E4 one notarized and another finalized.
 */
export type EvidenceRule = 'E1' | 'E2' | 'E3' | 'E4';

/** `first` and `second` are votes of one signer in one view; where the kinds differ, `first` has the lower one. */
export interface Evidence {
  readonly rule: EvidenceRule;
  readonly first: Vote;
  readonly second: Vote;
}

/** The rule that two votes of one signer and one view break together, or null. Symmetric. */
export function conflict(a: Vote, b: Vote): EvidenceRule | null {
  if (a.signer !== b.signer || a.view !== b.view) return null;
  if (a.kind === b.kind) {
    if (a.hash === b.hash) return null;
    return a.kind === NOTARIZE ? 'E1' : 'E2';
  }
  if (a.kind !== FINALIZE && b.kind !== FINALIZE) return null;
  if (a.kind === NULLIFY || b.kind === NULLIFY) return 'E3';
  return a.hash === b.hash ? null : 'E4';
}

/** Evidence from two verified votes, or null when they go together. */
export function evidenceOf(a: Vote, b: Vote): Evidence | null {
  const rule = conflict(a, b);
  if (rule === null) return null;
  return a.kind <= b.kind ? { rule, first: a, second: b } : { rule, first: b, second: a };
}

/** What is wrong with evidence that came from elsewhere, or null when it proves its rule in this context. */
export function evidenceFault(context: Context, evidence: Evidence): string | null {
  const { rule, first, second } = evidence;
  for (const vote of [first, second]) {
    const fault = ballotFault(vote.kind, vote.view, vote.hash);
    if (fault !== null) return fault;
  }
  const found = conflict(first, second);
  if (found !== rule) return found === null ? 'the two votes go together' : `the votes prove ${found}, not ${rule}`;
  for (const { signer, signature, kind, view, hash } of [first, second]) {
    if (!verifySignature(context, signer, signature, kind, view, hash)) {
      return `a signature of validator ${signer} is wrong`;
    }
  }
  return null;
}
