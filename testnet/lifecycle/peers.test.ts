// Two real nodes and their peer network: they find each other over pinned TLS; certificates and pins change by SIGHUP
// without a connection lost that they do not concern; what is wrong is refused, at the start and by reload.
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { freePort } from '../../actors/gossip/gossip-fixture.js';
import { readAudit } from '../../config/audit-file.js';
import { issueCertificate, nodeCertificate, writeClusterCertificates } from '../../config/certificates.js';
import { type NodeKey, openNodeKey } from '../../config/key-files.js';
import { pinsText } from '../../config/pins-file.js';
import { auditRecords } from '../../protocol/audit-check.js';
import { canonicalize } from '../../protocol/canonical.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { createGenesis } from '../../protocol/genesis.js';
import { eventually } from '../e2e/subject.js';
import { type Metrics, metricsText, parseMetrics, type ReloadResult, reload as reloadNode } from '../local/metrics.js';
import { LocalNode } from '../local/node.js';

interface Member {
  readonly key: NodeKey;
  readonly dataDir: string;
  readonly port: number;
  readonly config: string;
}

const directory = mkdtempSync(join(tmpdir(), 'quorate-two-'));
const certs = join(directory, 'certs');
let members: readonly Member[];
let nodes: LocalNode[] = [];
/** Node id → fingerprints. */
const pins = new Map<string, string[]>();

test.before(async () => {
  const ed25519 = await loadEd25519();
  members = await Promise.all(
    [1, 2].map(async (number) => {
      const dataDir = join(directory, `node_${number}`);
      mkdirSync(dataDir, { mode: 0o700 });
      const places = { mode: 'development' as const, keysDir: join(dataDir, 'keys'), dataDir, env: {} };
      const key = openNodeKey(places, ed25519);
      return { key, dataDir, port: await freePort(), config: join(directory, `quorate-${number}.yaml`) };
    }),
  );
  const genesis = createGenesis({
    createdAtMs: Date.now(),
    validators: members.map(({ key }) => ({ nodeId: key.nodeId, publicKey: key.publicKey })),
  });
  const made = await writeClusterCertificates(
    certs,
    members.map(({ key }) => ({ nodeId: key.nodeId, addresses: [] })),
    { nowMs: Date.now(), authorityBits: 2048 },
  );
  for (const { key } of members) pins.set(key.nodeId, [made.nodes.get(key.nodeId)!.fingerprint]);
  const entries = members.map(
    ({ key, port }) =>
      `  - { node_id: ${key.nodeId}, address: 127.0.0.1, port: ${port}, public_key: "${key.publicKey.toString('hex')}" }`,
  );
  writeFileSync(join(directory, 'peers.yml'), `peers:\n${entries.join('\n')}\n`);
  for (const { key, dataDir, port, config } of members) {
    writeFileSync(join(dataDir, 'genesis.json'), canonicalize(genesis.json));
    writeFileSync(join(dataDir, 'initialising'), `${genesis.chainIdHex}\n`);
    copyFileSync(made.pins, join(dataDir, 'pins.json'));
    for (const ending of ['crt', 'key'])
      copyFileSync(join(certs, `${key.nodeId}.${ending}`), join(dataDir, `tls.${ending}`));
    const settings = {
      data_dir: dataDir,
      listen: '127.0.0.1:0',
      ops_listen: '127.0.0.1:0',
      peer_listen: `127.0.0.1:${port}`,
      peers_file: join(directory, 'peers.yml'),
      pinned_certs: join(dataDir, 'pins.json'),
      tls: { ca: made.ca, cert: join(dataDir, 'tls.crt'), key: join(dataDir, 'tls.key') },
      verify: { backend: 'libsodium-wrappers' },
    };
    writeFileSync(config, JSON.stringify(settings));
  }
  nodes = members.map(launch);
  await Promise.all(nodes.map((node) => node.ready()));
  await bothConnected();
});

test.after.always(async () => {
  await Promise.all(nodes.map((node) => node.dispose()));
  rmSync(directory, { recursive: true, force: true });
});

function launch({ dataDir, config }: Member): LocalNode {
  return new LocalNode({ dataDir, bare: true, args: ['--config', config] });
}

async function metricsOf(index: number): Promise<Metrics> {
  return parseMetrics(await metricsText(nodes[index]!.endpoints.ops));
}

async function bothConnected(): Promise<void> {
  await eventually('both to be connected', async () => {
    const all = await Promise.all([metricsOf(0), metricsOf(1)]);
    return all.every((metrics) => metrics.total('quorate_peer_connected') === 1) ? true : null;
  });
}

const reload = (index: number): Promise<ReloadResult> => reloadNode(nodes[index]!);

function writePins(index: number): void {
  writeFileSync(join(members[index]!.dataDir, 'pins.json'), pinsText(pins));
}

const closed = async (index: number): Promise<number> => (await metricsOf(index)).total('quorate_peer_closed_total');

test.serial('NET-1: real nodes connect over pinned TLS, and say where their peer port is', async (t) => {
  for (const [index, node] of nodes.entries()) {
    t.is(node.endpoints.peer, `https://127.0.0.1:${members[index]!.port}`);
    const metrics = await metricsOf(index);
    t.true(metrics.total('quorate_tls_handshakes_total', 'status="success"') >= 1);
    t.is(metrics.total('quorate_pinning_violations_total'), 0);
    t.true(metrics.total('quorate_tls_certificate_expiry_seconds', 'role="own"') > 360 * 86_400);
    t.false(node.output.includes('PRIVATE KEY'));
  }
});

