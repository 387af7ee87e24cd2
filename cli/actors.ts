// `quorate actors list|restart|reset|kill`: the supervised actors of a running node. Called by dispatch.ts; status.ts shares
// the table. It only asks the supervisor: what it may do to an actor is decided there.
import { isObject } from '../client/http.js';
import { EXIT } from '../runtime/exit-codes.js';
import { type ActorRow, adminOf, listActors } from './admin.js';
import { commonOptions } from './args.js';
import { type Command, defineCommand } from './command.js';
import { dataDirectory } from './endpoint.js';
import { type Paint, painter, printJson, table } from './output.js';

const options = { 'data-dir': commonOptions['data-dir'], ops: commonOptions.ops, json: commonOptions.json } as const;

const exits = [
  [EXIT.ok.code, 'done'],
  [EXIT.data.code, 'there is no actor of this name, or it is not in a state for this'],
  [EXIT.unavailable.code, 'no node answers'],
  [EXIT.permission.code, 'the admin token is not readable or was refused'],
] as const;

const listCommand = defineCommand({
  name: 'actors list',
  summary: 'show the supervised actors: state, restarts, breaker, mailbox',
  positionals: [],
  options,
  about: `
Each part of a node is an actor in a thread of its own, watched by a supervisor that restarts it when it fails. This shows
them as the supervisor sees them. "restarts" counts since the process started; an open breaker means that the supervisor
has given the actor a pause and will try again by itself.`,
  examples: [
    ['quorate actors list', 'the table'],
    ['quorate actors list --json', 'the same for a script'],
  ],
  exits,
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    const actors = await listActors(adminOf(terminal, directory, values.ops));
    if (values.json) printJson(terminal, { actors });
    else terminal.out(actorTable(actors, painter(terminal.colours.out)));
    return EXIT.ok.code;
  },
});

export const actorsCommands: readonly Command[] = [
  listCommand,
  verbCommand(
    'restart',
    'stop one actor in good order and start it anew',
    `
Lets the actor finish what is in hand, stops it and starts a new incarnation. Submissions in flight are not lost: they are
in the log, and clients that meet the gap are told to try again.`,
  ),
  verbCommand(
    'reset',
    'close the circuit breaker of one actor',
    `
After repeated failures a breaker keeps an actor down for a while. When the cause is mended, this closes the breaker and
starts the actor at once.`,
  ),
  verbCommand(
    'kill',
    'terminate the thread of one actor, as a drill',
    `
Terminates the thread without warning, as a crash would, and lets the supervisor restart it. For drills: nothing that was
acknowledged may be lost by it. A kill by hand does not count against the circuit breaker.`,
  ),
];

function verbCommand(verb: 'restart' | 'reset' | 'kill', summary: string, about: string): Command {
  return defineCommand({
    name: `actors ${verb}`,
    summary,
    positionals: [{ name: 'NAME', about: 'the actor, as "quorate actors list" shows it', required: true }],
    options,
    about,
    examples: [[`quorate actors ${verb} dedup`, `${verb} the actor dedup`]],
    exits,
    async run({ values, positionals }, terminal) {
      const name = positionals[0]!;
      const admin = adminOf(terminal, dataDirectory(values['data-dir'], terminal), values.ops);
      // A restart drains first, which the actor's spec may allow half a minute.
      const { body } = await admin.call(`/v1/admin/actors/${encodeURIComponent(name)}/${verb}`, {
        method: 'POST',
        deadlineMs: 60_000,
      });
      if (values.json) printJson(terminal, { actor: name, action: verb, ...body });
      else terminal.out(`${name}: ${PAST[verb]}. "quorate actors list" shows it.\n`);
      return EXIT.ok.code;
    },
  });
}

const PAST = { restart: 'restarted', reset: 'breaker closed', kill: 'killed' } as const;

const COLUMNS = ['actor', 'state', 'since', 'incarnation', 'restarts', 'breaker', 'mailbox', 'last exit'] as const;

/** Aligned columns; a field that the node does not report shows as "-". */
export function actorTable(actors: readonly ActorRow[], paint: Paint, indent = ''): string {
  const rows = actors.map((actor) => {
    const breaker = shown(actor.breaker);
    return [
      actor.id,
      paint(actor.state === 'up' ? 'green' : 'yellow', shown(actor.state)),
      sinceOf(actor),
      shown(actor.incarnation),
      shown(actor.restarts),
      breaker === 'open' ? paint('red', breaker) : breaker,
      shown(actor.mailboxDepth),
      isObject(actor.lastExit) ? shown(actor.lastExit.reason) : '-',
    ];
  });
  return table([COLUMNS.map((column) => paint('dim', column)), ...rows], indent);
}

function shown(value: ActorRow[string] | undefined): string {
  if (value === undefined || value === null) return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** How long it has been up, or when it starts again. */
function sinceOf({ upForMs, startsInMs }: ActorRow): string {
  if (typeof upForMs === 'number') return duration(upForMs);
  return typeof startsInMs === 'number' ? `starts in ${duration(startsInMs)}` : '-';
}

function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} d`;
}
