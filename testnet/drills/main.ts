// The drills from the command line, with full counts: `npm run drill -- sigkill --times 50`.
// Exit code 0: the node kept every promise; 1: it did not, and what was found is printed; 64: wrong arguments.
import { writeFileSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { MISDEEDS } from '../../runtime/kernel/misdeeds.js';
import { actorKillsDrill } from './actor-kills.js';
import { chaosDrill } from './chaos.js';
import { CLUSTER_FAULTS, clusterDrill } from './cluster-drills.js';
import { type Fault, fsyncFaultsDrill, type Syscall } from './fsync-faults.js';
import { fullDiskDrill } from './full-disk.js';
import { measureRecovery, WORKING_ACTORS } from './recovery.js';
import { recoveryText } from './recovery-report.js';
import { sigkillDrill } from './sigkill.js';
import { slowDiskDrill } from './slow-disk.js';

const USAGE = `usage: npm run drill -- NAME [options]

  sigkill        SIGKILL at random moments under load, restart on the same data
                 --times 50  --life-ms 2000
  fsync-faults   under strace: SIGKILL at the k-th sync of a thread for k = 1 to --kills, and EIO at those of --eio
                 --kills 30  --eio 1,2,3,5,8,13,21  --syscall fdatasync|fsync  --fresh (each on a first start)
  actor-kills    each actor killed in turn under load, then one of them at once again and again, then anyone without a pause
                 --rounds 20  --extra store=200 --extra dedup=200  --storm 100
  full-disk      a small disk is filled below the stop mark, then to the last byte, also during a start; needs root
                 --times 5
  slow-disk      every sync takes seconds for a while, under strace
                 --delay-ms 3000  --slow-ms 20000
  recovery       each working actor goes wrong from within in each way; the report is the page docs/RECOVERY.md
                 --rounds 20  --heartbeat-ms 1000  --actor NAME  --misdeed NAME  --write FILE
  chaos          a steady load while anyone is killed or hangs every two seconds; memory, descriptors and threads stay flat
                 --minutes 5  --per-second 1000

  cluster-kills  of several nodes each is killed in turn under load, and started again
  cluster-stops  each stands still (SIGSTOP) with its connections open, and goes on
  cluster-restarts, cluster-blackouts
                 each is told to stop and started again; all are killed at once, as often as there are nodes
  cluster-actors every actor of each is killed in turn, its process lives
  cluster-wipes  each is killed and loses log and ledger, starts with its key alone, catches up and votes again
  partition-one, partition-one-way
                 each is cut off from the others, or heard by none of them, and comes back
  partition-halves
                 two halves, of which none is a quorum; then they meet again
                 --nodes 4  --rounds 1  --fault-ms 3000  --per-second 200  --limit-ms 3000

  all            --connections 64
  most           --seed N
`;

const log = (line: string): void => void process.stdout.write(`${line}\n`);

const OPTIONS = {
  times: { type: 'string', default: '50' },
  'life-ms': { type: 'string', default: '2000' },
  'delay-ms': { type: 'string', default: '3000' },
  'slow-ms': { type: 'string', default: '20000' },
  kills: { type: 'string', default: '30' },
  eio: { type: 'string', default: '1,2,3,5,8,13,21' },
  syscall: { type: 'string', default: 'fdatasync' },
  fresh: { type: 'boolean', default: false },
  rounds: { type: 'string', default: '20' },
  extra: { type: 'string', multiple: true, default: ['store=200', 'dedup=200'] },
  storm: { type: 'string', default: '100' },
  connections: { type: 'string', default: '64' },
  minutes: { type: 'string', default: '5' },
  'per-second': { type: 'string', default: '1000' },
  'heartbeat-ms': { type: 'string', default: '1000' },
  actor: { type: 'string', multiple: true },
  misdeed: { type: 'string', multiple: true },
  write: { type: 'string' },
  nodes: { type: 'string', default: '4' },
  'fault-ms': { type: 'string', default: '3000' },
  'limit-ms': { type: 'string', default: '3000' },
  seed: { type: 'string', default: String(Date.now() % 1_000_000) },
} satisfies ParseArgsConfig['options'];

function oneOf<T extends string>(option: string, allowed: readonly T[], found: string): T {
  const name = allowed.find((each) => each === found);
  if (name === undefined) throw new Error(`${option} ${found}: allowed is one of ${allowed.join(', ')}`);
  return name;
}

/** Null when the command line is none. */
function commandLine() {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
    const { actor, misdeed, ...others } = values;
    const actors = actor?.map((found) => oneOf('--actor', WORKING_ACTORS, found));
    const misdeeds = misdeed?.map((found) => oneOf('--misdeed', MISDEEDS, found));
    return { ...others, actors, misdeeds, name: positionals[0] };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n`);
    return null;
  }
}

async function main(): Promise<number> {
  const values = commandLine();
  const connections = Number(values?.connections);
  const common = { connections, seed: Number(values?.seed), log };
  if (values?.name !== undefined && values.name in CLUSTER_FAULTS) return cluster(values, connections);
  switch (values?.name) {
    case 'sigkill':
      log(`seed ${common.seed}`);
      return verdict(await sigkillDrill({ ...common, times: Number(values.times), lifeMs: Number(values['life-ms']) }));
    case 'fsync-faults': {
      log(`seed ${common.seed}`);
      const shape = { syscall: values.syscall as Syscall, fresh: values.fresh };
      const kills = Array.from(
        { length: Number(values.kills) },
        (_, i): Fault => ({ ...shape, kind: 'kill', k: i + 1 }),
      );
      const eios = values.eio === '' ? [] : values.eio.split(',').map(Number);
      const failing = eios.map((k): Fault => ({ ...shape, kind: 'eio', k }));
      return verdict(await fsyncFaultsDrill({ ...common, faults: [...failing, ...kills] }));
    }
    case 'full-disk':
      return verdict(await fullDiskDrill({ ...common, times: Math.min(5, Number(values.times)) }));
    case 'slow-disk': {
      const { 'delay-ms': delayMs, 'slow-ms': slowMs } = values;
      return verdict(await slowDiskDrill({ ...common, delayMs: Number(delayMs), slowMs: Number(slowMs) }));
    }
    case 'actor-kills': {
      const { rounds, extra, storm } = values;
      const kept = await actorKillsDrill({ connections, log, extra, rounds: Number(rounds), storm: Number(storm) });
      return kept ? 0 : 1;
    }
    case 'recovery':
      return recovery(values, connections);
    case 'chaos': {
      const options = { minutes: Number(values.minutes), perSecond: Number(values['per-second']) };
      return verdict(await chaosDrill({ ...common, ...options }));
    }
    default:
      process.stderr.write(USAGE);
      return 64;
  }
}

async function cluster(values: NonNullable<ReturnType<typeof commandLine>>, connections: number): Promise<number> {
  const given = process.argv.slice(3);
  const perSecond = given.includes('--per-second') ? Number(values['per-second']) : 200;
  const rounds = given.includes('--rounds') ? Number(values.rounds) : 1;
  const { nodes, 'fault-ms': faultMs, 'limit-ms': limitMs } = values;
  const report = await clusterDrill(values.name!, {
    nodes: Number(nodes),
    faultMs: Number(faultMs),
    limitMs: Number(limitMs),
    connections: Math.min(connections, 32),
    perSecond,
    rounds,
    log,
  });
  return verdict(report);
}

async function recovery(values: NonNullable<ReturnType<typeof commandLine>>, connections: number): Promise<number> {
  const report = await measureRecovery({
    rounds: Number(values.rounds),
    connections,
    heartbeatMs: Number(values['heartbeat-ms']),
    ...(values.actors === undefined ? {} : { actors: values.actors }),
    ...(values.misdeeds === undefined ? {} : { misdeeds: values.misdeeds }),
    progress: log,
  });
  const text = recoveryText(report);
  if (values.write === undefined) log(text);
  else writeFileSync(values.write, text);
  return verdict({ acknowledged: report.acknowledged, faults: report.faults });
}

function verdict<T extends { readonly faults: readonly string[] }>({ faults, ...figures }: T): number {
  log(JSON.stringify(figures, null, 2));
  for (const fault of faults) log(`FAULT: ${fault}`);
  log(faults.length === 0 ? 'kept every promise' : `${faults.length} faults`);
  return faults.length === 0 ? 0 : 1;
}

process.exitCode = await main();
