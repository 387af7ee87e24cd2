// `quorate receipt DIGEST`: what became of a submission, and its receipt once it is final. Called by dispatch.ts; submit.ts
// shares the summary of a receipt. It believes the node: checking a receipt is `quorate verify`.

import { isObject } from '../client/http.js';
import { NodeUnavailable, pollReceipt, readSubmission, SubmissionRefused, type Submitted } from '../client/submit.js';
import type { JsonObject } from '../protocol/json.js';
import { EXIT } from '../runtime/exit-codes.js';
import { commonOptions, usageError, wholeNumber } from './args.js';
import { defineCommand } from './command.js';
import { apiUrl, dataDirectory } from './endpoint.js';
import { refused } from './http.js';
import { CliError, painter, printJson, type Terminal, table } from './output.js';

/** One question, with room for the node to be restarting. */
const ASK_ONCE_MS = 3_000;

export const receiptCommand = defineCommand({
  name: 'receipt',
  summary: 'fetch the receipt of a submission by its digest',
  positionals: [{ name: 'DIGEST', about: '64 hex digits, as submit prints them', required: true }],
  options: {
    api: commonOptions.api,
    'data-dir': commonOptions['data-dir'],
    wait: { type: 'string', value: 'SECONDS', about: 'wait so long for it to become final (default: ask once)' },
    json: commonOptions.json,
  },
  about: `
Asks a node what became of a submission. Once it is final, every node has its receipt; they differ in the certificate at
most, and each of them verifies. With --json the receipt itself goes to stdout.`,
  examples: [
    ['quorate receipt 5f0c…91 --json > r.json', 'fetch a receipt again'],
    ['quorate receipt 5f0c…91 --wait 60', 'wait up to a minute for it'],
  ],
  exits: [
    [EXIT.ok.code, 'final, the receipt is on stdout'],
    [EXIT.data.code, 'unknown digest, or the submission was rejected'],
    [EXIT.unavailable.code, 'not final yet, or no node answers'],
  ],
  async run({ values, positionals }, terminal) {
    const digest = positionals[0]!.toLowerCase();
    if (!/^[0-9a-f]{64}$/.test(digest)) {
      throw usageError('receipt', `DIGEST is "${positionals[0]}", allowed are 64 hex digits.`);
    }
    const waitMs = values.wait === undefined ? 0 : 1000 * wholeNumber('receipt', 'wait', values.wait, 0, 3600);
    const api = apiUrl(values.api, dataDirectory(values['data-dir'], terminal), terminal);
    const answer = await ask(digest, api, waitMs, terminal);
    if (answer.state === 'durable') {
      if (values.json) printJson(terminal, answer);
      terminal.err(`quorate receipt: durable on this node, not final yet. Ask again, or wait for it with --wait 60.\n`);
      return EXIT.unavailable.code;
    }
    if (values.json) {
      printJson(terminal, answer.receipt);
    } else {
      terminal.out(`${painter(terminal.colours.out)('green', 'final')}\n${table(receiptRows(answer.receipt), '  ')}`);
    }
    return EXIT.ok.code;
  },
});

async function ask(digest: string, api: string, waitMs: number, terminal: Terminal): Promise<Submitted> {
  const options = { api, host: terminal };
  const untilMs = terminal.nowMs() + Math.max(waitMs, ASK_ONCE_MS);
  try {
    return await (waitMs === 0 ? readSubmission : pollReceipt)(digest, options, untilMs);
  } catch (error) {
    if (error instanceof SubmissionRefused) throw refused(api, { status: error.status, body: error.problem });
    if (error instanceof NodeUnavailable) {
      const hint = 'Check that the node runs: "quorate status".';
      throw new CliError(EXIT.unavailable.code, `${api}: ${error.message}.`, { hint });
    }
    throw error;
  }
}

/** The facts of a receipt that people ask for first. Whatever is missing is left out: this is no check. */
export function receiptRows(receipt: JsonObject): string[][] {
  const block = isObject(receipt.block) ? receipt.block : {};
  const certificate = isObject(receipt.certificate) ? receipt.certificate : {};
  const signers = Array.isArray(certificate.signers) ? certificate.signers.length : undefined;
  const rows: [string, JsonObject[string] | undefined][] = [
    ['digest', receipt.digest],
    ['outcome', receipt.outcome],
    ['height', receipt.height],
    ['index', receipt.index],
    ['block time', block.timestamp],
    ['signed by', signers === undefined ? undefined : `${signers} ${signers === 1 ? 'validator' : 'validators'}`],
  ];
  return rows.flatMap(([name, value]) =>
    value === undefined ? [] : [[name, typeof value === 'string' ? value : JSON.stringify(value)]],
  );
}
