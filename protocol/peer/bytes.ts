// Writing and reading the frames that nodes send each other: big-endian integers, lengths before what is of any length.
// Called by the codecs beside it. It must never allocate by a length that it has not held against the bytes that are there.
import { Buffer } from 'node:buffer';

/** Bytes of a peer that no encoder of ours writes. `reason` is a short name for a metric, `message` what was found. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

const TWO_32 = 0x1_0000_0000;

/** Grows as it is written to: one is made a frame. */
export class FrameWriter {
  #buffer: Buffer;
  #at = 0;

  constructor(sizeBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(sizeBytes);
  }

  u8(value: number): this {
    this.#buffer[this.#room(1)] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#room(2);
    this.#buffer.writeUInt16BE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#buffer.writeUInt32BE(value, at);
    return this;
  }

  /** A count below 2^53, as u64. */
  count(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is not a count below 2^53`);
    this.u32(Math.floor(value / TWO_32));
    return this.u32(value % TWO_32);
  }

  bytes(value: Uint8Array): this {
    const at = this.#room(value.length);
    this.#buffer.set(value, at);
    return this;
  }

  hex(value: string): this {
    return this.bytes(Buffer.from(value, 'hex'));
  }

  /** u32 length, then the bytes. */
  sized(value: Uint8Array): this {
    return this.u32(value.length).bytes(value);
  }

  /** u8 length, then ASCII. */
  name(value: string): this {
    if (value.length > 255) throw new RangeError(`a name of ${value.length} characters; allowed: at most 255`);
    return this.u8(value.length).bytes(Buffer.from(value, 'latin1'));
  }

  /** Everything written, in memory of its own. */
  finish(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#at));
  }

  #room(sizeBytes: number): number {
    const at = this.#at;
    const end = at + sizeBytes;
    if (end > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(end, 2 * this.#buffer.length));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    this.#at = end;
    return at;
  }
}

const NAME = /^[\x21-\x7e]+$/;

/** Reads forward; every method throws FrameError where the bytes end early or hold what is never written. */
export class FrameReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get rest(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u16(): number {
    return this.#bytes.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  count(): number {
    const value = this.u32() * TWO_32 + this.u32();
    if (!Number.isSafeInteger(value))
      throw new FrameError('malformed', `the count before byte ${this.#at} is above 2^53`);
    return value;
  }

  /** A view of the bytes read from. */
  bytes(length: number): Buffer {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  hex(length: number): string {
    return this.bytes(length).toString('hex');
  }

  sized(): Buffer {
    return this.bytes(this.u32());
  }

  name(): string {
    const text = this.bytes(this.u8()).toString('latin1');
    if (!NAME.test(text)) throw new FrameError('malformed', `the name before byte ${this.#at} is no printable ASCII`);
    return text;
  }

  end(): void {
    if (this.rest !== 0) throw new FrameError('malformed', `${this.rest} bytes after the end of the frame`);
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) {
      const missing = at + length - this.#bytes.length;
      throw new FrameError('malformed', `the frame ends at byte ${this.#bytes.length}, ${missing} too early`);
    }
    this.#at = at + length;
    return at;
  }
}
