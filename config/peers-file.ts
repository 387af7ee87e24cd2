// Reads peers.yml: the other nodes of the network, where they listen and which keys they have. Called with the other named
// files at start, on SIGHUP and by --check-config. It must never let two entries stand for one node.
import type { ErrorObject, ValidateFunction } from 'ajv';
import { checkPublicKey } from '../protocol/crypto/keys.js';
import { IDENTIFIER } from '../protocol/envelope.js';
import { schemaCompiler } from './ajv.js';
import { pathText, placed } from './clients-shape.js';
import { ConfigError, type ConfigProblem, describeFound } from './errors.js';
import type { PeerConfig } from './node.js';
import { didYouMean } from './suggest.js';
import { readYamlFile, type YamlFile, type YamlPath } from './yaml-file.js';

export type PeerEntry = Omit<PeerConfig, 'pins'>;

export interface PeersFile {
  /** In the order of the file, without this node's own entry. */
  readonly peers: readonly PeerEntry[];
  /** Where each peer stands, for problems that only others can see: node id → line. */
  readonly lines: ReadonlyMap<string, number | null>;
  readonly warnings: readonly string[];
}

interface Entry {
  node_id: string;
  address: string;
  port: number;
  public_key: string;
}

/** The others of the largest validator set, and as many relays. */
const PEERS_MAX = 255;
const ADDRESS = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$|^[0-9a-fA-F:]{2,45}$/;
const PUBLIC_KEY = /^[0-9a-fA-F]{64}$/;

const ALLOWED: Readonly<Record<string, string>> = {
  peers: 'a list of peers',
  node_id: '1 to 128 of A-Z a-z 0-9 . _ : -',
  address: 'a host name or an IP address, without port and brackets',
  port: 'integer 1 to 65535',
  public_key: 'an Ed25519 public key, 64 hex digits',
};

/** Members of older peer lists, and where their content stands now. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  tls: 'TLS files are settings of the node: tls.ca, tls.cert, tls.key.',
  allow_insecure_peers: 'It is a setting of the node, not of this file.',
  pubkey: 'It is called public_key here.',
  endpoint: 'It is called address and port here.',
  quorum_threshold: 'The quorum follows from the validators of the genesis.',
};

const SCHEMA = {
  type: 'object',
  additionalProperties: false,
  properties: {
    peers: {
      type: ['array', 'null'],
      maxItems: PEERS_MAX,
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['node_id', 'address', 'port', 'public_key'],
        properties: {
          node_id: { type: 'string', pattern: IDENTIFIER.source },
          address: { type: 'string', pattern: ADDRESS.source },
          port: { type: 'integer', minimum: 1, maximum: 65_535 },
          public_key: { type: 'string', pattern: PUBLIC_KEY.source },
        },
      },
    },
  },
};

let compiled: ValidateFunction<{ peers?: Entry[] | null }> | null = null;

/** @param ownId this node, whose own entry is left out. Throws ConfigError with every problem of the file. */
export function loadPeersFile(path: string, ownId: string): PeersFile {
  const file = readYamlFile(path);
  const entries = entriesOf(file);
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];
  const byId = new Map<string, PeerEntry>();
  const lines = new Map<string, number | null>();
  const keys = new Map<string, string>();
  const addresses = new Map<string, string>();
  for (const [index, { node_id: nodeId, address, port, public_key: key }] of entries.entries()) {
    const at = (member: string): YamlPath => ['peers', index, member];
    const publicKey = key.toLowerCase();
    if (byId.has(nodeId)) {
      warnings.push(`peers_file names ${nodeId} twice; the first entry counts.`);
      continue;
    }
    const fault = checkPublicKey(Buffer.from(publicKey, 'hex'));
    if (fault !== null) {
      problems.push(
        placed(file, at('public_key'), { found: `an unusable key (${fault})`, allowed: ALLOWED.public_key! }),
      );
    }
    const others = [
      ['public_key', keys, publicKey, 'a key of its own'],
      ['address', addresses, `${address}:${port}`, 'an address and port of its own'],
    ] as const;
    for (const [member, taken, value, allowed] of others) {
      const other = taken.get(value);
      if (other !== undefined) {
        problems.push(placed(file, at(member), { found: `what ${other} has too`, allowed }));
      }
      taken.set(value, nodeId);
    }
    byId.set(nodeId, { nodeId, host: address, port, publicKey });
    lines.set(nodeId, file.placeOf(at('node_id'))?.line ?? null);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { peers: [...byId.values()].filter(({ nodeId }) => nodeId !== ownId), lines, warnings };
}

function entriesOf(file: YamlFile): readonly Entry[] {
  compiled ??= schemaCompiler().compile(SCHEMA);
  const value = file.value ?? {};
  if (!compiled(value)) throw new ConfigError((compiled.errors ?? []).map((error) => problemOf(file, error)));
  return value.peers ?? [];
}

function problemOf(file: YamlFile, error: ErrorObject): ConfigProblem {
  const at: YamlPath = error.instancePath
    .split('/')
    .slice(1)
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step.replaceAll('~1', '/').replaceAll('~0', '~')));
  if (error.keyword === 'additionalProperties') {
    const key = String((error.params as { additionalProperty: unknown }).additionalProperty);
    const known = Object.keys((error.parentSchema as { properties: object }).properties);
    const hint = ELSEWHERE[key] ?? didYouMean(key, known);
    const problem = placed(file, [...at, key], { found: 'an unknown member', allowed: known.join(', '), hint });
    return { ...problem, ...(file.placeOfKey([...at, key]) ?? {}) };
  }
  if (error.keyword === 'required') {
    const missing = String((error.params as { missingProperty: unknown }).missingProperty);
    return placed(file, at, {
      found: `a peer without ${missing}`,
      allowed: `${missing}: ${ALLOWED[missing] ?? 'a value'}`,
    });
  }
  if (error.keyword === 'maxItems') {
    return placed(file, at, { found: describeFound(error.data), allowed: `at most ${PEERS_MAX} peers` });
  }
  const member = at.findLast((step) => typeof step === 'string');
  const isEntry = typeof at.at(-1) === 'number';
  const allowed = isEntry
    ? 'a mapping of node_id, address, port, public_key'
    : (ALLOWED[String(member)] ?? `a mapping with the member peers`);
  const isNumber = typeof error.data === 'number' && member !== 'port';
  const hint = isNumber ? 'YAML reads it as a number: put it in quotes.' : null;
  return { ...placed(file, at, { found: describeFound(error.data), allowed, hint }), path: pathText(at) };
}
