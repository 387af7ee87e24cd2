// A file that holds disk space for the day there is none: deleted when the journal or the ledger needs it, made again when
// there is room. Used by the disk watch. It holds nothing that anybody reads, and lies outside every cap.
import { randomBytes } from 'node:crypto';
import { existsSync, statSync, unlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { FILE_MODE, ZERO_CHUNK_BYTES } from './files.js';

export const BALLAST_NAME = 'ballast';

export class Ballast {
  readonly #path: string;
  readonly sizeBytes: number;
  #present: boolean;
  #making = false;

  /** What an earlier process left counts, when it is as large as it should be. */
  constructor(directory: string, sizeBytes: number) {
    this.#path = join(directory, BALLAST_NAME);
    this.sizeBytes = sizeBytes;
    const found = existsSync(this.#path) ? statSync(this.#path).size : null;
    this.#present = found !== null && found === sizeBytes;
    if (found !== null && !this.#present) this.#remove();
  }

  get present(): boolean {
    return this.#present;
  }

  /** Gives its space to whoever writes next. False when there was none to give. */
  release(): boolean {
    if (!this.#present) return false;
    this.#present = false;
    return this.#remove();
  }

  /**
   * Makes it, in small asynchronous steps; never rejects: without room there is none. Random bytes, for a file system that
   * compresses would give zeros no space.
   */
  async make(): Promise<void> {
    if (this.#present || this.#making || this.sizeBytes === 0) return;
    this.#making = true;
    try {
      const chunk = randomBytes(ZERO_CHUNK_BYTES);
      const file = await open(this.#path, 'w', FILE_MODE);
      try {
        for (let at = 0; at < this.sizeBytes; at += chunk.length) {
          await file.write(chunk, 0, Math.min(chunk.length, this.sizeBytes - at), at);
        }
        await file.sync();
      } finally {
        await file.close();
      }
      this.#present = true;
    } catch {
      this.#remove();
    } finally {
      this.#making = false;
    }
  }

  #remove(): boolean {
    try {
      unlinkSync(this.#path);
      return true;
    } catch {
      return false;
    }
  }
}
