// What a start makes of log and database: bodies that were settled early, epochs, and the two contradicting each other.
import test from 'ava';
import { pino } from '../../observability/pino.js';
import type { Certificate } from '../../protocol/consensus/certificate.js';
import type { Context } from '../../protocol/consensus/context.js';
import { encodeJournal } from '../../protocol/consensus/journal.js';
import { FINALIZE } from '../../protocol/consensus/vote.js';
import type { LedgerView } from '../../protocol/ledger/apply.js';
import { headerText, type Tip } from '../../protocol/ledger/header.js';
import {
  after,
  certify,
  devEntry,
  type MadeBlock,
  makeBlock,
  makeTestkit,
  type Testkit,
} from '../../protocol/ledger/testkit.js';
import { NO_ROUNDS } from '../../protocol/rounds/round.js';
import { type Epoch, parseValidatorSet, type ValidatorSet } from '../../protocol/validators.js';
import {
  encodeEpoch,
  encodeInbox,
  encodeSettled,
  InboxRoute,
  type PlacedRecord,
  RecordType,
  SettledReason,
} from '../../protocol/wal-record.js';
import { packBytes } from '../../runtime/kernel/batch.js';
import type { LedgerReader } from '../ledger/reader.js';
import type { FinalizedForStore } from '../store/contract.js';
import { contentOf, encodeBlockRecord } from './block-record.js';
import { Blocks } from './blocks.js';
import type { Unconfirmed } from './checkpoint.js';
import { Committed } from './committed.js';
import { LogPages } from './log-pages.js';
import { type ReplayParts, replayLog } from './replay.js';

/** A log in memory, written like a node writes it. */
class FakeLog {
  readonly records: PlacedRecord[] = [];
  readonly kit: Testkit;
  view: LedgerView;

  constructor(kit: Testkit) {
    this.kit = kit;
    this.view = kit.view;
  }

  add(type: number, data: Uint8Array): number {
    const lsn = this.records.length + 1;
    this.records.push({ lsn, type, data });
    return lsn;
  }

  settle(lsns: readonly number[], reason: number): void {
    this.add(RecordType.settled, encodeSettled({ reason, lsns }));
  }

  /** A final block with one submission. With `early` its body is settled before the block is recorded. */
  block(id: string, early = false): MadeBlock {
    const entry = devEntry(this.kit, { id });
    const body = { receivedAtMs: 0, route: InboxRoute.envelope, requestId: id, body: entry.raw };
    const lsn = this.add(RecordType.inbox, encodeInbox(body));
    if (early) this.settle([lsn], SettledReason.joined);
    const made = makeBlock(this.kit, this.view, [entry]);
    const pooled = { entry, lsn, route: InboxRoute.envelope, content: contentOf(entry.prepared), origin: '' };
    this.add(RecordType.block, encodeBlockRecord(headerText(made.header), [pooled]));
    const { signatures } = certify(this.kit, made);
    const { epoch, view, height } = made.header;
    const signed = { signers: [0], signatures: signatures.map((text) => Buffer.from(text, 'base64')) };
    const certificate: Certificate = { kind: FINALIZE, view, hash: made.hash, ...signed };
    this.add(RecordType.journal, encodeJournal({ type: 'finalization', epoch, height, certificate }));
    if (!early) this.settle([lsn], SettledReason.final);
    this.view = after(this.view, made);
    return made;
  }

  epoch(epoch: number, lastTrustedHeight: number): void {
    this.add(RecordType.epoch, encodeEpoch({ epoch, lastTrustedHeight, reason: 'a part was lost' }));
  }
}

interface Replayed {
  readonly committed: Committed;
  /** Heights that the replay had the store write. */
  readonly written: readonly number[];
  /** And those that it left for later. */
  readonly left: readonly number[];
  readonly unconfirmed: readonly Unconfirmed[];
  readonly epochs: readonly { readonly head: Tip; readonly set: ValidatorSet }[];
  readonly context: Context;
  readonly quarantined: string | null;
}

