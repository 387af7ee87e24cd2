// The spec of consensus with the module of the equivocator in the place of its own. Found by the tree through preload.ts.
import { consensusSpec as productionSpec } from '../../../actors/consensus/spec.js';

export function consensusSpec(...config: Parameters<typeof productionSpec>): ReturnType<typeof productionSpec> {
  return { ...productionSpec(...config), module: new URL('./actor.js', import.meta.url) };
}
