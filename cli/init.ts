// `quorate init`: makes a node that can be started: key, genesis of a chain with this validator or several, empty signed log.
// Called by dispatch.ts. Run again it finishes what was interrupted; it never replaces a key, a genesis or a log.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inspectLog } from '../actors/wal-writer/inspect.js';
import { openLog } from '../actors/wal-writer/log.js';
import { newestAudit } from '../config/audit-file.js';
import {
  createChain,
  initialised,
  isInitialising,
  joinChain,
  readGenesis,
  readValidatorList,
} from '../config/chain-files.js';
import { type NodeKey, openNodeKey } from '../config/key-files.js';
import { type Ed25519, loadEd25519 } from '../protocol/crypto/ed25519.js';
import { checkPublicKey } from '../protocol/crypto/keys.js';
import type { Genesis } from '../protocol/genesis.js';
import { encodeInit, initSignBytes, RecordType } from '../protocol/wal-record.js';
import { EXIT } from '../runtime/exit-codes.js';
import { commonOptions } from './args.js';
import { defineCommand } from './command.js';
import { dataDirectory } from './endpoint.js';
import { keysDirectory } from './keys.js';
import { explained } from './log-errors.js';
import { audit, DEFAULT_SEGMENT_BYTES, logDirectory, withDataDirectory } from './offline.js';
import { CliError, printJson, type Terminal, table } from './output.js';

