// SHA-256 and HMAC-SHA256 against published vectors (FIPS 180-4 examples, RFC 4231).
import { Buffer } from 'node:buffer';
import test from 'ava';
import { sha256, sha256Hex } from './hash.js';
import { equalConstantTime, hmacSha256 } from './hmac.js';

const SHA256 = [
  ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  [
    'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq',
    '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
  ],
] as const;

test('SHA-256 of text and of its UTF-8 bytes', (t) => {
  for (const [text, digest] of SHA256) {
    t.is(sha256Hex(text), digest);
    t.is(sha256Hex(Buffer.from(text)), digest);
    t.is(sha256(text).toString('hex'), digest);
    t.is(sha256(Buffer.from(text)).length, 32);
  }
  t.is(sha256Hex('é'), sha256Hex(Uint8Array.of(0xc3, 0xa9)));
  t.is(sha256Hex(Buffer.from('xabcx').subarray(1, 4)), SHA256[1][1]);
});

const RFC4231 = [
  ['0b'.repeat(20), Buffer.from('Hi There'), 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'],
  [
    '4a656665',
    Buffer.from('what do ya want for nothing?'),
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  ],
  ['aa'.repeat(20), Buffer.alloc(50, 0xdd), '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe'],
  [
    'aa'.repeat(131),
    Buffer.from('Test Using Larger Than Block-Size Key - Hash Key First'),
    '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
  ],
] as const;

test('HMAC-SHA256: RFC 4231 cases 1, 2, 3 and 6', (t) => {
  for (const [key, data, mac] of RFC4231) t.is(hmacSha256(Buffer.from(key, 'hex'), data).toString('hex'), mac);
});

test('constant-time comparison tells equal from unequal, lengths included', (t) => {
  t.true(equalConstantTime(Buffer.from('abc'), Buffer.from('abc')));
  t.false(equalConstantTime(Buffer.from('abc'), Buffer.from('abd')));
  t.false(equalConstantTime(Buffer.from('abc'), Buffer.from('abcd')));
  t.true(equalConstantTime(new Uint8Array(0), new Uint8Array(0)));
});
