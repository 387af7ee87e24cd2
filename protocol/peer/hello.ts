// The hello between two peers: who speaks, for which chain, and the proof that it holds the validator's key on this very
// connection. Called by gossip. Its bytes stand between nodes of different versions; it must never accept what it would
// not write itself.
import { Buffer } from 'node:buffer';
import { sha256 } from '../crypto/hash.js';
import { IDENTIFIER } from '../envelope.js';

/** Who opened the connection. */
export type HelloRole = 'dialer' | 'listener';

export interface Hello {
  /** 32 bytes. */
  readonly chainId: Uint8Array;
  readonly nodeId: string;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 8 random bytes of this run of the sender: another one on a second connection says that the first is dead. */
  readonly instance: Uint8Array;
  /** Over helloSignedBytes. */
  readonly signature: Uint8Array;
}

export interface HelloContext {
  readonly chainId: Uint8Array;
  /** 32 bytes that only the two ends of this connection know: TLS exporter, or boundNonces without TLS. */
  readonly binding: Uint8Array;
  /** Of the one who signs. */
  readonly role: HelloRole;
  /** SHA-256 of the certificates in DER; 32 zero bytes without TLS. */
  readonly dialerCertificate: Uint8Array;
  readonly listenerCertificate: Uint8Array;
}

export type Greeting =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'nonce'; readonly nonce: Uint8Array }
  | { readonly kind: 'welcome' };

/** A greeting that no encoder writes; the message says what was found and what is allowed. */
export class HelloError extends Error {}

const TYPE = 0;
const VERSION = 1;
const KIND = { hello: 1, nonce: 2, welcome: 3 } as const;
const DOMAIN = Buffer.from('quorate/peer-hello/1\0', 'ascii');
const NONCE_DOMAIN = Buffer.from('quorate/peer-nonces/1\0', 'ascii');
/** Label of the TLS exporter (RFC 8446 section 7.5) whose 32 bytes bind the hello to the connection. */
export const EXPORTER_LABEL = 'EXPORTER-quorate-peer-hello-1';

const HASH_BYTES = 32;
const KEY_BYTES = 32;
const INSTANCE_BYTES = 8;
const SIGNATURE_BYTES = 64;
const ID_BYTES_MAX = 128;
/** type, kind, version, chain id, key, instance, signature, length of the id. */
const HEAD_BYTES = 3 + HASH_BYTES + KEY_BYTES + INSTANCE_BYTES + SIGNATURE_BYTES + 1;

/** The longest greeting; a connection that has not said hello yet may send no more than this at once. */
export const GREETING_MAX_BYTES = HEAD_BYTES + ID_BYTES_MAX;

/** domain ‖ chain id ‖ binding ‖ role (0 dialer, 1 listener) ‖ SHA-256 of the dialer's and of the listener's certificate. */
export function helloSignedBytes(context: HelloContext): Buffer {
  const { chainId, binding, role, dialerCertificate, listenerCertificate } = context;
  for (const part of [chainId, binding, dialerCertificate, listenerCertificate]) {
    if (part.length !== HASH_BYTES) throw new RangeError(`hello: found ${part.length} bytes, allowed: ${HASH_BYTES}`);
  }
  const roleByte = Buffer.from([role === 'dialer' ? 0 : 1]);
  return Buffer.concat([DOMAIN, chainId, binding, roleByte, dialerCertificate, listenerCertificate]);
}

/** The binding of a connection without TLS: both nonces, the dialer's first. It holds off replays, and no one in between. */
export function boundNonces(dialerNonce: Uint8Array, listenerNonce: Uint8Array): Buffer {
  return sha256(Buffer.concat([NONCE_DOMAIN, dialerNonce, listenerNonce]));
}

export function encodeGreeting(greeting: Greeting): Buffer {
  if (greeting.kind === 'welcome') return Buffer.from([TYPE, KIND.welcome]);
  if (greeting.kind === 'nonce') return Buffer.concat([Buffer.from([TYPE, KIND.nonce]), greeting.nonce]);
  const { chainId, publicKey, instance, signature, nodeId } = greeting.hello;
  const id = Buffer.from(nodeId, 'ascii');
  const head = Buffer.from([TYPE, KIND.hello, VERSION]);
  return Buffer.concat([head, chainId, publicKey, instance, signature, Buffer.from([id.length]), id]);
}

/** Throws HelloError. The parts are copies: nothing of `frame` is kept. */
export function decodeGreeting(frame: Uint8Array): Greeting {
  const bytes = Buffer.from(frame);
  if (bytes.length > GREETING_MAX_BYTES) {
    throw new HelloError(`found ${bytes.length} bytes, allowed: at most ${GREETING_MAX_BYTES}`);
  }
  if (bytes[0] !== TYPE) throw new HelloError(`found a frame of type ${bytes[0] ?? 'none'}, allowed: a hello first`);
  switch (bytes[1]) {
    case KIND.welcome:
      requireLength(bytes, 2);
      return { kind: 'welcome' };
    case KIND.nonce:
      requireLength(bytes, 2 + HASH_BYTES);
      return { kind: 'nonce', nonce: bytes.subarray(2) };
    case KIND.hello:
      return { kind: 'hello', hello: decodeHello(bytes) };
    default:
      throw new HelloError(`found a greeting of kind ${bytes[1] ?? 'none'}, allowed: 1 to 3`);
  }
}

function decodeHello(bytes: Buffer): Hello {
  if (bytes.length < HEAD_BYTES) throw new HelloError(`found ${bytes.length} bytes, allowed: at least ${HEAD_BYTES}`);
  if (bytes[2] !== VERSION) throw new HelloError(`found version ${bytes[2]}, allowed: ${VERSION}`);
  let offset = 3;
  const take = (length: number): Buffer => {
    offset += length;
    return bytes.subarray(offset - length, offset);
  };
  const chainId = take(HASH_BYTES);
  const publicKey = take(KEY_BYTES);
  const instance = take(INSTANCE_BYTES);
  const signature = take(SIGNATURE_BYTES);
  const idBytes = bytes[offset]!;
  offset += 1;
  requireLength(bytes, HEAD_BYTES + idBytes);
  const nodeId = take(idBytes).toString('latin1');
  if (!IDENTIFIER.test(nodeId)) throw new HelloError('found a node id with other characters than A-Z a-z 0-9 . _ : -');
  return { chainId, publicKey, instance, signature, nodeId };
}

function requireLength(bytes: Buffer, length: number): void {
  if (bytes.length !== length) throw new HelloError(`found ${bytes.length} bytes, allowed: ${length}`);
}
