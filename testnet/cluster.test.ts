// Four real daemons over pinned TLS: submissions at each, many at once, one killed under load, and what they hold afterwards.
import test from 'ava';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import type { JsonObject } from '../protocol/json.js';
import { verifyWith } from '../protocol/receipt-verify.js';
import { parseValidatorSet } from '../protocol/validators.js';
import { ClusterDrill, killed } from './drills/cluster-drills.js';
import { LocalCluster } from './local/cluster.js';
import { ClusterClient, withoutCertificate } from './local/cluster-client.js';
import { Wires } from './local/proxies.js';

const RELAYS = 50;
/** Receipts of one in so many are asked for at every node. */
const ASKED_EVERY = 8;

test('TN-1, CO-1, CO-2, CO-7, NET-5: four daemons agree on what each relays, once; one killed under load comes back; nothing is lost', async (t) => {
  t.timeout(240_000);
  const cluster = await LocalCluster.start({ nodes: 4, settings: ['supervision:', '  standby: false'] });
  t.teardown(() => cluster.dispose());
  const client = await ClusterClient.of(cluster);
  const nodes = cluster.members.map(({ index }) => index);
  const validators = await client.get(3, '/v1/validators');
  t.is((validators.validators as JsonObject[]).length, 4);
  t.is(validators.quorum, 3);
  const set = parseValidatorSet(validators);
  const ed25519 = await loadEd25519();

  // All at once, each node with messages of its own; then each ledger has each once, and every node gives the same receipts.
  const ids = nodes.flatMap((node) =>
    Array.from({ length: RELAYS }, (_, number) => ({ node, id: `${node}-${number}` })),
  );
  const answers = await Promise.all(ids.map(({ node, id }) => client.submit(node, id)));
  for (const { status } of answers) t.is(status, 200);
  for (const { body } of answers.filter((_, index) => index % ASKED_EVERY === 0)) {
    for (const receipt of await Promise.all(nodes.map((node) => client.find(node, String(body.receipt.digest))))) {
      t.is(withoutCertificate(receipt), withoutCertificate(body.receipt));
      const { valid, checks } = verifyWith(receipt, set, ed25519);
      t.true(valid, JSON.stringify(checks.filter(({ ok }) => !ok)));
    }
  }
  const sorted = ids.map(({ id }) => id).sort();
  for (const node of nodes) t.deepEqual((await client.ids(node)).sort(), sorted);

  // The same bytes at two nodes at once, and again at a third.
  const twice = await Promise.all([client.submit(0, 'twice'), client.submit(2, 'twice')]);
  const again = await client.submit(3, 'twice');
  for (const { status, body } of [...twice, again]) {
    t.is(status, 200);
    t.deepEqual(body.outcome, again.body.outcome);
    t.is(withoutCertificate(body.receipt), withoutCertificate(again.body.receipt));
  }

  const options = { nodes: 4, connections: 8, perSecond: 80, rounds: 1, faultMs: 500, limitMs: 60_000, log: () => {} };
  const report = await new ClusterDrill(cluster, new Wires(), options).run('cluster-kills', killed, [1]);
  t.deepEqual(report.faults, []);
  t.true(report.acknowledged > 50);
});