async function replayed(log: FakeLog, tip: Tip = log.kit.view.tip): Promise<Replayed> {
  const { kit } = log;
  const reader = { find: () => undefined, refresh: () => undefined } as unknown as LedgerReader;
  const committed = new Committed(kit.genesis.chain, tip, kit.genesis.registry, NO_ROUNDS, reader);
  const written: number[] = [];
  const epochs: { head: Tip; set: ValidatorSet }[] = [];
  const walWriter = (
    name: string,
    { from, types, maxBytes, lsns }: { from: number; types: number[]; maxBytes: number; lsns: number[] },
  ) => {
    if (name === 'fetch') {
      const bodies = log.records.filter(({ lsn, type }) => lsns.includes(lsn) && type === RecordType.inbox);
      return {
        records: packBytes(bodies.map(({ data }) => data)),
        lsns: bodies.map(({ lsn }) => lsn),
        types: [],
        next: null,
      };
    }
    // One record a page, as a log of large bodies gives them.
    const found = log.records
      .filter(({ lsn, type }) => lsn >= from && types.includes(type))
      .slice(0, maxBytes > 1 ? 3 : 1);
    const next = found.at(-1)?.lsn ?? log.records.length;
    return {
      records: packBytes(found.map(({ data }) => data)),
      lsns: found.map(({ lsn }) => lsn),
      types: found.map(({ type }) => type),
      next: next >= log.records.length ? null : next + 1,
    };
  };
  const store = (name: string, request: { blocks?: FinalizedForStore[]; head?: string; validators?: string }) => {
    if (name === 'beginEpoch') {
      epochs.push({ head: JSON.parse(request.head!), set: parseValidatorSet(JSON.parse(request.validators!)) });
    } else {
      written.push(...request.blocks!.map(({ height }) => height));
    }
    return { height: committed.tip.height, full: false };
  };
  const link = (answer: (name: string, request: never) => object) => ({
    ask: async (name: string, request: never) => answer(name, request),
  });
  const links = { 'wal-writer': link(walWriter), store: link(store) } as unknown as ReplayParts['links'];
  const parts = {
    links,
    committed,
    blocks: new Blocks(committed),
    log: pino({ level: 'silent' }),
    validators: kit.set,
    quarantine: null,
    pages: new LogPages(links, 1),
    contextOf: ({ epoch, set }: Epoch) => ({
      chainId: kit.genesis.chainId,
      epoch,
      self: 0,
      validators: set,
      delta0Ms: 100,
      deltaMaxMs: 1_600,
      sign: (bytes: Uint8Array) => kit.ed25519.sign(bytes, kit.validators[0]!.secretKey),
      verify: () => true,
    }),
  };
  const { context, core, unwritten, proof } = await replayLog(parts as unknown as ReplayParts);
  const left = unwritten.map(({ height }) => height);
  const { unconfirmed } = proof;
  return { committed, written, left, unconfirmed, epochs, context, quarantined: core.quarantined };
}

test('blocks that the database does not have are left to be written, and their records needed; the others are not touched', async (t) => {
  const log = new FakeLog(await makeTestkit(1));
  const first = log.block('a');
  log.block('b');
  const whole = await replayed(log);
  t.deepEqual([whole.written, whole.left], [[], [1, 2]]);
  t.deepEqual(whole.unconfirmed, [
    { height: 1, from: 1 },
    { height: 2, from: 5 },
  ]);
  t.is(whole.committed.tip.hash, log.view.tip.hash);
  t.is(whole.quarantined, null);
  const rest = await replayed(log, first.changes.tip);
  t.deepEqual([rest.written, rest.left], [[], [2]]);
  t.deepEqual(rest.unconfirmed, [{ height: 2, from: 5 }]);
  t.is(rest.committed.tip.hash, log.view.tip.hash);
});

test('a body that was settled before its block was recorded is read from the log again', async (t) => {
  const log = new FakeLog(await makeTestkit(1));
  log.block('a', true);
  const { left, committed } = await replayed(log);
  t.deepEqual(left, [1]);
  t.is(committed.tip.hash, log.view.tip.hash);
});

