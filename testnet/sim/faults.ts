// What befalls a living incarnation, each fault as what a thread would do. Called by supervisor.ts at the scenario's moments.
// It must never tell the supervisor anything: that is for the thread's end to do.
import { OUT_OF_MEMORY, type SimulatedThread } from '../../runtime/kernel/simulated-thread.js';
import type { Random } from '../drills/random.js';
import { type Fault, pick } from './plan.js';

/** A failed fsync, as an actor reports it. */
export const FATAL_CODE = 74;

/** True when the thread reported what must end the process. */
export function befall(thread: SimulatedThread, fault: Fault, forMs: number, gated: boolean, random: Random): boolean {
  switch (fault) {
    case 'crash':
      thread.crash('Error: simulated');
      break;
    case 'exit':
      thread.die(pick(random, [0, 3]));
      break;
    case 'out-of-memory':
      thread.die(1, OUT_OF_MEMORY);
      break;
    case 'hang':
      thread.block(forMs);
      break;
    case 'hang-for-ever':
      thread.block(Number.POSITIVE_INFINITY);
      break;
    case 'native':
      thread.block(forMs, true);
      break;
    case 'write':
      if (gated) thread.write(forMs);
      break;
    case 'die-in-write':
      if (gated) thread.write(forMs);
      if (gated) thread.crash('Error: simulated: in a write');
      break;
    case 'unkillable':
      thread.mortal = false;
      break;
    case 'fatal':
      if (thread.runner === null || thread.blocked) return false;
      thread.report({ kind: 'fatal', exitCode: FATAL_CODE, reason: 'simulated' });
      return true;
  }
  return false;
}
