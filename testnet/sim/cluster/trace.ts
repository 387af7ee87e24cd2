// What happened in one simulated cluster, as a rolling hash of numbers and, on request, as lines of text. Written by every
// part of the simulation; two runs of one seed must give the same hash. It must never change what happens.

export class Trace {
  /** Null where only the hash is kept. */
  readonly lines: string[] | null;
  #low = 0x1234_5678;
  #high = 0x41c6_ce57;

  constructor(keepLines: boolean) {
    this.lines = keepLines ? [] : null;
  }

  mix(value: number): void {
    this.#low = Math.imul(this.#low ^ value, 0x9e37_79b1);
    this.#high = Math.imul(this.#high ^ (value + 0x6d2b), 0x5f35_6495);
    this.#low ^= this.#high >>> 13;
  }

  mixText(text: string): void {
    for (let at = 0; at < text.length; at++) this.mix(text.charCodeAt(at));
  }

  line(nowMs: number, text: string): void {
    this.lines?.push(`${nowMs} ${text}`);
  }

  get hash(): string {
    const hex = (lane: number) => (lane >>> 0).toString(16).padStart(8, '0');
    return hex(this.#high) + hex(this.#low);
  }
}
