// One signature check as bytes: the layout that pool.ts writes and task.ts reads. Pure; it must stay in step with both.

/** Ed25519 over the message. */
export const CHECK_ED25519 = 1;
/** HMAC-SHA256 over the message. */
export const CHECK_HMAC = 2;
/** HMAC-SHA256 over the SHA-256 of the message (the older PCS form). */
export const CHECK_HMAC_DIGEST = 3;

export interface SignatureCheck {
  readonly operation: typeof CHECK_ED25519 | typeof CHECK_HMAC | typeof CHECK_HMAC_DIGEST;
  readonly key: Uint8Array;
  readonly signature: Uint8Array;
  readonly message: Uint8Array;
}

/**
 * op u8, signature length u8, key length u16 LE, message length u32 LE; then key, signature, message. An HMAC secret may
 * be of any length that a secret file has.
 */
const HEADER_BYTES = 8;
const KEY_BYTES_MAX = 0xffff;
const SIGNATURE_BYTES_MAX = 0xff;

/**
 * Checks end to end in a buffer of their own, ready to be transferred. Throws RangeError for a key or signature that the
 * layout has no room for: cut short it would shift every check behind it.
 */
export function packChecks(checks: readonly SignatureCheck[]): Uint8Array<ArrayBuffer> {
  let sizeBytes = 0;
  for (const { key, signature, message } of checks) {
    checkLength('key', key, KEY_BYTES_MAX);
    checkLength('signature', signature, SIGNATURE_BYTES_MAX);
    sizeBytes += HEADER_BYTES + key.length + signature.length + message.length;
  }
  const bytes = new Uint8Array(new ArrayBuffer(sizeBytes));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { operation, key, signature, message } of checks) {
    bytes[at] = operation;
    bytes[at + 1] = signature.length;
    view.setUint16(at + 2, key.length, true);
    view.setUint32(at + 4, message.length, true);
    bytes.set(key, at + HEADER_BYTES);
    bytes.set(signature, at + HEADER_BYTES + key.length);
    at += HEADER_BYTES + key.length + signature.length + message.length;
    bytes.set(message, at - message.length);
  }
  return bytes;
}

/** The checks of `bytes`, as views of it. */
export function* unpackChecks(bytes: Uint8Array): Generator<SignatureCheck> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const keyAt = at + HEADER_BYTES;
    const signatureAt = keyAt + view.getUint16(at + 2, true);
    const messageAt = signatureAt + view.getUint8(at + 1);
    const end = messageAt + view.getUint32(at + 4, true);
    yield {
      operation: view.getUint8(at) as SignatureCheck['operation'],
      key: bytes.subarray(keyAt, signatureAt),
      signature: bytes.subarray(signatureAt, messageAt),
      message: bytes.subarray(messageAt, end),
    };
    at = end;
  }
}

function checkLength(what: string, bytes: Uint8Array, max: number): void {
  if (bytes.length > max) throw new RangeError(`a ${what} of ${bytes.length} bytes; allowed: at most ${max}`);
}
