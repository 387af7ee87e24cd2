// The budgets of nested groups as a property: no group restarts more often than it may without its parent hearing of it.
import test from 'ava';
import fc from 'fast-check';
import { Budgets } from './budgets.js';
import type { GroupSpec } from './contract.js';
import type { Level } from './order.js';

function level(id: string, intensity: number, periodMs: number): Level<unknown> {
  const group: GroupSpec = { id, strategy: 'one-for-one', budget: { intensity, periodMs }, children: [] };
  return { group, index: 0 };
}

const settings = fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 1, max: 1_000 })), {
  minLength: 1,
  maxLength: 4,
});

test('RT-5: each group pays for at most `intensity` restarts within any `periodMs`, and gives up exactly when it cannot', (t) => {
  fc.assert(
    fc.property(settings, fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 40 }), (groups, gapsMs) => {
      const levels = groups.map(([intensity, periodMs], index) => level(`g${index}`, intensity, periodMs));
      const budgets = new Budgets<unknown>();
      const paid = new Map<string, number[]>(levels.map(({ group }) => [group.id, []]));
      let nowMs = 0;
      for (const gapMs of gapsMs) {
        nowMs += gapMs;
        const gaveUp: string[] = [];
        const payer = budgets.spend(levels, nowMs, ({ group }) => gaveUp.push(group.id));
        const asked = levels.slice(0, gaveUp.length + (payer === null ? 0 : 1)).map(({ group }) => group.id);
        t.deepEqual(
          [...gaveUp, ...(payer === null ? [] : [payer.group.id])],
          asked,
          'innermost first, one after the other',
        );
        for (const { group } of levels) {
          const recent = paid.get(group.id)!.filter((atMs) => nowMs - atMs < group.budget.periodMs);
          if (gaveUp.includes(group.id)) {
            t.is(recent.length, group.budget.intensity, `${group.id} gives up only when it has spent all`);
            paid.set(group.id, []);
          } else if (payer?.group.id === group.id) {
            t.true(recent.length < group.budget.intensity, `${group.id} pays only within its budget`);
            paid.set(group.id, [...recent, nowMs]);
          }
        }
      }
    }),
  );
});
