// The migration of state.json under interruption: every step of it is stopped or made to fail once, in a file system that
// forgets what was not synced. Nothing here knows the order of the steps: it is counted, so that new steps are covered too.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import test from 'ava';
import { auditRecords, checkAudit } from '../protocol/audit-check.js';
import { sha256Hex } from '../protocol/crypto/hash.js';
import { AUDIT_FILE } from './audit-file.js';
import { diskSteps, type FileSteps } from './durable-file.js';
import { parseState, STATE_FILE, type StateFacts, StateFileError } from './state-file.js';
import {
  BACKUP_FILE,
  CHECKSUM_FILE,
  MigrationError,
  type MigrationNote,
  migrateStateFile,
  openStateFile,
} from './state-migration.js';

const NOW = Date.parse('2026-11-20T12:00:00Z');
const FACTS: StateFacts = {
  nodeId: 'node_0123456789abcdef',
  chainId: 'ab'.repeat(32),
  validatorCount: 1,
  tlsEnabled: false,
};
const V1 = Buffer.from(
  '{\n  "system_state": "degraded",\n  "last_boot_time": "2025-01-02T03:04:05Z",\n  "configuration_hash": "c0ffee"\n}\n',
);
const CHECKSUM = sha256Hex(V1);
const DIR = '/data';
const STATE = join(DIR, STATE_FILE);

test('ST-3: version 1 becomes version 2, with backup, checksum and one audit line each for start and success', (t) => {
  const disk = new MemoryDisk({ [STATE]: V1 });
  const notes: MigrationNote[] = [];
  const result = migrateStateFile({
    directory: DIR,
    nowMs: NOW,
    facts: FACTS,
    files: disk,
    note: (n) => notes.push(n),
  });
  t.is(result.result, 'migrated');
  t.deepEqual(JSON.parse(disk.text(STATE)), {
    schema_version: 2,
    system_state: 'degraded',
    node_id: FACTS.nodeId,
    last_boot_time: '2025-01-02T03:04:05Z',
    configuration_hash: 'c0ffee',
    consensus_rounds: 0,
    validator_count: 1,
    byzantine_nodes: [],
    tls_enabled: false,
    chain_id: FACTS.chainId,
    height: 0,
    last_finalized_hash: null,
    quorum: null,
    peers: [],
  });
  t.deepEqual(disk.files.get(join(DIR, BACKUP_FILE)), V1);
  t.is(disk.text(join(DIR, CHECKSUM_FILE)), `${CHECKSUM}  state.backup.v1\n`);
  t.deepEqual(auditLines(disk), [migrationLine('started'), migrationLine('success')]);
  t.deepEqual(
    notes.map((note) => note.event),
    ['migration_started', 'migration_succeeded'],
  );
  t.deepEqual(
    [...disk.files.keys()].sort(),
    [AUDIT_FILE, BACKUP_FILE, CHECKSUM_FILE, STATE_FILE].map((name) => join(DIR, name)).sort(),
  );
});

test('ST-3: stopped at any step, and started again, the migration ends complete with one success line', (t) => {
  const steps = countSteps();
  t.true(steps > 20, `only ${steps} steps counted`);
  for (const survives of ['everything', 'synced', 'half'] as const) {
    for (let step = 1; step <= steps; step++) {
      const disk = new MemoryDisk({ [STATE]: V1 });
      const files = failing(disk, step, 'stop');
      t.throws(() => migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files }), undefined, `step ${step}`);
      disk.crash(survives);
      assertIntact(disk, `${survives}, step ${step}: after the crash`);
      migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files: disk });
      const at = `${survives}, step ${step}`;
      t.is(parseState(disk.files.get(STATE)!, STATE).version, 2, at);
      t.deepEqual(disk.files.get(join(DIR, BACKUP_FILE)), V1, at);
      t.is(disk.text(join(DIR, CHECKSUM_FILE)), `${CHECKSUM}  state.backup.v1\n`, at);
      t.is(auditLines(disk).filter((line) => line.result === 'success').length, 1, at);
      const again = migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files: disk });
      t.is(again.result, 'current', at);
      t.is(auditLines(disk).filter((line) => line.result === 'success').length, 1, at);
    }
  }

  /** Whatever the moment: state.json is one of the two whole files, and the old bytes exist somewhere. */
  function assertIntact(disk: MemoryDisk, at: string): void {
    const state = disk.files.get(STATE);
    t.truthy(state, `${at}: state.json is gone`);
    const { version } = parseState(state!, STATE);
    const old = version === 1 ? state! : disk.files.get(join(DIR, BACKUP_FILE));
    t.deepEqual(old, V1, at);
  }
});

