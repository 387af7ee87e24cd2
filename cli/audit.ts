// `quorate audit verify|query`: the audit log of a data directory, whether a node runs on it or not. Called by dispatch.ts.
// It only reads: the chain is checked by protocol/audit-check.ts, and nothing here mends a log.
import { AUDIT_EVENT_NAMES } from '../config/audit-events.js';
import { AUDIT_FILE, readAudit } from '../config/audit-file.js';
import { type AuditVerdict, auditRecords, checkAudit } from '../protocol/audit-check.js';
import type { AuditHead, AuditRecord } from '../protocol/audit-record.js';
import type { JsonValue } from '../protocol/json.js';
import { EXIT } from '../runtime/exit-codes.js';
import { commonOptions, nearest, usageError } from './args.js';
import { type Command, defineCommand } from './command.js';
import { dataDirectory, errorCode } from './endpoint.js';
import { requireDirectory } from './offline.js';
import { CliError, painter, printJson, type Terminal, table } from './output.js';

const options = { 'data-dir': commonOptions['data-dir'], json: commonOptions.json } as const;

const verifyCommand = defineCommand({
  name: 'audit verify',
  summary: 'check the chain of the audit log, and name the first bad line',
  positionals: [],
  options: {
    ...options,
    head: { type: 'string', value: 'SEQ:HASH', about: 'a head noted earlier, elsewhere: it must be part of the log' },
  },
  about: `
Reads all files of the audit log, oldest first, and checks every line: its own hash, its number, the hash of the line before
it. Names the first line that was changed, removed, put in or moved. Changes nothing, and may be used while a node runs.

What the files cannot tell is whether their newest lines were cut off, or everything was written anew: note the head that
this prints somewhere else, and give it back with --head. A node also writes its head to its own log at every start and
stop, as audit_head.`,
  examples: [
    ['quorate audit verify', 'is it whole? What is its head?'],
    ['quorate audit verify --head 812:5f0c…', 'and does it still hold what it held when this was noted?'],
  ],
  exits: [
    [EXIT.ok.code, 'it holds together; a crash may have cut off its last line'],
    [EXIT.data.code, 'it does not, or there is none'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    requireDirectory(directory);
    const anchor = values.head === undefined ? null : parseHead(values.head);
    const verdict = verify(directory, anchor);
    if (verdict.files === 0) throw noLog(directory);
    if (values.json) printJson(terminal, { ok: verdict.fault === null, ...verdict });
    else printVerdict(verdict, anchor, terminal);
    return verdict.fault === null ? EXIT.ok.code : EXIT.data.code;
  },
});

const queryCommand = defineCommand({
  name: 'audit query',
  summary: 'show events of the audit log',
  positionals: [],
  options: {
    ...options,
    event: { type: 'string', value: 'NAME', about: 'only this event; docs/AUDIT.md lists them' },
    since: { type: 'string', value: 'TIME', about: 'only from this time on: RFC 3339, a date, or 90m, 24h, 7d ago' },
    until: { type: 'string', value: 'TIME', about: 'only before this time' },
  },
  about: `
Shows the records of all files that are kept, oldest first. It checks each line's own hash, and leaves out what is none; that
the chain is whole is what "quorate audit verify" says.`,
  examples: [
    ['quorate audit query --since 24h', 'what happened since yesterday'],
    ['quorate audit query --event config_reload --json', 'for a script'],
  ],
  exits: [
    [EXIT.ok.code, 'shown; also when nothing matches'],
    [EXIT.data.code, 'there is no audit log'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    requireDirectory(directory);
    const { event } = values;
    if (event !== undefined && !(AUDIT_EVENT_NAMES as readonly string[]).includes(event)) throw unknownEvent(event);
    const sinceMs = parseTime('--since', values.since, terminal) ?? Number.NEGATIVE_INFINITY;
    const untilMs = parseTime('--until', values.until, terminal) ?? Number.POSITIVE_INFINITY;
    const wanted = (record: AuditRecord) => {
      const atMs = Date.parse(record.timestamp);
      return (event === undefined || record.event === event) && atMs >= sinceMs && atMs < untilMs;
    };
    const records = query(directory, wanted);
    if (records === null) throw noLog(directory);
    if (values.json) printJson(terminal, { events: records.map(({ line }) => line) });
    else printRecords(records, terminal);
    return EXIT.ok.code;
  },
});

export const auditCommands: readonly Command[] = [verifyCommand, queryCommand];

/** A node that begins a new file in the middle of a reading would look like damage. */
const ATTEMPTS = 5;

function verify(directory: string, anchor: AuditHead | null): AuditVerdict {
  return reading(directory, (files) => checkAudit(files, anchor));
}

function query(directory: string, wanted: (record: AuditRecord) => boolean): AuditRecord[] | null {
  return reading(directory, (files) => {
    let found: AuditRecord[] | null = null;
    for (const { bytes } of files) found = [...(found ?? []), ...auditRecords(bytes).filter(wanted)];
    return found;
  });
}

function reading<T>(directory: string, read: (files: ReturnType<typeof readAudit>['files']) => T): T {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const audit = readAudit(directory);
      const result = read(audit.files);
      if (attempt === ATTEMPTS || !audit.changed()) return result;
    } catch (error) {
      const code = errorCode(error);
      if (code === undefined) throw error;
      throw new CliError(EXIT.data.code, `the audit log in ${directory} cannot be read (${code}).`, {
        hint: "Run the command as the node's user.",
      });
    }
  }
}

