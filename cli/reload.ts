// `quorate reload`: lets a running node read its configuration again and says what came of it. Called by dispatch.ts.
// It changes nothing itself: the node validates, then takes everything or nothing.
import { nodePid } from '../config/data-lock.js';
import type { JsonObject } from '../protocol/json.js';
import { EXIT } from '../runtime/exit-codes.js';
import { adminOf } from './admin.js';
import { commonOptions } from './args.js';
import { defineCommand } from './command.js';
import { dataDirectory, errorCode } from './endpoint.js';
import { CliError, painter, printJson, type Terminal } from './output.js';

/** Every actor prepares, then all commit: each has its own deadline inside the node, far below this. */
const RELOAD_DEADLINE_MS = 60_000;

export const reloadCommand = defineCommand({
  name: 'reload',
  summary: 'let a running node read its configuration again',
  positionals: [],
  options: {
    'data-dir': commonOptions['data-dir'],
    ops: commonOptions.ops,
    'signal-only': { type: 'boolean', about: 'only send SIGHUP to the process; the result is in its log' },
    json: commonOptions.json,
  },
  about: `
The node loads and checks the new configuration with every actor, then all take it, or none does and the old one stays. No
connection that is not concerned is dropped. Does what SIGHUP does, and waits for the result.`,
  examples: [
    ['quorate reload', 'after an edit of quorate.yaml, clients.yml or kinds/'],
    ['quorate reload --signal-only', 'when the ops port is closed'],
  ],
  exits: [
    [EXIT.ok.code, 'applied, or nothing differs'],
    [EXIT.unavailable.code, 'no node answers'],
    [EXIT.config.code, 'refused: the running configuration stays'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    if (values['signal-only']) return sendSignal(terminal, directory, values.json);
    const admin = adminOf(terminal, directory, values.ops);
    const { body } = await admin.call('/v1/admin/reload', {
      method: 'POST',
      alsoFine: [422],
      deadlineMs: RELOAD_DEADLINE_MS,
    });
    if (values.json) printJson(terminal, body);
    return report(terminal, body, values.json);
  },
});

function report(terminal: Terminal, body: JsonObject, quiet: boolean): number {
  const paint = painter(terminal.colours.out);
  if (body.result === 'ok' || body.result === 'unchanged') {
    const changed = Array.isArray(body.changed) ? body.changed.join(', ') : '';
    const applied = `${paint('green', 'applied')}${changed === '' ? '' : `: ${changed}`}`;
    if (!quiet)
      terminal.out(`${body.result === 'ok' ? applied : 'nothing differs: the running configuration stays'}\n`);
    return EXIT.ok.code;
  }
  const errors = Array.isArray(body.errors) ? body.errors : [body.detail ?? body.title ?? 'no reason given'];
  for (const error of errors)
    terminal.err(`quorate reload: ${typeof error === 'string' ? error : JSON.stringify(error)}\n`);
  terminal.err('quorate reload: refused, the running configuration stays. Mend the lines above and reload again.\n');
  return EXIT.config.code;
}

function sendSignal(terminal: Terminal, directory: string, json: boolean): number {
  const pid = nodePid(directory);
  if (pid === null)
    throw new CliError(EXIT.unavailable.code, `no node is running on ${directory} (run/node.pid is missing).`);
  try {
    terminal.signal(pid, 'SIGHUP');
  } catch (error) {
    if (errorCode(error) === 'EPERM') {
      throw new CliError(EXIT.permission.code, `process ${pid}: this user may not signal it.`, {
        hint: "Run the command as the node's user.",
      });
    }
    throw new CliError(
      EXIT.unavailable.code,
      `process ${pid} of run/node.pid is gone: no node is running on ${directory}.`,
    );
  }
  if (json) printJson(terminal, { result: 'signalled', pid });
  else terminal.out(`SIGHUP sent to process ${pid}; its log has the result.\n`);
  return EXIT.ok.code;
}