test('ST-3: an error at any one step leaves version 1 in place, durably; the next start migrates', (t) => {
  const steps = countSteps();
  let rolledBack = 0;
  for (let step = 1; step <= steps; step++) {
    const disk = new MemoryDisk({ [STATE]: V1 });
    const notes: string[] = [];
    const note = (event: MigrationNote) => notes.push(event.event);
    const files = failing(disk, step, 'error');
    const at = `step ${step}`;
    try {
      migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files, note });
      t.fail(`${at}: the error was swallowed`);
    } catch (error) {
      if (step === 1) {
        // Reading state.json itself: nothing has begun, so there is nothing to roll back.
        t.regex(String(error), /EIO/);
      } else {
        t.true(error instanceof MigrationError && error.rolledBack, `${at}: ${error}`);
        t.deepEqual(notes.slice(-2), ['migration_failed', 'migration_rolled_back'], at);
        rolledBack++;
        const rollbacks = auditLines(disk).filter((line) => line.event === 'state_rollback');
        t.deepEqual(rollbacks, [ROLLBACK_LINE], at);
      }
    }
    t.deepEqual(disk.files.get(STATE), V1, at);
    disk.crash('synced');
    t.deepEqual(disk.files.get(STATE), V1, `${at}: the rollback is not durable`);
    t.is(migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files: disk }).result, 'migrated', at);
  }
  t.is(rolledBack, steps - 1);
});

test('ST-3: a crash in the middle of a rollback is survived too', (t) => {
  const steps = countSteps();
  for (let step = 2; step <= steps; step++) {
    for (let later = 1; ; later++) {
      const disk = new MemoryDisk({ [STATE]: V1 });
      const files = failing(disk, step, 'error', step + later);
      t.throws(() => migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files }));
      if (files.count < step + later) break;
      disk.crash('half');
      migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files: disk });
      const at = `error at ${step}, crash ${later} later`;
      t.is(parseState(disk.files.get(STATE)!, STATE).version, 2, at);
      t.deepEqual(disk.files.get(join(DIR, BACKUP_FILE)), V1, at);
    }
  }
});

test('ST-3: when the rollback fails too, the error says what to do by hand', (t) => {
  const disk = new MemoryDisk({ [STATE]: V1 });
  const files: FileSteps = {
    ...stepsOf(disk),
    rename(from, to) {
      if (to === STATE && from.endsWith('.v2.json')) {
        disk.rename(from, to);
        throw new Error('EIO: first');
      }
      if (to === STATE) throw new Error('EIO: second');
      disk.rename(from, to);
    },
  };
  const error = t.throws(() => migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files }), {
    instanceOf: MigrationError,
  });
  t.false(error.rolledBack);
  t.regex(error.message, /first.*second.*sha256sum -c state\.backup\.v1\.sha256 && cp state\.backup\.v1 state\.json/);
});

test('ST-3: a backup that reads back wrong is found before the swap, and version 1 stays', (t) => {
  const disk = new MemoryDisk({ [STATE]: V1 });
  const files: FileSteps = {
    ...stepsOf(disk),
    write(path, bytes, mode) {
      const damaged =
        path.includes(BACKUP_FILE) && !path.includes('sha256') ? Buffer.from(bytes).fill(0x21, 3, 4) : bytes;
      disk.write(path, damaged, mode);
    },
  };
  const error = t.throws(() => migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files }), {
    instanceOf: MigrationError,
  });
  t.true(error.rolledBack);
  t.regex(error.message, /found checksum [0-9a-f]{64}, expected [0-9a-f]{64}/);
  t.deepEqual(disk.files.get(STATE), V1);
  t.true(auditLines(disk).some((line) => line.event === 'state_rollback'));
});

test('ST-3: the backup of an earlier migration is kept under a number', (t) => {
  const earlier = Buffer.from('{"system_state":"configured"}');
  const disk = new MemoryDisk({ [STATE]: V1, [join(DIR, BACKUP_FILE)]: earlier });
  migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files: disk });
  t.deepEqual(disk.files.get(join(DIR, BACKUP_FILE)), V1);
  t.deepEqual(disk.files.get(join(DIR, `${BACKUP_FILE}.1`)), earlier);
  t.is(disk.text(join(DIR, `${BACKUP_FILE}.1.sha256`)), `${sha256Hex(earlier)}  state.backup.v1.1\n`);
});

test('fields that version 2 has no place for are named and stay in the backup', (t) => {
  const disk = new MemoryDisk({ [STATE]: Buffer.from('{"schema_version":1,"system_state":"unknown","voice":true}') });
  const result = migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files: disk });
  t.deepEqual(result.result === 'migrated' && result.dropped, ['voice']);
});

