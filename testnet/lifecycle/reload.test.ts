// A running node takes a new configuration, or keeps the old one and says why, while a client goes on submitting.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ClientKey } from '../../client/sign.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import type { JsonObject } from '../../protocol/json.js';
import { LocalNode } from '../local/node.js';
import {
  admin,
  http,
  ledgerEntries,
  metric,
  post,
  put,
  readClientKey,
  type Signed,
  SteadyClient,
  signer,
  until,
} from './support.js';

const FAR = '2099-01-01T00:00:00Z';
const PAST = '2020-01-01T00:00:00Z';
const ORDER = {
  type: 'object',
  properties: { item: { type: 'string' }, count: { type: 'integer', minimum: 1 } },
  required: ['item', 'count'],
  additionalProperties: false,
};

const directory = mkdtempSync(join(tmpdir(), 'quorate-reload-'));
const files = {
  config: join(directory, 'quorate.yaml'),
  clients: join(directory, 'clients.yml'),
  kinds: join(directory, 'kinds'),
  secret: join(directory, 'batch.secret'),
  log: join(directory, 'node.log'),
  data: join(directory, 'data'),
};
let sign: (key: ClientKey, draft: { kind?: string; payload?: JsonObject }) => Signed;
let node: LocalNode;
let steady: SteadyClient;
let oldKey: ClientKey;
let newKey: ClientKey;

interface Wish {
  readonly limits?: string;
  readonly level?: string;
  readonly more?: string;
}

function writeConfig({ limits = 'body_bytes: 65536', level = 'info', more = '' }: Wish = {}): void {
  const lines = [
    `limits: { ${limits} }`,
    'clients_file: clients.yml',
    'kinds_dir: kinds',
    `log: { level: ${level}, file: node.log }`,
    more,
  ];
  put(files.config, `${lines.join('\n')}\n`);
}

/** key_id → window; the secret of an HMAC key stands in a file of its own. */
function writeClients(keys: readonly (readonly [ClientKey, string, string])[]): void {
  const entries = keys.map(
    ([key, id, window]) => `      - { key_id: ${id}, alg: ed25519, public_key: "${key.publicKey}"${window} }`,
  );
  put(
    files.clients,
    [
      'clients:',
      '  - issuer: shop',
      '    keys:',
      ...entries,
      '  - issuer: batch',
      '    keys: [{ key_id: batch, alg: hmac-sha256, secret_file: batch.secret }]',
      '',
    ].join('\n'),
  );
}

function logLines(): JsonObject[] {
  return [files.log, `${files.log}.1`]
    .filter((path) => existsSync(path))
    .flatMap((path) => readFileSync(path, 'utf8').split('\n'))
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as JsonObject);
}

/** SIGHUP, and the line that says what came of it. */
async function hangUp(): Promise<JsonObject> {
  const reloads = () => logLines().filter(({ event }) => String(event).startsWith('config.reload_'));
  const before = reloads().length;
  node.signal('SIGHUP');
  await until('the result of the reload in the log', () => reloads().length > before);
  return reloads().at(-1)!;
}

const results = async () => ({
  ok: await metric(node, 'quorate_peer_reload_total{result="ok"}'),
  unchanged: await metric(node, 'quorate_peer_reload_total{result="unchanged"}'),
  error: await metric(node, 'quorate_peer_reload_total{result="error"}'),
});

async function statusOf(key: ClientKey, draft: { kind?: string; payload?: JsonObject } = {}): Promise<number> {
  return (await post(node.endpoints.api, sign(key, draft))).status;
}

async function newClientKey(): Promise<ClientKey> {
  const seed = crypto.getRandomValues(new Uint8Array(32));
  const { publicKey } = (await loadEd25519()).keyPair(seed);
  return { issuer: 'shop', publicKey: Buffer.from(publicKey).toString('hex'), seed };
}

test.before(async () => {
  sign = await signer();
  oldKey = await newClientKey();
  newKey = await newClientKey();
  mkdirSync(files.kinds);
  put(files.secret, 'a secret of at least thirty-two bytes\n');
  writeClients([[oldKey, 'old', '']]);
  writeConfig();
  node = await LocalNode.start({ dataDir: files.data, args: ['--config', files.config] });
  await until('the configured clients', async () => (await http(`${node.endpoints.ops}/readyz`)).status === 200);
  const dev = readClientKey(join(files.data, 'keys', 'dev-client.json'));
  steady = new SteadyClient(node.endpoints.api, 4, () => sign(dev, {}));
});

