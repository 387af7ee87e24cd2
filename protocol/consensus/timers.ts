// How long to wait, as a pure function of view, finalized view and configuration (R8, R9).
// Called by the core when it decides whether a leader is late.
// Must never depend on what happened before: there is no timer to reset, so none can be reset by the wrong event.

export interface Delays {
  /** Δ of this view. */
  readonly deltaMs: number;
  /** t_l: no proposal seen. */
  readonly leaderMs: number;
  /** t_a: the view has not been left. */
  readonly leaveMs: number;
  /** t_r: between repetitions of a proposal to a peer that still lacks it. */
  readonly repeatMs: number;
}

/**
 * e = max(0, view − finalizedView − 1 − (f + 1)); Δ = min(Δ0 · 1.5^e, Δmax), rounded up to a millisecond.
 * By multiplication, because Math.pow differs between Node versions (DECISIONS 24); the loop ends at the cap.
 */
export function delays(
  timing: { readonly delta0Ms: number; readonly deltaMaxMs: number },
  faults: number,
  view: number,
  finalizedView: number,
): Delays {
  let exponent = Math.max(0, view - finalizedView - 1 - (faults + 1));
  let deltaMs = timing.delta0Ms;
  while (exponent > 0 && deltaMs < timing.deltaMaxMs) {
    deltaMs *= 1.5;
    exponent -= 1;
  }
  deltaMs = Math.ceil(Math.min(deltaMs, timing.deltaMaxMs));
  return { deltaMs, leaderMs: 2 * deltaMs, leaveMs: 3 * deltaMs, repeatMs: 2 * deltaMs };
}

/** T_s (R10): between statuses while there is something to agree on. */
export function statusMs(timing: { readonly delta0Ms: number }): number {
  return Math.max(200, timing.delta0Ms);
}

/** Between statuses of an idle node: what was lost while a link stood is made up for by then. 5 s at Δ0 up to 200 ms. */
export function idleStatusMs(timing: { readonly delta0Ms: number }): number {
  return 25 * statusMs(timing);
}
