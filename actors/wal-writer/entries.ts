// The inbox entries of a log: which nothing has settled yet, and where the record of each stands since compaction has moved
// some. Owned by the wal-writer actor and used by offline compaction. Others name an entry by the position it got first.
import { decodeCarried, decodeInbox, decodeSettled, type PlacedRecord, RecordType } from '../../protocol/wal-record.js';
import type { Log, ReadPage, ReadRequest } from './log.js';
import type { ResumePoint } from './resume.js';

const STARTUP_PAGE_BYTES = 1024 * 1024;
const PAGE_ENTRIES = 512;

/** An unsettled entry and its record's place in the log. */
export interface Place {
  readonly lsn: number;
  readonly at: number;
}

/** What records say of entries, taken in the order of the log. */
export class EntryTally {
  unsettled = new Set<number>();
  readonly moved = new Map<number, number>();

  /** `data` is looked at during the call only. */
  take({ lsn, type, data }: PlacedRecord): void {
    if (type === RecordType.inbox) this.unsettled.add(lsn);
    else if (type === RecordType.settled)
      for (const settled of decodeSettled(data).lsns) this.unsettled.delete(settled);
    else if (type === RecordType.carried) {
      const first = decodeCarried(data).lsn;
      this.moved.set(first, lsn);
      this.unsettled.add(first);
    }
  }

  /** As it was when somebody wrote it down. */
  static of({ unsettled, moved }: Pick<ResumePoint, 'unsettled' | 'moved'>): EntryTally {
    const tally = new EntryTally();
    for (const lsn of unsettled) tally.unsettled.add(lsn);
    for (const [lsn, at] of moved) tally.moved.set(lsn, at);
    return tally;
  }
}

export interface EntriesOptions {
  /** What is known of the records before `from`. */
  readonly tally: EntryTally;
  /** First position that has to be read. */
  readonly from: number;
  /** Sees every record that is read, for whoever wants to know more. */
  readonly onRecord?: (record: PlacedRecord) => void;
}

export class Entries {
  readonly #log: Pick<Log, 'records' | 'fetch' | 'nextLsn'>;
  /** Ascending. */
  #unsettled: Set<number>;
  /** First position → where the record stands now. */
  readonly #moved: Map<number, number>;
  #oldest: { lsn: number; receivedAtMs: number } | null = null;

  /** Reads the whole log, unless a part of it is known. */
  constructor(log: Pick<Log, 'records' | 'fetch' | 'nextLsn'>, options: Partial<EntriesOptions> = {}) {
    const { tally = new EntryTally(), from: begin = 1, onRecord } = options;
    this.#log = log;
    const types = onRecord === undefined ? [RecordType.inbox, RecordType.settled, RecordType.carried] : undefined;
    for (let from: number | null = begin < log.nextLsn ? begin : null; from !== null; ) {
      const page: ReadPage = log.records({
        from,
        maxBytes: STARTUP_PAGE_BYTES,
        ...(types === undefined ? {} : { types }),
      });
      for (const record of page.records) {
        tally.take(record);
        onRecord?.(record);
      }
      from = page.next;
    }
    this.#unsettled = new Set([...tally.unsettled].sort((a, b) => a - b));
    this.#moved = tally.moved;
  }

  /** For a successor. */
  get tally(): Pick<ResumePoint, 'unsettled' | 'moved'> {
    return { unsettled: [...this.#unsettled], moved: [...this.#moved] };
  }

  get size(): number {
    return this.#unsettled.size;
  }

  add(lsn: number): void {
    this.#unsettled.add(lsn);
  }

  /** False when it was settled before. */
  settle(lsn: number): boolean {
    return this.#unsettled.delete(lsn);
  }

  isUnsettled(lsn: number): boolean {
    return this.#unsettled.has(lsn);
  }

  /** Where the record of the entry stands. */
  placeOf(lsn: number): number {
    return this.#moved.get(lsn) ?? lsn;
  }

  /** Unsettled ones, by the place of their records. */
  places(): Place[] {
    const places: Place[] = [];
    for (const lsn of this.#unsettled) places.push({ lsn, at: this.placeOf(lsn) });
    return this.#moved.size === 0 ? places : places.sort((a, b) => a.at - b.at);
  }

  moved(lsn: number, at: number): void {
    this.#moved.set(lsn, at);
  }

  /** The log begins here now: what stood before is gone. */
  forgetBefore(firstLsn: number): void {
    for (const [lsn, at] of this.#moved) if (at < firstLsn) this.#moved.delete(lsn);
  }

  /** When the oldest unsettled entry came in, unix milliseconds; null when there is none. */
  oldestReceivedAtMs(): number | null {
    const { value: lsn } = this.#unsettled.values().next();
    if (lsn === undefined) return null;
    if (this.#oldest?.lsn !== lsn) {
      const record = this.fetch([lsn])[0];
      if (record === undefined) return null;
      this.#oldest = { lsn, receivedAtMs: decodeInbox(record.data).receivedAtMs };
    }
    return this.#oldest.receivedAtMs;
  }

  /** As Log.records; a carried entry comes as the inbox record that it is, under its first position. */
  read(request: ReadRequest): ReadPage {
    const { types } = request;
    if (types === undefined || !types.includes(RecordType.inbox)) return this.#log.records(request);
    const page = this.#log.records({ ...request, types: [...types, RecordType.carried] });
    return { records: page.records.map(asInbox), next: page.next };
  }

  /** The inbox records with these positions, in order; what the log does not hold is left out. */
  fetch(lsns: readonly number[]): PlacedRecord[] {
    const found = this.#log.fetch(lsns.map((lsn) => this.placeOf(lsn)));
    const records: PlacedRecord[] = [];
    for (const lsn of lsns) {
      const at = this.placeOf(lsn);
      const record = found.get(at);
      if (record === undefined) continue;
      const inbox = asInbox({ lsn: at, ...record });
      if (inbox.type === RecordType.inbox && inbox.lsn === lsn) records.push(inbox);
    }
    return records;
  }

  /** Unsettled entries above `after`, in order of their positions; `next` is null when there are no more. */
  page(after: number, maxBytes: number): ReadPage {
    const wanted: number[] = [];
    let more = false;
    for (const lsn of this.#unsettled) {
      if (lsn <= after) continue;
      if (wanted.length === PAGE_ENTRIES) {
        more = true;
        break;
      }
      wanted.push(lsn);
    }
    const records: PlacedRecord[] = [];
    let sizeBytes = 0;
    for (const record of this.fetch(wanted)) {
      if (sizeBytes > 0 && sizeBytes + record.data.length > maxBytes) {
        more = true;
        break;
      }
      sizeBytes += record.data.length;
      records.push(record);
    }
    return { records, next: more ? (records.at(-1)?.lsn ?? wanted.at(-1)!) : null };
  }
}

/** Any record as readers of the inbox see it. */
export function asInbox(record: PlacedRecord): PlacedRecord {
  if (record.type !== RecordType.carried) return record;
  const { lsn, inbox } = decodeCarried(record.data);
  return { lsn, type: RecordType.inbox, data: inbox };
}
