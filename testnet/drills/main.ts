// The drills from the command line, with full counts: `node dist/testnet/drills/main.js sigkill --times 50`.
// Exit code 0: the node kept every promise; 1: it did not, and what was found is printed; 64: wrong arguments.
import { parseArgs } from 'node:util';
import { sigkillDrill } from './sigkill.js';

const USAGE = `usage: node dist/testnet/drills/main.js sigkill [--times 50] [--connections 64] [--life-ms 2000] [--seed N]
`;

const log = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      times: { type: 'string', default: '50' },
      connections: { type: 'string', default: '64' },
      'life-ms': { type: 'string', default: '2000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  });
  const seed = Number(values.seed);
  log(`seed ${seed}`);
  switch (positionals[0]) {
    case 'sigkill': {
      const { faults, ...report } = await sigkillDrill({
        times: Number(values.times),
        connections: Number(values.connections),
        seed,
        lifeMs: Number(values['life-ms']),
        log,
      });
      log(JSON.stringify(report, null, 2));
      return verdict(faults);
    }
    default:
      process.stderr.write(USAGE);
      return 64;
  }
}

function verdict(faults: readonly string[]): number {
  for (const fault of faults) log(`FAULT: ${fault}`);
  log(faults.length === 0 ? 'kept every promise' : `${faults.length} faults`);
  return faults.length === 0 ? 0 : 1;
}

process.exitCode = await main();
