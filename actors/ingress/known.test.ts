// What dedup knows of a batch: each of its answers meets the submission that it is about.
import test from 'ava';
import { devEntry, makeTestkit } from '../../protocol/ledger/testkit.js';
import type { AdmitVerdict, Known } from '../dedup/contract.js';
import { until } from '../testing/links.js';
import { nodeOf, submit } from './door-fixture.js';

test('IN-6: of a batch, what dedup knows is answered, and the rest is proposed', async (t) => {
  const kit = await makeTestkit(1);
  const node = nodeOf(kit, 0);
  const verdicts: Record<string, AdmitVerdict> = { b: 'conflict', c: 'in-flight', d: 'final' };
  node.dedup.answer('admit', ({ keys }) => ({
    known: keys.flatMap((key, place): Known[] => {
      const verdict = verdicts[key.at(-1)!] ?? 'new';
      return verdict === 'new' ? [] : [{ place, verdict, height: 7, index: 2 }];
    }),
  }));
  const answers = ['a', 'b', 'c', 'd', 'e'].map((id) => submit(node, devEntry(kit, { id }).raw));
  await until(() => node.consensus.asked('propose').length > 0);
  t.deepEqual(
    node.consensus.asked('propose').flatMap(({ request }) => [...request.ids]),
    ['a', 'c', 'e'],
  );
  t.deepEqual(
    answers.map((given) => given.map(({ status }) => status)),
    [[], [409], [], [], []],
  );
  // The ledger of the fixture is empty: what is final waits until it can be read.
  t.is(node.door.stats().parked, 1);
});
