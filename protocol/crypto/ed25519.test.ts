// Both back ends, and the written rule computed in BigInt, give one verdict on every known trap of Ed25519.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { type Ed25519, loadEd25519 } from './ed25519.js';
import {
  acceptsByRule,
  crookedSignature,
  encode,
  L,
  littleEndian,
  P,
  pointOf,
  SMALL_ORDER_ENCODINGS,
  TORSION,
} from './vectors/edwards.js';
import { rfc8032 } from './vectors/rfc8032.js';
import { speccheck } from './vectors/speccheck.js';

const native = await loadEd25519('sodium-native');
const wrappers = await loadEd25519('libsodium-wrappers');
const backends: readonly Ed25519[] = [native, wrappers];
const hex = (text: string) => Buffer.from(text, 'hex');

/** The verdict all agree on; throws, naming who disagrees, when they do not. */
function verdict(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  const rule = acceptsByRule(signature, message, publicKey);
  for (const { backend, verify } of backends) {
    const found = verify(signature, message, publicKey);
    if (found !== rule) {
      const at = `A=${Buffer.from(publicKey).toString('hex')} sig=${Buffer.from(signature).toString('hex')}`;
      throw new Error(`${backend} says ${found}, the rule says ${rule}: ${at}`);
    }
  }
  return rule;
}

test('both back ends load here, so that the comparison compares two', (t) => {
  t.is(native.backend, 'sodium-native');
  t.is(wrappers.backend, 'libsodium-wrappers');
});

test('RFC 8032 vectors: keys, signatures and verdicts', (t) => {
  for (const vector of rfc8032) {
    for (const { keyPair, sign } of backends) {
      const { publicKey, secretKey } = keyPair(hex(vector.seed));
      t.is(Buffer.from(publicKey).toString('hex'), vector.publicKey);
      t.is(Buffer.from(secretKey).toString('hex'), vector.seed + vector.publicKey);
      t.is(Buffer.from(sign(hex(vector.message), secretKey)).toString('hex'), vector.signature);
    }
    t.true(verdict(hex(vector.signature), hex(vector.message), hex(vector.publicKey)));
  }
});

// Cases 4 and 5 hold only with the cofactor: they tell a build of libsodium with the cofactored equation.
const SPECCHECK = [false, false, false, true, false, false, false, false, false, false, false, false];
for (const [index, { says, message, publicKey, signature }] of speccheck.entries()) {
  test(`ID-7: speccheck ${index} (${says}) is ${SPECCHECK[index] ? 'accepted' : 'refused'} everywhere`, (t) => {
    t.is(verdict(hex(signature), hex(message), hex(publicKey)), SPECCHECK[index] as boolean);
  });
}

test('ID-7: all 14 small-order encodings are 14, and refused as A with every one of them as R', (t) => {
  const texts = new Set(SMALL_ORDER_ENCODINGS.map((bytes) => Buffer.from(bytes).toString('hex')));
  t.is(texts.size, 14);
  for (const a of SMALL_ORDER_ENCODINGS) {
    for (const r of SMALL_ORDER_ENCODINGS) {
      // With S = 0 and enough messages the bare equation R = −h·A holds for one in eight at least.
      for (const message of ['Zcash', 'a', 'b']) {
        t.false(verdict(Uint8Array.from([...r, ...littleEndian(0n)]), Buffer.from(message), a));
      }
    }
  }
});

test('ID-7: a small-order R under an honest key is refused, and a small-order A under an honest R', (t) => {
  const { publicKey, secretKey } = native.keyPair(new Uint8Array(32).fill(9));
  const message = Buffer.from('message');
  const honest = native.sign(message, secretKey);
  for (const point of SMALL_ORDER_ENCODINGS) {
    t.false(verdict(Uint8Array.from([...point, ...honest.subarray(32)]), message, publicKey));
    t.false(verdict(honest, message, point));
  }
  // S = h·a makes the bare equation hold with R the identity: only the rule on R refuses it.
  const crooked = crookedSignature({ secret: 5n, nonce: 0n, keyTorsion: 0, nonceTorsion: 0, message });
  t.false(verdict(crooked.signature, message, crooked.publicKey));
});

test('ID-7: S + L, S + 2L … and S with high bits are refused', (t) => {
  const message = Buffer.from('malleable');
  for (let lift = 0n; lift < 16n; lift += 1n) {
    const made = crookedSignature({ secret: 77n, nonce: 123456789n, keyTorsion: 0, nonceTorsion: 0, lift, message });
    t.is(verdict(made.signature, message, made.publicKey), lift === 0n);
  }
  const { publicKey, signature } = crookedSignature({ secret: 1n, nonce: 2n, keyTorsion: 0, nonceTorsion: 0, message });
  for (const s of [L - 1n, L, L + 1n, (1n << 255n) - 1n, (1n << 256n) - 1n]) {
    t.false(verdict(Uint8Array.from([...signature.subarray(0, 32), ...littleEndian(s)]), message, publicKey));
  }
});