export const initCommand = defineCommand({
  name: 'init',
  summary: 'make a new node: key, genesis, log',
  positionals: [],
  options: {
    'data-dir': commonOptions['data-dir'],
    'keys-dir': {
      type: 'string',
      value: 'DIRECTORY',
      about: 'where the node key lies (default keys/ of the data directory)',
    },
    genesis: { type: 'string', value: 'FILE', about: 'where genesis.json goes (default: the data directory)' },
    validators: {
      type: 'string',
      value: 'FILE',
      about:
        'several validators: a JSON list of {"node_id","public_key"}, this node among them, in the order in which they lead',
    },
    join: {
      type: 'string',
      value: 'FILE',
      about: 'the genesis.json of a chain that another node has made, with this one in it',
    },
    operator: {
      type: 'string',
      value: 'HEX',
      about:
        'public key that may change clients and kinds of a chain with several validators; its issuer is "operator"',
    },
    'dev-client': {
      type: 'boolean',
      about: 'also make and register a client key for trying it out (keys/dev-client.json)',
    },
    json: commonOptions.json,
  },
  about: `
Makes what a node needs before its first start: its key (unless it exists), genesis.json, whose SHA-256 is the id of the
chain, and an empty log that carries the signature of the key. Unless others are named, this node is its only validator.

A development node does this by itself. In production it is done once, by hand, and what it made is backed up: a node
without its log does not sign any more, since it cannot know what it has signed.

With --validators the chain has several; the others take the same genesis with --join, each with a key and a log of its own.
All of them must have it byte for byte: its hash is the chain. How they find each other stands in peers.yml.

Who may submit, and which kinds there are, is said by clients.yml and the kinds folder of the configuration.`,
  examples: [
    ['quorate init --dev-client', 'a node in ./data to try'],
    ['quorate init --validators validators.json --dev-client', 'the first of several'],
    ['quorate init --join genesis.json', 'each of the others, with what the first has made'],
    ['quorate init --data-dir /var/lib/quorate --keys-dir /etc/quorate/keys', 'for production'],
  ],
  exits: [
    [EXIT.ok.code, 'made; also when the node was there already'],
    [EXIT.data.code, 'the log of an existing node is missing, or belongs to another node'],
    [EXIT.io.code, 'what it does cannot be recorded in the audit log: nothing was done'],
    [EXIT.running.code, 'a node runs on this directory'],
    [EXIT.config.code, 'genesis.json or the key files are not as they must be'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    makeDirectory(directory);
    const plan: Plan = {
      directory,
      keysDir: keysDirectory(values['keys-dir'], directory, terminal),
      genesisFile: values.genesis ?? join(directory, 'genesis.json'),
      devClient: values['dev-client'],
      validators: values.validators ?? null,
      join: values.join ?? null,
      operator: values.operator ?? null,
    };
    const made = await withDataDirectory(directory, async () => initialise(plan, await loadEd25519(), terminal));
    report(made, values.json, terminal);
    return EXIT.ok.code;
  },
});

interface Plan {
  readonly directory: string;
  readonly keysDir: string;
  readonly genesisFile: string;
  readonly devClient: boolean;
  readonly validators: string | null;
  readonly join: string | null;
  readonly operator: string | null;
}

interface Made {
  readonly created: boolean;
  readonly key: NodeKey;
  readonly genesis: Genesis;
  readonly genesisFile: string;
}

async function initialise(plan: Plan, ed25519: Ed25519, terminal: Terminal): Promise<Made> {
  const { directory, keysDir, genesisFile } = plan;
  audit(directory, terminal);
  const key = openNodeKey({ mode: 'development', keysDir, dataDir: directory, env: { ...terminal.env } }, ed25519);
  if (key.origin === 'generated') {
    audit(directory, terminal, { event: 'key_generated', node_id: key.nodeId, file: key.file ?? '' });
  }
  const genesis = readGenesis(genesisFile) ?? makeGenesis(plan, key, ed25519, terminal);
  // An interrupted run may have made the chain and not its record.
  if (isInitialising(directory) && newestAudit(directory, 'genesis_created')?.line.chain_id !== genesis.chainIdHex) {
    const facts = { chain_id: genesis.chainIdHex, file: genesisFile, dev_client: plan.devClient };
    audit(directory, terminal, { event: 'genesis_created', ...facts });
  }
  requireValidator(genesis, key, genesisFile);
  const created = isInitialising(directory);
  if (created) {
    await makeLog(directory, genesis, key, ed25519);
    initialised(directory);
  } else {
    const identity = { chainId: genesis.chainId, publicKey: key.publicKey };
    explained(() => inspectLog(logDirectory(directory), { identity }));
  }
  return { created, key, genesis, genesisFile };
}

function makeGenesis(plan: Plan, key: NodeKey, ed25519: Ed25519, terminal: Terminal): Genesis {
  const places = { dataDir: plan.directory, keysDir: plan.keysDir, genesis: plan.genesisFile };
  if (plan.join !== null) {
    const genesis = readGenesis(plan.join);
    if (genesis === null) throw new CliError(EXIT.config.code, `${plan.join}: no such file.`);
    requireValidator(genesis, key, plan.join);
    joinChain(places, genesis);
    return genesis;
  }
  const validators = plan.validators === null ? null : readValidatorList(plan.validators);
  if (validators !== null && !validators.some(({ publicKey }) => publicKey.equals(key.publicKey))) {
    const own = `{"node_id":"${key.nodeId}","public_key":"${key.publicKey.toString('hex')}"}`;
    throw new CliError(EXIT.config.code, `${plan.validators} does not name this node.`, { hint: `Add ${own}.` });
  }
  return createChain({
    places,
    key,
    ed25519,
    random: () => randomBytes(32),
    nowMs: terminal.nowMs(),
    devClient: plan.devClient,
    ...(validators === null ? {} : { validators }),
    operators: plan.operator === null ? [] : [{ keyId: 'operator', publicKey: operatorKey(plan.operator) }],
  });
}

function operatorKey(hex: string): Buffer {
  const publicKey = Buffer.from(hex, 'hex');
  const fault = /^[0-9a-f]{64}$/.test(hex) ? checkPublicKey(publicKey) : 'it is not 64 lowercase hex digits';
  if (fault === null) return publicKey;
  throw new CliError(EXIT.usage.code, `--operator is no Ed25519 public key: ${fault}.`);
}

/** @throws CliError when the genesis is of another node. */
function requireValidator(genesis: Genesis, key: NodeKey, path: string): void {
  if (genesis.validators.some(({ publicKey }) => publicKey.equals(key.publicKey))) return;
  throw new CliError(EXIT.data.code, `${path} does not name the key of this node, ${key.nodeId}, as a validator.`, {
    hint: 'Configure the key that it names, or take another data directory.',
  });
}

/** An empty log, or the one that an interrupted run has made for this genesis. */
async function makeLog(directory: string, genesis: Genesis, key: NodeKey, ed25519: Ed25519): Promise<void> {
  const { chainId } = genesis;
  const { publicKey } = key;
  const { log } = explained(() =>
    openLog({
      directory: logDirectory(directory),
      identity: { chainId, publicKey },
      segmentBytes: DEFAULT_SEGMENT_BYTES,
      native: (section) => section(),
      random: randomBytes,
    }),
  );
  try {
    if (log.nextLsn > 1) return;
    const signature = ed25519.sign(initSignBytes(chainId, publicKey), key.secretKey);
    log.append([{ type: RecordType.init, data: encodeInit({ chainId, publicKey, signature }) }]);
  } finally {
    await log.close();
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new CliError(
      EXIT.cannotCreate.code,
      `${directory}: cannot be created (${error instanceof Error ? error.message : error}).`,
      {
        hint: `Check that ${dirname(directory)} is writable.`,
      },
    );
  }
}

function report({ created, key, genesis, genesisFile }: Made, json: boolean, terminal: Terminal): void {
  const facts = {
    node_id: key.nodeId,
    public_key: key.publicKey.toString('hex'),
    chain_id: genesis.chainIdHex,
    genesis: genesisFile,
  };
  if (json) {
    printJson(terminal, { created, ...facts });
    return;
  }
  const rows = Object.entries(facts).map(([name, value]) => [name.replaceAll('_', ' '), value]);
  terminal.out(
    `${created ? 'made a new node' : 'there is a node here already; nothing was changed'}\n${table(rows, '  ')}`,
  );
  if (created) terminal.out('Next: "quorate start" with the same directories. Back up the key and genesis.json now.\n');
}
