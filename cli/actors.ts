// `quorate actors list|restart|reset|kill|crashes`: the supervised actors of a running node. Called by dispatch.ts; status.ts shares
// the table. It only asks the supervisor: what it may do to an actor is decided there.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isObject } from '../client/http.js';
import type { JsonObject } from '../protocol/json.js';
import { EXIT } from '../runtime/exit-codes.js';
import { crashFileNames } from '../runtime/kernel/crash-files.js';
import { MISDEEDS } from '../runtime/kernel/misdeeds.js';
import { type ActorRow, adminOf, listActors } from './admin.js';
import { commonOptions, usageError } from './args.js';
import { type Command, defineCommand } from './command.js';
import { dataDirectory } from './endpoint.js';
import { CliError, type Paint, painter, printJson, table } from './output.js';

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
has given the actor a pause and will try again by itself. "tid" is the thread as "top -H" shows it.`,
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

const positionals = [{ name: 'NAME', about: 'the actor, as "quorate actors list" shows it', required: true }] as const;

/** How `kill` may end an actor. */
const HOWS: readonly string[] = ['terminate', ...MISDEEDS];

const crashesCommand = defineCommand({
  name: 'actors crashes',
  summary: 'list the crash bundles of a node, or show one',
  positionals: [
    { name: 'BUNDLE', about: 'file name from the list, or "latest"; without it: the list', required: false },
  ],
  options: { 'data-dir': options['data-dir'], json: options.json },
  about: `
Each end of an actor that nobody asked for leaves one file in <data-dir>/crash: why it ended, the stack (of a hanging
thread: where it hung), its last messages and events, its mailbox, memory and a hash of the configuration. No secret of the
node stands in it. The newest 50 are kept. The node need not run.`,
  examples: [
    ['quorate actors crashes', 'the list, newest first'],
    ['quorate actors crashes latest', 'the newest bundle as JSON'],
  ],
  exits: [
    [EXIT.ok.code, 'done'],
    [EXIT.data.code, 'there is no such bundle'],
  ],
  async run({ values, positionals: [wanted] }, terminal) {
    const directory = join(dataDirectory(values['data-dir'], terminal), 'crash');
    const names = crashFileNames(directory);
    if (wanted === undefined) {
      const bundles = names.map((name) => ({ name, ...readBundle(directory, name) }));
      if (values.json) printJson(terminal, { directory, bundles });
      else terminal.out(crashTable(bundles, painter(terminal.colours.out)));
      return EXIT.ok.code;
    }
    const name = wanted === 'latest' ? names[0] : names.find((each) => each === wanted);
    if (name === undefined) {
      throw new CliError(EXIT.data.code, `${directory} has no bundle "${wanted}".`, {
        hint: names.length === 0 ? 'It has none: no actor crashed.' : '"quorate actors crashes" lists them.',
      });
    }
    terminal.out(readFileSync(join(directory, name), 'utf8'));
    return EXIT.ok.code;
  },
});

/** What the list shows of a bundle; one that cannot be read is listed by its name alone. */
function readBundle(directory: string, name: string): JsonObject {
  try {
    const { at_ms, actor, incarnation, reason, detail } = JSON.parse(readFileSync(join(directory, name), 'utf8'));
    return { at_ms, actor, incarnation, reason, detail };
  } catch {
    return {};
  }
}

function crashTable(bundles: readonly JsonObject[], paint: Paint): string {
  if (bundles.length === 0) return 'No crash bundle.\n';
  const columns = ['bundle', 'actor', 'reason', 'detail'].map((column) => paint('dim', column));
  const rows = bundles.map(({ name, actor, reason, detail }) => [name, actor, reason, detail].map(shown));
  return table([columns, ...rows], '');
}

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
  defineCommand({
    name: 'actors kill',
    summary: 'terminate the thread of one actor, as a drill',
    positionals,
    options: { ...options, by: { type: 'string', value: 'MISDEED', about: `how it ends: ${HOWS.join(', ')}` } },
    about: `
Terminates the thread without warning, as a crash would, and lets the supervisor restart it. For drills: nothing that was
acknowledged may be lost by it. A kill by hand does not count against the circuit breaker.

With --by the actor goes wrong from within instead, and everything happens as after a defect: the failure counts, hangs
have to be noticed first, and a crash bundle is written ("quorate actors crashes"). Only a node in mode development can be
made to.`,
    examples: [
      ['quorate actors kill dedup', 'terminate the thread of dedup'],
      ['quorate actors kill dedup --by loop', 'let dedup hang in an endless loop'],
    ],
    exits: [...exits, [EXIT.usage.code, 'the node is not in mode development, or there is no such misdeed']],
    async run({ values, positionals: [name = ''] }, terminal) {
      const { by = 'terminate' } = values;
      if (!HOWS.includes(by)) throw usageError('actors kill', `--by ${by}: allowed are ${HOWS.join(', ')}`);
      const verb = by === 'terminate' ? 'kill' : `drill/${by}`;
      const admin = adminOf(terminal, dataDirectory(values['data-dir'], terminal), values.ops);
      const { body } = await admin.call(actorPath(name, verb), { method: 'POST', deadlineMs: 60_000 });
      if (values.json) printJson(terminal, { actor: name, action: 'kill', by, ...body });
      else terminal.out(`${name}: killed. "quorate actors list" shows it.\n`);
      return EXIT.ok.code;
    },
  }),
  crashesCommand,
];

function verbCommand(verb: 'restart' | 'reset', summary: string, about: string): Command {
  return defineCommand({
    name: `actors ${verb}`,
    summary,
    positionals,
    options,
    about,
    examples: [[`quorate actors ${verb} dedup`, `${verb} the actor dedup`]],
    exits,
    async run({ values, positionals }, terminal) {
      const name = positionals[0]!;
      const admin = adminOf(terminal, dataDirectory(values['data-dir'], terminal), values.ops);
      // A restart drains first, which the actor's spec may allow half a minute.
      const { body } = await admin.call(actorPath(name, verb), { method: 'POST', deadlineMs: 60_000 });
      if (values.json) printJson(terminal, { actor: name, action: verb, ...body });
      else terminal.out(`${name}: ${PAST[verb]}. "quorate actors list" shows it.\n`);
      return EXIT.ok.code;
    },
  });
}

function actorPath(name: string, action: string): string {
  return `/v1/admin/actors/${encodeURIComponent(name)}/${action}`;
}

const PAST = { restart: 'restarted', reset: 'breaker closed' } as const;

const COLUMNS = [
  'actor',
  'state',
  'since',
  'incarnation',
  'restarts',
  'breaker',
  'mailbox',
  'standby',
  'tid',
  'last exit',
] as const;

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
      typeof actor.standby === 'boolean' ? (actor.standby ? 'ready' : 'none') : '-',
      shown(actor.threadTid),
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
