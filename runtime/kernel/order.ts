// The supervision tree as order: who starts when, who must be up first, whom a death takes along. Pure; called by the
// supervisor alone. It must never know whether anything runs.
import type { ActorSpec, GroupSpec } from './contract.js';

export function isGroup<Config>(node: ActorSpec<Config> | GroupSpec<Config>): node is GroupSpec<Config> {
  return 'children' in node;
}

/** All actors in start order; stop order is its reverse. */
export function startOrder<Config>(node: ActorSpec<Config> | GroupSpec<Config>): ActorSpec<Config>[] {
  return isGroup(node) ? node.children.flatMap((child) => startOrder(child)) : [node];
}

/** One step of the way from an actor to the root. */
export interface Level<Config> {
  readonly group: GroupSpec<Config>;
  /** Which child of `group` the actor is, or lies in. */
  readonly index: number;
}

/** The groups above an actor, innermost first. Throws for an id that is not in the tree. */
export function levelsOf<Config>(root: GroupSpec<Config>, actorId: string): Level<Config>[] {
  const levels = search(root, actorId);
  if (levels === null) throw new Error(`no actor "${actorId}" in the tree`);
  return levels;
}

function search<Config>(group: GroupSpec<Config>, actorId: string): Level<Config>[] | null {
  for (const [index, child] of group.children.entries()) {
    if (!isGroup(child)) {
      if (child.id === actorId) return [{ group, index }];
      continue;
    }
    const below = search(child, actorId);
    if (below !== null) return [...below, { group, index }];
  }
  return null;
}

/** Ids, in start order, that go down and come back together when child `index` of the group dies. */
export function affected<Config>({ group, index }: Level<Config>): string[] {
  const taken = group.children.filter((_, position) => {
    if (group.strategy === 'one-for-all') return true;
    return group.strategy === 'rest-for-one' ? position >= index : position === index;
  });
  return taken.flatMap((child) => startOrder(child)).map((actor) => actor.id);
}

/** Ids of the siblings at this level that the actor or group stands on: whose death takes it along. */
export function support<Config>({ group, index }: Level<Config>): string[] {
  if (group.strategy === 'one-for-one') return [];
  return earlier(group, index);
}

function earlier<Config>(group: GroupSpec<Config>, index: number): string[] {
  const children = group.children.slice(0, index);
  return children.flatMap((child) => startOrder(child)).map((actor) => actor.id);
}

export interface Prerequisites {
  /** Must be up: what the actor stands on. */
  readonly up: readonly string[];
  /** Must at least have been attempted since they last went down together: siblings that do not depend on each other. */
  readonly attempted: readonly string[];
}

/** What must hold before an actor may start, from the strategies of the groups above it. */
export function prerequisites<Config>(root: GroupSpec<Config>, actorId: string): Prerequisites {
  const up: string[] = [];
  const attempted: string[] = [];
  for (const { group, index } of levelsOf(root, actorId)) {
    const kind = group.strategy === 'one-for-one' ? attempted : up;
    kind.push(...earlier(group, index));
  }
  return { up, attempted };
}

/** What is wrong with a tree, as sentences; empty when it can be run. */
export function treeProblems<Config>(root: GroupSpec<Config>): string[] {
  const problems: string[] = [];
  const actors = startOrder(root);
  const ids = new Set(actors.map((actor) => actor.id));
  if (actors.length === 0) problems.push('the tree has no actor');
  const nodes = allIds(root);
  for (const id of new Set(nodes.filter((id, position) => nodes.indexOf(id) !== position))) {
    problems.push(`the id "${id}" occurs more than once`);
  }
  for (const actor of actors) {
    if (!/^[a-z][a-z0-9-]*$/.test(actor.id)) {
      problems.push(`"${actor.id}" is no actor id; allowed: lower-case letters, digits and "-", a letter first`);
    }
    for (const peer of actor.links) {
      if (peer === actor.id) problems.push(`"${actor.id}" has a link to itself`);
      else if (!ids.has(peer)) problems.push(`"${actor.id}" has a link to "${peer}", which is not in the tree`);
    }
  }
  for (const held of actors.filter(({ restart }) => restart === 'circuit-breaker')) {
    const waiting = actors.filter(({ id }) => prerequisites(root, id).up.includes(held.id));
    if (waiting.length === 0) continue;
    const ids = waiting.map(({ id }) => `"${id}"`).join(', ');
    problems.push(`"${held.id}" is held down while its breaker is open, and ${ids} could not start without it`);
  }
  return problems;
}

/** The tree of a configuration. Throws when it cannot be run. */
export function checkedTree<Config>(
  tree: GroupSpec<Config> | ((config: Config) => GroupSpec<Config>),
  config: Config,
): GroupSpec<Config> {
  const made = typeof tree === 'function' ? tree(config) : tree;
  const problems = treeProblems(made);
  if (problems.length > 0) throw new Error(`the supervision tree cannot be run: ${problems.join('; ')}`);
  return made;
}

function allIds<Config>(node: ActorSpec<Config> | GroupSpec<Config>): string[] {
  return isGroup(node) ? [node.id, ...node.children.flatMap((child) => allIds(child))] : [node.id];
}