test.after.always(async () => {
  await steady?.stop();
  await node?.dispose();
  rmSync(directory, { recursive: true, force: true });
});

test.serial('CF-3: nothing changed is told as unchanged, also just after a first start', async (t) => {
  t.is((await hangUp()).event, 'config.reload_unchanged');
  t.deepEqual((await admin(node, '/v1/admin/reload')).body, { result: 'unchanged', errors: [], changed: [] });
  t.deepEqual(await results(), { ok: 0, unchanged: 2, error: 0 });
});

test.serial('CF-3: YAML that cannot be read is refused with file and line, and everything stays', async (t) => {
  put(files.config, 'limits:\n  body_bytes: 4096\n  bad: [\n');
  const line = await hangUp();
  t.is(line.event, 'config.reload_refused');
  t.is(line.level, 'error');
  t.regex(JSON.stringify(line.problems), /quorate\.yaml:[34]/);
  t.deepEqual(await results(), { ok: 0, unchanged: 2, error: 1 });
  t.is(await statusOf(oldKey, { payload: { text: 'x'.repeat(10_000) } }), 200, 'the old limit is in force');
});

test.serial(
  'CF-3: a key file that others may read is refused with the chmod, for a client and for the node',
  async (t) => {
    writeConfig();
    chmodSync(files.secret, 0o644);
    const line = await hangUp();
    t.is(line.event, 'config.reload_refused');
    t.regex(JSON.stringify(line.problems), /batch\.secret.*0644.*0600.*chmod 0600/);
    rmSync(files.secret);
    t.regex(JSON.stringify((await admin(node, '/v1/admin/reload')).body.errors), /batch\.secret.*no such file/);
    put(files.secret, 'a secret of at least thirty-two bytes\n');
    const nodeKey = join(files.data, 'keys', 'node.key');
    chmodSync(nodeKey, 0o640);
    t.regex(JSON.stringify((await admin(node, '/v1/admin/reload')).body.errors), /node\.key.*0640.*chmod 0600/);
    chmodSync(nodeKey, 0o600);
    t.is((await hangUp()).event, 'config.reload_unchanged', 'mended, and nothing differs');
  },
);

const REFUSED: [what: string, change: () => void, error: RegExp][] = [
  ['an unknown setting', () => writeConfig({ more: 'lisen: 127.0.0.1:1' }), /quorate\.yaml:5.*lisen.*unknown.*listen/],
  ['a value out of range', () => writeConfig({ limits: 'body_bytes: 1' }), /quorate\.yaml:1.*limits\.body_bytes.*1024/],
  ['limits that contradict', () => writeConfig({ limits: 'batch_entries: 500, in_flight_max: 10' }), /in_flight_max/],
  [
    'an address, fixed while the node runs',
    () => writeConfig({ more: 'peer_listen: 127.0.0.1:8001' }),
    /peer_listen.*restart/,
  ],
  ['another genesis, fixed for this data', () => writeConfig({ more: 'genesis: other.json' }), /genesis.*chain/],
  ['a client file that is not there', () => rmSync(files.clients), /clients\.yml.*no such file/],
  [
    'an algorithm without its key',
    () => put(files.clients, 'clients: [{ issuer: a, keys: [{ key_id: a, alg: hmac-sha256 }] }]\n'),
    /secret/,
  ],
  [
    'a schema with a keyword that is not taken',
    () => put(join(files.kinds, 'order.json'), '{"type":"object","pattern":"x"}'),
    /order\.json.*pattern/,
  ],
];
for (const [what, change, error] of REFUSED) {
  test.serial(`CF-3, ID-12: refused with its reason: ${what}`, async (t) => {
    writeConfig();
    writeClients([[oldKey, 'old', '']]);
    rmSync(join(files.kinds, 'order.json'), { force: true });
    change();
    const { status, body } = await admin(node, '/v1/admin/reload');
    t.is(status, 422);
    t.is(body.result, 'error');
    t.regex(JSON.stringify(body.errors), error);
    t.is(await statusOf(oldKey), 200);
  });
}

