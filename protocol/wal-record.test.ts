import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { sha256Hex } from './crypto/hash.js';
import {
  decodeCarried,
  decodeEpoch,
  decodeInbox,
  decodeInit,
  decodeSettled,
  encodeCarried,
  encodeEpoch,
  encodeInbox,
  encodeInit,
  encodeSettled,
  InboxRoute,
  initSignBytes,
  RecordType,
  recordTypeName,
  SettledReason,
  WalRecordError,
} from './wal-record.js';

const time = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const samples = {
  init: encodeInit({
    chainId: new Uint8Array(32).fill(1),
    publicKey: new Uint8Array(32).fill(2),
    signature: new Uint8Array(64).fill(3),
  }),
  inbox: encodeInbox({
    receivedAtMs: 1_795_190_400_123,
    route: InboxRoute.envelope,
    requestId: '3f0c1c0a-6f1f-4d53-9d2e-5c1c2f0e8b11',
    body: Buffer.from('{"kind":"note"}'),
  }),
  settled: encodeSettled({ reason: SettledReason.final, lsns: [1, 2 ** 32, Number.MAX_SAFE_INTEGER] }),
  epoch: encodeEpoch({ epoch: 2, lastTrustedHeight: 41, reason: 'wal repair' }),
  carried: encodeCarried({ lsn: 2 ** 33 + 5, inbox: Buffer.from('as it was') }),
};

test('conformance: the bytes of every record payload are those of version 1', (t) => {
  const hashes = Object.fromEntries(Object.entries(samples).map(([name, bytes]) => [name, sha256Hex(bytes)]));
  t.deepEqual(hashes, {
    init: '677056bc86e9ee40850f3b40d4e9ed99af210018ffac229af4fb05e504f10fc8',
    inbox: '3b6a9898f423525477e83f9ff8766aef3d7a6377297d3427beed2d10f5b0670d',
    settled: 'ae2353dc6c0f554d8d72f827bd6ff23f21bb2cb9e78bd7d3f0d968496bc63011',
    epoch: '0d8569a2eb8a32e271c7b5138002f67ef6528d2ee10136edab36b7ed278f5e75',
    carried: '9f63aa2f61c2d63ca953343e0d16bccc8b49a8e18afbe8005c57372413e77746',
  });
});

test('conformance: record types, routes and reasons keep their numbers', (t) => {
  t.deepEqual({ ...RecordType }, { init: 0, inbox: 1, settled: 2, journal: 3, block: 4, epoch: 5, carried: 6 });
  t.deepEqual({ ...InboxRoute }, { envelope: 1, pcs: 2, observation: 3 });
  t.deepEqual({ ...SettledReason }, { final: 1, refused: 2, horizon: 3, rejected: 4, joined: 5 });
  t.is(recordTypeName(RecordType.epoch), 'epoch');
  t.is(recordTypeName(200), 'type 200');
});

test('an inbox record comes back as it was, whatever the body holds', (t) => {
  fc.assert(
    fc.property(
      time,
      fc.uint8Array({ maxLength: 300 }),
      fc.stringMatching(/^[A-Za-z0-9._-]{0,64}$/),
      (receivedAtMs, body, requestId) => {
        const back = decodeInbox(encodeInbox({ receivedAtMs, route: InboxRoute.pcs, requestId, body }));
        t.deepEqual({ ...back, body: Uint8Array.from(back.body) }, { receivedAtMs, route: 2, requestId, body });
      },
    ),
  );
});

test('a carried record comes back with its old position and the inbox record as it was', (t) => {
  fc.assert(
    fc.property(time, fc.uint8Array({ maxLength: 300 }), (lsn, inbox) => {
      const back = decodeCarried(encodeCarried({ lsn, inbox }));
      t.deepEqual({ lsn: back.lsn, inbox: Uint8Array.from(back.inbox) }, { lsn, inbox });
    }),
  );
});

test('settled and epoch records come back as they were', (t) => {
  fc.assert(
    fc.property(fc.array(time), fc.constantFrom(...Object.values(SettledReason)), (lsns, reason) => {
      t.deepEqual(decodeSettled(encodeSettled({ reason, lsns })), { reason, lsns });
    }),
  );
  fc.assert(
    fc.property(time, time, fc.string({ unit: 'grapheme' }), (epoch, lastTrustedHeight, reason) => {
      t.deepEqual(decodeEpoch(encodeEpoch({ epoch, lastTrustedHeight, reason })), { epoch, lastTrustedHeight, reason });
    }),
  );
});

test('an init record comes back as it was, and what its key signs names chain and key', (t) => {
  const back = decodeInit(samples.init);
  t.deepEqual([back.chainId[0], back.publicKey[0], back.signature[0]], [1, 2, 3]);
  t.is(back.signature.length, 64);
  const signed = initSignBytes(back.chainId, back.publicKey);
  t.is(signed.toString('latin1', 0, 19), 'quorate/wal-init/1\0');
  t.is(signed.length, 19 + 64);
});

test('a record cut at any byte is refused, or is whole without what was cut', (t) => {
  for (let end = 0; end < samples.init.length; end += 1) {
    t.throws(() => decodeInit(samples.init.subarray(0, end)), { instanceOf: WalRecordError });
  }
  for (let end = 0; end < samples.settled.length; end += 1) {
    t.throws(() => decodeSettled(samples.settled.subarray(0, end)), { instanceOf: WalRecordError });
  }
  for (let end = 0; end < 12 + 36; end += 1) {
    t.throws(() => decodeInbox(samples.inbox.subarray(0, end)), { instanceOf: WalRecordError });
  }
  for (let end = 0; end < 24; end += 1) {
    t.throws(() => decodeEpoch(samples.epoch.subarray(0, end)), { instanceOf: WalRecordError });
  }
});

test('a record of a later version is refused with what was found and what is allowed', (t) => {
  const later = Buffer.from(samples.inbox);
  later[0] = 2;
  t.throws(() => decodeInbox(later), { instanceOf: WalRecordError, message: /version 2; allowed: 1/ });
});

test('what does not fit the format is refused before it is written', (t) => {
  const body = new Uint8Array(0);
  const refused = { instanceOf: WalRecordError };
  t.throws(() => encodeInbox({ receivedAtMs: -1, route: 1, requestId: '', body }), refused);
  t.throws(() => encodeInbox({ receivedAtMs: 0, route: 1, requestId: 'x'.repeat(256), body }), refused);
  t.throws(() => encodeSettled({ reason: 1, lsns: [2 ** 53] }), refused);
  t.throws(() => encodeSettled({ reason: 1, lsns: [1.5] }), refused);
  t.throws(() => initSignBytes(new Uint8Array(31), new Uint8Array(32)), refused);
  const huge = Buffer.from(samples.epoch);
  huge.fill(0xff, 8, 16);
  t.throws(() => decodeEpoch(huge), refused);
});
