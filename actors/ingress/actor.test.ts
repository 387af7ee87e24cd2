// The actor as the kernel runs it, in this thread: a real port, a real verify pool, a real database; the actors it talks
// to are not there.
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { open } from 'lmdb';
import type { RegistryWish } from '../../config/node.js';
import { canonicalize } from '../../protocol/canonical.js';
import type { JsonObject } from '../../protocol/json.js';
import { devClient, makeTestkit, NOON_MS, signedEnvelope, type Testkit } from '../../protocol/ledger/testkit.js';
import { registryText } from '../../protocol/registry.js';
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { ReportValue } from '../../runtime/kernel/contract.js';
import { META_REGISTRY, openTables } from '../ledger/tables.js';
import type { StoreContract } from '../store/contract.js';
import { temporaryDirectory, testContext } from '../testing/context.js';
import { finalMessagesOf, refusedOf } from '../testing/final-blocks.js';
import { FakeLink, until } from '../testing/links.js';
import ingress from './actor.js';
import type { DoorLinks } from './door.js';
import { FakeChain, FakeDedup, FakeLog } from './door-fixture.js';
import { SETTINGS } from './server-fixture.js';
import type { IngressConfig } from './spec.js';

interface Start {
  readonly wish?: (kit: Testkit) => RegistryWish;
  /** Registry that the database has. */
  readonly stored?: (kit: Testkit) => string;
  readonly logDown?: true;
}

async function start(t: ExecutionContext, { wish, stored, logDown }: Start = {}) {
  const kit = await makeTestkit();
  const directory = temporaryDirectory();
  t.teardown(directory.remove);
  const ledger = join(directory.path, 'ledger');
  const tables = openTables(open({ path: ledger, maxDbs: 8 }));
  t.teardown(() => tables.root.close());
  if (stored !== undefined) tables.meta.putSync(META_REGISTRY, stored(kit));
  const log = new FakeLog();
  if (logDown === true) log.link.goDown();
  const chain = new FakeChain(kit);
  const dedup = new FakeDedup(() => chain.view);
  const store = new FakeLink<StoreContract>('store');
  const config: IngressConfig = {
    settings: SETTINGS,
    host: '127.0.0.1',
    port: 0,
    ledger,
    genesis: canonicalize(kit.genesis.json),
    chainId: kit.genesis.chainIdHex,
    nodeId: 'node_0',
    publicKey: kit.validators[0]!.publicKey.toString('hex'),
    // The seed of the kit's first validator.
    seed: Buffer.alloc(32, 16),
    hmacSecrets: [],
    wish: wish === undefined ? null : wish(kit),
  };
  const { context, recorded } = testContext<DoorLinks, IngressConfig>({
    config,
    clock: new ManualClock(NOON_MS),
    links: { 'wal-writer': log.link, dedup: dedup.link, consensus: chain.link, store },
  });
  const state = await ingress.init(context);
  let stopped = false;
  const stop = async () => {
    if (stopped) return;
    stopped = true;
    await ingress.stop(state);
  };
  t.teardown(stop);
  const report = (name: string): ReportValue | undefined =>
    recorded.reports.findLast((each) => each.name === name)?.value;
  const { port } = report('listening')!.data as { port: number };
  const post = (raw: Buffer) =>
    fetch(`http://127.0.0.1:${port}/v1/submissions`, {
      method: 'POST',
      body: new Uint8Array(raw),
      headers: { 'content-type': 'application/json' },
    });
  const produce = async () => {
    await until(() => chain.mempool.size > 0, 'a proposal');
    const { made } = chain.produce(NOON_MS);
    if (made.result.refused.length > 0) ingress.tell.refused(state, structuredClone(refusedOf(made)));
    if (made.result.accepted.length > 0) {
      ingress.tell.finalized(state, structuredClone(finalMessagesOf(kit, made).ingress));
    }
  };
  return { kit, config, state, recorded, report, post, produce, log, chain, stop };
}

