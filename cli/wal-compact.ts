// `quorate wal compact`: frees log space that nothing needs. Called by dispatch.ts. A running node does it itself, over the
// admin API; the log of a stopped one is compacted here, by the last checkpoint that it holds.
import { randomBytes } from 'node:crypto';
import { bodiesOf } from '../actors/consensus/block-record.js';
import { syncLedger } from '../actors/store/roll-back.js';
import { type CompactionReport, compactLog } from '../actors/wal-writer/compaction.js';
import { Entries } from '../actors/wal-writer/entries.js';
import { inspectLog, verification } from '../actors/wal-writer/inspect.js';
import { openLog } from '../actors/wal-writer/log.js';
import { FIELDS } from '../config/fields.js';
import { decodeJournal } from '../protocol/consensus/journal.js';
import { type PlacedRecord, RecordType } from '../protocol/wal-record.js';
import { EXIT } from '../runtime/exit-codes.js';
import { type Admin, adminOf } from './admin.js';
import { commonOptions } from './args.js';
import { type Command, defineCommand } from './command.js';
import { dataDirectory } from './endpoint.js';
import { explainedAsync } from './log-errors.js';
import { audit, ledgerDirectory, logDirectory, requireDirectory, withDataDirectory } from './offline.js';
import { CliError, printJson, type Terminal } from './output.js';
import { doubtOf, ProvenByLog, readLedgerHead } from './trusted-height.js';

/** A node compacts while it works: a disk that stalls may make it wait. */
const DEADLINE_MS = 120_000;

interface Freed extends Omit<CompactionReport, 'replayFrom'> {
  /** Why nothing was done, or null. */
  readonly skipped: string | null;
}

