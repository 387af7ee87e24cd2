// `quorate status`: one look at a node: who it is, how far its ledger is, whether it is ready, how its actors are.
// Called by dispatch.ts. It asks the node and shows what it answers; it judges nothing itself.
import { isObject } from '../client/http.js';
import type { JsonObject } from '../protocol/json.js';
import { EXIT } from '../runtime/exit-codes.js';
import { actorTable } from './actors.js';
import { type ActorRow, adminOf, listActors } from './admin.js';
import { commonOptions } from './args.js';
import { defineCommand } from './command.js';
import { apiUrl, dataDirectory, opsUrl } from './endpoint.js';
import { call } from './http.js';
import { CliError, painter, printJson, type Terminal, table } from './output.js';
import { reachText } from './peers.js';

interface Readiness {
  readonly ready: boolean;
  /** The checks that do not pass, with what they say. */
  readonly failing: readonly string[];
}

export const statusCommand = defineCommand({
  name: 'status',
  summary: 'show a node: identity, ledger, readiness, actors',
  positionals: [],
  options: {
    'data-dir': commonOptions['data-dir'],
    api: commonOptions.api,
    ops: commonOptions.ops,
    json: commonOptions.json,
  },
  about: `
Asks the node that runs on a data directory how it is. Ready means: its log is writable, a quorum is reachable, all actors
run. A node that is not ready answers submissions with 503 and says which check fails; most of these mend themselves.`,
  examples: [
    ['quorate status', 'the node of ./data'],
    ['quorate status --data-dir /var/lib/quorate', 'a node somewhere else'],
    ['quorate status --json | jq .ready', 'for a script'],
  ],
  exits: [
    [EXIT.ok.code, 'the node is ready'],
    [EXIT.unavailable.code, 'it does not answer, or is not ready'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    const api = apiUrl(values.api, directory, terminal);
    const ops = opsUrl(values.ops, directory);
    const [node, readiness] = await Promise.all([call(terminal, `${api}/v1/status`), readReadiness(terminal, ops)]);
    const actors = await visibleActors(terminal, directory, ops);
    if (values.json) {
      printJson(terminal, { api, ops, ...readiness, node: node.body, actors: actors.rows });
    } else {
      print(terminal, { api, ops, node: node.body, readiness, actors });
    }
    return readiness.ready ? EXIT.ok.code : EXIT.unavailable.code;
  },
});

/** `GET /readyz`: 200 or 503, with {"status":"pass"|"fail","checks":[{"name","ok","detail"}]}. */
async function readReadiness(terminal: Terminal, ops: string): Promise<Readiness> {
  const answer = await call(terminal, `${ops}/readyz`, { alsoFine: [503] });
  return { ready: answer.status === 200, failing: failingChecks(answer.body) };
}

function failingChecks({ checks }: JsonObject): string[] {
  if (!Array.isArray(checks)) return [];
  return checks.flatMap((check) => {
    if (!isObject(check) || check.ok !== false) return [];
    const detail = check.detail === '' || check.detail === undefined ? [] : [String(check.detail)];
    return [[String(check.name), ...detail].join(': ')];
  });
}

interface VisibleActors {
  /** null when this user may not see them. */
  readonly rows: readonly ActorRow[] | null;
  readonly why: string;
}

/** The rest of the status needs no token: a user without it sees all but the actors. */
async function visibleActors(terminal: Terminal, directory: string, ops: string): Promise<VisibleActors> {
  try {
    return { rows: await listActors(adminOf(terminal, directory, ops)), why: '' };
  } catch (error) {
    if (error instanceof CliError) return { rows: null, why: error.message };
    throw error;
  }
}

interface Shown {
  readonly api: string;
  readonly ops: string;
  readonly node: JsonObject;
  readonly readiness: Readiness;
  readonly actors: VisibleActors;
}

function print(terminal: Terminal, { api, ops, node, readiness, actors }: Shown): void {
  const paint = painter(terminal.colours.out);
  const { quorum, peers: _, ...plain } = node;
  const facts = Object.entries(plain).map(([name, value]) => [
    name.replaceAll('_', ' '),
    typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value),
  ]);
  facts.push(['quorum', reachText(quorum)]);
  terminal.out(readiness.ready ? `${paint('green', 'ready')}\n` : `${paint('red', 'not ready')}\n`);
  for (const check of readiness.failing) terminal.out(`  ${paint('yellow', check)}\n`);
  terminal.out(table([['api', api], ['ops', ops], ...facts], '  '));
  if (actors.rows === null) terminal.out(`\nactors are not shown: ${actors.why}\n`);
  else terminal.out(`\n${paint('bold', 'actors')}\n${actorTable(actors.rows, paint, '  ')}`);
}
