// The first minutes of a node: what a start on defaults makes, what refuses a start, and what is left as it was.
import { createPrivateKey } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { SIGNING_KEY_VARIABLE } from '../../config/key-files.js';
import { LocalNode } from '../local/node.js';
import { command, http, put, quorate, type Ran, temporaryDirectory, until } from './support.js';

const ANY_PORT = ['--listen', '127.0.0.1:0', '--ops-listen', '127.0.0.1:0'];
const SEED = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
const PUBLIC_KEY = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';

/** RFC 8410: the seed behind the fixed head of a PKCS#8 Ed25519 key. */
const DER = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(SEED, 'hex')]);
const PEM = String(
  createPrivateKey({ key: DER, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }),
);

async function start(t: ExecutionContext, dataDir: string, args: string[] = [], env: Record<string, string> = {}) {
  const node = new LocalNode({ dataDir, args, env });
  t.teardown(() => node.dispose());
  await node.ready();
  return node;
}

function mode(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

/** A start that must not come about: its code, and lines for a person on standard error. */
async function refused(
  t: ExecutionContext,
  code: number,
  args: string[],
  env: Record<string, string> = {},
): Promise<Ran> {
  const ran = await quorate([...ANY_PORT, ...args], { env });
  t.is(ran.code, code, ran.stderr);
  t.notRegex(ran.stderr, /\n\s+at /, 'no stack');
  return ran;
}

test('CF-1: a start on defaults makes a node in ./data, private, that says where it is', async (t) => {
  const cwd = temporaryDirectory(t);
  const data = join(cwd, 'data');
  const node = new LocalNode({
    dataDir: data,
    cwd,
    bare: true,
    env: { QUORATE_LISTEN: '127.0.0.1:0', QUORATE_OPS_LISTEN: '127.0.0.1:0' },
  });
  t.teardown(() => node.dispose());
  const endpoints = await node.ready();

  const modes = Object.fromEntries(
    [
      '.',
      'keys',
      'keys/node.key',
      'keys/dev-client.json',
      'run',
      'run/admin.token',
      'wal',
      'wal/0000000000000001.seg',
      'ledger',
    ].map((name) => [name, mode(join(data, name))]),
  );
  t.deepEqual(modes, {
    '.': '700',
    keys: '700',
    'keys/node.key': '600',
    'keys/dev-client.json': '600',
    run: '700',
    'run/admin.token': '600',
    wal: '700',
    'wal/0000000000000001.seg': '600',
    ledger: '700',
  });
  t.deepEqual(Object.keys(endpoints), ['api', 'ops', 'peer', 'nodeId', 'publicKey']);
  t.like(endpoints, { peer: null, nodeId: `node_${endpoints.publicKey.slice(0, 16)}` });
  t.is(readFileSync(join(data, 'node.pub'), 'utf8').trim(), endpoints.publicKey);
  t.is(node.pid, node.process.pid ?? 0);
  const eventsOf = () => node.logs().map(({ event }) => event);
  await until('the line that says ready', () => eventsOf().includes('node.ready'));
  const events = eventsOf();
  for (const event of ['node.starting', 'key.generated', 'genesis.created', 'node.ready'])
    t.true(events.includes(event), event);
  t.is(node.logs().find(({ event }) => event === 'key.generated')?.level, 'warn', 'ID-2: a made key is a warning');
  t.is((await http(`${endpoints.ops}/health`)).status, 200);
  const { body } = await http(`${endpoints.api}/v1/validators`);
  t.is((body.validators as { public_key: string }[])[0]!.public_key, endpoints.publicKey);

  const second = await refused(t, 75, ['--data-dir', data]);
  t.regex(second.stderr, new RegExp(`is in use by process ${node.pid}\\. Stop it, or choose another --data-dir`));
  t.is((await http(`${endpoints.ops}/readyz`)).status, 200, 'the first one runs on');

  t.is((await node.stop()).code, 0);
  t.false(existsSync(join(data, 'initialising')));
  // ID-2: the public key is remembered. Another key on this data, or none, is refused, and the key files stay.
  const other = await refused(t, 78, ['--data-dir', data], { [SIGNING_KEY_VARIABLE]: SEED });
  t.regex(other.stderr, /the key d75a980182b10ab7…; allowed: the key that this data belongs to/);
  t.regex(other.stdout, /"level":"fatal".*config\.refused/);
  rmSync(join(data, 'keys', 'node.key'));
  const none = await refused(t, 78, ['--data-dir', data]);
  t.regex(none.stderr, /found no key; allowed: the key that/);
  t.false(existsSync(join(data, 'keys', 'node.key')), 'no new key over a lost one');
});

test('CF-9: a taken port is one clear line and 69, for both ports, and nothing is left running', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1');
  t.teardown(() => void holder.close());
  await until('a taken port', () => holder.listening);
  const taken = `127.0.0.1:${(holder.address() as AddressInfo).port}`;
  const dataDir = temporaryDirectory(t);
  for (const flag of ['--listen', '--ops-listen']) {
    const ran = await refused(t, 69, ['--data-dir', dataDir, flag, taken]);
    t.is(
      ran.stderr,
      `quorate: ${flag === '--listen' ? 'ingress: ' : ''}${flag} ${taken}: another program holds this port. Stop it, or choose another: ${flag} HOST:PORT.\n`,
    );
    t.like(JSON.parse(readFileSync(join(dataDir, 'run', 'last-exit.json'), 'utf8')), { code: 69 });
  }
  const ran = await refused(t, 78, ['--data-dir', dataDir, '--listen', '192.0.2.1:8080']);
  t.regex(ran.stderr, /--listen 192\.0\.2\.1:8080: this machine has no such address/);
});

