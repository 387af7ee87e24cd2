// Faults put into the consensus core and the simulated host on purpose, one at a time, as exact replacements in the compiled
// tree. Read by mutants.ts: each must be found by the core's tests or by a simulation. It must never be imported by anything
// that runs a node.
import type { Suite } from '../mutant.js';

export const CLUSTER_SUITE: Suite = { mutants: [], parts: [], looks: () => [] };
