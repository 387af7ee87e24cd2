// `quorate verify`: checks a receipt, or evidence against validators, with the validator set alone, without node and network. Called
// by dispatch.ts. The checks themselves are in protocol/; this reads the files, says each check and sets the exit code.
import { readFileSync } from 'node:fs';
import { isObject } from '../client/http.js';
import { type Ed25519, loadEd25519 } from '../protocol/crypto/ed25519.js';
import { verifyEvidenceWith } from '../protocol/evidence-verify.js';
import { JsonError, type JsonValue, parseStrict } from '../protocol/json.js';
import { ShapeError } from '../protocol/kinds/kind.js';
import { readReceiptFile } from '../protocol/receipt.js';
import { type Submitted, verifyWith } from '../protocol/receipt-verify.js';
import { parseValidatorSet, type ValidatorSet } from '../protocol/validators.js';
import { EXIT } from '../runtime/exit-codes.js';
import { commonOptions, usageError } from './args.js';
import { defineCommand } from './command.js';
import { CliError, painter, printJson, type Terminal, table } from './output.js';

/** Scripts rely on these two: they are the answer to "does it hold?", not failures of the program. */
const INVALID = 1;
const UNREADABLE = 2;

export const verifyCommand = defineCommand({
  name: 'verify',
  summary: 'check a receipt, or evidence, offline',
  positionals: [{ name: 'FILE', about: 'the receipt or the evidence, or - for stdin', required: true }],
  options: {
    validators: {
      type: 'string',
      value: 'FILE',
      about: 'validators.json: what GET /v1/validators answered when you decided to trust them',
    },
    envelope: { type: 'string', value: 'FILE', about: 'also check that the receipt is for these submitted bytes' },
    'client-key': { type: 'string', value: 'HEX', about: "with --envelope: also check the client's Ed25519 signature" },
    json: commonOptions.json,
  },
  about: `
A receipt proves that a quorum of validators has put a submission with this outcome into their ledger. This checks the
proof: the path from the submission to the root of its block, the hashes of the headers, and the signatures of the
validators. It needs the receipt and the validator set, no node and no network. Any changed byte makes it fail.

The validator set is what you trust: fetch it once, over a way you trust, and keep it.

FILE may also be evidence, one document or a whole answer of GET /v1/evidence: two votes that a validator signed in one view,
which no honest validator signs both. It holds when both signatures do.`,
  examples: [
    ['curl -s http://127.0.0.1:8080/v1/validators > validators.json', 'keep the validator set'],
    ['quorate verify r.json --validators validators.json', 'check a receipt'],
    ['quorate verify r.json --validators validators.json --envelope e.json', 'and that it is for these bytes'],
    ['curl -s http://127.0.0.1:8080/v1/evidence | quorate verify - --validators validators.json', 'check evidence'],
  ],
  exits: [
    [EXIT.ok.code, 'the receipt, or every piece of evidence, holds'],
    [INVALID, 'it does not; the failed checks are named'],
    [UNREADABLE, 'a file cannot be read, or is not JSON'],
    [EXIT.usage.code, 'wrong arguments'],
  ],
  async run({ values, positionals }, terminal) {
    if (values.validators === undefined) {
      throw usageError(
        'verify',
        '--validators is missing: the validator set to trust. A node gives it at GET /v1/validators.',
      );
    }
    const receipt = await readBytes(positionals[0]!, terminal);
    const set = readValidatorSet(await readBytes(values.validators, terminal), values.validators);
    const submitted = await readSubmitted(values.envelope, values['client-key'], terminal);
    const result = verifyBytes(receipt, positionals[0]!, set, await loadEd25519(), submitted);
    if (values.json) {
      printJson(terminal, result);
    } else {
      const paint = painter(terminal.colours.out);
      const rows = result.checks.map((check) => [
        check.ok ? paint('green', 'ok') : paint('red', 'FAILED'),
        check.name,
        check.detail,
      ]);
      terminal.out(`${table(rows, '  ')}${result.valid ? paint('green', 'valid') : paint('red', 'NOT VALID')}\n`);
    }
    return result.valid ? EXIT.ok.code : INVALID;
  },
});

