// The tree as order, over random trees: what must hold of any tree, whatever its shape.
import test from 'ava';
import fc from 'fast-check';
import type { ActorSpec, GroupSpec, GroupStrategy } from './contract.js';
import { defineSpec } from './define.js';
import { affected, isGroup, levelsOf, prerequisites, startOrder, support } from './order.js';

type Shape = 'actor' | readonly [strategy: GroupStrategy, children: readonly Shape[]];

const { shape } = fc.letrec<{ shape: Shape; group: Shape }>((tie) => ({
  shape: fc.oneof({ depthSize: 'small', withCrossShrink: true }, fc.constant<Shape>('actor'), tie('group')),
  group: fc.tuple(
    fc.constantFrom<GroupStrategy>('one-for-one', 'rest-for-one', 'one-for-all'),
    fc.array(tie('shape'), { minLength: 1, maxLength: 4 }),
  ),
}));

function treeOf(children: readonly Shape[], strategy: GroupStrategy): GroupSpec {
  let count = 0;
  const made = (one: Shape): ActorSpec | GroupSpec => {
    count += 1;
    const id = `n${count}`;
    if (one === 'actor') {
      const module = new URL('file:///nowhere.js');
      return defineSpec({ id, module, restart: 'immediate', links: [], configure: (config) => config });
    }
    return { id, strategy: one[0], budget: { intensity: 1, periodMs: 1 }, children: one[1].map(made) };
  };
  return { id: 'root', strategy, budget: { intensity: 1, periodMs: 1 }, children: children.map(made) };
}

const trees = fc
  .tuple(
    fc.array(shape, { minLength: 1, maxLength: 4 }),
    fc.constantFrom<GroupStrategy>('one-for-one', 'rest-for-one', 'one-for-all'),
  )
  .map(([children, strategy]) => treeOf(children, strategy));

test('RT-5: in any tree, what an actor waits for starts before it', (t) => {
  fc.assert(
    fc.property(trees, (tree) => {
      const order = startOrder(tree).map(({ id }) => id);
      t.is(new Set(order).size, order.length);
      for (const [place, id] of order.entries()) {
        const { up, attempted } = prerequisites(tree, id);
        for (const other of [...up, ...attempted]) t.true(order.indexOf(other) < place, `${id} waits for ${other}`);
        t.deepEqual(
          [...up, ...attempted].sort(),
          order.slice(0, place).sort(),
          'every earlier one, in one way or the other',
        );
      }
    }),
  );
});

test('RT-5: in any tree, each level takes along all that the level below it takes, in start order', (t) => {
  fc.assert(
    fc.property(trees, (tree) => {
      const order = startOrder(tree).map(({ id }) => id);
      for (const id of order) {
        let below: string[] = [id];
        for (const level of levelsOf(tree, id)) {
          const taken = affected(level);
          t.deepEqual(
            taken,
            order.filter((other) => taken.includes(other)),
          );
          if (level.group.strategy === 'one-for-one') {
            const child = level.group.children[level.index]!;
            t.deepEqual(
              taken,
              (isGroup(child) ? startOrder(child) : [child]).map((actor) => actor.id),
            );
          }
          for (const other of below) t.true(taken.includes(other), `${other} goes along when ${level.group.id} does`);
          below = taken;
        }
      }
    }),
  );
});

test('RT-5: in any tree, whoever an actor stands on takes it along', (t) => {
  fc.assert(
    fc.property(trees, (tree) => {
      for (const { id } of startOrder(tree)) {
        for (const level of levelsOf(tree, id)) {
          for (const other of support(level)) {
            const same = levelsOf(tree, other).find(({ group }) => group === level.group)!;
            t.true(affected(same).includes(id), `${id} stands on ${other}`);
          }
        }
      }
    }),
  );
});
