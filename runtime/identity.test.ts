// Who a node is, in this process: the key leaves the environment, and genesis, key and data must belong together.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ConfigError } from '../config/errors.js';
import { SIGNING_KEY_VARIABLE } from '../config/key-files.js';
import { loadConfig } from '../config/load.js';
import { pino } from '../observability/pino.js';
import { createGenesis } from '../protocol/genesis.js';
import { checkChain, establish } from './identity.js';

const SEED = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
const PUBLIC_KEY = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';

function settingsIn(t: ExecutionContext, ...argv: string[]) {
  const dataDir = mkdtempSync(join(tmpdir(), 'quorate-identity-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  return loadConfig({ argv: ['--data-dir', dataDir, ...argv], env: {}, cwd: dataDir }).config;
}

const log = pino({ level: 'silent' });

test.serial(
  'ID-2: the signing key of the environment is taken, used, and gone from what this process would hand on',
  async (t) => {
    process.env[SIGNING_KEY_VARIABLE] = SEED;
    const settings = settingsIn(t);
    const node = await establish(settings, log);
    t.false(SIGNING_KEY_VARIABLE in process.env);
    t.deepEqual([node.identity.publicKey, node.identity.keyFile], [PUBLIC_KEY, null]);
    t.false(existsSync(join(settings.keys_dir, 'node.key')));
    t.false(JSON.stringify(node.settings).includes(SEED));
  },
);

test.serial('a second establishment finds the same key, chain and development client', async (t) => {
  const settings = settingsIn(t);
  const first = await establish(settings, log);
  const second = await establish(settings, log);
  t.deepEqual({ ...second, wish: first.wish }, first);
  t.is(second.identity.keyFile, join(settings.keys_dir, 'node.key'));
});

function problemOf(check: () => void): string {
  try {
    check();
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return '';
}

test('CF-9: genesis, key and data that do not belong together are named', (t) => {
  const settings = settingsIn(t);
  const production = settingsIn(t, '--mode', 'production', '--backups-enabled', 'true', '--keys-dir', '/nowhere');
  const publicKey = Buffer.from(PUBLIC_KEY, 'hex');
  const nodeId = `node_${PUBLIC_KEY.slice(0, 16)}`;
  const another = { nodeId: 'node_0000000000000001', publicKey: Buffer.from(OTHER_KEY, 'hex') };
  const key = { seed: publicKey, publicKey, secretKey: publicKey, nodeId, origin: 'file', file: 'node.key' } as const;
  const genesisOf = (...validators: { nodeId: string; publicKey: Buffer }[]) =>
    createGenesis({ createdAtMs: 0, validators, clients: [] });

  t.is(
    problemOf(() => checkChain(settings, null, key)),
    '',
    'development makes the chain',
  );
  t.is(
    problemOf(() => checkChain(settings, genesisOf({ nodeId, publicKey }), key)),
    '',
  );
  t.regex(
    problemOf(() => checkChain(production, null, key)),
    /no such file; .*quorate init/,
  );
  t.regex(
    problemOf(() => checkChain(settings, genesisOf(another), key)),
    /found the key of node_d75a.*names, node_0000/,
  );
  t.regex(
    problemOf(() => checkChain(settings, genesisOf(another), null)),
    /found no key of this node/,
  );
  t.regex(
    problemOf(() => checkChain(settings, genesisOf({ nodeId, publicKey }, another), key)),
    /one validator/,
  );
  mkdirSync(join(settings.data_dir, 'wal'));
  t.regex(
    problemOf(() => checkChain(settings, null, key)),
    /the genesis that the log .* was made with/,
  );
  writeFileSync(join(settings.data_dir, 'initialising'), '');
  t.is(
    problemOf(() => checkChain(settings, null, key)),
    '',
    'an interrupted first start goes on',
  );
});

/** RFC 8032 section 7.1, test 2. */
const OTHER_KEY = '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c';
