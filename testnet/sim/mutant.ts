// What a mutant is, and what a list of them needs to be looked for. Used by the lists and by mutants.ts. Types only.

export interface Edit {
  /** Of the compiled tree, from dist/. */
  readonly file: string;
  /** Occurs there exactly once. */
  readonly from: string;
  readonly to: string;
}

export interface Mutant extends Edit {
  /** What was done. */
  readonly name: string;
  /** Where a guard has others behind it that would hide its loss. */
  readonly also?: readonly Edit[];
  /** Where only a certain simulation or test can show it: that one alone. */
  readonly shownBy?: Look;
}

/** One way to look for a mutant: arguments of the simulator's command, or test files. */
export interface Look {
  readonly kind: 'simulation' | 'tests';
  readonly args: readonly string[];
}

export interface Suite {
  readonly mutants: readonly Mutant[];
  /** Folders of the source tree that tests read. */
  readonly data: readonly string[];
  /** In this order; the first that fails has found it. */
  looks(mutant: Mutant): readonly Look[];
}
