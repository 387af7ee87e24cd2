// `quorate wal inspect|verify|repair`: the log of a data directory, without a node. Called by dispatch.ts; compact has its file.
// Reading, judging and cutting are the wal-writer's library; this says what it found and what to do next, and audits repairs.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { LogRefused } from '../actors/wal-writer/errors.js';
import { inspectLog, type LogInspection, missingLog, verification } from '../actors/wal-writer/inspect.js';
import { doubted, type Finding, type RepairReport, repairLog } from '../actors/wal-writer/repair.js';
import { isInitialising } from '../config/chain-files.js';
import { type Genesis, parseGenesis } from '../protocol/genesis.js';
import { EXIT } from '../runtime/exit-codes.js';
import { commonOptions } from './args.js';
import { type Command, defineCommand } from './command.js';
import { dataDirectory, parseJson, readRequired } from './endpoint.js';
import { explained, explainedAsync } from './log-errors.js';
import {
  audit,
  DEFAULT_SEGMENT_BYTES,
  ledgerDirectory,
  logDirectory,
  requireDirectory,
  withDataDirectory,
} from './offline.js';
import { CliError, painter, printJson, type Terminal, table } from './output.js';
import { doubtOf, type LedgerHead, ProvenByLog, readLedgerHead, settleTrustedHeight } from './trusted-height.js';
import { walCompactCommand } from './wal-compact.js';

const options = { 'data-dir': commonOptions['data-dir'], json: commonOptions.json } as const;

const MEANING = {
  clean: 'whole',
  torn: 'whole up to a batch that a crash cut off: the next start sets it aside and goes on',
  suspect: 'the last batch is bad in a way that no crash explains: nothing is signed until it is repaired',
  corrupt: 'damaged before its end: nothing is accepted or signed until it is repaired',
} as const;

