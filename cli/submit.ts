// `quorate submit`: signs a payload with a client key, sends it until the node has answered, prints the receipt.
// Called by dispatch.ts. It never prints a seed, and never signs the same id twice with different content by itself.
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { signObservation } from '../client/observe.js';
import { type ClientKey, ClientKeyError, type Draft, parseClientKey, signSubmission } from '../client/sign.js';
import {
  NodeUnavailable,
  type Pause,
  type Sendable,
  SubmissionRefused,
  type SubmitOptions,
  type Submitted,
  submit,
} from '../client/submit.js';
import { DEV_CLIENT_FILE } from '../config/chain-files.js';
import { type Ed25519, loadEd25519 } from '../protocol/crypto/ed25519.js';
import { parseTime } from '../protocol/envelope.js';
import type { JsonObject } from '../protocol/json.js';
import { ShapeError } from '../protocol/kinds/kind.js';
import { OBSERVATION } from '../protocol/kinds/observation.js';
import { EXIT } from '../runtime/exit-codes.js';
import { commonOptions, usageError, wholeNumber } from './args.js';
import { defineCommand } from './command.js';
import { apiUrl, dataDirectory, nonEmpty, parseJson, parseObject, readOptional, readRequired } from './endpoint.js';
import { refused } from './http.js';
import { CliError, painter, printJson, type Terminal, table } from './output.js';
import { receiptRows } from './receipt.js';

const DEFAULT_WAIT_S = 30;

