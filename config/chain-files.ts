// The files that make a chain: genesis.json, and in development mode the client key that its genesis registers. Called by
// the daemon at start and by `quorate init`. It must never overwrite a genesis: another genesis is another chain.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalize } from '../protocol/canonical.js';
import type { Ed25519 } from '../protocol/crypto/ed25519.js';
import { createGenesis, type Genesis, type OperatorKey, parseGenesis } from '../protocol/genesis.js';
import { JsonError, type JsonObject, type JsonValue, parseStrict } from '../protocol/json.js';
import { ShapeError } from '../protocol/kinds/kind.js';
import { parseValidatorList, type Validator } from '../protocol/validators.js';
import { diskSteps, replaceFile } from './durable-file.js';
import { ConfigError, configProblem } from './errors.js';
import type { NodeKey } from './key-files.js';
import { createFile, exists, makePrivateDirectory } from './private-file.js';
import { readText } from './yaml-file.js';

export const DEV_CLIENT_FILE = 'dev-client.json';
export const DEV_ISSUER = 'dev';
/**
 * Exists while a data directory is being initialised: a start that finds it may create the log. Without it a genesis
 * without a log means that the log was lost, and with it the votes.
 */
const INITIALISING_FILE = 'initialising';

export interface ChainPlaces {
  readonly dataDir: string;
  readonly keysDir: string;
  readonly genesis: string;
}

/** Throws ConfigError naming what is wrong in the file. Null when there is none. */
export function readGenesis(path: string): Genesis | null {
  if (!exists(path)) return null;
  try {
    return parseGenesis(parseStrict(Buffer.from(readText(path))));
  } catch (error) {
    if (error instanceof JsonError) throw refused(path, '', error.message, 'strict JSON');
    if (!(error instanceof ShapeError)) throw error;
    throw new ConfigError(
      error.errors.map(({ pointer, found, allowed }) => configProblem({ file: path, path: pointer, found, allowed })),
    );
  }
}

/** The validators in a file: a list of {"node_id","public_key"}, in the order in which they lead. Throws ConfigError. */
export function readValidatorList(path: string): Validator[] {
  try {
    return parseValidatorList(parseStrict(Buffer.from(readText(path))));
  } catch (error) {
    if (error instanceof JsonError) throw refused(path, '', error.message, VALIDATORS_FORM);
    if (!(error instanceof ShapeError)) throw error;
    const [first] = error.errors;
    throw refused(path, first?.pointer ?? '', first?.found ?? '', first?.allowed ?? VALIDATORS_FORM);
  }
}

const VALIDATORS_FORM =
  '[{"node_id":"…","public_key":"<64 hex>"}, …], as "quorate keys show --json" gives of each node';

export interface NewChain {
  readonly places: ChainPlaces;
  readonly key: NodeKey;
  readonly ed25519: Pick<Ed25519, 'keyPair'>;
  /** 32 random bytes. */
  readonly random: () => Uint8Array;
  readonly nowMs: number;
  /** Register a client key that `quorate submit` finds, in `<keys>/dev-client.json`. */
  readonly devClient: boolean;
  /** In their order; this node alone when absent. */
  readonly validators?: readonly Validator[];
  readonly operators?: readonly OperatorKey[];
}

/** Writes a genesis. The log may be created until `initialised` is called. */
export function createChain(chain: NewChain): Genesis {
  const { places, key } = chain;
  makePrivateDirectory(places.keysDir);
  const clients = chain.devClient ? [devClient(chain)] : [];
  const genesis = createGenesis({
    createdAtMs: chain.nowMs,
    validators: chain.validators ?? [{ nodeId: key.nodeId, publicKey: key.publicKey }],
    operators: chain.operators ?? [],
    clients,
  });
  writeChain(places, genesis);
  return genesis;
}

/**
 * Makes this node a member of a chain that others make too: the same genesis for all, and a log that may be created once.
 * Never over a genesis that is there.
 */
export function joinChain(places: ChainPlaces, genesis: Genesis): void {
  if (exists(places.genesis)) throw refused(places.genesis, '', 'a genesis', 'no file: a node has one chain');
  writeChain(places, genesis);
}

function writeChain(places: ChainPlaces, genesis: Genesis): void {
  diskSteps.write(join(places.dataDir, INITIALISING_FILE), Buffer.from(`${genesis.chainIdHex}\n`), 0o600);
  diskSteps.syncDirectory(places.dataDir);
  const text = `${JSON.stringify(JSON.parse(canonicalize(genesis.json)), null, 2)}\n`;
  replaceFile(diskSteps, places.genesis, Buffer.from(text), 0o644);
}

export function isInitialising(dataDir: string): boolean {
  return exists(join(dataDir, INITIALISING_FILE));
}

/** The log exists: from now on its absence is a loss. */
export function initialised(dataDir: string): void {
  rmSync(join(dataDir, INITIALISING_FILE), { force: true });
  diskSteps.syncDirectory(dataDir);
}

/** The development client's record, from its file, or from a new key written there. */
export function devClient({ places, ed25519, random }: Pick<NewChain, 'places' | 'ed25519' | 'random'>): JsonObject {
  const path = join(places.keysDir, DEV_CLIENT_FILE);
  if (!exists(path)) {
    const seed = random();
    const publicKey = Buffer.from(ed25519.keyPair(seed).publicKey).toString('hex');
    const file = { issuer: DEV_ISSUER, public_key: publicKey, seed: Buffer.from(seed).toString('hex') };
    createFile(path, `${JSON.stringify(file, null, 2)}\n`, 0o600);
  }
  const { issuer, public_key: publicKey } = readDevClient(path);
  if (typeof issuer !== 'string' || typeof publicKey !== 'string' || !/^[0-9a-f]{64}$/.test(publicKey)) {
    throw refused(path, '', 'no development client key', DEV_CLIENT_FORM);
  }
  return { issuer, roles: ['submit', 'read'], keys: [{ key_id: issuer, alg: 'ed25519', public_key: publicKey }] };
}

const DEV_CLIENT_FORM =
  '{"issuer":…,"public_key":"<64 hex>","seed":"<64 hex>"}; without the file the development client is not registered';

function readDevClient(path: string): JsonObject {
  let value: JsonValue;
  try {
    value = parseStrict(Buffer.from(readText(path)));
  } catch (error) {
    if (error instanceof JsonError) throw refused(path, '', error.message, DEV_CLIENT_FORM);
    throw error;
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}

function refused(file: string, path: string, found: string, allowed: string): ConfigError {
  return new ConfigError([configProblem({ file, path, found, allowed })]);
}