/** Real sockets and threads: turns of the loop alone would end before they answer. */
async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('RT-1: a submission over a real port and a real pool becomes final', async (t) => {
  const { kit, post, chain, produce, report, state } = await start(t);
  t.like(report('listening'), { ok: true, data: { host: '127.0.0.1', verify: 'sodium-native' } });
  t.like(report('registry'), { ok: true, data: { version: 0 } });
  const answer = post(signedEnvelope(kit, kit.dev, { id: 'a' }));
  await eventually(() => chain.mempool.size === 1);
  await produce();
  t.is((await answer).status, 200);
  t.deepEqual(ingress.inspect!(state), { waiting: 0, pending: 0, inHand: 0, parked: 0 });
});

function rotated(kit: Testkit): RegistryWish {
  return { clients: [devClient(kit.dev, { key_id: 'k2' })], kinds: [] };
}

test('ID-3: a wish that the ledger does not grant is submitted, and the node is not ready until it does', async (t) => {
  const { report, produce, chain, state } = await start(t, { wish: rotated });
  t.like(report('registry'), { ok: false });
  await eventually(() => chain.mempool.size === 1);
  await produce();
  t.like(report('registry'), { ok: true, data: { version: 1 } });
  t.deepEqual(ingress.inspect!(state), { waiting: 0, pending: 0, inHand: 0, parked: 0 });
});

test('a wish that is granted already is not submitted again', async (t) => {
  const { report, log } = await start(t, {
    wish: rotated,
    stored: (kit) => registryText({ ...kit.genesis.registry, ...rotatedRecords(kit), version: 4 }),
  });
  t.like(report('registry'), { ok: true, data: { version: 4 } });
  t.is(log.link.asked('appendInbox').length, 0);
});

/** The wish as parsed records: only what the text of a registry is made of. */
function rotatedRecords(kit: Testkit): Pick<Testkit['genesis']['registry'], 'clients'> {
  const [client] = kit.genesis.registry.clients;
  const [key] = client!.keys;
  return { clients: [{ ...client!, keys: [{ ...key!, keyId: 'k2' }] }] };
}

test('a wish is asked for again while the log is away', async (t) => {
  const { report, log, chain, produce } = await start(t, { wish: rotated, logDown: true });
  t.like(report('registry'), { ok: false });
  log.link.goUp();
  await eventually(() => chain.mempool.size === 1);
  await produce();
  t.like(report('registry'), { ok: true });
});

test('a wish whose answer was lost on the way is asked for again', async (t) => {
  const { log, report, chain, produce } = await start(t, { wish: rotated });
  log.failing = new Error('the disk has no room');
  await eventually(() => log.link.asked('appendInbox').length >= 1 && log.link.waiting('appendInbox').length === 0);
  log.failing = null;
  await eventually(() => chain.mempool.size === 1);
  await produce();
  t.like(report('registry'), { ok: true });
});

test('ID-3: a reload is prepared, then committed or aborted; a wish that can never be granted is refused', async (t) => {
  const { kit, config, state, report, chain, produce, post } = await start(t);
  const { prepare, commit, abort } = ingress.reconfigure!;
  const broken = { ...config, wish: { clients: [{ issuer: 'x' }] as JsonObject[], kinds: [] } };
  t.throws(() => prepare(state, broken), { message: /\/clients\/0/ });
  prepare(state, { ...config, wish: rotated(kit) });
  abort(state);
  t.like(report('registry'), { ok: true });
  prepare(state, { ...config, wish: rotated(kit) });
  commit(state);
  t.like(report('registry'), { ok: false });
  await eventually(() => chain.mempool.size === 1);
  await produce();
  t.like(report('registry'), { ok: true, data: { version: 1 } });
  const answer = post(signedEnvelope(kit, kit.dev, { id: 'a' }));
  await eventually(() => chain.mempool.size === 1);
  await produce();
  t.is((await answer).status, 200);
});

test('RT-5: a drain answers who waits; a stop closes the port', async (t) => {
  const { kit, state, post, chain, produce, stop } = await start(t);
  const answer = post(signedEnvelope(kit, kit.dev, { id: 'a' }));
  await eventually(() => chain.mempool.size === 1);
  const drained = ingress.drain!(state);
  t.is((await post(signedEnvelope(kit, kit.dev, { id: 'b' }))).status, 503);
  await produce();
  await drained;
  t.is((await answer).status, 200);
  await stop();
  await t.throwsAsync(post(signedEnvelope(kit, kit.dev, { id: 'c' })));
});
