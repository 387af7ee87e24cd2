// Frames 32 to 63: asking a peer for blocks, and what it answers. Called by the consensus host.
// Must never trust what a peer says beside a block: hash and height are read from the block itself.
import type { Buffer } from 'node:buffer';
import { FrameError, FrameReader, FrameWriter } from './bytes.js';

/** Frame types, the first byte. */
export const BlockFrame = {
  /** A block by its hash; answered by `body` or `absent`. */
  request: 32,
  body: 33,
  absent: 34,
  /** Final blocks from a height on; answered by `stored`, each with one block, and `end`. */
  range: 35,
  stored: 36,
  end: 37,
} as const;

export type BlockExchange =
  | { readonly type: 'request'; readonly hash: string; readonly view: number }
  /** `body`: block-body.ts. */
  | { readonly type: 'body'; readonly body: Uint8Array }
  | { readonly type: 'absent'; readonly hash: string }
  /** Both ends inclusive. */
  | { readonly type: 'range'; readonly from: number; readonly to: number }
  /** `block`: ledger/block-codec.ts, with its certificate. */
  | { readonly type: 'stored'; readonly block: Uint8Array }
  /** The answer to the range from `from` is complete as far as it goes; `tip` is the peer's last final height. */
  | { readonly type: 'end'; readonly from: number; readonly next: number; readonly tip: number };

const HASH_BYTES = 32;

export function encodeBlockFrame(frame: BlockExchange): Buffer {
  const carried = frame.type === 'body' ? frame.body.length : frame.type === 'stored' ? frame.block.length : 64;
  const writer = new FrameWriter(carried + 1);
  writer.u8(BlockFrame[frame.type]);
  switch (frame.type) {
    case 'request':
      return writer.hex(frame.hash).count(frame.view).finish();
    case 'body':
      return writer.bytes(frame.body).finish();
    case 'absent':
      return writer.hex(frame.hash).finish();
    case 'range':
      return writer.count(frame.from).count(frame.to).finish();
    case 'stored':
      return writer.bytes(frame.block).finish();
    case 'end':
      return writer.count(frame.from).count(frame.next).count(frame.tip).finish();
  }
}

/** Throws FrameError for anything that encodeBlockFrame does not write. What a block holds is not looked at here. */
export function decodeBlockFrame(bytes: Uint8Array): BlockExchange {
  const reader = new FrameReader(bytes);
  const frame = readFrame(reader);
  reader.end();
  return frame;
}

function readFrame(reader: FrameReader): BlockExchange {
  const type = reader.u8();
  switch (type) {
    case BlockFrame.request:
      return { type: 'request', hash: reader.hex(HASH_BYTES), view: reader.count() };
    case BlockFrame.body:
      return { type: 'body', body: reader.bytes(reader.rest) };
    case BlockFrame.absent:
      return { type: 'absent', hash: reader.hex(HASH_BYTES) };
    case BlockFrame.range:
      return { type: 'range', from: reader.count(), to: reader.count() };
    case BlockFrame.stored:
      return { type: 'stored', block: reader.bytes(reader.rest) };
    case BlockFrame.end:
      return { type: 'end', from: reader.count(), next: reader.count(), tip: reader.count() };
    default:
      throw new FrameError('unknown-type', `frame of type ${type}, this node reads 32 to 37 here`);
  }
}