const WRONG_MODES: [file: string, mode: number, fix: string][] = [
  ['keys/node.key', 0o644, 'chmod 0600'],
  ['keys/node.key', 0o620, 'chmod 0600'],
  ['keys', 0o755, 'chmod 0700'],
];
test('ID-1: key files that others could read or write refuse the start and name the chmod', async (t) => {
  const dataDir = temporaryDirectory(t);
  t.is((await command(['keys', 'init', '--data-dir', dataDir])).code, 0);
  for (const [file, wrong, fix] of WRONG_MODES) {
    const path = join(dataDir, file);
    const right = statSync(path).mode & 0o777;
    chmodSync(path, wrong);
    const ran = await refused(t, 78, ['--data-dir', dataDir]);
    t.is(
      ran.stderr,
      `${path}: found mode 0${wrong.toString(8)}; allowed: ${right === 0o700 ? '0700' : '0600 or 0400'}. Fix it: ${fix} ${path}\n`,
    );
    chmodSync(path, right);
  }
  chmodSync(join(dataDir, 'keys', 'node.key'), 0o400);
  t.is((await quorate(['--data-dir', dataDir, '--check-config'])).code, 0, '0400 is fine');
});

test('ID-2: the key may come from the environment in three forms, and shows up nowhere', async (t) => {
  const dataDir = temporaryDirectory(t);
  for (const text of [SEED, PEM, DER.toString('base64')]) {
    const ran = await command(['keys', 'show', '--json', '--data-dir', dataDir], {
      env: { [SIGNING_KEY_VARIABLE]: text },
    });
    t.is(ran.code, 0, ran.stderr);
    t.is((JSON.parse(ran.stdout) as { public_key: string }).public_key, PUBLIC_KEY);
  }
  const node = await start(t, dataDir, ['--log-level', 'trace'], { [SIGNING_KEY_VARIABLE]: PEM });
  t.is(node.endpoints.publicKey, PUBLIC_KEY);
  t.false(existsSync(join(dataDir, 'keys', 'node.key')), 'not written anywhere');
  await node.stop();
  const secrets = [SEED, DER.toString('base64').slice(-40), PEM.split('\n')[1]!.slice(-40)];
  for (const secret of secrets) t.false(node.output.includes(secret));
  const bad = await refused(t, 78, ['--data-dir', dataDir], { [SIGNING_KEY_VARIABLE]: SEED.slice(1) });
  t.regex(bad.stderr, /environment QUORATE_SIGNING_KEY: found 63 hex digits; allowed: 64 hex digits/);
  t.false(bad.stderr.includes(SEED.slice(10, 40)));
});

