// Looks at the head of the ledger's database file before LMDB does: given a file that is none, the library ends the whole
// process with a segmentation fault, at every start. Called by the store before it opens. It finds a file that was
// overwritten or cut at its head, not every damage: LMDB has no checksums.
import { Buffer } from 'node:buffer';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';

/** Two meta pages begin the file; the page size stands in the first. Offsets of data format 2 of lmdb-js. */
const MAGIC = 0xbeefc0de;
const MAGIC_OFFSET = 24;
const PAGE_SIZE_OFFSET = 48;
const HEAD_BYTES = 64;
const PAGE_SIZES: readonly number[] = [4096, 8192, 16_384, 32_768, 65_536];

/** What is wrong with the file in `directory`, or null; an absent or empty one is fine, LMDB makes it. */
export function ledgerFileDamage(directory: string): string | null {
  let handle: number;
  try {
    handle = openSync(join(directory, 'data.mdb'), 'r');
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return null;
    throw error;
  }
  try {
    const { size } = fstatSync(handle);
    if (size === 0) return null;
    const first = head(handle, 0);
    if (first === null) return 'its first page is not one of this database';
    const pageSize = first.readUInt32LE(PAGE_SIZE_OFFSET);
    if (!PAGE_SIZES.includes(pageSize)) return `its page size is ${pageSize}`;
    return head(handle, pageSize) === null ? 'its second page is not one of this database' : null;
  } finally {
    closeSync(handle);
  }
}

function head(handle: number, position: number): Buffer | null {
  const bytes = Buffer.alloc(HEAD_BYTES);
  const read = readSync(handle, bytes, 0, HEAD_BYTES, position);
  return read === HEAD_BYTES && bytes.readUInt32LE(MAGIC_OFFSET) === MAGIC ? bytes : null;
}