export const submitCommand = defineCommand({
  name: 'submit',
  summary: 'sign a submission, send it, print its receipt',
  positionals: [],
  options: {
    kind: {
      type: 'string',
      about: 'what the payload is (default note, whose payload is {"text":"…"}; observation: see docs/ROUNDS.md)',
    },
    data: { type: 'string', value: 'JSON', about: 'the payload: JSON, @FILE, or - for stdin' },
    id: { type: 'string', about: 'your own name for it, unique per issuer (default a fresh UUID)' },
    'issued-at': {
      type: 'string',
      value: 'TIME',
      about: 'RFC 3339 UTC (default now); give it to repeat an earlier submission',
    },
    key: { type: 'string', value: 'FILE', about: 'client key (default keys/dev-client.json of the data directory)' },
    'envelope-out': { type: 'string', value: 'FILE', about: 'keep the signed bytes, for quorate verify --envelope' },
    api: commonOptions.api,
    'data-dir': commonOptions['data-dir'],
    wait: {
      type: 'string',
      value: 'SECONDS',
      about: `how long to wait for the receipt (default ${DEFAULT_WAIT_S}; 0: durable is enough)`,
    },
    durable: {
      type: 'string',
      value: 'quorum',
      about: 'be content as soon as a quorum of validators has it on disk, final or not',
    },
    json: commonOptions.json,
  },
  about: `
Signs the payload with a client key and sends it to the node. While the node is busy, restarting or away, the same signed
bytes are sent again: the id makes that safe, the node counts them once. The answer is a receipt: proof that a quorum of
validators has put this submission into the ledger, which anyone can check with "quorate verify" and no node at all.

With --json the receipt itself, or {"error":…}, goes to stdout; what happens on the way goes to stderr.`,
  examples: [
    [`quorate submit --data '{"text":"hi"}' --json > r.json`, 'submit a note and keep its receipt'],
    ['quorate submit --kind order --data @order.json --id order-17', 'a kind of your own, under your own id'],
    [
      'quorate submit --kind observation --data @seen.json --key observer.json',
      'an observation: id and time are its own',
    ],
    ['date | jq -R "{text:.}" | quorate submit --data -', 'the payload from stdin'],
  ],
  exits: [
    [EXIT.ok.code, 'final, the receipt is on stdout (with --wait 0: durable; with --durable quorum: on its disks)'],
    [EXIT.usage.code, 'wrong arguments'],
    [EXIT.data.code, 'the node refused it: payload, kind, or the id is taken by other content'],
    [EXIT.unavailable.code, 'no final answer in time; sending the same again is safe'],
    [EXIT.permission.code, 'key unknown or signature refused, or the key file is not readable'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    const waitS = values.wait === undefined ? DEFAULT_WAIT_S : wholeNumber('submit', 'wait', values.wait, 0, 3600);
    const durable = wantedDisks(values.durable);
    const payload = await readPayload(values.data, terminal);
    const issuedAtMs = values['issued-at'] === undefined ? terminal.nowMs() : readTime(values['issued-at']);
    const api = apiUrl(values.api, directory, terminal);
    const key = readClientKey(keyFile(values.key, directory, terminal));
    const draft = { kind: values.kind ?? 'note', id: values.id ?? randomUUID(), issuedAtMs, payload };
    const signed = await sign(key, draft);
    const envelopeFile = values['envelope-out'];
    if (envelopeFile !== undefined) writeFile(envelopeFile, signed.body);
    const result = await send(signed, { api, waitMs: waitS * 1000, ...durable }, terminal);
    const isEnough = durable.durable === undefined ? waitS === 0 : isOnQuorum(result);
    report(result, signed, { isEnough, waitS, json: values.json }, terminal);
    return result.state === 'final' || isEnough ? EXIT.ok.code : EXIT.unavailable.code;
  },
});

async function readPayload(data: string | undefined, terminal: Terminal): Promise<JsonObject> {
  if (data === undefined) throw usageError('submit', `--data is missing: the payload, such as --data '{"text":"hi"}'.`);
  if (data === '-') return parseObject(await terminal.readStdin(), 'stdin');
  if (data.startsWith('@')) return parseObject(readRequired(data.slice(1)), data.slice(1));
  return parseObject(Buffer.from(data), '--data');
}

function wantedDisks(text: string | undefined): Pick<SubmitOptions, 'durable'> {
  if (text === undefined) return {};
  if (text !== 'quorum') throw usageError('submit', `--durable is "${text}", allowed is quorum.`);
  return { durable: text };
}

function readTime(text: string): number {
  const timeMs = parseTime(text);
  if (timeMs === null) {
    throw usageError('submit', `--issued-at is "${text}", allowed is a UTC time such as 2026-11-20T12:00:00.000Z.`);
  }
  return timeMs;
}

function keyFile(flag: string | undefined, directory: string, terminal: Terminal): string {
  return flag ?? nonEmpty(terminal.env.QUORATE_KEY) ?? join(directory, 'keys', DEV_CLIENT_FILE);
}

function readClientKey(path: string): ClientKey {
  const bytes = readOptional(path);
  if (bytes === null) {
    throw new CliError(EXIT.data.code, `${path}: no such key file.`, {
      hint: 'A development node writes keys/dev-client.json into its data directory; "quorate keys client NAME" makes others.',
    });
  }
  try {
    return parseClientKey(parseJson(bytes, path));
  } catch (error) {
    if (error instanceof ClientKeyError) throw new CliError(EXIT.data.code, `${path}: ${error.message}.`);
    throw error;
  }
}

/** Signed bytes with the names that messages about them need. */
interface Outgoing extends Sendable {
  readonly kind: string;
  readonly id: string;
  readonly issuedAt: string;
}

async function sign(key: ClientKey, draft: Draft): Promise<Outgoing> {
  try {
    const ed25519 = await loadEd25519();
    if (draft.kind === OBSERVATION) return observe(ed25519, key, draft);
    const { body, digest, envelope } = signSubmission(ed25519, key, draft);
    return { body, digest, kind: envelope.kind, id: envelope.id, issuedAt: envelope.issued_at };
  } catch (error) {
    if (error instanceof ShapeError) {
      const faults = error.errors.map(
        (fault) => `${fault.pointer.slice(1)}: found ${fault.found}, allowed is ${fault.allowed}`,
      );
      throw usageError('submit', `not a submission: ${faults.join('; ')}.`);
    }
    if (error instanceof ClientKeyError) throw new CliError(EXIT.data.code, `the key file: ${error.message}.`);
    throw error;
  }
}

/** An observation has id and time of its own; where they are missing, those of the submission are taken. */
function observe(ed25519: Ed25519, key: ClientKey, { id, issuedAtMs, payload }: Draft): Outgoing {
  const times = { audit_id: id, timestamp: new Date(issuedAtMs).toISOString() };
  const { observation, body, digest } = signObservation(ed25519, key, { ...times, ...payload });
  const { audit_id, timestamp } = observation;
  return {
    body,
    digest,
    path: '/v1/observations',
    kind: OBSERVATION,
    id: String(audit_id),
    issuedAt: String(timestamp),
  };
}

function writeFile(path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(path, bytes);
  } catch (error) {
    throw new CliError(
      EXIT.cannotCreate.code,
      `${path}: cannot be written (${error instanceof Error ? error.message : error}).`,
    );
  }
}

