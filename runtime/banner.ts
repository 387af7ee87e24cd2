// What a person at a terminal sees once the node is ready: what it is doing, and what to try next (CF-1).
import type { QuorateConfig } from '../config/schema.js';

export interface BannerFacts {
  readonly api: string;
  readonly ops: string;
  readonly nodeId: string;
  readonly settings: QuorateConfig;
}

export function banner({ api, ops, nodeId, settings }: BannerFacts): string {
  const dir = settings.data_dir;
  const lines = [
    '',
    `  Quorate is ready: ${settings.mode} mode, one validator (${nodeId})`,
    `    client API  ${api}`,
    `    ops         ${ops}   (/metrics, /readyz)`,
    `    data        ${dir}`,
    '',
    '  Try in another terminal:',
    `    npm run -s quorate -- submit --data '{"text":"hi"}' --json > receipt.json`,
    `    curl -s ${api}/v1/validators > validators.json`,
    '    npm run -s quorate -- verify receipt.json --validators validators.json',
    '    npm run -s quorate -- status',
    '',
    '  Ctrl-C stops it: what is in hand is finished first.',
    '',
  ];
  return `${lines.join('\n')}\n`;
}
