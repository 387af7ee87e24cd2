// The simulations by name, and what each run of a seed tells. Called by the command and its shards; each is loaded only when
// it is asked for.

export interface Outcome {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly traceHash: string;
  readonly steps: number;
  readonly simulatedMs: number;
  readonly ended: string;
  readonly lines: readonly string[];
  /** What is summed up over seeds. */
  readonly counts: Readonly<Record<string, number>>;
}

export interface SimulationChoice {
  readonly name: 'supervisor' | 'cluster';
  /** Of a cluster: simulated minutes with faults, and what it is narrowed to. */
  readonly minutes: number;
  readonly nodes?: number;
  readonly nemeses?: readonly string[];
  readonly lies?: readonly string[];
}

/** A narrowed choice names what there is not. */
export class UnknownName extends Error {
  override readonly name = 'UnknownName';
}

export type Simulate = (seed: number, keepTrace?: boolean) => Promise<Outcome>;

/** Of so many clusters one signs with Ed25519; a simulated minute of it costs as much as many with mock signatures. */
const REAL_SIGNATURES_EVERY = 50;
const REAL_SIGNATURES_MINUTES = 0.2;

export async function simulationOf(choice: SimulationChoice): Promise<Simulate> {
  if (choice.name === 'supervisor') return (await import('./supervisor.js')).simulate;
  const { simulateCluster } = await import('./cluster/cluster.js');
  const { ed25519Keys } = await import('./cluster/keys.js');
  const { NEMESES } = await import('./cluster/plan.js');
  const { LIE_NAMES } = await import('./cluster/misdeeds.js');
  const { minutes, nodes } = choice;
  const nemeses = named('nemesis', choice.nemeses, NEMESES);
  const lies = named('lie', choice.lies, LIE_NAMES);
  const narrowed = {
    ...(nodes === undefined ? {} : { n: nodes }),
    ...(nemeses === undefined ? {} : { nemeses }),
    ...(lies === undefined ? {} : { lies }),
  };
  const keys = await ed25519Keys();
  return async (seed, keepTrace = false) => {
    if (seed % REAL_SIGNATURES_EVERY !== 0) return simulateCluster(seed, { minutes, keepTrace, ...narrowed });
    return simulateCluster(seed, {
      minutes: Math.min(minutes, REAL_SIGNATURES_MINUTES),
      keepTrace,
      keys,
      ...narrowed,
    });
  };
}

function named<T extends string>(
  what: string,
  wanted: readonly string[] | undefined,
  known: readonly T[],
): readonly T[] | undefined {
  return wanted?.map((name) => {
    const found = known.find((each) => each === name);
    if (found === undefined) throw new UnknownName(`no ${what} "${name}"; there are: ${known.join(', ')}`);
    return found;
  });
}
