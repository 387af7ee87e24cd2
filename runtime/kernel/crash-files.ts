// Crash reports as files, one bundle each, the newest few kept. Its listener is called by the supervisor (onCrash). It
// must never throw: an actor's recovery does not wait for a disk.
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CrashReport } from './flight-recorder.js';

export interface CrashFilesOptions {
  /** Made when absent, readable by its owner only. */
  readonly directory: string;
  /** Bundles kept; the oldest go first. Default 50: a crash loop must not fill the disk. */
  readonly keep?: number;
  /** Members of the bundle beside the report's: versions, a hash of the configuration. */
  readonly extra?: () => Readonly<Record<string, unknown>>;
  /** Texts that may stand in no bundle, wherever they came from; shorter ones than 8 characters are left alone. */
  readonly secrets?: () => readonly string[];
  readonly onWritten?: (path: string, report: CrashReport) => void;
  readonly onError?: (error: Error) => void;
}

const KEEP = 50;
const SECRET_LENGTH_MIN = 8;
const NAME = /^[0-9TZ]+-[a-z0-9-]+-\d+\.json$/;

/** A listener for `onCrash` that keeps every report as one JSON file, mode 0600. It never throws: see `onError`. */
export function crashFiles(options: CrashFilesOptions): (report: CrashReport) => void {
  const { directory, keep = KEEP } = options;
  return (report) => {
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const path = join(directory, nameOf(report));
      const bundle = { ...report, ...options.extra?.() };
      writeFileSync(`${path}.tmp`, `${redacted(JSON.stringify(bundle, null, 2), options.secrets?.() ?? [])}\n`, {
        mode: 0o600,
      });
      renameSync(`${path}.tmp`, path);
      for (const old of crashFileNames(directory).slice(keep)) rmSync(join(directory, old), { force: true });
      options.onWritten?.(path, report);
    } catch (error) {
      options.onError?.(error as Error);
    }
  };
}

/** Names of the bundles in a directory, newest first; none when there is no such directory. */
export function crashFileNames(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => NAME.test(name));
    return names.sort().reverse();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Sorts by time. An incarnation has one end, so no two bundles of a process share a name. */
function nameOf({ at_ms, actor, incarnation }: CrashReport): string {
  const time = new Date(at_ms).toISOString().replaceAll(/[-:.]/g, '');
  return `${time}-${actor}-${incarnation}.json`;
}

function redacted(text: string, secrets: readonly string[]): string {
  return secrets
    .filter(({ length }) => length >= SECRET_LENGTH_MIN)
    .reduce((clean, secret) => clean.replaceAll(JSON.stringify(secret).slice(1, -1), '[redacted]'), text);
}
