// `quorate migrate-state`: brings state.json of a stopped node to the current layout. Called by dispatch.ts.
// The steps are config/state-migration.ts, which the daemon runs by itself at start.
import { join } from 'node:path';
import { STATE_FILE, STATE_VERSION, type StateFacts, StateFileError } from '../config/state-file.js';
import { MigrationError, type MigrationResult, migrateStateFile } from '../config/state-migration.js';
import { canonicalize } from '../protocol/canonical.js';
import { sha256Hex } from '../protocol/crypto/hash.js';
import { EXIT } from '../runtime/exit-codes.js';
import { commonOptions } from './args.js';
import { defineCommand } from './command.js';
import { dataDirectory, parseJson, parseObject, readOptional } from './endpoint.js';
import { audit, withDataDirectory } from './offline.js';
import { CliError, printJson, type Terminal } from './output.js';

export const migrateStateCommand = defineCommand({
  name: 'migrate-state',
  summary: 'bring state.json to the current layout',
  positionals: [],
  options: { 'data-dir': commonOptions['data-dir'], json: commonOptions.json },
  about: `
A node does this by itself when it starts. By hand it is for looking at the result first, with the node stopped.

The old file is kept as state.backup.v1 with its checksum in state.backup.v1.sha256, which "sha256sum -c" takes. When
any step fails, the old file is put back. Start, success, failure and rollback are lines in audit.jsonl.`,
  examples: [
    ['quorate migrate-state --data-dir /var/lib/quorate', 'migrate'],
    ['cd /var/lib/quorate && sha256sum -c state.backup.v1.sha256', 'check the backup'],
  ],
  exits: [
    [EXIT.ok.code, 'migrated, or nothing to do'],
    [EXIT.running.code, 'a node runs on this directory'],
    [EXIT.config.code, 'the file is damaged, or the migration failed and was rolled back'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    const result = await withDataDirectory(directory, () => migrate(directory, terminal));
    if (values.json) printJson(terminal, { state_file: join(directory, STATE_FILE), ...summary(result) });
    else terminal.out(`${sentence(result)}\n`);
    return EXIT.ok.code;
  },
});

function migrate(directory: string, terminal: Terminal): MigrationResult {
  try {
    return migrateStateFile({
      directory,
      nowMs: terminal.nowMs(),
      facts: readFacts(directory),
      audit: (event) => audit(directory, terminal, event),
      note: (event) => {
        if (event.event === 'migration_started')
          terminal.err(`quorate migrate-state: backup written to ${event.backup}\n`);
      },
    });
  } catch (error) {
    if (error instanceof StateFileError) throw new CliError(EXIT.config.code, error.message);
    if (error instanceof MigrationError) {
      throw new CliError(EXIT.config.code, error.message, { detail: { rolled_back: error.rolledBack } });
    }
    throw error;
  }
}

/** What can be known of the node without starting it; the rest is filled in by its next start. */
function readFacts(directory: string): StateFacts {
  const genesis = readOptional(join(directory, 'genesis.json'));
  if (genesis === null) return { nodeId: null, chainId: null, validatorCount: 0, tlsEnabled: false };
  const value = parseJson(genesis, 'genesis.json');
  const { validators } = parseObject(genesis, 'genesis.json');
  const count = Array.isArray(validators) ? validators.length : 0;
  return { nodeId: null, chainId: sha256Hex(canonicalize(value)), validatorCount: count, tlsEnabled: false };
}

function summary(result: MigrationResult): object {
  if (result.result !== 'migrated') return { result: result.result };
  return { result: result.result, version: STATE_VERSION, backup_checksum: result.checksum, dropped: result.dropped };
}

function sentence(result: MigrationResult): string {
  if (result.result === 'absent') return 'nothing to do: there is no state.json, the node writes one when it starts';
  if (result.result === 'current') return `nothing to do: state.json has version ${STATE_VERSION}`;
  const dropped =
    result.dropped.length === 0 ? '' : `; not carried over, only in the backup: ${result.dropped.join(', ')}`;
  return `state.json has version ${STATE_VERSION} now; the old one is state.backup.v1 (SHA-256 ${result.checksum})${dropped}`;
}
