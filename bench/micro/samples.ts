// The signed bodies that every micro bench works on: the same shape and size as those of the ingest scenario.
// Called by the stages. It must never hand out one body twice in a batch: caches would hide the cost.
import { type Ed25519, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { envelopeText } from '../submissions.js';

export interface Samples {
  readonly issuer: string;
  readonly publicKey: Buffer;
  readonly secretKey: Uint8Array;
  readonly ed25519: Ed25519;
  readonly bodies: readonly Buffer[];
}

/** More than the caches of the first level hold, few enough to sign in a tenth of a second. */
export const SAMPLE_COUNT = 2048;

export async function makeSamples(count = SAMPLE_COUNT): Promise<Samples> {
  const ed25519 = await loadEd25519();
  const { publicKey, secretKey } = ed25519.keyPair(Buffer.alloc(32, 7));
  const issuedAt = new Date().toISOString();
  const sign = (message: Uint8Array): Uint8Array => ed25519.sign(message, secretKey);
  const bodies = Array.from({ length: count }, (_, index) =>
    Buffer.from(envelopeText('dev', `micro-${index}`, issuedAt, sign)),
  );
  return { issuer: 'dev', publicKey: Buffer.from(publicKey), secretKey, ed25519, bodies };
}

/** Gives the items one after the other, over and over. */
export function cycle<T>(items: readonly T[]): () => T {
  let index = 0;
  return () => {
    const item = items[index];
    index = index + 1 === items.length ? 0 : index + 1;
    if (item === undefined) throw new RangeError('nothing to cycle through');
    return item;
  };
}