test('ID-7: keys and nonces with every torsion, several messages: one verdict', (t) => {
  let accepted = 0;
  for (let keyTorsion = 0; keyTorsion < TORSION.length; keyTorsion += 1) {
    for (let nonceTorsion = 0; nonceTorsion < TORSION.length; nonceTorsion += 1) {
      for (const text of ['one', 'two', 'three']) {
        const message = Buffer.from(text);
        const made = crookedSignature({ secret: 4242n, nonce: 777n, keyTorsion, nonceTorsion, message });
        if (verdict(made.signature, message, made.publicKey)) accepted += 1;
      }
    }
  }
  // Both kinds must occur, else this compares nothing: three honest ones, and about one in eight of the rest.
  t.true(accepted > 3 && accepted < 100, `${accepted} of 192 accepted`);
});

test('ID-7: encodings with y ≥ p, and encodings off the curve, are refused as A and as R', (t) => {
  const { publicKey, secretKey } = native.keyPair(new Uint8Array(32).fill(3));
  const message = Buffer.from('message');
  const honest = native.sign(message, secretKey);
  const crooked: bigint[] = [];
  for (let k = 0n; k < 19n; k += 1n) crooked.push(P + k, (P + k) | (1n << 255n));
  for (let y = 2n; crooked.length < 60; y += 1n) if (pointOf(y, 0n) === null) crooked.push(y, y | (1n << 255n));
  for (const encoding of crooked.map(littleEndian)) {
    t.false(verdict(honest, message, encoding));
    t.false(verdict(Uint8Array.from([...encoding, ...honest.subarray(32)]), message, publicKey));
  }
});

test('a signature made by one back end holds on the other, and any flipped bit fails on both', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uint8Array({ maxLength: 600 }),
      fc.nat(),
      (seed, message, flip) => {
        const keys = native.keyPair(seed);
        t.deepEqual(Buffer.from(wrappers.keyPair(seed).secretKey), Buffer.from(keys.secretKey));
        const signature = native.sign(message, keys.secretKey);
        t.deepEqual(Buffer.from(wrappers.sign(message, keys.secretKey)), Buffer.from(signature));
        t.true(backends.every(({ verify }) => verify(signature, message, keys.publicKey)));
        const parts = [Uint8Array.from(signature), Uint8Array.from(message), Uint8Array.from(keys.publicKey)] as const;
        const bits = parts.reduce((sum, part) => sum + part.length * 8, 0);
        let bit = flip % bits;
        for (const part of parts) {
          if (bit >= 0 && bit < part.length * 8) part[bit >> 3] = (part[bit >> 3] as number) ^ (1 << (bit & 7));
          bit -= part.length * 8;
        }
        t.false(backends.some(({ verify }) => verify(...parts)));
      },
    ),
    { numRuns: 200 },
  );
});

test('wrong lengths: false from verify, a RangeError that says so from sign and keyPair', (t) => {
  for (const { backend, verify, sign, keyPair } of backends) {
    const { publicKey, secretKey } = keyPair(new Uint8Array(32));
    const message = Buffer.from('m');
    const signature = sign(message, secretKey);
    t.true(verify(signature, message, publicKey), backend);
    for (const length of [0, 1, 63, 65]) t.false(verify(new Uint8Array(length), message, publicKey));
    t.false(verify(Buffer.concat([signature, Buffer.alloc(1)]), message, publicKey));
    for (const length of [0, 31, 33]) t.false(verify(signature, message, new Uint8Array(length)));
    t.throws(() => keyPair(new Uint8Array(31)), {
      instanceOf: RangeError,
      message: /seed: found 31 bytes, allowed: 32/,
    });
    t.throws(() => sign(message, new Uint8Array(32)), {
      instanceOf: RangeError,
      message: /secret key: found 32 bytes/,
    });
  }
});

test('views at an offset, into pooled and into shared memory are read alike', (t) => {
  const { publicKey, secretKey } = native.keyPair(new Uint8Array(32).fill(1));
  const message = Buffer.from('the same bytes, wherever they lie');
  const signature = native.sign(message, secretKey);
  for (const make of [(size: number) => new ArrayBuffer(size), (size: number) => new SharedArrayBuffer(size)]) {
    const place = (bytes: Uint8Array) => {
      const view = new Uint8Array(make(bytes.length + 24), 17, bytes.length);
      view.set(bytes);
      return view;
    };
    for (const { backend, verify } of backends) {
      t.is(verify(place(signature), place(message), place(publicKey)), true, backend);
      t.is(verify(place(signature), place(message).fill(0, 0, 1), place(publicKey)), false, backend);
    }
  }
});

test('the BigInt oracle is Ed25519: it makes the key that libsodium makes', (t) => {
  const { publicKey } = native.keyPair(hex(rfc8032[0]?.seed ?? ''));
  const point = pointOf(BigInt(`0x${Buffer.from(publicKey).reverse().toString('hex')}`) & ((1n << 255n) - 1n), 0n);
  t.not(point, null);
  const made = crookedSignature({ secret: 31n, nonce: 37n, keyTorsion: 0, nonceTorsion: 0, message: Buffer.from('x') });
  t.true(native.verify(made.signature, Buffer.from('x'), made.publicKey));
  t.deepEqual(
    TORSION.map((p) => Buffer.from(encode(p)).toString('hex'))
      .sort()
      .slice(0, 2),
    [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0000000000000000000000000000000000000000000000000000000000000080',
    ],
  );
});
