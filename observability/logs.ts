// Loggers: pino with our levels, fields, redaction and a synchronous destination of each thread's own. Called by the
// daemon, the worker bootstrap and the CLI. A secret must never reach a line, and a full disk must never stop a thread.
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import type { Bindings, ChildLoggerOptions, DestinationStream, Logger } from 'pino';
import type { PrettyOptions } from 'pino-pretty';
import { pino, stdTimeFunctions } from './pino.js';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = 'auto' | 'json' | 'pretty';

/** Plain data: crosses to workers, where each thread opens its own destination. */
export interface LogSettings {
  readonly level: LogLevel;
  /** Human-readable lines instead of JSON; decided once on the main thread, see `wantsPretty`. */
  readonly pretty: boolean;
  /** null: standard output. */
  readonly file: string | null;
}

/** A logger and the handle that SIGHUP needs when the lines go to a file. */
export interface OpenLog {
  readonly log: Logger;
  /** Opens the file anew after it was rotated away; nothing to do on standard output. */
  reopen(): void;
}

/** Bytes of lines kept while the destination refuses them (disk full); what comes on top is dropped. */
const PENDING_MAX_BYTES = 1024 * 1024;

const REDACTED = '[redacted]';
const SECRET_NAMES: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'sig',
  'signature',
  'secret',
  'secret_hex',
  'secret_base64',
  'secret_key',
  'secretkey',
  'private_key',
  'privatekey',
  'signing_key',
  'signingkey',
  'quorate_signing_key',
  'seed',
  'token',
  'password',
]);
const SECRET_IN_QUERY = /([?&](?:token|access_token|sig|signature|secret|password)=)[^&#]*/gi;
/** Log objects are flat by habit; four levels reach `req.headers.authorization` with one to spare, and end any cycle. */
const DEPTH_MAX = 4;

/** `auto` means: readable on a terminal, JSON everywhere else (OB-5). */
export function wantsPretty(format: LogFormat, isTerminal: boolean): boolean {
  return format === 'pretty' || (format === 'auto' && isTerminal);
}

/**
 * A logger of the node over any destination. Level as a word and time as RFC 3339, so that a line reads without a
 * table. Redaction walks the object here (0.3 µs a line measured): pino's own wildcard paths cost 17 µs a line.
 */
export function createLog(
  level: LogLevel,
  base: Readonly<Record<string, unknown>>,
  destination: DestinationStream,
): Logger {
  const log = pino(
    {
      level,
      base: redact({ ...base }),
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: (fields) => redact(fields) },
      serializers: { err: describeError, error: describeError },
    },
    destination,
  );
  // Formatters never see what a child is bound to. Children inherit this property, so theirs pass through it too.
  const child = log.child;
  function safely(this: Logger, bindings: Bindings, options?: ChildLoggerOptions): Logger {
    return Reflect.apply(child, this, [redact(bindings), options]);
  }
  Object.defineProperty(log, 'child', { value: safely });
  return log;
}

/** Opens this thread's own destination; `base` names who speaks: {actor, incarnation} in a worker, {} on main. */
export function openLog(settings: LogSettings, base: Readonly<Record<string, unknown>>): OpenLog {
  const destination = pino.destination({
    dest: settings.file ?? 1,
    sync: true,
    append: true,
    mkdir: true,
    maxLength: PENDING_MAX_BYTES,
  });
  const complain = complainOnce();
  destination.on('error', complain);
  const pretty = settings.pretty ? prettyStream(destination) : null;
  return {
    log: createLog(settings.level, base, pretty ?? destination),
    reopen() {
      if (settings.file !== null) reopenFile(destination, settings.file, complain);
    },
  };
}

/**
 * Looks first whether the path can be opened: a reopen that fails throws, and leaves behind that the next one closes the
 * old descriptor twice, which by then may be another thread's file. Lines go on into the old file until it succeeds.
 */
function reopenFile(
  destination: ReturnType<typeof pino.destination>,
  file: string,
  complain: (e: Error) => void,
): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    closeSync(openSync(file, 'a'));
    destination.reopen();
  } catch (error) {
    complain(error as Error);
  }
}

/** Lines in colour when pino-pretty is installed; it is a convenience of development, so its absence means JSON. */
function prettyStream(destination: DestinationStream): DestinationStream | null {
  try {
    const load = createRequire(import.meta.url);
    const build = load('pino-pretty') as (options: PrettyOptions) => DestinationStream;
    return build({
      destination: destination as NonNullable<PrettyOptions['destination']>,
      sync: true,
      colorize: process.env.NO_COLOR === undefined,
      translateTime: 'SYS:HH:MM:ss.l',
      ignore: 'event,actor,incarnation',
      messageFormat: (line, messageKey) =>
        `${line.actor === undefined ? '' : `[${String(line.actor)}] `}${String(line[messageKey])}`,
    });
  } catch {
    return null;
  }
}

function complainOnce(): (error: Error) => void {
  let complained = false;
  return (error) => {
    if (complained) return;
    complained = true;
    try {
      process.stderr.write(`quorate: cannot write the log: ${error.message}; lines may be dropped\n`);
    } catch {
      // Standard error is gone as well: there is nobody left to tell.
    }
  };
}

/** The same object when it holds no secret and no bytes, else a copy with these replaced. */
export function redact(fields: Record<string, unknown>, depth = 0): Record<string, unknown> {
  let copy: Record<string, unknown> | null = null;
  for (const name in fields) {
    const value = fields[name];
    const safe = safeValue(name, value, depth);
    if (safe !== value) {
      copy ??= { ...fields };
      copy[name] = safe;
    }
  }
  return copy ?? fields;
}

function safeValue(name: string, value: unknown, depth: number): unknown {
  if (value === undefined || value === null) return value;
  if (SECRET_NAMES.has(name) || SECRET_NAMES.has(name.toLowerCase())) return REDACTED;
  if (typeof value === 'string') return name === 'url' ? value.replace(SECRET_IN_QUERY, `$1${REDACTED}`) : value;
  if (typeof value !== 'object' || value instanceof Error || value instanceof Date) return value;
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) return `<${value.byteLength} bytes>`;
  if (depth >= DEPTH_MAX) return '<nested>';
  if (Array.isArray(value)) return safeArray(name, value, depth);
  return redact(value as Record<string, unknown>, depth + 1);
}

function safeArray(name: string, values: readonly unknown[], depth: number): readonly unknown[] {
  const safe = values.map((value) => safeValue(name, value, depth + 1));
  return safe.every((value, index) => value === values[index]) ? values : safe;
}

/** Only these members: an error of a library may carry a whole request, headers included. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = (error as { code?: unknown }).code;
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    stack: error.stack,
    ...(error.cause instanceof Error ? { cause: describeErrorShort(error.cause) } : {}),
  };
}

function describeErrorShort(error: Error): { type: string; message: string } {
  return { type: error.name, message: error.message };
}

/** `sha256:0123abcd…` → its first 15 characters, "..." and its last 8: enough to recognise, not enough to reuse. */
export function maskFingerprint(fingerprint: string): string {
  return fingerprint.length > 26 ? `${fingerprint.slice(0, 15)}...${fingerprint.slice(-8)}` : '***';
}

/** The first 8 characters and "...", or "***" when there are no more than these. */
export function maskToken(token: string): string {
  return token.length > 8 ? `${token.slice(0, 8)}...` : '***';
}

/** The level at which an HTTP answer is logged: our failures are errors, the caller's are worth a look, the rest is not. */
export function levelForStatus(status: number): 'debug' | 'info' | 'error' {
  if (status >= 500) return 'error';
  return status >= 400 ? 'info' : 'debug';
}