type Call = Pick<SubmitOptions, 'api' | 'waitMs' | 'durable'>;

async function send(signed: Outgoing, call: Call, terminal: Terminal): Promise<Submitted> {
  const note = ({ reason, delayMs }: Pause) =>
    terminal.err(`quorate submit: ${reason}; again in ${(delayMs / 1000).toFixed(1)} s\n`);
  try {
    return await submit(signed, { ...call, host: terminal, note });
  } catch (error) {
    if (error instanceof SubmissionRefused) throw refusal(error, call.api);
    if (error instanceof NodeUnavailable) throw unavailable(error, call.api, signed);
    throw error;
  }
}

function refusal(error: SubmissionRefused, api: string): CliError {
  const answer = refused(api, { status: error.status, body: error.problem });
  if (error.status !== 409) return answer;
  return new CliError(answer.exitCode, answer.message, {
    hint: 'Choose another --id, or repeat the first submission exactly: same --data and --issued-at as then.',
    ...(answer.detail === undefined ? {} : { detail: answer.detail }),
  });
}

function unavailable(error: NodeUnavailable, api: string, { id, issuedAt, digest }: Outgoing): CliError {
  const asked =
    error.askedToWaitMs === null ? '' : ` The node asks to wait ${Math.ceil(error.askedToWaitMs / 1000)} s.`;
  return new CliError(EXIT.unavailable.code, `${api}: ${error.message}.${asked} It may have arrived or not.`, {
    hint: `Repeating it is safe: the same command with --id ${id} --issued-at ${issuedAt}; or ask with "quorate receipt ${digest}".`,
    detail: { id, issued_at: issuedAt, digest },
  });
}

function isOnQuorum(result: Submitted): boolean {
  return result.state === 'durable' && result.durable === 'quorum';
}

interface Report {
  /** What was asked for, though it is not final. */
  readonly isEnough: boolean;
  readonly waitS: number;
  readonly json: boolean;
}

function report(result: Submitted, signed: Outgoing, how: Report, terminal: Terminal): void {
  const paint = painter(terminal.colours.out);
  const ask = `quorate receipt ${result.digest}`;
  if (result.state === 'durable') {
    const where = isOnQuorum(result) ? 'the disks of a quorum' : "the node's disk";
    if (how.json) printJson(terminal, { ...result });
    else
      terminal.out(
        `${paint('yellow', 'durable')} on ${where}, not final yet\n${table([['digest', result.digest]], '  ')}Next: ${ask}\n`,
      );
    if (!how.isEnough) terminal.err(`quorate submit: not final after ${how.waitS} s. Ask again with "${ask}".\n`);
    return;
  }
  if (how.json) {
    printJson(terminal, result.receipt);
    return;
  }
  const rows = [['kind', signed.kind], ['id', signed.id], ...receiptRows(result.receipt)];
  terminal.out(`${paint('green', 'final')}\n${table(rows, '  ')}`);
  terminal.out(`Next: ${ask} --json > r.json   then   quorate verify r.json --validators validators.json\n`);
}
