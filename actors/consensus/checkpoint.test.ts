// A start from a log that was pruned behind a checkpoint gives the same as one from the whole log.
import test from 'ava';
import type { Certificate } from '../../protocol/consensus/certificate.js';
import type { Context } from '../../protocol/consensus/context.js';
import {
  decodeJournal,
  encodeJournal,
  type JournalEntry,
  type JournalRecord,
} from '../../protocol/consensus/journal.js';
import { replay } from '../../protocol/consensus/restart.js';
import { createState, type State } from '../../protocol/consensus/state.js';
import { FINALIZE, NOTARIZE } from '../../protocol/consensus/vote.js';
import { makeTestkit } from '../../protocol/ledger/testkit.js';
import { encodeEpoch, RecordType } from '../../protocol/wal-record.js';
import { unpackBytes } from '../../runtime/kernel/batch.js';
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { Links } from '../../runtime/kernel/contract.js';
import type { StoreContract } from '../store/contract.js';
import { memoryLog } from '../testing/context.js';
import { FakeLink } from '../testing/links.js';
import type { CompactReply, CompactRequest, WalWriterContract } from '../wal-writer/contract.js';
import type { Blocks, ExecutedBlock } from './blocks.js';
import { Checkpointer, type LogProof } from './checkpoint.js';

const HASH = 'ab'.repeat(32);
const NO_PROOF: LogProof = { finalization: null, epoch: null, evidence: [], blocks: new Map(), unconfirmed: [] };
const FREED: CompactReply = { segments: 1, bytes: 4096, carried: 0, firstLsn: 9, skipped: null };
const signature = (fill: number) => new Uint8Array(64).fill(fill);

function finalization(height: number, view: number): Extract<JournalEntry, { type: 'finalization' }> {
  const certificate: Certificate = { kind: FINALIZE, view, hash: HASH, signers: [0], signatures: [signature(1)] };
  return { type: 'finalization', epoch: 0, height, certificate };
}

async function setup(confirmed: number, proof: LogProof = NO_PROOF, mempool: readonly number[] = []) {
  const kit = await makeTestkit(1);
  const context = {
    chainId: kit.genesis.chainId,
    epoch: 0,
    self: 0,
    validators: kit.set.validators,
  } as unknown as Context;
  const newCore = (): State => createState(context, { finalized: { view: 7, height: 5, hash: HASH } });
  const core = newCore();
  core.started = true;
  const wal = new FakeLink<WalWriterContract>('wal-writer');
  const store = new FakeLink<StoreContract>('store');
  const links = { 'wal-writer': wal, store } as unknown as Links<{
    'wal-writer': WalWriterContract;
    store: StoreContract;
  }>;
  const clock = new ManualClock();
  const requests: CompactRequest[] = [];
  store.answer('confirm', () => ({ height: confirmed }));
  wal.answer('compact', (request) => {
    requests.push(request as CompactRequest);
    return FREED;
  });
  const checkpoints = new Checkpointer({
    context,
    core,
    links,
    committed: { tip: { height: 5 } } as never,
    blocks: { body: () => undefined, executed: () => [], heldBlocks: () => [] } as unknown as Blocks,
    mempool: { lsns: () => mempool },
    clock,
    log: memoryLog().log,
    proof,
    intervalMs: 1_000,
  });
  return { checkpoints, core, newCore, context, requests, wal, store, clock };
}

function blockOf(height: number, lsns: readonly number[]): Pick<ExecutedBlock, 'ref' | 'pooled'> {
  return {
    ref: { hash: `${height}`.repeat(64), height },
    pooled: lsns.map((lsn) => ({ lsn })),
  } as unknown as ExecutedBlock;
}

function blockRecord(height: number): JournalRecord {
  return { type: 'block', block: blockOf(height, []).ref };
}

function entriesOf({ records, types }: CompactRequest): (JournalEntry | { type: 'epoch' })[] {
  return unpackBytes(records).map((data, index) =>
    types[index] === RecordType.journal ? decodeJournal(data) : { type: 'epoch' },
  );
}

test('ST-2: a checkpoint alone rebuilds votes, certificates and floor of the core', async (t) => {
  const { checkpoints, core, newCore, context, requests } = await setup(5);
  const written: JournalEntry[] = [
    { type: 'vote', epoch: 0, vote: { kind: NOTARIZE, view: 9, hash: HASH, signer: 0, signature: signature(2) } },
    {
      type: 'certificate',
      epoch: 0,
      certificate: { kind: NOTARIZE, view: 8, hash: HASH, signers: [0], signatures: [signature(3)] },
    },
  ];
  core.started = false;
  for (const entry of written) replay(context, core, decodeJournal(encodeJournal(entry)));
  core.started = true;
  t.deepEqual(await checkpoints.compact({ all: false, always: true }), FREED);
  const again = newCore();
  for (const entry of entriesOf(requests[0]!)) replay(context, again, entry as JournalEntry);
  again.started = true;
  t.deepEqual({ ...again, floorView: core.floorView }, core);
  t.is(again.floorView, 7, 'nothing at or below the finalized view is ever signed again');
});

test('ST-2: a checkpoint that found no room is due as before', async (t) => {
  const { checkpoints, requests, wal } = await setup(5);
  wal.answer('compact', () => ({ ...FREED, segments: 0, skipped: 'the log has no room' }));
  await checkpoints.compact({ all: false, always: true });
  wal.answer('compact', () => {
    throw new Error('the log cannot be written');
  });
  await t.throwsAsync(checkpoints.compact({ all: false, always: true }), { message: /cannot be written/ });
  wal.answer('compact', (request) => {
    requests.push(request as CompactRequest);
    return FREED;
  });
  await checkpoints.close();
  t.is(requests.length, 1, 'the last one is written, since something is');
  await checkpoints.close();
  t.is(requests.length, 1, 'and now nothing is due');
});