const inspectCommand = defineCommand({
  name: 'wal inspect',
  summary: 'show what the log holds',
  positionals: [],
  options,
  about: `
Lists the segments of the log and counts its records. Changes nothing, and may be used while a node runs; then the batch
that is just being written can look torn.`,
  examples: [['quorate wal inspect', 'segments, records, state']],
  exits: [
    [EXIT.ok.code, 'the log could be read, whatever its state'],
    [EXIT.data.code, 'there is no log, or it is not one of this version'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    requireDirectory(directory);
    const log = explained(() => inspectLog(logDirectory(directory)));
    if (values.json) printJson(terminal, log);
    else printInspection(log, terminal);
    return EXIT.ok.code;
  },
});

const verifyCommand = defineCommand({
  name: 'wal verify',
  summary: 'check every checksum and link of the log of a stopped node',
  positionals: [],
  options,
  about: `
Reads the whole log, checks every checksum and every link of its chain of hashes, and that the ledger does not know more
than the log does. Says where damage begins, and which command mends it.`,
  examples: [['quorate wal verify && quorate start', 'start only on a whole log']],
  exits: [
    [EXIT.ok.code, 'the next start goes on; a crash may have left a torn end, which it sets aside'],
    [EXIT.data.code, 'damaged, or no log'],
    [EXIT.running.code, 'a node runs on this directory'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    const log = await withDataDirectory(directory, async () => {
      const { found, doubt } = await survey(directory, false);
      return verification({ ...found, ...finding(found, doubt) });
    });
    if (values.json) printJson(terminal, log);
    else
      terminal.out(
        `${stateLine(log, terminal)}\n${log.records} records in ${log.batches} batches, last position ${log.lastLsn}\n`,
      );
    if (log.ok) return EXIT.ok.code;
    terminal.err(`quorate wal verify: ${REPAIR_ADVICE}\n`);
    return EXIT.data.code;
  },
});

const repairCommand = defineCommand({
  name: 'wal repair',
  summary: 'make a damaged log usable again',
  positionals: [],
  options: {
    ...options,
    'accept-loss': { type: 'boolean', about: 'give up what cannot be read and begin a new epoch' },
    genesis: { type: 'string', value: 'FILE', about: 'genesis.json (default: that of the data directory)' },
  },
  about: `
Sets aside what a crash left at the end of the log; a start does that too. More is given up only with --accept-loss: the
log is cut before the damage, and a new epoch begins, whose record names the last height that stays: the last one that
the ledger or the rest of the log proves, by hashes and signatures alone. Receipts above it are void, and whatever only
stood behind the damage is lost. So look for a backup first.

Nothing is deleted: what is taken out lies in wal/broken-<time>/ afterwards. The repair is a line in audit.jsonl.

Only the single validator of a chain may accept loss: where there are others, they have what this one has lost.`,
  examples: [
    ['quorate wal repair', 'what costs nothing'],
    ['quorate wal repair --accept-loss', 'when there is no backup'],
  ],
  exits: [
    [EXIT.ok.code, 'repaired, or nothing to do'],
    [EXIT.data.code, 'something would be lost; nothing was changed'],
    [EXIT.io.code, 'the disk failed, or takes no line of the audit log; run it again on a sound one'],
    [EXIT.running.code, 'a node runs on this directory'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    const acceptLoss = values['accept-loss'];
    const genesis = values.genesis ?? join(directory, 'genesis.json');
    const report = await withDataDirectory(directory, () => repair({ directory, genesis, acceptLoss }, terminal));
    if (values.json) printJson(terminal, report);
    else terminal.out(`${repairSentence(report)}\n`);
    if (report.result !== 'needs-accept-loss') return EXIT.ok.code;
    terminal.err(
      `quorate wal repair: nothing was changed. Restore a backup, or give up the rest: quorate wal repair --accept-loss\n`,
    );
    return EXIT.data.code;
  },
});

export const walCommands: readonly Command[] = [inspectCommand, verifyCommand, repairCommand, walCompactCommand];

const REPAIR_ADVICE = 'Restore a backup, or give up what is damaged: quorate wal repair --accept-loss';

interface RepairTask {
  readonly directory: string;
  readonly genesis: string;
  readonly acceptLoss: boolean;
}

async function repair(
  { directory, genesis: genesisFile, acceptLoss }: RepairTask,
  terminal: Terminal,
): Promise<RepairReport> {
  const { found, proven, head, doubt } = await survey(directory, acceptLoss);
  const genesis = acceptLoss ? readSingleGenesis(genesisFile) : null;
  const before = finding(found, doubt);
  const { state } = before;
  const facts = { event: 'wal_repair', accept_loss: acceptLoss, ...damageFacts(before) } as const;
  const changes = state === 'torn' || (state !== 'clean' && acceptLoss);
  if (changes) audit(directory, terminal, { ...facts, result: 'started' });
  const report = await explainedAsync(() =>
    repairLog({
      directory: logDirectory(directory),
      identity: logIdentity(found, genesis, genesisFile),
      segmentBytes: found.segments.at(-1)?.sizeBytes ?? DEFAULT_SEGMENT_BYTES,
      native: (section) => section(),
      random: randomBytes,
      acceptLoss,
      nowMs: terminal.nowMs(),
      doubt,
      epochAtLeast: head.epoch + 1,
      lastTrustedHeight: () => settleTrustedHeight(ledgerDirectory(directory), genesis!, proven),
    }),
  );
  if (changes) {
    const { newEpoch, keptIn } = report;
    const epoch = newEpoch === null ? {} : { epoch: newEpoch.epoch, last_trusted_height: newEpoch.lastTrustedHeight };
    audit(directory, terminal, { ...facts, ...epoch, kept_in: keptIn, result: report.result });
  }
  return report;
}

interface Survey {
  readonly found: LogInspection;
  readonly proven: ProvenByLog;
  readonly head: LedgerHead;
  /** Why the log is in doubt although it may be whole. */
  readonly doubt: string | null;
}

/** What is there, nothing changed. Where loss is accepted the log may be missing altogether. */
async function survey(directory: string, mayBeMissing: boolean): Promise<Survey> {
  const wal = logDirectory(directory);
  const proven = new ProvenByLog();
  const mayBeEmpty = isInitialising(directory);
  const found = explained(() => {
    try {
      return inspectLog(wal, { mayBeEmpty, onRecord: (record) => proven.take(record) });
    } catch (error) {
      if (!mayBeMissing || !(error instanceof LogRefused) || error.code !== 'missing') throw error;
      return missingLog(wal);
    }
  });
  const head = await readLedgerHead(ledgerDirectory(directory));
  return { found, proven, head, doubt: doubtOf(head, proven) };
}

function finding(found: LogInspection, doubt: string | null): Finding {
  const last = found.segments.at(-1);
  return doubted(found, doubt, last === undefined ? undefined : { name: last.name, end: last.usedBytes });
}

/**
 * Whose log it is, by its own headers. To give up a part of it takes the genesis too: it must be this chain's, and of a
 * single validator, whose key stands there.
 */
function logIdentity(
  found: LogInspection,
  genesis: Genesis | null,
  genesisFile: string,
): { chainId: Uint8Array; publicKey: Uint8Array } {
  const chainId = found.chainId === null ? null : Buffer.from(found.chainId, 'hex');
  const publicKey = found.publicKey === null ? null : Buffer.from(found.publicKey, 'hex');
  if (genesis === null && chainId !== null && publicKey !== null) return { chainId, publicKey };
  const named = genesis ?? readSingleGenesis(genesisFile);
  if (chainId !== null && !named.chainId.equals(chainId)) {
    throw new CliError(
      EXIT.data.code,
      `${genesisFile} is chain ${named.chainIdHex}, the log is of chain ${found.chainId}.`,
      {
        hint: 'Name the right one with --genesis.',
      },
    );
  }
  return { chainId: named.chainId, publicKey: publicKey ?? named.validators[0]!.publicKey };
}

function readSingleGenesis(path: string): Genesis {
  const genesis = parseGenesis(parseJson(readRequired(path), path));
  if (genesis.validators.length === 1) return genesis;
  throw new CliError(
    EXIT.data.code,
    `${path}: this chain has ${genesis.validators.length} validators, loss can be accepted by a single one only.`,
    {
      hint: 'Stop the node, move its folders wal and ledger away and start it: it fetches what it lacks from the others, and signs again when they have told it where they are.',
    },
  );
}

function damageFacts({ state, damage }: Pick<LogInspection, 'state' | 'damage'>) {
  return { state, segment: damage?.segment ?? null, offset: damage?.offset ?? null, reason: damage?.reason ?? null };
}

function stateLine({ state, damage }: Pick<LogInspection, 'state' | 'damage'>, terminal: Terminal): string {
  const paint = painter(terminal.colours.out);
  const style = state === 'clean' ? 'green' : state === 'torn' ? 'yellow' : 'red';
  const where = damage === null ? '' : `\n  ${damage.segment} at offset ${damage.offset}: ${damage.reason}`;
  return `${paint(style, state)}: ${MEANING[state]}${where}`;
}

function printInspection(log: LogInspection, terminal: Terminal): void {
  const paint = painter(terminal.colours.out);
  const facts = [
    ['directory', log.directory],
    ['chain', log.chainId ?? 'not readable'],
    ['key', log.publicKey ?? 'not readable'],
    ['epoch', String(log.epoch)],
    ['records', `${log.records} in ${log.batches} batches, last position ${log.lastLsn}`],
    ...(log.firstLsn > 1 ? [['begins', `at position ${log.firstLsn}: what stood before was compacted away`]] : []),
    ...Object.entries(log.recordsByType).map(([type, count]) => [`  ${type}`, String(count)]),
    ['used', `${log.usedBytes} bytes`],
    ...fileRow('set aside', [...log.torn, ...log.suspect]),
    ...fileRow('not read', log.unread),
    ...fileRow('temporary', log.temporary),
  ];
  const head = ['segment', 'epoch', 'positions', 'batches', 'used', 'size'].map((name) => paint('dim', name));
  const rows = log.segments.map((segment) => [
    segment.name,
    String(segment.epoch),
    segment.records === 0 ? 'empty' : `${segment.firstLsn} to ${segment.lastLsn}`,
    String(segment.batches),
    String(segment.usedBytes),
    String(segment.sizeBytes),
  ]);
  terminal.out(`${stateLine(log, terminal)}\n${table(facts, '  ')}\n${table([head, ...rows], '  ')}`);
}

function fileRow(name: string, files: readonly string[]): string[][] {
  return files.length === 0 ? [] : [[name, files.join(', ')]];
}

function repairSentence(report: RepairReport): string {
  const { before, result, lastLsn, newEpoch, keptIn } = report;
  if (result === 'nothing-to-do') return 'nothing to do: the log is whole';
  if (result === 'needs-accept-loss') {
    const where =
      before.damage === null
        ? ''
        : ` (${before.damage.segment} at offset ${before.damage.offset}: ${before.damage.reason})`;
    return `the log is ${before.state}${where}; what can be read ends at position ${lastLsn}`;
  }
  if (newEpoch === null) return `repaired: the torn end is set aside, the log ends at position ${lastLsn}`;
  return [
    `repaired: the log ends at position ${lastLsn}, epoch ${newEpoch.epoch} begins`,
    `Receipts above height ${newEpoch.lastTrustedHeight} are void.`,
    ...(keptIn === null ? [] : [`What was taken out: ${keptIn}`]),
  ].join('\n');
}