test('of a long log most is written while it is read, so that what waits stays small', async (t) => {
  const log = new FakeLog(await makeTestkit(1));
  for (let number = 1; number <= 300; number++) log.block(`id-${number}`);
  const { written, left, unconfirmed, committed } = await replayed(log);
  t.is(committed.tip.height, 300);
  t.deepEqual(
    [...written, ...left],
    Array.from({ length: 300 }, (_, index) => index + 1),
  );
  t.true(written.length >= 200 && left.length > 0, `${written.length} and ${left.length}`);
  t.deepEqual(
    unconfirmed.map(({ height }) => height),
    left,
  );
});

test('a block without its body anywhere stops the start', async (t) => {
  const log = new FakeLog(await makeTestkit(1));
  log.block('a');
  log.records[0] = { ...log.records[0]!, type: RecordType.settled, data: encodeSettled({ reason: 1, lsns: [] }) };
  await t.throwsAsync(replayed(log), { message: /a block whose body at LSN 1 is missing/ });
});

test('DECISIONS 27: an epoch record makes the chain go on in the new epoch, from the height that it names', async (t) => {
  const log = new FakeLog(await makeTestkit(1));
  log.block('a');
  log.block('b');
  log.epoch(1, 2);
  const { committed, written, left, epochs, context, quarantined } = await replayed(log);
  t.deepEqual([written, left], [[1, 2], []]);
  t.like(committed.tip, { epoch: 1, height: 2 });
  t.is(context.epoch, 1);
  t.is(quarantined, null);
  t.is(epochs.length, 1);
  t.deepEqual(epochs[0]!.head, committed.tip);
  t.deepEqual(
    epochs[0]!.set.epochs.map(({ epoch, fromHeight, handover }) => [epoch, fromHeight, handover]),
    [
      [0, 1, null],
      [1, 3, { reason: 'a part was lost', lastTrustedHeight: 2 }],
    ],
  );
});

test('an epoch that the database has entered is not entered again', async (t) => {
  const log = new FakeLog(await makeTestkit(1));
  const { changes } = log.block('a');
  log.epoch(1, 1);
  const { tip } = (await replayed(log)).committed;
  t.is(tip.epoch, 1);
  const kit = log.kit;
  const validators = (await replayed(log)).epochs[0]!.set;
  const again = await replayed(Object.assign(new FakeLog({ ...kit, set: validators }), { records: log.records }), tip);
  t.deepEqual([again.epochs.length, again.context.epoch, again.written.length], [0, 1, 0]);
  t.is(changes.tip.epoch, 0);
});

test('an epoch above or below the ledger stops the start, unless a later one answers for it', async (t) => {
  const log = new FakeLog(await makeTestkit(1));
  log.block('a');
  log.epoch(1, 5);
  await t.throwsAsync(replayed(log), {
    message: /epoch 1 begins above height 5, and the ledger is at 1: .*Restore a backup/,
  });
  log.epoch(2, 1);
  const { committed, context } = await replayed(log);
  t.like(committed.tip, { epoch: 2, height: 1 });
  t.is(context.epoch, 2);
});

test('DECISIONS 15: a ledger that knows more than the log means that votes are lost: nothing is signed', async (t) => {
  const log = new FakeLog(await makeTestkit(1));
  log.block('a');
  const lost = log.block('b');
  const short = Object.assign(new FakeLog(log.kit), { records: log.records.slice(0, 4) });
  const { quarantined } = await replayed(short, lost.changes.tip);
  t.regex(quarantined ?? 'no', /the ledger is at height 2, and the log proves no more than 1/);
  short.records.push({
    lsn: 5,
    type: RecordType.epoch,
    data: encodeEpoch({ epoch: 1, lastTrustedHeight: 2, reason: 'x' }),
  });
  t.is((await replayed(short, lost.changes.tip)).quarantined, null, 'until a repair has answered for it');
});
