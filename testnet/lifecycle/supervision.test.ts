// Deaths in a real node: how far one reaches, and what ends the process.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { JsonObject } from '../../protocol/json.js';
import { LocalNode } from '../local/node.js';
import { admin, ledgerEntries, post, readClientKey, signer, until } from './support.js';

interface Row {
  readonly id: string;
  readonly state: string;
  readonly incarnation: number;
}

async function actorsOf(node: LocalNode): Promise<Record<string, Row>> {
  const { body } = await admin(node, '/v1/admin/actors', 'GET');
  return Object.fromEntries((body.actors as unknown as Row[]).map((row) => [row.id, row]));
}

test('RT-2: while the store is away submissions become final as before, and the next one is given them', async (t) => {
  const node = await LocalNode.start({ env: { QUORATE_SUPERVISION_BACKOFF_FLOOR_MS: '2000' } });
  t.teardown(() => node.dispose());
  const key = readClientKey(join(node.dataDir, 'keys', 'dev-client.json'));
  const sign = await signer();
  const { api } = node.endpoints;
  t.is((await post(api, sign(key, {}))).status, 200);
  await admin(node, '/v1/admin/actors/store/drill/throw');
  await until('a store that waits', async () => (await actorsOf(node)).store!.state === 'backoff');
  const during = [sign(key, {}), sign(key, {}), sign(key, {})];
  for (const signed of during) {
    const { status, body } = await post(api, signed);
    t.is(status, 200, JSON.stringify(body));
    t.truthy(body.receipt);
  }
  const again = await post(api, during[0]!);
  t.is(again.status, 200, 'a repetition has its outcome too');
  t.is((await actorsOf(node)).store!.state, 'backoff', 'all that was without a store');
  await until('a store again', async () => (await actorsOf(node)).store!.state === 'up');
  await until('the ledger', async () => (await ledgerEntries(api)).length === 4);
  const digests = (await ledgerEntries(api)).slice(1).map(({ digest }) => digest);
  t.deepEqual(
    digests,
    during.map(({ digest }) => digest),
  );
  const restarted = Object.values(await actorsOf(node)).filter(({ incarnation }) => incarnation > 1);
  t.deepEqual(
    restarted.map(({ id }) => id),
    ['store'],
  );
  t.deepEqual(await node.stop(), { code: 0, signal: null });
});

test('RT-5: a crash loop ends the process with 70: one death more than the budget allows', async (t) => {
  const node = await LocalNode.start({
    env: { QUORATE_SUPERVISION_BUDGET_INTENSITY: '2', QUORATE_SUPERVISION_BACKOFF_FLOOR_MS: '1' },
  });
  t.teardown(() => node.dispose());
  for (const incarnation of [1, 2, 3]) {
    await until(`consensus ${incarnation}`, async () => {
      const { consensus } = await actorsOf(node);
      return consensus!.state === 'up' && consensus!.incarnation === incarnation;
    });
    // The process may be gone before it has answered.
    await admin(node, '/v1/admin/actors/consensus/drill/throw').catch(() => undefined);
  }
  t.deepEqual(await node.exited, { code: 70, signal: null });
  const last = JSON.parse(readFileSync(join(node.dataDir, 'run', 'last-exit.json'), 'utf8')) as JsonObject;
  t.is(last.code, 70);
  t.regex(String(last.reason), /restart budget is spent; last: consensus crashed: Error: a drill threw/);
});
