// Which public keys may be registered.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { loadEd25519 } from './ed25519.js';
import { checkPublicKey } from './keys.js';
import {
  add,
  BASE,
  encode,
  IDENTITY,
  littleEndian,
  multiply,
  P,
  type Point,
  pointOf,
  SMALL_ORDER_ENCODINGS,
  TORSION,
} from './vectors/edwards.js';
import { rfc8032 } from './vectors/rfc8032.js';

const ed25519 = await loadEd25519();

test('ID-7: keys made from seeds are accepted', (t) => {
  for (const { publicKey } of rfc8032) t.is(checkPublicKey(Buffer.from(publicKey, 'hex')), null);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (seed) => {
      t.is(checkPublicKey(ed25519.keyPair(seed).publicKey), null);
    }),
    { numRuns: 50 },
  );
  for (const scalar of [1n, 2n, 3n, 12345678901234567890n]) t.is(checkPublicKey(encode(multiply(scalar, BASE))), null);
});

test('ID-7: other lengths than 32 bytes are refused', (t) => {
  for (const length of [0, 31, 33, 64]) t.is(checkPublicKey(new Uint8Array(length)), 'length');
});

test('ID-7: the 14 small-order encodings are refused: 8 canonical, 6 not', (t) => {
  const faults = SMALL_ORDER_ENCODINGS.map(checkPublicKey);
  t.deepEqual(faults, [...Array(8).fill('small-order'), ...Array(6).fill('non-canonical')]);
});

test('ID-7: every y from p to 2^255 − 1 is refused with either sign', (t) => {
  for (let k = 0n; k < 19n; k += 1n) {
    t.is(checkPublicKey(littleEndian(P + k)), 'non-canonical');
    t.is(checkPublicKey(littleEndian((P + k) | (1n << 255n))), 'non-canonical');
  }
});

test('ID-7: points outside the prime-order group are refused, whatever their torsion', (t) => {
  for (const secret of [1n, 99n, 2n ** 200n + 1n]) {
    const honest = multiply(secret, BASE);
    TORSION.forEach((point, i) => {
      t.is(checkPublicKey(encode(add(honest, point))), i === 0 ? null : 'mixed-order', `torsion ${i}`);
    });
  }
});

test('ID-7: any 32 bytes get the verdict of the slow arithmetic', (t) => {
  const order = (1n << 252n) + 27742317777372353535851937790883648493n;
  const same = (p: Point, q: Point) => Buffer.from(encode(p)).equals(encode(q));
  const seen = new Set<string | null>();
  // Small y makes every class frequent enough; the sign bit is the lowest bit of the input.
  for (let i = 0n; i < 200n; i += 1n) {
    const y = i >> 1n;
    const point = pointOf(y, i & 1n);
    const found = checkPublicKey(littleEndian(y | ((i & 1n) << 255n)));
    seen.add(found);
    if (point === null) t.is(found, 'not-on-curve');
    else if (same(multiply(8n, point), IDENTITY))
      t.true(found === 'small-order' || (point.X === 0n && found === 'non-canonical'));
    else t.is(found, same(multiply(order, point), IDENTITY) ? null : 'mixed-order');
  }
  t.deepEqual([...seen].map(String).sort(), ['mixed-order', 'non-canonical', 'not-on-curve', 'null', 'small-order']);
});
