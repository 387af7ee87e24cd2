// Frames between peers, as far as everybody has to know them: the first byte says the type, the rest belongs to the codec
// of that type. Called by gossip and by every codec. It must never look at more than that byte and the size.

/** Type byte included. A block is at most 512 KiB of bodies and its header; a peer that sends more is closed. */
export const FRAME_MAX_BYTES = 1_048_576;

export type FrameFamily = 'hello' | 'consensus' | 'blocks' | 'submissions';

/** First and last type of each family. 0 is the hello, 96 … 255 are free. */
export const FRAME_TYPES: Readonly<Record<FrameFamily, readonly [first: number, last: number]>> = {
  hello: [0, 0],
  consensus: [1, 31],
  blocks: [32, 63],
  submissions: [64, 95],
};

/** The family of a frame by its first byte; null for an empty frame and for a type that nobody has. */
export function frameFamily(frame: Uint8Array): FrameFamily | null {
  const type = frame[0];
  if (type === undefined || type > 95) return null;
  if (type === 0) return 'hello';
  if (type <= 31) return 'consensus';
  return type <= 63 ? 'blocks' : 'submissions';
}