test.serial('CF-3: a change of the limits is in force for the next request', async (t) => {
  rmSync(join(files.kinds, 'order.json'), { force: true });
  writeClients([[oldKey, 'old', '']]);
  writeConfig({ limits: 'body_bytes: 4096, batch_bytes: 8192' });
  const line = await hangUp();
  t.is(line.event, 'config.reload_ok');
  t.deepEqual(line.changed, ['limits.body_bytes', 'limits.batch_bytes']);
  const large = await post(node.endpoints.api, sign(oldKey, { payload: { text: 'x'.repeat(5000) } }));
  t.is(large.status, 413);
  t.is(large.body.limit_bytes, 4096);
  const batch = { method: 'POST', headers: { 'content-type': 'application/json' }, body: 'x'.repeat(9000) } as const;
  const refused = await http(`${node.endpoints.api}/v1/submissions:batch`, batch);
  t.is(refused.status, 413);
  t.is(refused.body.limit_bytes, 8192);
  t.is(await statusOf(oldKey), 200);
});

test.serial(
  'ID-3, CF-3: a new key with a window, the old one expired, a new kind: in force by a final registry entry',
  async (t) => {
    t.is(await statusOf(newKey), 401, 'not registered yet');
    writeClients([
      [oldKey, 'old', `, not_after: "${PAST}"`],
      [newKey, 'new', `, not_before: "${PAST}", not_after: "${FAR}"`],
    ]);
    put(join(files.kinds, 'order.json'), JSON.stringify(ORDER));
    t.is((await hangUp()).event, 'config.reload_ok');
    await until('the registry entry', async () => (await statusOf(newKey)) === 200);
    t.is(await statusOf(oldKey), 401, 'its window has closed');
    t.is(await statusOf(newKey, { kind: 'order', payload: { item: 'tea', count: 2 } }), 200);
    t.is(await statusOf(newKey, { kind: 'order', payload: { item: 'tea', count: 0 } }), 422);
    const { body } = await http(`${node.endpoints.ops}/readyz`);
    t.deepEqual(body.failing, []);
    t.is((await hangUp()).event, 'config.reload_unchanged');
  },
);

test.serial(
  'OB-5, CF-6: a new log level holds on the main thread and in the actors; the file is opened anew',
  async (t) => {
    const quiet = () => logLines().filter(({ level }) => level === 'debug' || level === 'trace');
    t.deepEqual(quiet(), []);
    writeConfig({ limits: 'body_bytes: 4096, batch_bytes: 8192', level: 'debug' });
    await hangUp();
    await until('debug lines of an actor', () => quiet().some(({ actor }) => actor === 'ingress'));
    writeConfig({ limits: 'body_bytes: 4096, batch_bytes: 8192', level: 'error' });
    renameSync(files.log, `${files.log}.1`);
    await admin(node, '/v1/admin/reload');
    await until('a file of its own', () => existsSync(files.log));
    // Both a line of the main thread and one of an actor that the old level would let through.
    await admin(node, '/v1/admin/actors/gossip/restart');
    t.is(await statusOf(oldKey), 401);
    const after = readFileSync(files.log, 'utf8')
      .split('\n')
      .filter((line) => /"level":"(?:info|warn)"/.test(line))
      // Told as soon as the file is open, before the new level is taken.
      .filter((line) => !line.includes('"event":"log.reopened"'));
    t.deepEqual(after, []);
    put(files.config, 'limits: [\n');
    await hangUp();
    t.regex(readFileSync(files.log, 'utf8'), /config\.reload_refused/, 'errors are written, and to the new file');
  },
);

test.serial(
  'CF-3: not one request of the client failed, and no actor was restarted but the one asked for',
  async (t) => {
    const exchanges = await steady.stop();
    t.true(exchanges.length > 100, `${exchanges.length} submissions`);
    t.deepEqual(
      exchanges.filter(({ status }) => status !== 200),
      [],
    );
    const { body } = await admin(node, '/v1/admin/actors', 'GET');
    const restarted = (body.actors as JsonObject[]).filter(({ incarnation }) => incarnation !== 1);
    t.deepEqual(
      restarted.map(({ id }) => id),
      ['gossip'],
    );
  },
);

test.serial('CF-3: the registry stays over a restart, and is not asked for again', async (t) => {
  const registryEntries = async (): Promise<number> =>
    (await ledgerEntries(node.endpoints.api)).filter(({ envelope }) => envelope.kind === 'registry').length;
  const before = await registryEntries();
  t.is((await node.stop()).code, 0);
  writeConfig();
  node = await LocalNode.start({ dataDir: files.data, args: ['--config', files.config] });
  await until('readiness', async () => (await http(`${node.endpoints.ops}/readyz`)).status === 200);
  t.is(await statusOf(newKey, { kind: 'order', payload: { item: 'tea', count: 1 } }), 200);
  t.is(before, 2, 'one at the first start, one for the reload');
  t.is(await registryEntries(), before);
});
