// `quorate keys init|show|client`: makes and shows keys. Called by dispatch.ts. Files, modes and forms are config/'s;
// nothing here ever prints a secret or overwrites a key.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { createNodeKey, findNodeKey, type NodeKey } from '../config/key-files.js';
import { createFile, makePrivateDirectory } from '../config/private-file.js';
import { parseSigningKey, SEED_BYTES, SigningKeyError } from '../config/signing-key.js';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import { IDENTIFIER } from '../protocol/envelope.js';
import { EXIT } from '../runtime/exit-codes.js';
import { commonOptions, usageError } from './args.js';
import { type Command, defineCommand } from './command.js';
import { dataDirectory, nonEmpty, readRequired } from './endpoint.js';
import { CliError, printJson, type Terminal, table } from './output.js';

const options = {
  'keys-dir': { type: 'string', value: 'DIRECTORY', about: 'where keys lie (default keys/ of the data directory)' },
  'data-dir': commonOptions['data-dir'],
  json: commonOptions.json,
} as const;

const exits = [
  [EXIT.ok.code, 'done; also when the key was there already'],
  [EXIT.config.code, 'a key file or its directory has modes that let others read it, or is damaged'],
] as const;

const initCommand = defineCommand({
  name: 'keys init',
  summary: "make the node's key",
  positionals: [],
  options: {
    ...options,
    from: { type: 'string', value: 'FILE', about: 'take this key over: a 64-hex seed or PKCS#8 PEM; - for stdin' },
  },
  about: `
Writes the Ed25519 key of this node to node.key (mode 0600, directory 0700). The first 16 digits of its public key name
the node. A key that is there already is left alone: a node that changes its key is another node.

Production nodes want it outside the data directory, so that a backup of the data never holds the key.`,
  examples: [
    ['quorate keys init', 'a new key in ./data/keys'],
    ['quorate keys init --keys-dir /etc/quorate/keys --from old.pem', 'take a key over'],
  ],
  exits,
  async run({ values }, terminal) {
    const directory = keysDirectory(values['keys-dir'], values['data-dir'], terminal);
    const ed25519 = await loadEd25519();
    const existing = findNodeKey(places(directory, {}), ed25519);
    if (existing !== null) {
      terminal.err(`quorate keys init: ${existing.file} is there already and stays as it is.\n`);
      report(existing, false, values.json, terminal);
      return EXIT.ok.code;
    }
    const seed = values.from === undefined ? randomBytes(SEED_BYTES) : await readSeed(values.from, terminal);
    report(
      createNodeKey(directory, ed25519, () => seed),
      true,
      values.json,
      terminal,
    );
    return EXIT.ok.code;
  },
});

const showCommand = defineCommand({
  name: 'keys show',
  summary: "show the node's identity: node id and public key",
  positionals: [],
  options,
  about: `
Shows the public half of the node's key, from node.key or from QUORATE_SIGNING_KEY, and checks the modes of its file.`,
  examples: [['quorate keys show --json', 'for a script']],
  exits,
  async run({ values }, terminal) {
    const directory = keysDirectory(values['keys-dir'], values['data-dir'], terminal);
    const key = findNodeKey(places(directory, { ...terminal.env }), await loadEd25519());
    if (key === null) {
      throw new CliError(EXIT.config.code, `${directory}: there is no node key.`, {
        hint: 'Make one with "quorate keys init".',
      });
    }
    report(key, false, values.json, terminal);
    return EXIT.ok.code;
  },
});

const clientCommand = defineCommand({
  name: 'keys client',
  summary: 'make a key for a client',
  positionals: [{ name: 'NAME', about: 'the issuer: 1 to 128 of A-Z a-z 0-9 . _ : -', required: true }],
  options: {
    ...options,
    out: { type: 'string', value: 'FILE', about: 'key file (default NAME-client.json in the keys directory)' },
  },
  about: `
Writes a client key that "quorate submit --key" takes, and prints the lines for clients.yml that let the client submit.
Only the public key goes there; the file with the seed belongs to the client alone.`,
  examples: [
    ['quorate keys client shop', 'key for the issuer "shop"'],
    ['quorate submit --key data/keys/shop-client.json --data @order.json', 'use it, once clients.yml is reloaded'],
  ],
  exits,
  async run({ values, positionals }, terminal) {
    const issuer = positionals[0]!;
    if (!IDENTIFIER.test(issuer)) {
      throw usageError('keys client', `NAME is "${issuer}", allowed are 1 to 128 of A-Z a-z 0-9 . _ : -`);
    }
    const directory = keysDirectory(values['keys-dir'], values['data-dir'], terminal);
    const ed25519 = await loadEd25519();
    const file = values.out ?? join(directory, `${issuer}-client.json`);
    if (values.out === undefined) makePrivateDirectory(directory);
    const seed = randomBytes(SEED_BYTES);
    const publicKey = Buffer.from(ed25519.keyPair(seed).publicKey).toString('hex');
    const key = { issuer, public_key: publicKey, seed: seed.toString('hex') };
    createFile(file, `${JSON.stringify(key, null, 2)}\n`, 0o600);
    if (values.json) {
      printJson(terminal, { issuer, public_key: publicKey, file });
    } else {
      terminal.out(`${file}\n\nFor clients.yml (then "quorate reload"):\n\n${clientLines(issuer, publicKey)}`);
    }
    return EXIT.ok.code;
  },
});

export const keysCommands: readonly Command[] = [initCommand, showCommand, clientCommand];

/** The entry of clients.yml that registers a key. */
function clientLines(issuer: string, publicKey: string): string {
  // The alphabet of issuers holds what YAML reads as a number or a mapping: quotes keep it a string.
  const name = JSON.stringify(issuer);
  return [
    'clients:',
    `  - issuer: ${name}`,
    '    roles: [submit]',
    '    keys:',
    `      - key_id: ${name}`,
    '        alg: ed25519',
    `        public_key: "${publicKey}"`,
    '',
  ].join('\n');
}

export function keysDirectory(keys: string | undefined, data: string | undefined, terminal: Terminal): string {
  return keys ?? nonEmpty(terminal.env.QUORATE_KEYS_DIR) ?? join(dataDirectory(data, terminal), 'keys');
}

function places(keysDir: string, env: Record<string, string | undefined>): Parameters<typeof findNodeKey>[0] {
  return { mode: 'development', keysDir, dataDir: '', env };
}

async function readSeed(from: string, terminal: Terminal): Promise<Uint8Array> {
  const bytes = from === '-' ? await terminal.readStdin() : readRequired(from);
  try {
    return parseSigningKey(Buffer.from(bytes).toString('utf8')).seed;
  } catch (error) {
    if (!(error instanceof SigningKeyError)) throw error;
    throw new CliError(EXIT.config.code, `${from}: found ${error.found}; allowed: ${error.allowed}.`, {
      ...(error.hint === null ? {} : { hint: error.hint }),
    });
  }
}

function report(key: NodeKey, created: boolean, json: boolean, terminal: Terminal): void {
  const publicKey = key.publicKey.toString('hex');
  if (json) {
    printJson(terminal, { node_id: key.nodeId, public_key: publicKey, file: key.file, created });
    return;
  }
  const rows = [
    ['node id', key.nodeId],
    ['public key', publicKey],
    ['file', key.file ?? 'QUORATE_SIGNING_KEY'],
  ];
  terminal.out(`${created ? 'made a new key\n' : ''}${table(rows, '  ')}`);
}