export const walCompactCommand: Command = defineCommand({
  name: 'wal compact',
  summary: 'free log space that nothing needs any more',
  positionals: [],
  options: {
    'data-dir': commonOptions['data-dir'],
    ops: commonOptions.ops,
    all: { type: 'boolean', about: 'also what wal.retention_bytes and wal.retention_ms would keep' },
    json: commonOptions.json,
  },
  about: `
A node compacts its log by itself, every wal.compact_interval_ms and whenever there is something to free. This does it now,
and says what it freed. What is not settled is never dropped: it is written again at the end of the log.

With a running node the node does it. Without one the files are changed here: only what lies before the last checkpoint
goes, which a clean stop leaves at the end of the log.

After this the ledger cannot be rebuilt from the log any more, where it could before: keep backups.`,
  examples: [
    ['quorate wal compact', 'what the settings let go'],
    ['quorate wal compact --all', 'everything that nothing needs'],
  ],
  exits: [
    [EXIT.ok.code, 'done, also when there was nothing to free'],
    [EXIT.data.code, 'the log is damaged or in doubt, or there is none; nothing was changed'],
    [EXIT.unavailable.code, 'the node does not answer, or cannot compact now'],
    [EXIT.io.code, 'the disk has no room, or failed'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    requireDirectory(directory);
    const freed = values.ops === undefined ? await byFiles(directory, values.all, terminal) : null;
    const report = freed ?? (await byNode(adminOf(terminal, directory, values.ops), values.all));
    if (values.json) printJson(terminal, { ...report });
    else terminal.out(`${sentence(report)}\n`);
    return report.skipped === null ? EXIT.ok.code : EXIT.unavailable.code;
  },
});

async function byNode(admin: Admin, all: boolean): Promise<Freed> {
  const path = `/v1/admin/wal/compact${all ? '?all=true' : ''}`;
  const { body } = await admin.call(path, { method: 'POST', deadlineMs: DEADLINE_MS });
  return body as unknown as Freed;
}

/** Null when a node runs on the directory: then it has to do it. */
async function byFiles(directory: string, all: boolean, terminal: Terminal): Promise<Freed | null> {
  try {
    return await withDataDirectory(directory, () => compactStopped(directory, all, terminal));
  } catch (error) {
    if (error instanceof CliError && error.exitCode === EXIT.running.code) return null;
    throw error;
  }
}

function sentence({ segments, bytes, carried, firstLsn, skipped }: Freed): string {
  if (skipped !== null) return `nothing was done: ${skipped}`;
  if (segments === 0) return 'nothing to free: every segment is needed, or kept by the settings';
  const rewritten = carried === 0 ? '' : `, ${carried} unsettled submissions written again`;
  return `freed ${segments} segments, ${bytes} bytes${rewritten}; the log begins at position ${firstLsn}`;
}

/** The configuration of a stopped node is not read: what stays is what the defaults keep. */
const DEFAULT_RETENTION_BYTES = Number(FIELDS['wal.retention_bytes'].default);

async function compactStopped(directory: string, all: boolean, terminal: Terminal): Promise<Freed> {
  const nowMs = terminal.nowMs();
  const wal = logDirectory(directory);
  const proven = new ProvenByLog();
  return explainedAsync(async () => {
    const found = inspectLog(wal, { onRecord: (record) => proven.take({ ...record }) });
    const head = await readLedgerHead(ledgerDirectory(directory));
    const doubt = doubtOf(head, proven);
    if (!verification(found).ok || doubt !== null || found.chainId === null || found.publicKey === null) {
      const why = doubt ?? found.damage?.reason ?? 'its headers cannot be read';
      throw new CliError(EXIT.data.code, `the log is ${found.state}: ${why}. Nothing was changed.`, {
        hint: 'quorate wal verify says more.',
      });
    }
    if (head.height > 0) syncLedger(ledgerDirectory(directory));
    const { log } = openLog({
      directory: wal,
      identity: { chainId: Buffer.from(found.chainId, 'hex'), publicKey: Buffer.from(found.publicKey, 'hex') },
      segmentBytes: found.segments.at(-1)!.sizeBytes,
      native: (section) => section(),
      random: randomBytes,
      create: false,
    });
    try {
      const needs = new StoppedNeeds(head.height);
      const entries = new Entries(log, { onRecord: (record) => needs.take(record) });
      const keepFrom = needs.keepFrom();
      if (keepFrom === null) {
        return {
          ...NOTHING,
          firstLsn: log.segments[0]!.firstLsn,
          skipped: 'the log holds no checkpoint: start and stop the node once',
        };
      }
      const retention = { minBytes: all ? 0 : DEFAULT_RETENTION_BYTES, minAgeMs: 0, nowMs };
      const { replayFrom: _, ...report } = compactLog(log, entries, { checkpoint: [], keepFrom, pins: [] }, retention);
      const { segments, bytes, carried } = report;
      if (segments > 0) audit(directory, terminal, { event: 'wal_compact', segments, bytes, carried });
      return { ...report, skipped: null };
    } finally {
      await log.close();
    }
  });
}

const NOTHING = { segments: 0, bytes: 0, carried: 0 };

/** What a start would need of a log, read from the log itself: the last checkpoint, and blocks above the ledger. */
class StoppedNeeds {
  readonly #height: number;
  #checkpoint: number | null = null;
  #blocks = Number.POSITIVE_INFINITY;

  constructor(ledgerHeight: number) {
    this.#height = ledgerHeight;
  }

  take({ lsn, type, data }: PlacedRecord): void {
    if (type === RecordType.journal) {
      // A floor is the first record of a checkpoint, which is one batch.
      if (decodeJournal(data).type === 'floor') this.#checkpoint = lsn;
    } else if (type === RecordType.block) {
      const { header } = JSON.parse(Buffer.from(data).toString('utf8')) as { header: { height: number } };
      if (header.height > this.#height) this.#blocks = Math.min(this.#blocks, lsn, ...bodiesOf(data));
    }
  }

  keepFrom(): number | null {
    return this.#checkpoint === null ? null : Math.min(this.#checkpoint, this.#blocks);
  }
}
