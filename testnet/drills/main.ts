// The drills from the command line, with full counts: `npm run drill -- sigkill --times 50`.
// Exit code 0: the node kept every promise; 1: it did not, and what was found is printed; 64: wrong arguments.
import { parseArgs } from 'node:util';
import { type Fault, fsyncFaultsDrill, type Syscall } from './fsync-faults.js';
import { sigkillDrill } from './sigkill.js';

const USAGE = `usage: npm run drill -- NAME [options]

  sigkill        SIGKILL at random moments under load, restart on the same data
                 --times 50  --life-ms 2000
  fsync-faults   under strace: SIGKILL at the k-th sync of a thread for k = 1 to --kills, and EIO at those of --eio
                 --kills 30  --eio 1,2,3,5,8,13,21  --syscall fdatasync|fsync  --fresh (each on a first start)

  both           --connections 64  --seed N
`;

const log = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      times: { type: 'string', default: '50' },
      'life-ms': { type: 'string', default: '2000' },
      kills: { type: 'string', default: '30' },
      eio: { type: 'string', default: '1,2,3,5,8,13,21' },
      syscall: { type: 'string', default: 'fdatasync' },
      fresh: { type: 'boolean', default: false },
      connections: { type: 'string', default: '64' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  });
  const common = { connections: Number(values.connections), seed: Number(values.seed), log };
  log(`seed ${common.seed}`);
  switch (positionals[0]) {
    case 'sigkill':
      return verdict(await sigkillDrill({ ...common, times: Number(values.times), lifeMs: Number(values['life-ms']) }));
    case 'fsync-faults': {
      const shape = { syscall: values.syscall as Syscall, fresh: values.fresh };
      const kills = Array.from(
        { length: Number(values.kills) },
        (_, i): Fault => ({ ...shape, kind: 'kill', k: i + 1 }),
      );
      const eios = values.eio === '' ? [] : values.eio.split(',').map(Number);
      const failing = eios.map((k): Fault => ({ ...shape, kind: 'eio', k }));
      return verdict(await fsyncFaultsDrill({ ...common, faults: [...failing, ...kills] }));
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
