// The tree as order: the node's own shape as the example, and what is refused.
import test from 'ava';
import type { ActorSpec, GroupSpec } from './contract.js';
import { defineSpec } from './define.js';
import { affected, levelsOf, prerequisites, startOrder, treeProblems } from './order.js';

function actor(id: string, more: Partial<ActorSpec> = {}): ActorSpec {
  return defineSpec({
    id,
    module: new URL('file:///nowhere.js'),
    restart: 'immediate',
    links: [],
    configure: (config) => config,
    ...more,
  });
}

function group(id: string, strategy: GroupSpec['strategy'], children: GroupSpec['children']): GroupSpec {
  return { id, strategy, budget: { intensity: 3, periodMs: 5_000 }, children };
}

const NODE = group('root', 'rest-for-one', [
  group('core', 'rest-for-one', [actor('wal'), actor('store'), actor('consensus')]),
  group('edge', 'one-for-one', [actor('dedup'), actor('gossip'), actor('ingress')]),
]);

test('RT-5: start order is the order of the list, groups in place', (t) => {
  t.deepEqual(
    startOrder(NODE).map(({ id }) => id),
    ['wal', 'store', 'consensus', 'dedup', 'gossip', 'ingress'],
  );
});

const TAKEN: [dead: string, inItsGroup: string[], whenItsGroupGaveUp: string[]][] = [
  ['wal', ['wal', 'store', 'consensus'], ['wal', 'store', 'consensus', 'dedup', 'gossip', 'ingress']],
  ['store', ['store', 'consensus'], ['wal', 'store', 'consensus', 'dedup', 'gossip', 'ingress']],
  ['consensus', ['consensus'], ['wal', 'store', 'consensus', 'dedup', 'gossip', 'ingress']],
  ['gossip', ['gossip'], ['dedup', 'gossip', 'ingress']],
];
for (const [dead, inItsGroup, whenItsGroupGaveUp] of TAKEN) {
  test(`RT-5: the death of ${dead} takes along ${inItsGroup.join(', ')}`, (t) => {
    const [inner, outer] = levelsOf(NODE, dead);
    t.deepEqual(affected(inner!), inItsGroup);
    t.deepEqual(affected(outer!), whenItsGroupGaveUp);
  });
}

test('RT-5: one-for-all takes along every child, also earlier ones', (t) => {
  const tree = group('root', 'one-for-all', [actor('a'), actor('b'), actor('c')]);
  t.deepEqual(affected(levelsOf(tree, 'b')[0]!), ['a', 'b', 'c']);
});

test('RT-5: what must be up before a start, and what must only have been tried', (t) => {
  t.deepEqual(prerequisites(NODE, 'wal'), { up: [], attempted: [] });
  t.deepEqual(prerequisites(NODE, 'consensus'), { up: ['wal', 'store'], attempted: [] });
  t.deepEqual(prerequisites(NODE, 'ingress'), { up: ['wal', 'store', 'consensus'], attempted: ['dedup', 'gossip'] });
});

const REFUSED: [what: string, tree: GroupSpec, problem: RegExp][] = [
  ['an empty tree', group('root', 'one-for-one', []), /no actor/],
  ['an id twice', group('root', 'one-for-one', [actor('a'), actor('a')]), /"a" occurs more than once/],
  ['an actor named as its group', group('a', 'one-for-one', [actor('a')]), /"a" occurs more than once/],
  ['a link into nowhere', group('root', 'one-for-one', [actor('a', { links: ['b'] })]), /"a" has a link to "b"/],
  ['a link to itself', group('root', 'one-for-one', [actor('a', { links: ['a'] })]), /link to itself/],
  ['an id that is no label', group('root', 'one-for-one', [actor('(main)')]), /no actor id/],
  [
    'a breaker under an actor that stands on it',
    group('root', 'rest-for-one', [actor('a', { restart: 'circuit-breaker' }), actor('b')]),
    /"a" is held down while its breaker is open, and "b"/,
  ],
];
for (const [what, tree, problem] of REFUSED) {
  test(`a tree with ${what} is refused`, (t) => {
    t.regex(treeProblems(tree).join('\n'), problem);
  });
}

test('the tree of the node is not refused, with breakers on the edge', (t) => {
  t.deepEqual(treeProblems(NODE), []);
  const edge = group('edge', 'one-for-one', [actor('gossip', { restart: 'circuit-breaker' }), actor('ingress')]);
  t.deepEqual(treeProblems(group('root', 'rest-for-one', [actor('wal'), edge])), []);
});

test('an unknown id is an error that names it', (t) => {
  t.throws(() => levelsOf(NODE, 'nobody'), { message: /no actor "nobody"/ });
});
