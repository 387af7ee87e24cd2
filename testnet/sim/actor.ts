// The actor that every simulated incarnation runs, and how it misbehaves. Called by supervisor.ts through the host's plan.
// It runs on its thread's clock alone, so that nothing of it happens after its end.
import { Counter } from '../../observability/prom-client.js';
import type { ActorContext, Links } from '../../runtime/kernel/contract.js';
import { defineActor } from '../../runtime/kernel/define.js';
import { OUT_OF_MEMORY, type SimulatedThread, type ThreadPlan } from '../../runtime/kernel/simulated-thread.js';
import type { Boot } from '../../runtime/kernel/wire.js';
import { eighths, type InitKind, pick, type SimConfig } from './plan.js';
import { type Answer, type Letter, POLICIES, type SimContract, type Talk } from './talk.js';
import type { World } from './world.js';

type Peers = Record<string, SimContract>;

export interface SimState {
  readonly links: Links<Peers>;
  config: SimConfig;
  next: SimConfig | null;
}

/** What is inside the threads: the state of each that is initialized. */
export type States = Map<SimulatedThread, SimState>;

export function planOf(
  world: World,
  talk: Talk,
  states: States,
  boot: Boot,
  thread: () => SimulatedThread,
): ThreadPlan {
  const { random, scenario, calm } = world;
  const { frailty } = scenario;
  const fails = !calm && random.next() < frailty.load;
  const definition = definitionOf(world, talk, states, boot, thread);
  return {
    spawnMs: eighths(random, 1, 20),
    loadMs: eighths(random, 1, pick(random, [5, 60])),
    module: fails ? pick(random, ['throws', 'never-loads'] as const) : definition,
    exitMs: eighths(random, 0, pick(random, [2, 200])),
  };
}

function definitionOf(world: World, talk: Talk, states: States, boot: Boot, thread: () => SimulatedThread): object {
  const { random, scenario } = world;
  const { id, incarnation } = boot;
  const frail = (chance: number) => !world.calm && random.next() < chance;
  const pause = (context: ActorContext<Peers, SimConfig>, lowMs: number, highMs: number) =>
    new Promise<void>((resolve) => context.clock.setTimer(eighths(random, lowMs, highMs), resolve));
  const answer = (letter: Letter): Answer => {
    take(letter);
    return { by: id, incarnation };
  };
  let handled: Counter | null = null;
  let stopped = false;
  const take = (letter: Letter): void => {
    if (stopped) world.found('talk', `${id}#${incarnation} was stopped, and a message of ${letter.from} reached it`);
    if (letter.from !== '(main)') talk.takesEffect(`${id}#${incarnation}`, letter.from, letter.incarnation);
    talk.handled(id);
    handled?.inc();
  };
  let context: ActorContext<Peers, SimConfig> | null = null;
  const hooks = {
    prepare(state: SimState, next: SimConfig) {
      if (frail(scenario.frailty.prepare)) throw new Error('simulated: refused');
      state.next = next;
    },
    commit(state: SimState) {
      if (frail(scenario.frailty.prepare)) thread().crash('Error: simulated: in commit');
      if (state.next !== null) state.config = state.next;
      state.next = null;
    },
    abort(state: SimState) {
      state.next = null;
    },
  };
  return defineActor<SimContract, SimState, Peers, SimConfig>({
    policies: POLICIES,
    async init(given) {
      context = given;
      const kind: InitKind = frail(scenario.frailty.init) ? pick(random, ['throws', 'hangs', 'dies']) : 'ready';
      world.note(`init ${id}#${incarnation} ${kind}`);
      if (kind === 'hangs') await new Promise(() => {});
      await pause(given, 0, pick(random, [5, 300]));
      if (kind === 'dies') thread().die(1, random.next() < 0.3 ? OUT_OF_MEMORY : null);
      if (kind === 'throws') throw new Error('simulated: init');
      handled = new Counter({ name: 'sim_handled_total', help: 'messages', registers: [given.registry] });
      given.report('value', { ok: true, data: { value: given.config.value } });
      const state: SimState = { links: given.links, config: given.config, next: null };
      states.set(thread(), state);
      return state;
    },
    tell: {
      note: (_, letter) => take(letter),
      bomb() {
        // One that was long under way may come when nothing may go wrong any more.
        if (!world.calm) throw new Error('simulated: in a tell');
      },
    },
    ask: {
      echo: (_, letter) => answer(letter),
      async slow(_, letter) {
        const later = answer(letter);
        await new Promise<void>((resolve) => context?.clock.setTimer(letter.forMs ?? 0, resolve));
        return later;
      },
      async never(_, letter) {
        take(letter);
        return new Promise<Answer>(() => {});
      },
      fail() {
        throw new Error('simulated: in an ask');
      },
    },
    ...(scenario.reconfigures.has(id) ? { reconfigure: hooks } : {}),
    async drain() {
      world.note(`drain ${id}#${incarnation}`);
      if (context !== null) await pause(context, 0, 30);
    },
    async stop() {
      stopped = true;
      world.note(`stop ${id}#${incarnation}`);
      if (frail(scenario.frailty.stop)) await new Promise(() => {});
      if (context !== null) await pause(context, 0, 40);
    },
    ...(scenario.abandons.has(id) ? { abandon: () => world.note(`abandon ${id}#${incarnation}`) } : {}),
  });
}