function noLog(directory: string): CliError {
  return new CliError(EXIT.data.code, `${directory}: there is no ${AUDIT_FILE}.`, {
    hint: 'A node makes it when it starts. Where there was one, somebody has taken it away.',
  });
}

function unknownEvent(event: string): CliError {
  const near = nearest(event, AUDIT_EVENT_NAMES);
  const meant = near === undefined ? '' : ` Did you mean "${near}"?`;
  return usageError('audit query', `--event: found "${event}", allowed: ${AUDIT_EVENT_NAMES.join(', ')}.${meant}`);
}

function parseHead(text: string): AuditHead {
  const match = /^([1-9][0-9]{0,15}):([0-9a-f]{64})$/.exec(text);
  if (match !== null) return { seq: Number(match[1]), hash: match[2]! };
  throw usageError('audit verify', `--head: found "${text}", allowed: a number, a colon and 64 hex digits.`);
}

const AGO_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const RFC_3339 = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2}))?$/;

function parseTime(option: string, text: string | undefined, terminal: Terminal): number | null {
  if (text === undefined) return null;
  const ago = /^(\d{1,6})([mhd])$/.exec(text);
  if (ago !== null) return terminal.nowMs() - Number(ago[1]) * AGO_MS[ago[2]!]!;
  const atMs = RFC_3339.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(atMs)) return atMs;
  const allowed = '2026-11-20, 2026-11-20T12:00:00Z, or a time ago as 90m, 24h, 7d';
  throw usageError('audit query', `${option}: found "${text}", allowed: ${allowed}.`);
}

function printVerdict(verdict: AuditVerdict, anchor: AuditHead | null, terminal: Terminal): void {
  const paint = painter(terminal.colours.out);
  const { fault, torn, head, records, files, firstSeq, sealedBytes } = verdict;
  if (fault !== null) {
    terminal.out(`${paint('red', fault.kind)}: ${fault.file} line ${fault.line}: ${fault.reason}\n`);
    return;
  }
  const rows = [
    ['records', `${records} in ${files} ${files === 1 ? 'file' : 'files'}, from ${firstSeq}`],
    ['head', `${head.seq}:${head.hash}`],
    ...(anchor === null ? [] : [['anchor', `${anchor.seq} is part of it`]]),
    ...(sealedBytes === 0 ? [] : [['before it', `${sealedBytes} bytes of a time without a chain, sealed as they are`]]),
    ...(torn === null ? [] : [['cut off', `${torn.file} line ${torn.line}: ${torn.bytes} bytes that a crash left`]]),
  ];
  terminal.out(`${paint('green', 'whole')}: every line is where it was written\n${table(rows, '  ')}`);
}

/** Members that have a column of their own, or are for machines. */
const SHOWN_APART = new Set(['seq', 'timestamp', 'event', 'by', 'prev', 'hash']);

function printRecords(records: readonly AuditRecord[], terminal: Terminal): void {
  const paint = painter(terminal.colours.out);
  const rows = records.map(({ head, timestamp, event, by, line }) => {
    const fields = Object.entries(line).filter(([name]) => !SHOWN_APART.has(name));
    const details = fields.map(([name, value]) => `${name}=${shown(value)}`);
    return [String(head.seq), timestamp, paint('bold', event), by, details.join(' ')];
  });
  const columns = ['seq', 'time', 'event', 'by', 'details'].map((name) => paint('dim', name));
  terminal.out(rows.length === 0 ? 'no such events\n' : table([columns, ...rows]));
}

/** As it is where that is one plain word, else as JSON, which lets no control character through. */
function shown(value: JsonValue): string {
  return typeof value === 'string' && /^[\x21-\x7e]+$/.test(value) ? value : JSON.stringify(value);
}
