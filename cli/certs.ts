// `quorate certs issue|show|renew`: the certificates of a network of one's own, and the pins that belong to them. Called by
// dispatch.ts. It works on a directory of the operator's, needs no node, and must never print a private key.
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { loadPinsFile, pinsText } from '../config/pins-file.js';
import { replaceFile } from '../config/private-file.js';
import { type Certificate, PemError, readCertificates } from '../protocol/crypto/certificate.js';
import { IDENTIFIER } from '../protocol/envelope.js';
import { EXIT } from '../runtime/exit-codes.js';
import { commonOptions, usageError } from './args.js';
import { type Command, defineCommand } from './command.js';
import { readRequired } from './endpoint.js';
import { CliError, printJson, type Terminal, table } from './output.js';

const DAY_MS = 86_400_000;
const PINS_FILE = 'pinned_certs.json';

const dir = {
  type: 'string',
  value: 'DIRECTORY',
  about: 'where ca.crt, ca.key and all else lie (default ./certs)',
} as const;
const address = {
  type: 'string',
  value: 'HOST,…',
  about: 'host names and IP addresses under which peers reach the node, besides localhost',
} as const;

const exits = [
  [EXIT.ok.code, 'done'],
  [EXIT.config.code, 'a file is missing, damaged, or already there'],
] as const;

const issueCommand = defineCommand({
  name: 'certs issue',
  summary: 'make a certificate for a node, and the authority if there is none',
  positionals: [{ name: 'NODE', about: 'node id, as "quorate keys show" names it', required: true }],
  options: { dir, address, json: commonOptions.json },
  about: `
Writes NODE.crt and NODE.key (mode 0600) and adds the fingerprint to pinned_certs.json. The first call makes the authority:
ca.crt, valid for ten years, and ca.key, which belongs on no node. Node certificates are valid for one year.

Every node needs ca.crt, its own pair and pinned_certs.json; see docs/PEERS.md.`,
  examples: [['quorate certs issue node_1 --address 10.0.0.1,node-1.example', 'the first of a network']],
  exits,
  async run({ values, positionals }, terminal) {
    const nodeId = nodeOf('certs issue', positionals[0]!);
    const place = new Place(values.dir, terminal.nowMs());
    if (existsSync(place.cert(nodeId))) {
      const hint = `"quorate certs renew ${nodeId}" makes the next one without losing a peer.`;
      throw new CliError(EXIT.config.code, `${place.cert(nodeId)} is there already.`, { hint });
    }
    const made = await place.issue(nodeId, addressesOf(values.address), '');
    report(made, values.json, terminal);
    return EXIT.ok.code;
  },
});

const showCommand = defineCommand({
  name: 'certs show',
  summary: 'show what a certificate file says: fingerprint, names, how long it is valid',
  positionals: [{ name: 'FILE', about: 'certificates in PEM', required: true }],
  options: { json: commonOptions.json },
  about: `
Shows every certificate of the file. The fingerprint is what pinned_certs.json takes.`,
  examples: [['quorate certs show certs/node_1.crt', 'the pin of node_1']],
  exits,
  async run({ values, positionals }, terminal) {
    const file = positionals[0]!;
    const shown = certificatesOf(file).map((certificate) => facts(certificate, terminal.nowMs()));
    if (values.json) printJson(terminal, { file, certificates: shown });
    else terminal.out(shown.map((each) => table(Object.entries(each).map(asRow), '')).join('\n'));
    return EXIT.ok.code;
  },
});

const renewCommand = defineCommand({
  name: 'certs renew',
  summary: "make a node's next certificate and pin it beside the old one; --finish drops the old pin",
  positionals: [{ name: 'NODE', about: 'node id', required: true }],
  options: {
    dir,
    address,
    finish: { type: 'boolean', about: 'the node shows the next certificate now: the old one and its pin go' },
    json: commonOptions.json,
  },
  about: `
Two steps, so that the pin is everywhere before the certificate is shown. The first writes NODE.next.crt and NODE.next.key
and adds the pin: give pinned_certs.json to every node and reload them, then give the node its new pair and reload it.
The second, with --finish, makes the next pair the current one and leaves only its pin: give the file to every node again.

Without --address the names of the old certificate are kept.`,
  examples: [
    ['quorate certs renew node_2', 'before it expires'],
    ['quorate certs renew node_2 --finish', 'once the node shows the new one'],
  ],
  exits,
  async run({ values, positionals }, terminal) {
    const nodeId = nodeOf('certs renew', positionals[0]!);
    const place = new Place(values.dir, terminal.nowMs());
    const old = certificatesOf(place.cert(nodeId))[0]!;
    const next = place.cert(`${nodeId}.next`);
    if (values.finish) {
      const fingerprint = certificatesOf(next)[0]!.fingerprint;
      for (const ending of ['crt', 'key'] as const) {
        renameSync(place.file(`${nodeId}.next`, ending), place.file(nodeId, ending));
      }
      place.pin(nodeId, [fingerprint]);
      report({ nodeId, fingerprint, cert: place.cert(nodeId), pins: place.pins }, values.json, terminal);
      return EXIT.ok.code;
    }
    if (existsSync(next)) {
      const hint = `Once the node shows it: "quorate certs renew ${nodeId} --finish".`;
      throw new CliError(EXIT.config.code, `${next} is there already.`, { hint });
    }
    const addresses = values.address === undefined ? old.names : addressesOf(values.address);
    const made = await place.issue(nodeId, addresses, '.next', old.fingerprint);
    report(made, values.json, terminal);
    return EXIT.ok.code;
  },
});

