// Signed submissions for the benches, written to a file before anything is measured. Called by the scenarios.
// It must never sign while a server is being measured.
import { closeSync, openSync, writeSync } from 'node:fs';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';

/** The shape of keys/dev-client.json: hex of 32 bytes each. */
export interface ClientKey {
  readonly issuer: string;
  readonly public_key: string;
  readonly seed: string;
}

/** About what a real small submission has, and what the costs of the design were measured with. */
export const BODY_BYTES = 480;
const BODIES_PER_WRITE = 1000;

/**
 * Appends nothing: writes `path` anew with `count` envelopes of kind note, one JSON text a line, each about BODY_BYTES
 * long, with ids `<prefix>-<number>`. The same id never comes twice in one file.
 */
export async function writeSubmissions(path: string, key: ClientKey, prefix: string, count: number): Promise<void> {
  const ed25519 = await loadEd25519();
  const { secretKey } = ed25519.keyPair(Buffer.from(key.seed, 'hex'));
  const sign = (message: Uint8Array): Uint8Array => ed25519.sign(message, secretKey);
  const issuedAt = new Date().toISOString();
  const file = openSync(path, 'w');
  try {
    for (let first = 0; first < count; first += BODIES_PER_WRITE) {
      let text = '';
      for (let index = first; index < Math.min(count, first + BODIES_PER_WRITE); index += 1) {
        text += `${envelopeText(key.issuer, `${prefix}-${index}`, issuedAt, sign)}\n`;
      }
      writeSync(file, text);
    }
  } finally {
    closeSync(file);
  }
}

/** Members in sorted order and plain ASCII values: what JSON.stringify writes is the RFC 8785 form already. */
export function envelopeText(
  issuer: string,
  id: string,
  issuedAt: string,
  sign: (message: Uint8Array) => Uint8Array,
  bodyBytes = BODY_BYTES,
): string {
  const unsigned = { alg: 'ed25519', id, issued_at: issuedAt, issuer, kind: 'note', payload: { text: '' } };
  const signatureBytes = ',"sig":""'.length + 88;
  unsigned.payload.text = 'x'.repeat(Math.max(1, bodyBytes - JSON.stringify(unsigned).length - signatureBytes));
  const signature = sign(Buffer.from(`quorate/envelope/1\n${JSON.stringify(unsigned)}`));
  return JSON.stringify({ ...unsigned, sig: Buffer.from(signature).toString('base64') });
}
