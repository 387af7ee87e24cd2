// Micro benches of the log: one batch of inbox records, written and synced, by batch size. Called by run.ts.
// The disk decides: compare with the fdatasync cost of the same minute.
// It must never leave its log behind.
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Log, openLog } from '../../actors/wal-writer/log.js';
import { encodeInbox, InboxRoute, RecordType } from '../../protocol/wal-record.js';
import type { Bench } from './harness.js';
import { cycle, makeSamples } from './samples.js';

const BATCHES: readonly number[] = [1, 8, 64, 256];
const SEGMENT_BYTES = 8 * 1024 * 1024;

export async function walStage(directory: string): Promise<readonly Bench[]> {
  const { bodies } = await makeSamples();
  const records = bodies.map((body, index) => ({
    type: RecordType.inbox,
    data: encodeInbox({ receivedAtMs: Date.now(), route: InboxRoute.envelope, requestId: `req-${index}`, body }),
  }));
  const inbox = cycle(bodies);
  return [
    {
      name: 'wal encodeInbox',
      run: () => encodeInbox({ receivedAtMs: 0, route: InboxRoute.envelope, requestId: 'req-1', body: inbox() }),
    },
    ...BATCHES.map((size) => appendBench(join(directory, `wal-bench-${size}`), size, records)),
  ];
}

function appendBench(directory: string, size: number, records: readonly { type: number; data: Uint8Array }[]): Bench {
  let log: Log | null = null;
  const batch = cycle(
    Array.from({ length: Math.floor(records.length / size) }, (_, index) =>
      records.slice(index * size, (index + 1) * size),
    ),
  );
  return {
    name: `wal append and sync, a record of ${size}`,
    operations: size,
    run: () => {
      log ??= open(directory);
      return log.append(batch());
    },
    close: () => {
      log?.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Opened by the first append: a bench that was not chosen leaves the disk alone. */
function open(directory: string): Log {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const identity = { chainId: randomBytes(32), publicKey: randomBytes(32) };
  const { log } = openLog({
    directory: join(directory, 'wal'),
    identity,
    segmentBytes: SEGMENT_BYTES,
    native: (section) => section(),
    random: randomBytes,
  });
  return log;
}