test('ST-9: a damaged file is an error and stays as it is; nothing is made up in its place', (t) => {
  const stories: [string, string, RegExp][] = [
    ['cut off', '{"schema_version":2,"sys', /not JSON/],
    ['empty', '', /not JSON/],
    ['no object', '[]', /found \[\], allowed is a JSON object/],
    ['unknown state', '{"system_state":"happy"}', /system_state: found "happy", allowed is iso_live/],
    ['no state', '{}', /system_state: found nothing/],
    ['version as text', '{"schema_version":"2"}', /schema_version: found "2", allowed is 1 or 2/],
    ['newer', '{"schema_version":3}', /a newer version wrote it/],
    ['field gone', '{"schema_version":2,"system_state":"configured"}', /node_id: found nothing/],
  ];
  for (const [name, text, expected] of stories) {
    const disk = new MemoryDisk({ [STATE]: Buffer.from(text) });
    const error = t.throws(() => openStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files: disk }), {
      instanceOf: StateFileError,
    });
    t.regex(error.message, expected, name);
    t.is(disk.text(STATE), text, name);
    t.is(disk.files.size, 1, name);
  }
});

test('without a file, migrating does nothing and opening writes a fresh one', (t) => {
  const disk = new MemoryDisk({});
  t.deepEqual(migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files: disk }), { result: 'absent' });
  t.is(disk.files.size, 0);
  const { state } = openStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files: disk });
  t.deepEqual(parseState(disk.files.get(STATE)!, STATE), { version: 2, state });
  t.is(openStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files: disk }).result, 'current');
});

test('ST-3: on a real disk sha256sum accepts the checksum file', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-state-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, STATE_FILE), V1);
  migrateStateFile({ directory, nowMs: NOW, facts: FACTS });
  const check = spawnSync('sha256sum', ['-c', CHECKSUM_FILE], { cwd: directory, encoding: 'utf8' });
  t.is(check.status, 0, check.stderr);
  t.is(check.stdout, 'state.backup.v1: OK\n');
  t.deepEqual(readdirSync(directory).sort(), [AUDIT_FILE, BACKUP_FILE, CHECKSUM_FILE, STATE_FILE].sort());
  chmodSync(join(directory, BACKUP_FILE), 0o600);
  writeFileSync(join(directory, BACKUP_FILE), 'x');
  t.is(spawnSync('sha256sum', ['-c', CHECKSUM_FILE], { cwd: directory }).status, 1);
  t.is(parseState(readFileSync(join(directory, STATE_FILE)), STATE_FILE).version, 2);
});

test('half an audit line of a crash stays a line of its own, named by the first record', (t) => {
  const disk = new MemoryDisk({ [STATE]: V1, [join(DIR, AUDIT_FILE)]: Buffer.from('{"event":"sta') });
  migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files: disk });
  const lines = disk.text(join(DIR, AUDIT_FILE)).split('\n');
  t.is(lines[0], '{"event":"sta#torn');
  t.like(JSON.parse(lines[1]!), { event: 'audit_began', foreign_bytes: 18, foreign_sha256: sha256Hex(lines[0]!) });
  t.is(JSON.parse(lines[2]!).event, 'state_migration');
  t.is(lines.at(-1), '');
});

function migrationLine(result: string): Record<string, unknown> {
  const timestamp = '2026-11-20T12:00:00.000Z';
  return { timestamp, event: 'state_migration', from_version: 1, to_version: 2, backup_checksum: CHECKSUM, result };
}

const ROLLBACK_LINE = {
  timestamp: '2026-11-20T12:00:00.000Z',
  event: 'state_rollback',
  from_version: 2,
  to_version: 1,
  backup_checksum: CHECKSUM,
  reason: 'migration_verification_failed',
  result: 'rolled_back',
};

/** The migration's own records, without what chains them. Whatever happened, the log must hold together. */
function auditLines(disk: MemoryDisk): Record<string, unknown>[] {
  const bytes = disk.files.get(join(DIR, AUDIT_FILE));
  if (bytes === undefined) return [];
  const { fault } = checkAudit([{ name: AUDIT_FILE, number: 1, bytes }]);
  if (fault !== null) throw new Error(`${AUDIT_FILE} line ${fault.line}: ${fault.reason}`);
  return auditRecords(bytes)
    .filter(({ event }) => event.startsWith('state_'))
    .map(({ line: { seq, prev, hash, by, ...fields } }) => fields);
}

/** How many file steps an undisturbed migration takes. */
function countSteps(): number {
  const files = failing(new MemoryDisk({ [STATE]: V1 }), Number.POSITIVE_INFINITY, 'error');
  migrateStateFile({ directory: DIR, nowMs: NOW, facts: FACTS, files });
  return files.count;
}

/**
 * Steps that fail at number `at`: 'error' once, as a disk that recovers; 'stop' from there on, as a process that is gone.
 * A failing write or append has written half. `stopAt` ends an 'error' run later.
 */
