// The audit file `audit.jsonl` of a data directory: one JSON object a line, appended and fsynced before the caller goes on.
// Called by the state migration and by the commands that change a data directory. It must never rewrite a line.
import { join } from 'node:path';
import { diskSteps, type FileSteps } from './durable-file.js';

export const AUDIT_FILE = 'audit.jsonl';

/** What happened, as plain data; `timestamp` is put in front of it. Never a secret. */
export interface AuditEvent {
  readonly event: string;
  readonly [field: string]: string | number | boolean | null;
}

/**
 * Appends one line.
 * @param nowMs unix milliseconds, written as RFC 3339 UTC
 * @throws what the file system throws; the event then counts as not audited.
 */
export function appendAudit(directory: string, nowMs: number, event: AuditEvent, files: FileSteps = diskSteps): void {
  const path = join(directory, AUDIT_FILE);
  const last = files.lastByte(path);
  // A crash in the middle of an append leaves half a line: it stays as a line of its own.
  const start = last === null || last === NEWLINE ? '' : '\n';
  const line = JSON.stringify({ timestamp: new Date(nowMs).toISOString(), ...event });
  files.append(path, Buffer.from(`${start}${line}\n`), 0o640);
  if (last === null) files.syncDirectory(directory);
}

/** Is there a line that has all these fields with these values? Reads the whole file: for rare questions only. */
export function hasAuditLine(directory: string, wanted: AuditEvent, files: FileSteps = diskSteps): boolean {
  const content = files.read(join(directory, AUDIT_FILE));
  if (content === null) return false;
  return Buffer.from(content)
    .toString('utf8')
    .split('\n')
    .some((line) => {
      const found = parseLine(line);
      return found !== null && Object.entries(wanted).every(([name, value]) => found.get(name) === value);
    });
}

function parseLine(line: string): Map<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? new Map(Object.entries(value)) : null;
  } catch {
    return null;
  }
}

const NEWLINE = 0x0a;
