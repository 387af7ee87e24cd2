// The bytes of the hello: a vector that keeps them, and the decoder against whatever may come.
import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { frameFamily } from './frame.js';
import {
  boundNonces,
  decodeGreeting,
  encodeGreeting,
  GREETING_MAX_BYTES,
  type Greeting,
  HelloError,
  helloSignedBytes,
} from './hello.js';

const bytes = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill);

const HELLO: Greeting = {
  kind: 'hello',
  hello: {
    chainId: bytes(32, 1),
    nodeId: 'node_1',
    publicKey: bytes(32, 2),
    instance: bytes(8, 3),
    signature: bytes(64, 4),
  },
};

const hash = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex').slice(0, 16);

test('the bytes on the wire and under the signature are these; another hash is another version of the hello', (t) => {
  t.is(hash(encodeGreeting(HELLO)), '9834d674d93f8280');
  const context = {
    chainId: bytes(32, 1),
    binding: bytes(32, 5),
    dialerCertificate: bytes(32, 6),
    listenerCertificate: bytes(32, 7),
  };
  t.is(hash(helloSignedBytes({ ...context, role: 'dialer' })), '8540d43561032fcf');
  t.is(hash(helloSignedBytes({ ...context, role: 'listener' })), '71e7b88eb741d8aa');
  t.is(hash(boundNonces(bytes(32, 8), bytes(32, 9))), 'f064ef8ca996bc82');
});

test('the two roles, and the two orders of nonces, never sign the same bytes', (t) => {
  const context = {
    chainId: bytes(32, 1),
    binding: bytes(32, 5),
    dialerCertificate: bytes(32, 6),
    listenerCertificate: bytes(32, 6),
  };
  t.notDeepEqual(helloSignedBytes({ ...context, role: 'dialer' }), helloSignedBytes({ ...context, role: 'listener' }));
  t.notDeepEqual(boundNonces(bytes(32, 1), bytes(32, 2)), boundNonces(bytes(32, 2), bytes(32, 1)));
});

test('every greeting comes back as it was, within its bound', (t) => {
  const id = fc.stringMatching(/^[A-Za-z0-9._:-]{1,128}$/);
  const part = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const greeting: fc.Arbitrary<Greeting> = fc.oneof(
    fc.constant<Greeting>({ kind: 'welcome' }),
    part(32).map((nonce): Greeting => ({ kind: 'nonce', nonce })),
    fc
      .record({ chainId: part(32), nodeId: id, publicKey: part(32), instance: part(8), signature: part(64) })
      .map((hello): Greeting => ({ kind: 'hello', hello })),
  );
  fc.assert(
    fc.property(greeting, (given) => {
      const encoded = encodeGreeting(given);
      return encoded.length <= GREETING_MAX_BYTES && encodeGreeting(decodeGreeting(encoded)).equals(encoded);
    }),
  );
  t.pass();
});

test('NET-7: other bytes are refused by a HelloError, and never taken for what the encoder would write', (t) => {
  const whole = encodeGreeting(HELLO);
  const mutated = fc
    .tuple(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length + 20))
    .map(([at, value, length]) => {
      const changed = new Uint8Array(length);
      changed.set(whole.subarray(0, length));
      if (at < length) changed[at] = value;
      return changed;
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), mutated), (frame) => {
      try {
        return encodeGreeting(decodeGreeting(frame)).equals(frame);
      } catch (error) {
        return error instanceof HelloError;
      }
    }),
    { numRuns: 500 },
  );
  t.pass();
});

test('the family of a frame is told by its first byte', (t) => {
  const ROWS: [type: number, family: string | null][] = [
    [0, 'hello'],
    [1, 'consensus'],
    [31, 'consensus'],
    [32, 'blocks'],
    [63, 'blocks'],
    [64, 'submissions'],
    [95, 'submissions'],
    [96, null],
    [255, null],
  ];
  for (const [type, family] of ROWS) t.is(frameFamily(Uint8Array.of(type)), family as never);
  t.is(frameFamily(new Uint8Array(0)), null);
});