async function readSubmitted(
  envelope: string | undefined,
  clientKey: string | undefined,
  terminal: Terminal,
): Promise<Submitted | undefined> {
  if (clientKey !== undefined && !/^[0-9a-fA-F]{64}$/.test(clientKey)) {
    throw usageError('verify', `--client-key is "${clientKey}", allowed are the 64 hex digits of a public key.`);
  }
  if (envelope === undefined) {
    if (clientKey !== undefined)
      throw usageError('verify', '--client-key needs --envelope: the bytes that were signed.');
    return undefined;
  }
  const bytes = await readBytes(envelope, terminal);
  return clientKey === undefined ? { bytes } : { bytes, publicKey: Buffer.from(clientKey, 'hex') };
}

interface Verdict {
  readonly valid: boolean;
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[];
}

/** A file that is JSON and no receipt is not valid: every checked byte may have been changed. */
function verifyBytes(
  bytes: Buffer,
  path: string,
  set: ValidatorSet,
  ed25519: Ed25519,
  submitted: Submitted | undefined,
): Verdict {
  try {
    const value = readReceiptFile(bytes);
    const evidence = evidenceIn(value);
    if (evidence === null) return verifyWith(unwrap(value), set, ed25519, submitted);
    if (submitted !== undefined) throw usageError('verify', '--envelope is for receipts, and this is evidence.');
    return verifyAll(evidence, set, ed25519);
  } catch (error) {
    if (error instanceof JsonError) throw notJson(path, error);
    if (!(error instanceof ShapeError)) throw error;
    return { valid: false, checks: [{ name: 'shape', ok: false, detail: error.message }] };
  }
}

/** A document of evidence has two votes; an answer of the API lists documents. */
function evidenceIn(value: JsonValue): readonly JsonValue[] | null {
  if (!isObject(value)) return null;
  if (Array.isArray(value.evidence)) return value.evidence;
  return value.votes === undefined ? null : [value];
}

function verifyAll(evidence: readonly JsonValue[], set: ValidatorSet, ed25519: Ed25519): Verdict {
  const checks = evidence.map((document) => {
    const { valid, detail } = verifyEvidenceWith(document, set, ed25519);
    return { name: 'evidence', ok: valid, detail };
  });
  if (checks.length === 0) checks.push({ name: 'evidence', ok: false, detail: 'there is none in it' });
  return { valid: checks.every(({ ok }) => ok), checks };
}

/** Without the set there is nothing to judge by: any fault in it is the file's. */
function readValidatorSet(bytes: Buffer, path: string): ValidatorSet {
  try {
    return parseValidatorSet(parseStrict(bytes));
  } catch (error) {
    if (error instanceof JsonError) throw notJson(path, error);
    if (error instanceof ShapeError) throw new CliError(UNREADABLE, `${path}: no validator set: ${error.message}.`);
    throw error;
  }
}

function notJson(path: string, error: JsonError): CliError {
  return new CliError(UNREADABLE, `${path}: not JSON: ${error.message}.`);
}

/** The answer of `POST /v1/submissions` holds the receipt as one of its members: its file is welcome as it is. */
function unwrap(value: JsonValue): JsonValue {
  return isObject(value) && value.state === 'final' && isObject(value.receipt) ? value.receipt : value;
}

async function readBytes(path: string, terminal: Terminal): Promise<Buffer> {
  try {
    return path === '-' ? Buffer.from(await terminal.readStdin()) : readFileSync(path);
  } catch (error) {
    throw new CliError(
      UNREADABLE,
      `${path}: cannot be read (${error instanceof Error ? error.message : String(error)}).`,
    );
  }
}