test('CF-9: a start that is refused writes no key and remembers none', async (t) => {
  const dataDir = temporaryDirectory(t);
  const keys = temporaryDirectory(t);
  const production = ['--mode', 'production', '--backups-enabled', 'true', '--keys-dir', keys, '--data-dir', dataDir];
  const noKey = await refused(t, 78, production);
  t.regex(noKey.stderr, /node\.key: found no key; allowed: .*QUORATE_SIGNING_KEY .*quorate keys init --keys-dir/);
  t.is((await command(['keys', 'init', '--keys-dir', keys])).code, 0);
  const noGenesis = await refused(t, 78, production);
  t.regex(noGenesis.stderr, /genesis\.json: found no such file; .*quorate init/);
  t.false(existsSync(join(dataDir, 'node.pub')), 'a key that never served this data is not remembered');
});

interface Facts {
  readonly created: boolean;
  readonly node_id: string;
  readonly public_key: string;
  readonly chain_id: string;
}

test('quorate init, then a start in production mode: the same key and chain, a configured client, secrets of its own', async (t) => {
  const root = temporaryDirectory(t);
  const keys = join(root, 'keys');
  const data = join(root, 'data');
  const made = await command(['init', '--data-dir', data, '--keys-dir', keys, '--json']);
  t.is(made.code, 0, made.stderr);
  const facts = JSON.parse(made.stdout) as Facts;
  t.is(facts.created, true);
  const again = await command(['init', '--data-dir', data, '--keys-dir', keys, '--json']);
  t.like(JSON.parse(again.stdout), { ...facts, created: false });
  const client = await command(['keys', 'client', 'shop', '--keys-dir', keys]);
  t.is(client.code, 0, client.stderr);
  const lines = client.stdout.slice(client.stdout.indexOf('clients:'));
  put(join(root, 'clients.yml'), lines);
  put(
    join(root, 'quorate.yaml'),
    'mode: production\ndata_dir: data\nkeys_dir: keys\nclients_file: clients.yml\nbackups: { enabled: true }\nlog: { format: json }\n',
  );
  const node = await start(t, data, ['--config', join(root, 'quorate.yaml')]);
  t.like(node.endpoints, { nodeId: facts.node_id, publicKey: facts.public_key });
  t.notRegex(node.output, /key\.generated|genesis\.created|config\.warning/);
  await until('the client', async () => (await http(`${node.endpoints.ops}/readyz`)).status === 200);
  const submit = [
    'submit',
    '--data-dir',
    data,
    '--data',
    '{"text":"hi"}',
    '--key',
    join(keys, 'shop-client.json'),
    '--json',
  ];
  const submitted = await command(submit);
  t.is(submitted.code, 0, submitted.stderr);
  t.is((JSON.parse(submitted.stdout) as { chain_id: string }).chain_id, facts.chain_id);
  t.is((await node.stop()).code, 0);
  t.false(existsSync(join(keys, 'dev-client.json')), 'no development client in production');
});

test('a place that cannot be used ends with the place and a remedy, not with a stack', async (t) => {
  const root = temporaryDirectory(t);
  writeFileSync(join(root, 'file'), '');
  const under = await refused(t, 73, ['--data-dir', join(root, 'file', 'data')]);
  t.regex(under.stderr, /file\/data: a file stands where a directory is needed/);
  const logDirectory = await refused(t, 73, ['--data-dir', join(root, 'data'), '--log-file', root]);
  t.regex(logDirectory.stderr, /a directory stands where a file is needed/);
});
