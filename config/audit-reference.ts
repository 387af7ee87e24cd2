// docs/AUDIT.md as text: the prose that stays, and the catalogue made from audit-events.ts. Called by the command that
// writes the file and by the test that holds the file against it. It must never say what the catalogue does not.
import { AUDIT_EVENT_NAMES, AUDIT_EVENTS, type AuditEventName } from './audit-events.js';

/** Every event once, with what one wants to know before them. */
const GROUPS: readonly (readonly [title: string, names: readonly AuditEventName[]])[] = [
  ['The log itself', ['audit_began', 'audit_continued', 'audit_recovered', 'audit_removed', 'audit_lost']],
  ['The node', ['node_started', 'node_stopped', 'node_failed']],
  ['Configuration, keys, chain', ['config_reload', 'key_generated', 'genesis_created', 'registry_changed']],
  ['Peers', ['pin_violation']],
  ['Actors, by an operator', ['actor_kill', 'actor_restart', 'actor_reset', 'actor_drill']],
  ['Actors, by themselves', ['actor_died', 'breaker_opened', 'breaker_closed', 'restart_budget_spent']],
  ['Trust', ['quarantined', 'consensus_halted', 'evidence_found', 'observer_excluded', 'bad_observation']],
  ['Data', ['state_migration', 'state_rollback', 'wal_compact', 'wal_repair']],
];

const HEAD = `# Audit log

<!-- Written by "npm run docs" from config/audit-events.ts and config/audit-reference.ts: change those. -->

\`audit.jsonl\` in the data directory says who did what to a node, and what befell it: one JSON object a line, each with the hash
of the line before it, so that a line that is changed, removed, put in or moved is found.

\`\`\`sh
quorate audit verify                                # whole? prints the head; exit 0, or 65 with the first bad line
quorate audit verify --head 812:5f0c…               # and does it still hold what it held when this head was noted?
quorate audit query --since 24h                     # what happened since yesterday
quorate audit query --event config_reload --json    # for a script
\`\`\`

Both commands read only, and work while a node runs.

## A line

\`\`\`json
{"actor":"dedup","by":"operator at 127.0.0.1","event":"actor_kill","hash":"<64 hex>","prev":"<64 hex>","request_id":"7b0c…","result":"started","seq":17,"timestamp":"2026-11-20T12:00:00.000Z"}
\`\`\`

| member | what it is |
|---|---|
| \`seq\` | 1, 2, 3 …, without a gap, over all files, starts and migrations |
| \`timestamp\` | when it happened, RFC 3339 UTC. Clocks are set: the order is that of \`seq\` |
| \`event\` | one of the catalogue below |
| \`by\` | who: \`node\`, \`operator at ADDRESS\` (the admin call, whoever had the token), \`signal SIGHUP\`, \`command of USER\`, or \`audit log\` for what the log says about itself |
| \`prev\` | \`hash\` of the line before; 64 zeros in the first |
| \`hash\` | SHA-256, 64 hex |
| others | the fields of the event. Long texts and lists are cut |

**What is hashed:** the bytes \`quorate/audit/1\\n\`, then the record without \`hash\` in canonical JSON (RFC 8785), in UTF-8. The line itself is
the canonical JSON of the whole record and one end of line; any other spelling of the same object is a changed line.

No secret, signature or token is ever in it.

## What the chain proves, and what it does not

The hashes have no key. Whoever may write the file can cut off its newest lines, or write a whole new log. Neither can be
seen from the files alone, and the same is true of a newest line that was cut in the middle: it looks as after a crash. So **note the
head elsewhere**, where who can write the data directory cannot: the \`SEQ:HASH\` that \`quorate audit verify\` prints. Later,
\`--head SEQ:HASH\` says whether that record is still part of the log. The node writes its head to its own log at every start and stop
(\`audit_head\` of the events \`node.ready\` and \`node.stopped\`), so that collected logs are anchors already; \`quorate_audit_last_seq\` that falls is an alarm.

## After a crash

A crash in the middle of a write leaves half a line at the end. The next writer ends it with \`#torn\`, and its first record,
\`audit_recovered\`, holds size and SHA-256 of the piece. Verification accepts exactly that: a piece that is no whole object, at the
very end, or in front of the record that names it. Whatever else is no record is a bad line, also when a writer went on
behind it (\`cause\` is \`damaged\` then). What an operator or a command does is written, and fsynced, before it is begun
and before it is reported as done; what befalls the node, right after it. After a failed write a record may come twice.

Lines of a time before the chain stay in front of \`audit_began\`, which holds their size and SHA-256.

## Files

When \`audit.jsonl\` has reached \`audit.file_bytes\`, the next write renames it to \`audit.000001.jsonl\`, \`audit.000002.jsonl\`, … and begins a new
one with \`audit_continued\`, whose \`prev\` is the last hash of the old one. \`audit.files_kept\` of them are kept. Older ones are removed after
\`audit_removed\` has named their last record, so that verification accepts that they are gone; files that are gone without it
are missing lines. To keep everything, copy the numbered files away: they do not change any more.

Only the node begins new files. \`quorate init\`, \`migrate-state\` and \`wal repair\` write to the same log, while they hold the directory.

## When it cannot be written

A full disk, a wrong owner, a directory in its place:

- What an operator asks for (kill, restart, reset, drill of an actor, reload) is **not done**: 503 \`audit-unwritable\`, or a refused reload.
  A command (\`init\`, \`migrate-state\`, \`wal repair\`) ends with 74 (a migration with 78) before it changes anything.
- What happens by itself goes on. Its records wait in memory, up to 1 000, and are written in order, with their own times, as soon as
  the file takes them; the node tries every 5 seconds. Actions that were refused, and records over that bound, are counted in one
  \`audit_lost\`. What still waits when the process ends stands in the log of the node only.
- The node goes on serving clients, but \`/readyz\` fails with \`audit\`, \`quorate_audit_writable\` is 0 and the log says so.
- A failed **fsync** ends the process with 74, as everywhere: what the disk holds is not known any more.

## Catalogue

A start that is refused (configuration, key files) writes nothing, but for a key or a genesis that it has made. Keys that
\`quorate keys\` makes are files until a node uses them: \`node_started\` names the node that the key in use makes. An admin call with a wrong
token is refused and not recorded: whoever may only knock must not be able to push old files out. Peers, validator changes, backups, retention, checkpoints and pins
have no events, because this release does not have them.
`;

export function auditReference(): string {
  const sections = GROUPS.map(([title, names]) => {
    const rows = names.map((name) => {
      const { about, fields } = AUDIT_EVENTS[name];
      const listed = Object.entries<string>(fields).map(([field, what]) => `\`${field}\`: ${what}`);
      return `| \`${name}\` | ${about} | ${listed.join('<br>')} |`;
    });
    return [`\n### ${title}`, '', '| event | what happened | fields |', '|---|---|---|', ...rows, ''].join('\n');
  });
  return `${HEAD}${sections.join('')}`;
}

/** Events of the catalogue that stand in no group, or in two. */
export function misplacedEvents(): readonly AuditEventName[] {
  const placed = GROUPS.flatMap(([, names]) => names);
  return AUDIT_EVENT_NAMES.filter((name) => placed.filter((one) => one === name).length !== 1);
}
