// Four real daemons over pinned TLS: submissions at each, one killed under load, and what they hold afterwards.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { envelopeText } from '../bench/submissions.js';
import { canonicalize } from '../protocol/canonical.js';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import type { JsonObject } from '../protocol/json.js';
import { verifyReceipt } from '../protocol/receipt-verify.js';
import { ClusterDrill, killed } from './drills/cluster-drills.js';
import { LocalCluster } from './local/cluster.js';
import { Wires } from './local/proxies.js';

interface Final {
  readonly status: number;
  readonly body: JsonObject & { readonly receipt: JsonObject };
}

test('TN-1, CO-1, CO-2, CO-7: four daemons agree; one killed under load comes back; nothing acknowledged is lost', async (t) => {
  t.timeout(240_000);
  const cluster = await LocalCluster.start({ nodes: 4, settings: ['supervision:', '  standby: false'] });
  t.teardown(() => cluster.dispose());
  const submit = await submitter(cluster);
  const validators = await getJson(`${cluster.api(3)}/v1/validators`);
  t.is((validators.validators as JsonObject[]).length, 4);
  t.is(validators.quorum, 3);
  const ed25519 = await loadEd25519();

  for (const { index } of cluster.members) {
    const { status, body } = await submit(index, `at-${index}`);
    t.is(status, 200);
    const { valid, checks } = verifyReceipt(body.receipt, validators, ed25519);
    t.true(valid, JSON.stringify(checks.filter(({ ok }) => !ok)));
    const asked = cluster.members.map((member) => find(cluster.api(member.index), String(body.receipt.digest)));
    for (const receipt of await Promise.all(asked)) t.is(withoutCertificate(receipt), withoutCertificate(body.receipt));
  }

  // The same bytes at two nodes at once, and again at a third.
  const twice = await Promise.all([submit(0, 'twice'), submit(2, 'twice')]);
  const again = await submit(3, 'twice');
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

async function submitter(cluster: LocalCluster): Promise<(node: number, id: string) => Promise<Final>> {
  const file = join(cluster.members[0]!.dataDir, 'keys', 'dev-client.json');
  const key = JSON.parse(readFileSync(file, 'utf8')) as { issuer: string; seed: string };
  const ed25519 = await loadEd25519();
  const { secretKey } = ed25519.keyPair(Buffer.from(key.seed, 'hex'));
  const issuedAt = new Date().toISOString();
  return async (node, id) => {
    const body = envelopeText(key.issuer, id, issuedAt, (message) => ed25519.sign(message, secretKey));
    // A machine that is busy with other tests may take longer than a client waits: the same bytes join what is under way.
    for (;;) {
      const response = await fetch(`${cluster.api(node)}/v1/submissions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      const answer = { status: response.status, body: (await response.json()) as Final['body'] };
      if (answer.status !== 202 && answer.status !== 503) return answer;
    }
  };
}

/** The receipt as this node has it, as soon as it has. */
async function find(api: string, digest: string): Promise<JsonObject> {
  for (;;) {
    const answer = await getJson(`${api}/v1/submissions/${digest}`);
    if (answer.state === 'final') return answer.receipt as JsonObject;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function getJson(url: string): Promise<JsonObject> {
  return (await (await fetch(url)).json()) as JsonObject;
}

function withoutCertificate({ certificate: _, chain: __, ...rest }: JsonObject): string {
  return canonicalize(rest);
}
