// The drills from the command line, with full counts: `npm run drill -- sigkill --times 50`.
// Exit code 0: the node kept every promise; 1: it did not, and what was found is printed; 64: wrong arguments.
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { actorKillsDrill } from './actor-kills.js';
import { type Fault, fsyncFaultsDrill, type Syscall } from './fsync-faults.js';
import { sigkillDrill } from './sigkill.js';

const USAGE = `usage: npm run drill -- NAME [options]

  sigkill        SIGKILL at random moments under load, restart on the same data
                 --times 50  --life-ms 2000
  fsync-faults   under strace: SIGKILL at the k-th sync of a thread for k = 1 to --kills, and EIO at those of --eio
                 --kills 30  --eio 1,2,3,5,8,13,21  --syscall fdatasync|fsync  --fresh (each on a first start)
  actor-kills    each actor killed in turn under load, then one of them again and again, then anyone without a pause
                 --rounds 20  --extra store=200 --extra dedup=200  --storm 100

  all            --connections 64
  the first two  --seed N
`;

const log = (line: string): void => void process.stdout.write(`${line}\n`);

const OPTIONS = {
  times: { type: 'string', default: '50' },
  'life-ms': { type: 'string', default: '2000' },
  kills: { type: 'string', default: '30' },
  eio: { type: 'string', default: '1,2,3,5,8,13,21' },
  syscall: { type: 'string', default: 'fdatasync' },
  fresh: { type: 'boolean', default: false },
  rounds: { type: 'string', default: '20' },
  extra: { type: 'string', multiple: true, default: ['store=200', 'dedup=200'] },
  storm: { type: 'string', default: '100' },
  connections: { type: 'string', default: '64' },
  seed: { type: 'string', default: String(Date.now() % 1_000_000) },
} satisfies ParseArgsConfig['options'];

/** Null when the command line is none. */
function commandLine() {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
    return { ...values, name: positionals[0] };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n`);
    return null;
  }
}

async function main(): Promise<number> {
  const values = commandLine();
  const connections = Number(values?.connections);
  const common = { connections, seed: Number(values?.seed), log };
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
    case 'actor-kills': {
      const { rounds, extra, storm } = values;
      const kept = await actorKillsDrill({ connections, log, extra, rounds: Number(rounds), storm: Number(storm) });
      return kept ? 0 : 1;
    }
    default:
      process.stderr.write(USAGE);
      return 64;
  }
}

function verdict<T extends { readonly faults: readonly string[] }>({ faults, ...figures }: T): number {
  log(JSON.stringify(figures, null, 2));
  for (const fault of faults) log(`FAULT: ${fault}`);
  log(faults.length === 0 ? 'kept every promise' : `${faults.length} faults`);
  return faults.length === 0 ? 0 : 1;
}

process.exitCode = await main();
