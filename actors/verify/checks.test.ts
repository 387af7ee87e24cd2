import test from 'ava';
import fc from 'fast-check';
import {
  CHECK_ED25519,
  CHECK_HMAC,
  CHECK_HMAC_DIGEST,
  packChecks,
  type SignatureCheck,
  unpackChecks,
} from './checks.js';

const check: fc.Arbitrary<SignatureCheck> = fc.record({
  operation: fc.constantFrom(CHECK_ED25519, CHECK_HMAC, CHECK_HMAC_DIGEST),
  key: fc.uint8Array({ maxLength: 700 }),
  signature: fc.uint8Array({ maxLength: 255 }),
  message: fc.uint8Array({ maxLength: 400 }),
});

test('checks read back as they were packed', (t) => {
  fc.assert(
    fc.property(fc.array(check, { maxLength: 12 }), (checks) => {
      const found = [...unpackChecks(packChecks(checks))].map(({ operation, key, signature, message }) => ({
        operation,
        key: new Uint8Array(key),
        signature: new Uint8Array(signature),
        message: new Uint8Array(message),
      }));
      t.deepEqual(found, checks);
    }),
  );
});

test('the buffer is its own: it may be transferred without taking a pool along', (t) => {
  const bytes = packChecks([
    { operation: CHECK_HMAC, key: Buffer.from('k'), signature: Buffer.from('s'), message: Buffer.from('m') },
  ]);
  t.is(bytes.byteOffset, 0);
  t.is(bytes.buffer.byteLength, bytes.length);
});

test('a key or signature too long for the layout is refused, not cut: another key would be tried', (t) => {
  const long = new Uint8Array(65_536);
  const short = new Uint8Array(1);
  t.throws(() => packChecks([{ operation: CHECK_HMAC, key: long, signature: short, message: short }]), {
    message: /key of 65536 bytes; allowed: at most 65535/,
  });
  t.throws(() => packChecks([{ operation: CHECK_HMAC, key: short, signature: long, message: short }]), {
    message: /signature of 65536 bytes; allowed: at most 255/,
  });
});