function failing(
  disk: MemoryDisk,
  at: number,
  how: 'error' | 'stop',
  stopAt = how === 'stop' ? at : Number.POSITIVE_INFINITY,
) {
  const steps = stepsOf(disk);
  const counted = {
    count: 0,
    read: (path: string) => step(() => steps.read(path)),
    list: (path: string) => step(() => steps.list(path)),
    write: (path: string, bytes: Uint8Array, mode: number) =>
      step(
        () => steps.write(path, bytes, mode),
        () => steps.write(path, bytes.subarray(0, bytes.length >> 1), mode),
      ),
    append: (path: string, bytes: Uint8Array, mode: number) =>
      step(
        () => steps.append(path, bytes, mode),
        () => steps.append(path, bytes.subarray(0, bytes.length >> 1), mode),
      ),
    rename: (from: string, to: string) => step(() => steps.rename(from, to)),
    remove: (path: string) => step(() => steps.remove(path)),
    syncDirectory: (path: string) => step(() => steps.syncDirectory(path)),
  };
  return counted;

  function step<T>(whole: () => T, half?: () => void): T {
    counted.count++;
    if (counted.count === at || counted.count === stopAt) half?.();
    if (counted.count === at || counted.count >= stopAt) throw new Error(`EIO: step ${counted.count}`);
    return whole();
  }
}

function stepsOf(disk: MemoryDisk): FileSteps {
  return {
    read: (path) => disk.read(path),
    list: (path) => disk.list(path),
    write: (path, bytes, mode) => disk.write(path, bytes, mode),
    append: (path, bytes, mode) => disk.append(path, bytes, mode),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDirectory: (path) => disk.syncDirectory(path),
  };
}

/** Contents are durable when written (each write fsyncs), names when the directory is synced. */
class MemoryDisk implements FileSteps {
  files: Map<string, Buffer>;
  private durable: Map<string, Buffer>;

  constructor(files: Record<string, Buffer>) {
    this.files = new Map(Object.entries(files));
    this.durable = new Map(this.files);
  }

  text(path: string): string {
    return this.files.get(path)!.toString();
  }

  /** Power loss: every change of a name since the last sync is kept, or none, or every other one. */
  crash(survives: 'everything' | 'synced' | 'half'): void {
    if (survives === 'synced') this.files = new Map(this.durable);
    if (survives === 'half') {
      const changed = [...new Set([...this.files.keys(), ...this.durable.keys()])].filter(
        (path) => this.files.get(path) !== this.durable.get(path),
      );
      for (const path of changed.filter((_, index) => index % 2 === 0)) {
        const before = this.durable.get(path);
        if (before === undefined) this.files.delete(path);
        else this.files.set(path, before);
      }
    }
    this.durable = new Map(this.files);
  }

  read(path: string): Buffer | null {
    return this.files.get(path) ?? null;
  }

  list(path: string): string[] {
    return [...this.files.keys()].filter((name) => dirname(name) === path).map((name) => basename(name));
  }

  write(path: string, bytes: Uint8Array, _mode: number): void {
    this.put(path, Buffer.from(bytes));
  }

  append(path: string, bytes: Uint8Array, _mode: number): void {
    this.put(path, Buffer.concat([this.files.get(path) ?? Buffer.alloc(0), bytes]));
  }

  rename(from: string, to: string): void {
    const content = this.files.get(from);
    if (content === undefined) throw new Error(`ENOENT: ${from}`);
    this.files.delete(from);
    this.files.set(to, content);
  }

  remove(path: string): void {
    this.files.delete(path);
  }

  syncDirectory(path: string): void {
    for (const name of new Set([...this.files.keys(), ...this.durable.keys()])) {
      if (dirname(name) !== path) continue;
      const content = this.files.get(name);
      if (content === undefined) this.durable.delete(name);
      else this.durable.set(name, content);
    }
  }

  private put(path: string, bytes: Buffer): void {
    this.files.set(path, bytes);
    if (this.durable.has(path)) this.durable.set(path, bytes);
  }
}

test('the steps on the real disk do what the memory disk does', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-steps-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'a');
  t.is(diskSteps.read(path), null);
  diskSteps.write(path, Buffer.from('one'), 0o600);
  diskSteps.append(path, Buffer.from('two'), 0o600);
  t.deepEqual(diskSteps.list(directory), ['a']);
  diskSteps.rename(path, `${path}2`);
  diskSteps.syncDirectory(directory);
  t.is(Buffer.from(diskSteps.read(`${path}2`)!).toString(), 'onetwo');
  diskSteps.remove(`${path}2`);
  diskSteps.remove(`${path}2`);
  t.deepEqual(readdirSync(directory), []);
  t.throws(() => diskSteps.read(directory), { code: 'EISDIR' });
});
