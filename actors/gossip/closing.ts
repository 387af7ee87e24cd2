// Why connections between peers end: names for metrics and logs, and the codes that travel in the close frame. Used by
// gossip. A code, once published, keeps its meaning: the other side may run another version.

/** Reason → close code (RFC 6455 section 7.4: 4000 to 4999 are ours). */
export const CLOSE_CODES = {
  'going-away': 1001,
  'frame-too-large': 1009,
  'malformed-hello': 4001,
  'hello-timeout': 4002,
  'other-chain': 4003,
  'unknown-peer': 4004,
  'wrong-identity': 4005,
  'bad-proof': 4006,
  duplicate: 4007,
  'malformed-frame': 4008,
  silent: 4009,
  'pin-changed': 4010,
  'peer-changed': 4011,
} as const;

export type CloseReason = keyof typeof CLOSE_CODES | 'lost' | 'protocol-error' | 'other';

const BY_CODE = new Map<number, CloseReason>(
  Object.entries(CLOSE_CODES).map(([reason, code]) => [code, reason as CloseReason]),
);

/** What a close code that arrived means. */
export function reasonOf(code: number): CloseReason {
  if (code === 1006 || code === 1005) return 'lost';
  return BY_CODE.get(code) ?? 'other';
}

/** What an operator has to mend: it counts for the breaker of the peer, where a lost network only delays. */
const REFUSALS: ReadonlySet<CloseReason> = new Set<CloseReason>([
  'malformed-hello',
  'other-chain',
  'unknown-peer',
  'wrong-identity',
  'bad-proof',
  'pin-changed',
]);

export function isRefusal(reason: CloseReason): boolean {
  return REFUSALS.has(reason);
}
