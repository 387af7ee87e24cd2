// Reports what a log holds and whether it is whole, without an owner and without changing a byte.
// Called by `quorate wal inspect` and `quorate wal verify`, and by repair for its report.
// On the log of a running node the batch being written may look torn or doubtful: only a stopped node's verdict is final.
import { Buffer } from 'node:buffer';
import { recordTypeName } from '../../protocol/wal-record.js';
import { LogRefused } from './errors.js';
import { type Files, nodeFiles } from './files.js';
import { type LogVerdict, stateOfScan } from './recovery.js';
import { type LogIdentity, type ScanOptions, scanLog, segmentName } from './scan.js';

export interface InspectOptions {
  /** Refuse a log that is not this node's. Default: take the identity from the log. */
  readonly identity?: LogIdentity;
  /** Called for every readable record in order; `data` is valid during the call only. */
  readonly onRecord?: NonNullable<ScanOptions['onRecord']>;
  /** The node is still being made: its log need not hold a record yet. */
  readonly mayBeEmpty?: boolean;
  readonly files?: Files;
}

export interface SegmentInspection {
  readonly name: string;
  readonly seq: number;
  readonly epoch: number;
  readonly firstLsn: number;
  /** firstLsn - 1 when it holds nothing. */
  readonly lastLsn: number;
  readonly batches: number;
  readonly records: number;
  readonly usedBytes: number;
  readonly sizeBytes: number;
}

export interface LogInspection extends Pick<LogVerdict, 'state' | 'damage' | 'lastLsn'> {
  readonly directory: string;
  /** Hex; null when no segment says it. */
  readonly chainId: string | null;
  readonly publicKey: string | null;
  readonly epoch: number;
  /** First position that the log still has; what stood before it was pruned. 1 when nothing was. */
  readonly firstLsn: number;
  readonly segments: readonly SegmentInspection[];
  /** Names of segment files from the damage on, which are there but were not read. */
  readonly unread: readonly string[];
  readonly batches: number;
  readonly records: number;
  readonly recordsByType: Readonly<Record<string, number>>;
  readonly usedBytes: number;
  readonly torn: readonly string[];
  readonly suspect: readonly string[];
  readonly temporary: readonly string[];
}

/** Throws LogRefused when there is no log, or it is foreign or of another version. */
export function inspectLog(directory: string, options: InspectOptions = {}): LogInspection {
  const { files = nodeFiles, identity = null, mayBeEmpty = false, onRecord } = options;
  const counts = new Map<number, number>();
  const scan = scanLog({
    files,
    directory,
    identity,
    onRecord(record, segment) {
      counts.set(record.type, (counts.get(record.type) ?? 0) + 1);
      onRecord?.(record, segment);
    },
  });
  const { listing } = scan;
  if (listing.segments.length === 0) {
    throw new LogRefused('missing', `no log segments in ${directory}: is this the \`wal\` folder of a data directory?`);
  }
  const segments = scan.segments.map((segment) => ({
    name: segment.name,
    seq: segment.seq,
    epoch: segment.epoch,
    firstLsn: segment.firstLsn,
    lastLsn: segment.nextLsn - 1,
    batches: segment.batches,
    records: segment.nextLsn - segment.firstLsn,
    usedBytes: segment.end,
    sizeBytes: segment.sizeBytes,
  }));
  const sum = (pick: (segment: SegmentInspection) => number) => segments.reduce((total, next) => total + pick(next), 0);
  return {
    ...stateOfScan(scan, mayBeEmpty),
    lastLsn: scan.nextLsn - 1,
    directory,
    chainId: hexOrNull(scan.identity?.chainId),
    publicKey: hexOrNull(scan.identity?.publicKey),
    epoch: scan.epoch,
    firstLsn: scan.floor?.firstLsn ?? 1,
    segments,
    unread: listing.segments.slice(segments.length).map(({ name }) => name),
    batches: sum((segment) => segment.batches),
    records: sum((segment) => segment.records),
    recordsByType: Object.fromEntries([...counts].sort().map(([type, count]) => [recordTypeName(type), count])),
    usedBytes: sum((segment) => segment.usedBytes),
    torn: listing.torn,
    suspect: listing.suspect,
    temporary: listing.temporary,
  };
}

export interface LogVerification extends Pick<LogInspection, 'state' | 'damage' | 'lastLsn' | 'batches' | 'records'> {
  /** The next start will go on and sign: the log is clean, or a crash left a torn end that the start sets aside. */
  readonly ok: boolean;
}

/** Checks every checksum and every link of the hash chain. */
export function verifyLog(directory: string, options: InspectOptions = {}): LogVerification {
  return verification(inspectLog(directory, options));
}

export function verification({ state, damage, lastLsn, batches, records }: LogInspection): LogVerification {
  return { ok: state === 'clean' || state === 'torn', state, damage, lastLsn, batches, records };
}

/** What there is to say about a log that is not there, for who goes on without it. */
export function missingLog(directory: string): LogInspection {
  return {
    state: 'suspect',
    damage: { segment: segmentName(1), offset: 0, reason: 'there is no log' },
    lastLsn: 0,
    directory,
    chainId: null,
    publicKey: null,
    epoch: 0,
    firstLsn: 1,
    segments: [],
    unread: [],
    batches: 0,
    records: 0,
    recordsByType: {},
    usedBytes: 0,
    torn: [],
    suspect: [],
    temporary: [],
  };
}

function hexOrNull(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : Buffer.from(bytes).toString('hex');
}