export const certsCommands: readonly Command[] = [issueCommand, showCommand, renewCommand];

interface Made {
  readonly nodeId: string;
  readonly fingerprint: string;
  readonly cert: string;
  readonly pins: string;
}

/** The operator's directory. */
class Place {
  readonly #directory: string;
  readonly #nowMs: number;

  constructor(directory: string | undefined, nowMs: number) {
    this.#directory = directory ?? 'certs';
    this.#nowMs = nowMs;
  }

  get pins(): string {
    return join(this.#directory, PINS_FILE);
  }

  file(name: string, ending: 'crt' | 'key'): string {
    return join(this.#directory, `${name}.${ending}`);
  }

  cert(name: string): string {
    return this.file(name, 'crt');
  }

  /** A new pair under NODE`suffix`, pinned beside `kept`. */
  async issue(nodeId: string, addresses: readonly string[], suffix: string, ...kept: string[]): Promise<Made> {
    // Loaded when it is used: it would slow down every other command.
    const { authorityIn, issueCertificate, nodeCertificate } = await import('../config/certificates.js');
    const nowMs = this.#nowMs;
    const authority = await authorityIn(this.#directory, { nowMs });
    const issued = await issueCertificate(authority, nodeCertificate(nodeId, addresses, nowMs));
    const cert = this.cert(nodeId + suffix);
    replaceFile(this.file(nodeId + suffix, 'key'), issued.key, 0o600);
    replaceFile(cert, issued.cert, 0o644);
    this.pin(nodeId, [...kept, issued.fingerprint]);
    return { nodeId, fingerprint: issued.fingerprint, cert, pins: this.pins };
  }

  /** These are the pins of the node from now on; those of others, and `enforce`, stay. */
  pin(nodeId: string, pins: readonly string[]): void {
    const file = existsSync(this.pins) ? loadPinsFile(this.pins) : { enforce: true, pins: new Map() };
    replaceFile(this.pins, pinsText(new Map([...file.pins, [nodeId, pins]]), file.enforce), 0o644);
  }
}

function nodeOf(command: string, nodeId: string): string {
  if (IDENTIFIER.test(nodeId) && !nodeId.startsWith('.')) return nodeId;
  throw usageError(command, `NODE is "${nodeId}", allowed are 1 to 128 of A-Z a-z 0-9 . _ : -`);
}

function addressesOf(text: string | undefined): string[] {
  return (text ?? '').split(',').filter((each) => each !== '');
}

function certificatesOf(file: string): Certificate[] {
  try {
    return readCertificates(Buffer.from(readRequired(file)).toString('utf8'));
  } catch (error) {
    if (!(error instanceof PemError)) throw error;
    throw new CliError(EXIT.config.code, `${file}: found ${error.message}; allowed: certificates in PEM.`);
  }
}

function facts(certificate: Certificate, nowMs: number) {
  const { fingerprint, subject, names, notBeforeMs, notAfterMs, isAuthority } = certificate;
  return {
    fingerprint: `sha256:${fingerprint}`,
    subject,
    names: [...names],
    valid_from: new Date(notBeforeMs).toISOString(),
    valid_to: new Date(notAfterMs).toISOString(),
    days_left: Math.floor((notAfterMs - nowMs) / DAY_MS),
    authority: isAuthority,
  };
}

function asRow([name, value]: [string, unknown]): [string, string] {
  return [name.replaceAll('_', ' '), Array.isArray(value) ? value.join(', ') : String(value)];
}

function report({ nodeId, fingerprint, cert, pins }: Made, json: boolean, terminal: Terminal): void {
  const made = { node_id: nodeId, certificate: cert, fingerprint: `sha256:${fingerprint}`, pins };
  if (json) printJson(terminal, made);
  else terminal.out(table(Object.entries(made).map(asRow), ''));
}
