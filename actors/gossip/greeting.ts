// The exchange of hellos on one fresh connection, as a state machine without a socket: greetings in, greetings out, in the
// end a proven peer or a named refusal. Owned by the connection. It must never call a peer proven before both sides did.
import type { PeerConfig } from '../../config/node.js';
import type { Ed25519 } from '../../protocol/crypto/ed25519.js';
import {
  boundNonces,
  decodeGreeting,
  encodeGreeting,
  type Hello,
  HelloError,
  type HelloRole,
  helloSignedBytes,
} from '../../protocol/peer/hello.js';
import type { CloseReason } from './closing.js';

/** This node as it introduces itself. */
export interface Self {
  readonly nodeId: string;
  readonly chainId: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
  /** 8 random bytes of this incarnation of gossip. */
  readonly instance: Uint8Array;
  readonly ed25519: Ed25519;
}

export interface GreetingParts {
  readonly self: Self;
  readonly role: HelloRole;
  /** TLS exporter and certificates; null without TLS, where `nonce` stands in. */
  readonly channel: { readonly binding: Uint8Array; readonly own: Uint8Array; readonly other: Uint8Array } | null;
  /** 32 random bytes. */
  readonly nonce: Uint8Array;
  /** Whom the certificate or the address that was dialed names; null: whoever proves to be a configured peer. */
  readonly expected: string | null;
  readonly peerOf: (nodeId: string) => PeerConfig | undefined;
  readonly send: (greeting: Uint8Array) => void;
}

export type GreetingResult =
  | { readonly kind: 'more' }
  | { readonly kind: 'proven'; readonly nodeId: string; readonly instance: Uint8Array }
  | { readonly kind: 'refused'; readonly reason: CloseReason; readonly detail: string };

const NO_CERTIFICATE = new Uint8Array(32);
const MORE: GreetingResult = { kind: 'more' };

export class Greeting {
  readonly #parts: GreetingParts;
  #binding: Uint8Array | null;
  #proven: Hello | null = null;
  #welcomed = false;

  constructor(parts: GreetingParts) {
    this.#parts = parts;
    this.#binding = parts.channel?.binding ?? null;
  }

  /** Says the first word. */
  start(): void {
    if (this.#binding === null) this.#parts.send(encodeGreeting({ kind: 'nonce', nonce: this.#parts.nonce }));
    else this.#sayHello(this.#binding);
  }

  /** One frame of the peer. After anything but 'more' it must not be called again. */
  take(frame: Uint8Array): GreetingResult {
    let greeting: ReturnType<typeof decodeGreeting>;
    try {
      greeting = decodeGreeting(frame);
    } catch (error) {
      if (!(error instanceof HelloError)) throw error;
      return refused('malformed-hello', error.message);
    }
    switch (greeting.kind) {
      case 'nonce':
        return this.#nonce(greeting.nonce);
      case 'hello':
        return this.#hello(greeting.hello);
      case 'welcome':
        if (this.#welcomed) return refused('malformed-hello', 'a second welcome');
        this.#welcomed = true;
        return this.#result();
    }
  }

  #nonce(nonce: Uint8Array): GreetingResult {
    const { role, nonce: own } = this.#parts;
    if (this.#binding !== null) return refused('malformed-hello', 'a nonce where none was asked for');
    this.#binding = role === 'dialer' ? boundNonces(own, nonce) : boundNonces(nonce, own);
    this.#sayHello(this.#binding);
    return MORE;
  }

  #hello(hello: Hello): GreetingResult {
    const { self, expected, peerOf, send } = this.#parts;
    if (this.#binding === null || this.#proven !== null) return refused('malformed-hello', 'a hello out of turn');
    const { nodeId } = hello;
    if (!same(hello.chainId, self.chainId)) {
      return refused(
        'other-chain',
        `the peer serves chain ${Buffer.from(hello.chainId).toString('hex').slice(0, 16)}…`,
      );
    }
    if (expected !== null && nodeId !== expected) {
      return refused('wrong-identity', `found ${nodeId}, allowed: ${expected}, as its certificate or address says`);
    }
    const peer = peerOf(nodeId);
    if (peer === undefined) return refused('unknown-peer', `${nodeId} is not in peers.yml`);
    const publicKey = Buffer.from(peer.publicKey, 'hex');
    if (!same(hello.publicKey, publicKey))
      return refused('wrong-identity', `another key than peers.yml has for ${nodeId}`);
    const signed = this.#signedBytes(this.#binding, this.#parts.role === 'dialer' ? 'listener' : 'dialer');
    if (!self.ed25519.verify(hello.signature, signed, publicKey)) {
      return refused('bad-proof', `the signature of ${nodeId} does not belong to this connection`);
    }
    this.#proven = hello;
    send(encodeGreeting({ kind: 'welcome' }));
    return this.#result();
  }

  #result(): GreetingResult {
    if (this.#proven === null || !this.#welcomed) return MORE;
    return { kind: 'proven', nodeId: this.#proven.nodeId, instance: this.#proven.instance };
  }

  #sayHello(binding: Uint8Array): void {
    const { self, role, send } = this.#parts;
    const { chainId, nodeId, publicKey, instance } = self;
    const signature = self.ed25519.sign(this.#signedBytes(binding, role), self.secretKey);
    send(encodeGreeting({ kind: 'hello', hello: { chainId, nodeId, publicKey, instance, signature } }));
  }

  #signedBytes(binding: Uint8Array, role: HelloRole): Uint8Array {
    const { self, channel, role: ownRole } = this.#parts;
    const own = channel?.own ?? NO_CERTIFICATE;
    const other = channel?.other ?? NO_CERTIFICATE;
    return helloSignedBytes({
      chainId: self.chainId,
      binding,
      role,
      dialerCertificate: ownRole === 'dialer' ? own : other,
      listenerCertificate: ownRole === 'dialer' ? other : own,
    });
  }
}

function refused(reason: CloseReason, detail: string): GreetingResult {
  return { kind: 'refused', reason, detail };
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
