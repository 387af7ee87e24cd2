// Frames 64 to 95: submissions that a node has admitted and tells its peers of, so that whoever leads can propose them.
// Called by ingress on both ends. Must never carry what the receiver could not check by itself: the signature stands in the
// body, and where only the home node can judge it, its attestation stands beside.
//
//   u8 64 | u16 n, n × (u8 route, u8 attested [name issuer, name key id, name node, u64 time, 64 signature], u32 length, body)
import type { Buffer } from 'node:buffer';
import type { Attestation } from '../attestation.js';
import { checkRoute, readAttested, writeAttested } from './block-body.js';
import { FrameError, FrameReader, FrameWriter } from './bytes.js';

const SUBMISSIONS = 64;
/** Bodies of one frame: one alone may be larger than this, and still fits a frame. */
const FRAME_BODY_BYTES = 256 * 1024;
const FRAME_ENTRIES_MAX = 1_000;

export interface SharedSubmission {
  /** A value of InboxRoute. */
  readonly route: number;
  readonly raw: Uint8Array;
  readonly attestation: Attestation | null;
}

/** As many frames as the list needs, each small enough. */
export function encodeSubmissions(list: readonly SharedSubmission[]): Buffer[] {
  const frames: Buffer[] = [];
  let part: SharedSubmission[] = [];
  let sizeBytes = 0;
  for (const shared of list) {
    const full = part.length >= FRAME_ENTRIES_MAX || sizeBytes + shared.raw.length > FRAME_BODY_BYTES;
    if (full && part.length > 0) {
      frames.push(encodeFrame(part, sizeBytes));
      part = [];
      sizeBytes = 0;
    }
    part.push(shared);
    sizeBytes += shared.raw.length;
  }
  if (part.length > 0) frames.push(encodeFrame(part, sizeBytes));
  return frames;
}

function encodeFrame(list: readonly SharedSubmission[], bodyBytes: number): Buffer {
  const writer = new FrameWriter(bodyBytes + 16 * list.length + 16);
  writer.u8(SUBMISSIONS).u16(list.length);
  for (const { route, raw, attestation } of list) {
    writer.u8(route);
    if (attestation === null) writer.u8(0);
    else {
      writer.u8(1).name(attestation.issuer).name(attestation.keyId);
      writeAttested(writer, attestation);
    }
    writer.sized(raw);
  }
  return writer.finish();
}

/** The bodies are views of `bytes`. Throws FrameError for anything that encodeSubmissions does not write. */
export function decodeSubmissions(bytes: Uint8Array): SharedSubmission[] {
  const reader = new FrameReader(bytes);
  const type = reader.u8();
  if (type !== SUBMISSIONS) throw new FrameError('unknown-type', `frame of type ${type}, this node reads 64 here`);
  const count = reader.u16();
  if (count === 0 || count > FRAME_ENTRIES_MAX) {
    throw new FrameError('malformed', `${count} submissions, expected 1 to ${FRAME_ENTRIES_MAX}`);
  }
  const list: SharedSubmission[] = [];
  for (let index = 0; index < count; index += 1) {
    const route = reader.u8();
    checkRoute(route);
    const flag = reader.u8();
    if (flag > 1) throw new FrameError('malformed', `flag ${flag} of an attestation, expected 0 or 1`);
    const attestation = flag === 0 ? null : readAttestation(reader);
    list.push({ route, raw: reader.sized(), attestation });
  }
  reader.end();
  return list;
}

function readAttestation(reader: FrameReader): Attestation {
  const issuer = reader.name();
  const attestation = readAttested(reader, issuer, reader.name());
  if (attestation === null) throw new FrameError('malformed', 'an attestation that is announced and not there');
  return attestation;
}
