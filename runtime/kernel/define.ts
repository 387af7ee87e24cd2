// How an actor's two files are written: its definition and its spec. Called by every actor's actor.ts and spec.ts; it
// only gives types and defaults, and must never do anything at import.
import type { ActorDefinition, ActorSpec, ContractShape } from './contract.js';

/** Types a definition: `export default defineActor<Contract, State, Peers, Config>({ … })`. */
export function defineActor<C extends ContractShape, State, L, Config>(
  definition: ActorDefinition<C, State, L, Config>,
): ActorDefinition<C, State, L, Config> {
  return definition;
}

export const SPEC_DEFAULTS = {
  heartbeatMs: 1_000,
  memoryMb: 256,
  startTimeoutMs: 10_000,
  shutdownMs: 5_000,
} as const;

/** Of an actor whose spec names none. Without a limit V8 lets it grow to 48 MB in every thread. */
export const YOUNG_GENERATION_MB = 24;

type Defaulted = keyof typeof SPEC_DEFAULTS;

/** A spec with the defaults filled in. */
export function defineSpec<Config>(
  spec: Omit<ActorSpec<Config>, Defaulted> & Partial<Pick<ActorSpec<Config>, Defaulted>>,
): ActorSpec<Config> {
  return { ...SPEC_DEFAULTS, ...spec };
}
