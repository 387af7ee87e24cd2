// Rebuilds consensus from the log: votes and certificates into the core, final blocks that the database does not have
// into the store. Called once by the actor's init, before anything may be signed.
import type { Effect } from '../../protocol/consensus/effect.js';
import { decodeJournal } from '../../protocol/consensus/journal.js';
import { replay } from '../../protocol/consensus/restart.js';
import { blockHash, headerText } from '../../protocol/ledger/header.js';
import { decodeInbox, decodeSettled, RecordType } from '../../protocol/wal-record.js';
import { unpackBytes } from '../../runtime/kernel/batch.js';
import { decodeBlockRecord } from './block-record.js';
import { refOf } from './blocks.js';
import { finalize, type HostParts } from './host.js';

const PAGE_BYTES = 1024 * 1024;
const STORE_DEADLINE_MS = 120_000;
const TYPES = [RecordType.inbox, RecordType.settled, RecordType.journal, RecordType.block];

/** Throws when the log and the database contradict each other: then nothing of either may be built upon. */
export async function replayLog(parts: Omit<HostParts, 'metrics' | 'mempool' | 'report'>): Promise<void> {
  const { links, context, core, committed, log } = parts;
  const inbox = new Map<number, Uint8Array>();
  const databaseHeight = committed.tip.height;
  for (let from: number | null = 1; from !== null; ) {
    const page: Awaited<ReturnType<typeof readPage>> = await readPage(parts, from);
    for (const { lsn, type, data } of page.records) {
      if (type === RecordType.inbox) inbox.set(lsn, decodeInbox(data).body);
      else if (type === RecordType.settled) for (const settled of decodeSettled(data).lsns) inbox.delete(settled);
      else if (type === RecordType.block) replayBlock(parts, data, inbox, databaseHeight);
      else await carryOut(parts, replay(context, core, decodeJournal(data)));
    }
    from = page.next;
  }
  if (committed.tip.height > databaseHeight) {
    log.info({ from: databaseHeight + 1, to: committed.tip.height }, 'blocks of the log written to the database');
  }
  await links.store.ask('apply', { blocks: [] }, { deadlineMs: STORE_DEADLINE_MS });
}

async function readPage({ links }: Pick<HostParts, 'links'>, from: number) {
  const page = await links['wal-writer'].ask(
    'read',
    { from, types: TYPES, maxBytes: PAGE_BYTES },
    { deadlineMs: STORE_DEADLINE_MS },
  );
  const records = unpackBytes(page.records).map((data, index) => ({
    lsn: page.lsns[index]!,
    type: page.types[index]!,
    data,
  }));
  return { records, next: page.next };
}

function replayBlock(
  { context, core, blocks }: Pick<HostParts, 'context' | 'core' | 'blocks'>,
  data: Uint8Array,
  inbox: ReadonlyMap<number, Uint8Array>,
  databaseHeight: number,
): void {
  // A block that the database has needs no bodies; some of them may be gone from the log.
  const peek = JSON.parse(Buffer.from(data).toString('utf8')) as { header: { height: number } };
  if (peek.header.height <= databaseHeight) return;
  const { header, pooled } = decodeBlockRecord(data, (lsn) => inbox.get(lsn));
  const hash = blockHash(headerText(header)).toString('hex');
  const parent = blocks.viewOf(header.parent_hash);
  if (parent === undefined)
    throw new Error(`block ${hash} of the log stands on ${header.parent_hash}, which is not held`);
  blocks.judge(parent, header, pooled);
  replay(context, core, { type: 'block', block: refOf(header, hash) });
}

async function carryOut(
  parts: Pick<HostParts, 'blocks' | 'context' | 'links' | 'committed' | 'log'>,
  effects: readonly Effect[],
): Promise<void> {
  for (const effect of effects) {
    if (effect.type !== 'commit') continue;
    for (const { messages } of finalize(parts, effect)) {
      const { height } = await parts.links.store.ask(
        'apply',
        { blocks: [messages.store] },
        { deadlineMs: STORE_DEADLINE_MS },
      );
      parts.committed.written(height);
    }
  }
}