test.serial('ID-7: verify.backend holds for what consensus checks, itself and in its thread', async (t) => {
  const { endpoints, adminToken } = nodes[0]!;
  const headers = { authorization: `Bearer ${adminToken}` };
  const seen = await (await fetch(`${endpoints.ops}/v1/admin/actors/consensus`, { headers })).json();
  t.like(seen, { verify: { own: 'libsodium-wrappers', bodies: 'libsodium-wrappers' } });
});

test.serial('CF-3, NET-8: a reload with a wrong file is refused and changes nothing', async (t) => {
  const { dataDir } = members[0]!;
  const before = await closed(0);
  t.is(await reload(0), 'unchanged');
  writeFileSync(join(dataDir, 'pins.json'), '{"peers": {\n "x": "sha256:1"}}');
  t.is(await reload(0), 'error');
  t.true(nodes[0]!.output.includes('pins.json:2:7: peers.x: found'));
  writePins(0);
  chmodSync(join(dataDir, 'tls.key'), 0o644);
  t.is(await reload(0), 'error');
  t.true(nodes[0]!.output.includes('chmod 0600'));
  chmodSync(join(dataDir, 'tls.key'), 0o600);
  copyFileSync(join(members[1]!.dataDir, 'tls.key'), join(dataDir, 'tls.key'));
  t.is(await reload(0), 'error', 'a key of another certificate');
  copyFileSync(join(certs, `${members[0]!.key.nodeId}.key`), join(dataDir, 'tls.key'));
  t.is(await reload(0), 'unchanged');
  t.is(await closed(0), before, 'no connection was lost');
  await bothConnected();
});

test.serial('NET-2, NET-9: a certificate is rotated without losing the peer, and the new one is used', async (t) => {
  const { nodeId } = members[1]!.key;
  const authority = {
    cert: readFileSync(join(certs, 'ca.crt'), 'utf8'),
    key: readFileSync(join(certs, 'ca.key'), 'utf8'),
  };
  const next = await issueCertificate(authority, nodeCertificate(nodeId, [], Date.now()));
  const before = [await closed(0), await closed(1)];
  pins.set(nodeId, [...pins.get(nodeId)!, next.fingerprint]);
  writePins(0);
  t.is(await reload(0), 'ok');
  // Its own pin means nothing to a node.
  writePins(1);
  t.is(await reload(1), 'unchanged');
  writeFileSync(join(members[1]!.dataDir, 'tls.crt'), next.cert);
  writeFileSync(join(members[1]!.dataDir, 'tls.key'), next.key);
  t.is(await reload(1), 'ok');
  t.deepEqual([await closed(0), await closed(1)], before, 'no connection was lost');
  await nodes[1]!.stop();
  nodes[1] = launch(members[1]!);
  await nodes[1].ready();
  await bothConnected();
  // Now the old pin may go, and nothing happens.
  const lost = await closed(0);
  pins.set(nodeId, [next.fingerprint]);
  writePins(0);
  t.is(await reload(0), 'ok');
  t.is(await closed(0), lost);
  await bothConnected();
});

test.serial('NET-2: a wrong pin closes the connection and is counted; put right, the peer is back', async (t) => {
  const { nodeId } = members[1]!.key;
  const right = pins.get(nodeId)!;
  pins.set(nodeId, ['a'.repeat(64)]);
  writePins(0);
  t.is(await reload(0), 'ok');
  await eventually('violations', async () => {
    const metrics = await metricsOf(0);
    return metrics.total('quorate_pinning_violations_total', `peer="${nodeId}"`) >= 1 ? true : null;
  });
  t.is((await metricsOf(0)).total('quorate_peer_connected'), 0);
  await eventually('the audit line', () => {
    const lines = [...readAudit(members[0]!.dataDir).files].flatMap(({ bytes }) => auditRecords(bytes));
    return lines.some(({ line }) => line.event === 'pin_violation' && line.peer === nodeId) ? true : null;
  });
  pins.set(nodeId, right);
  writePins(0);
  t.is(await reload(0), 'ok');
  await bothConnected();
});

test.serial('NET-5: gossip that was killed opens its port again, and its peers come back', async (t) => {
  const { endpoints, adminToken } = nodes[0]!;
  const handshakes = async () => (await metricsOf(0)).total('quorate_tls_handshakes_total', 'status="success"');
  const before = await handshakes();
  const headers = { authorization: `Bearer ${adminToken}` };
  const killed = await fetch(`${endpoints.ops}/v1/admin/actors/gossip/kill`, { method: 'POST', headers });
  t.is(killed.status, 200);
  await eventually('a new connection', async () => ((await handshakes()) > before ? true : null));
  await bothConnected();
  t.is(nodes[0]!.endpoints.peer, endpoints.peer);
});

test.serial(
  'NET-8, CF-9: a key that others may read and a port that is taken end the start, and say what to do',
  async (t) => {
    const node = nodes[1]!;
    t.like(await node.stop(), { code: 0 });
    const key = join(members[1]!.dataDir, 'tls.key');
    chmodSync(key, 0o640);
    const refused = launch(members[1]!);
    t.is((await refused.exited).code, 78);
    t.regex(refused.output, /tls\.key: found mode 0640; allowed: 0600 or 0400\. Fix it: chmod 0600/);
    chmodSync(key, 0o600);
    const taken = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => void taken.listen(members[1]!.port, '127.0.0.1', resolve));
    const crowded = launch(members[1]!);
    t.is((await crowded.exited).code, 69);
    t.regex(crowded.output, /--peer-listen/);
    await new Promise((resolve) => void taken.close(resolve));
  },
);
