// Reads and writes pinned_certs.json: which certificates each peer may show, by fingerprint. Called with the other named
// files, by "quorate certs" and by the testnet. It must never take a pin for less than it says: what is malformed is refused.
import type { ValidateFunction } from 'ajv';
import { schemaCompiler } from './ajv.js';
import { placed } from './clients-shape.js';
import { ConfigError, type ConfigProblem, describeFound } from './errors.js';
import { readYamlFile, type YamlFile, type YamlPath } from './yaml-file.js';

export interface PinsFile {
  /** False: a mismatch is told and counted, and let in. */
  readonly enforce: boolean;
  /** Node id or host name → fingerprints, 64 lowercase hex each. */
  readonly pins: ReadonlyMap<string, readonly string[]>;
}

interface Content {
  enforce?: boolean;
  peers: Record<string, string | string[]>;
}

/** Two of a rotation, and room for more before somebody forgets to remove old ones. */
const PINS_MAX = 16;
const PEERS_MAX = 1024;
const PIN = /^(?:sha256:)?([0-9a-fA-F]{64})$/;
const PIN_FORM = '"sha256:" and 64 hex digits';
const SHAPE = '{"enforce": true, "peers": {"node_id": "sha256:…" | ["sha256:…", …]}}';

const SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['peers'],
  properties: {
    enforce: { type: 'boolean' },
    peers: {
      type: 'object',
      maxProperties: PEERS_MAX,
      additionalProperties: {
        type: ['string', 'array'],
        items: { type: 'string' },
        minItems: 1,
        maxItems: PINS_MAX,
      },
    },
  },
};

let compiled: ValidateFunction<Content> | null = null;

/** Throws ConfigError with file, line and what is wrong. */
export function loadPinsFile(path: string): PinsFile {
  const file = readYamlFile(path);
  compiled ??= schemaCompiler().compile<Content>(SCHEMA);
  const { value } = file;
  if (!compiled(value)) {
    const problems = (compiled.errors ?? []).map(({ instancePath, data, keyword, params }) => {
      const at = steps(instancePath);
      if (keyword === 'additionalProperties') {
        const key = String((params as { additionalProperty: unknown }).additionalProperty);
        const place = file.placeOfKey([...at, key]);
        return { ...placed(file, [...at, key], { found: 'an unknown member', allowed: SHAPE }), ...(place ?? {}) };
      }
      const allowed = at[0] === 'peers' && at.length > 1 ? `${PIN_FORM}, or a list of 1 to ${PINS_MAX} of them` : SHAPE;
      return placed(file, at, { found: keyword === 'required' ? 'no member peers' : describeFound(data), allowed });
    });
    throw new ConfigError(problems);
  }
  const problems: ConfigProblem[] = [];
  const pins = new Map<string, string[]>();
  for (const [name, given] of Object.entries(value.peers)) pins.set(name, pinsOf(file, name, given, problems));
  if (problems.length > 0) throw new ConfigError(problems);
  return { enforce: value.enforce ?? true, pins };
}

function pinsOf(file: YamlFile, name: string, given: string | string[], problems: ConfigProblem[]): string[] {
  const list = typeof given === 'string' ? [given] : given;
  const pins: string[] = [];
  for (const [index, text] of list.entries()) {
    const pin = PIN.exec(text)?.[1]?.toLowerCase();
    const at: YamlPath = typeof given === 'string' ? ['peers', name] : ['peers', name, index];
    if (pin === undefined) problems.push(placed(file, at, { found: describeFound(text), allowed: PIN_FORM }));
    else if (!pins.includes(pin)) pins.push(pin);
  }
  return pins;
}

/** The text of a pins file, names and pins in a stable order. */
export function pinsText(pins: ReadonlyMap<string, readonly string[]>, enforce = true): string {
  const peers = Object.fromEntries(
    [...pins]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, list]) => {
        const texts = list.map((pin) => `sha256:${pin}`);
        return [name, texts.length === 1 ? texts[0] : texts];
      }),
  );
  return `${JSON.stringify({ enforce, peers }, null, 2)}\n`;
}

function steps(pointer: string): YamlPath {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step.replaceAll('~1', '/').replaceAll('~0', '~')));
}