const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

test('ST-2: a disk on which a checkpoint takes long gets fewer of them; a store that hung and died delays none', async (t) => {
  const { checkpoints, wal, store, clock } = await setup(5);
  wal.answer('compactable', () => ({ segments: 0, due: true }));
  store.hold('confirm');
  const looks = async (afterMs: number) => {
    clock.advance(afterMs);
    await turn();
    return wal.asked('compactable').length;
  };
  checkpoints.start();
  t.is(await looks(250), 1);
  clock.advance(3_000);
  store.waiting('confirm')[0]!.reply({ height: 5 });
  await turn();
  checkpoints.sending();
  checkpoints.recorded([finalization(5, 7)], 100);
  t.deepEqual([await looks(2_999), await looks(1)], [1, 2], 'three seconds of work, three of rest');
  clock.advance(3_000);
  t.is(store.waiting('confirm').length, 1);
  store.goDown();
  store.goUp();
  await turn();
  t.deepEqual([await looks(499), await looks(1)], [2, 3]);
  checkpoints.stop();
});

test('ST-2: a checkpoint repeats what proves the height of the ledger: the newest finalization and epoch', async (t) => {
  const epoch = encodeEpoch({ epoch: 1, lastTrustedHeight: 4, reason: 'x' });
  const evidence: JournalEntry = {
    type: 'evidence',
    epoch: 0,
    evidence: {
      rule: 'E1',
      first: { kind: NOTARIZE, view: 8, hash: HASH, signer: 0, signature: signature(4) },
      second: { kind: NOTARIZE, view: 8, hash: 'cd'.repeat(32), signer: 0, signature: signature(5) },
    },
  };
  const { checkpoints, requests } = await setup(5, {
    ...NO_PROOF,
    finalization: finalization(4, 6),
    epoch,
    evidence: [evidence],
  });
  await checkpoints.compact({ all: false, always: true });
  t.deepEqual(
    entriesOf(requests[0]!).map(({ type }) => type),
    ['floor', 'evidence', 'epoch', 'finalization'],
  );
  checkpoints.sending();
  checkpoints.recorded([finalization(5, 7)], 100);
  await checkpoints.compact({ all: false, always: true });
  t.like(entriesOf(requests[1]!).at(-1), { type: 'finalization', height: 5 });
  const older = await setup(5, { ...NO_PROOF, finalization: finalization(3, 5), epoch });
  await older.checkpoints.compact({ all: false, always: true });
  t.is(entriesOf(older.requests[0]!).at(-1)!.type, 'epoch', 'a finalization below the trusted height proves nothing');
});

test('ST-2: what a replay left for the ledger stays in the log until the ledger has confirmed it', async (t) => {
  const keptFrom = async (confirmed: number) => {
    const { checkpoints, requests } = await setup(confirmed, {
      ...NO_PROOF,
      unconfirmed: [
        { height: 4, from: 36 },
        { height: 5, from: 46 },
      ],
    });
    await checkpoints.compact({ all: false, always: true });
    return requests[0]!.keepFrom;
  };
  t.deepEqual([await keptFrom(3), await keptFrom(4), await keptFrom(5)], [36, 46, null]);
});

test('ST-2: blocks that the ledger has not confirmed keep their records and their bodies in the log', async (t) => {
  const { checkpoints, requests } = await setup(3);
  const compacted = async () => {
    await checkpoints.compact({ all: false, always: true });
    return requests.at(-1)!.keepFrom;
  };
  t.is(await compacted(), null, 'all is confirmed: the checkpoint is enough');
  for (const [height, lsn] of [
    [3, 30],
    [4, 40],
    [5, 50],
  ] as const) {
    checkpoints.sending();
    checkpoints.recorded([blockRecord(height)], lsn);
    checkpoints.final(blockOf(height, [lsn - 1, lsn - 4]));
  }
  t.is(await compacted(), 36, 'block 3 is confirmed; the oldest body of block 4 stands lowest');
  const unknown = await setup(0);
  unknown.checkpoints.final(blockOf(1, [7]));
  await unknown.checkpoints.compact({ all: false, always: true });
  t.is(unknown.requests[0]!.keepFrom, 0, 'whose record is not known keeps everything');
});

test('ST-2: what is on its way to the log, and what waits for a block, stays', async (t) => {
  const { checkpoints, requests } = await setup(5, NO_PROOF, [11, 12]);
  checkpoints.sending();
  checkpoints.recorded([finalization(5, 7)], 20);
  checkpoints.sending();
  await checkpoints.compact({ all: false, always: true });
  t.is(requests[0]!.keepFrom, 21, 'nothing after the last acknowledged record');
  t.deepEqual(requests[0]!.pins, [11, 12]);
});

test('ST-2: a core that is quarantined, halted or not started gives no checkpoint', async (t) => {
  for (const change of [{ quarantined: 'doubt' }, { halted: 'two chains' }, { started: false }]) {
    const { checkpoints, core, requests } = await setup(5);
    Object.assign(core, change);
    t.not((await checkpoints.compact({ all: true, always: true })).skipped, null);
    t.is(requests.length, 0);
  }
});

test('an operator gets both runs in one report', async (t) => {
  const { checkpoints, requests } = await setup(5);
  t.like(await checkpoints.compactNow(true), { segments: 2, bytes: 8192, skipped: null });
  t.deepEqual(
    requests.map(({ all, always }) => [all, always]),
    [
      [true, true],
      [true, false],
    ],
  );
});
