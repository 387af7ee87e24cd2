// Where is the node? Finds its addresses, its process id and its admin token from a data directory, or takes them from the
// command line. Called by every command that talks to a node. It only reads, and never prints the token.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type JsonObject, type JsonValue, parseStrict } from '../protocol/json.js';
import { EXIT } from '../runtime/exit-codes.js';
import { CliError, type Terminal } from './output.js';

/** `run/endpoints.json`: written by the node when it is ready, removed on a clean stop. */
export interface Endpoints {
  readonly api: string;
  readonly ops: string;
  readonly peer: string | null;
  readonly nodeId: string;
  readonly publicKey: string;
}

/** Order: flag, QUORATE_DATA_DIR, ./data: as the daemon. */
export function dataDirectory(flag: string | undefined, terminal: Terminal): string {
  return flag ?? nonEmpty(terminal.env.QUORATE_DATA_DIR) ?? './data';
}

/** @returns the client API's base URL without a slash at the end: flag, QUORATE_API, data directory. @throws CliError */
export function apiUrl(flag: string | undefined, directory: string, terminal: Terminal): string {
  if (flag !== undefined) return checkedUrl('--api', flag);
  const named = nonEmpty(terminal.env.QUORATE_API);
  return named === undefined ? readEndpoints(directory).api : checkedUrl('QUORATE_API', named);
}

/** @returns the ops server's base URL. @throws CliError */
export function opsUrl(flag: string | undefined, directory: string): string {
  return flag === undefined ? readEndpoints(directory).ops : checkedUrl('--ops', flag);
}

/** @throws CliError (69) when no node has written the file. */
export function readEndpoints(directory: string): Endpoints {
  const path = join(directory, 'run', 'endpoints.json');
  const bytes = readOptional(path);
  if (bytes === null) {
    throw new CliError(EXIT.unavailable.code, `no node is running on ${directory} (${path} is missing).`, {
      hint: 'Start one with "quorate start", or name its data directory with --data-dir.',
    });
  }
  const fields = parseObject(bytes, path);
  const { api, ops, peer, nodeId, publicKey } = fields;
  if (
    typeof api !== 'string' ||
    typeof ops !== 'string' ||
    typeof nodeId !== 'string' ||
    typeof publicKey !== 'string'
  ) {
    throw new CliError(EXIT.data.code, `${path}: found other fields than api, ops, nodeId and publicKey as strings.`, {
      hint: 'Restart the node: it writes the file anew.',
    });
  }
  return {
    api: checkedUrl(path, api),
    ops: checkedUrl(path, ops),
    peer: typeof peer === 'string' ? peer : null,
    nodeId,
    publicKey,
  };
}

/** QUORATE_TOKEN, else the file. @throws CliError: 69 when no node has written one, 77 when this user may not read it. */
export function adminToken(directory: string, terminal: Terminal): string {
  const named = nonEmpty(terminal.env.QUORATE_TOKEN);
  if (named !== undefined) return named;
  const path = join(directory, 'run', 'admin.token');
  const bytes = readOptional(path);
  if (bytes === null) {
    throw new CliError(EXIT.unavailable.code, `${path} is missing: no node is running on ${directory}.`, {
      hint: 'Start one with "quorate start", or name its data directory with --data-dir.',
    });
  }
  return bytes.toString('utf8').trim();
}

/** @returns null when the file is absent. @throws CliError (77 or 74) when it is there and cannot be read. */
export function readOptional(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw unreadable(path, error);
  }
}

/** @throws CliError when the file is absent (65) or cannot be read (77 or 74). */
export function readRequired(path: string): Buffer {
  const bytes = readOptional(path);
  if (bytes === null) throw new CliError(EXIT.data.code, `${path}: no such file.`);
  return bytes;
}

/** @throws CliError (65) naming the place where the file stops being a JSON object. */
export function parseObject(bytes: Uint8Array, path: string): JsonObject {
  const value = parseJson(bytes, path);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new CliError(EXIT.data.code, `${path}: found JSON that is no object.`);
}

/** @throws CliError (65) */
export function parseJson(bytes: Uint8Array, path: string): JsonValue {
  try {
    return parseStrict(bytes);
  } catch (error) {
    throw new CliError(EXIT.data.code, `${path}: not JSON: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

/** The `code` of a system error: ENOENT, ECONNREFUSED, …, or undefined. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function unreadable(path: string, error: unknown): CliError {
  const code = errorCode(error);
  if (code === 'EACCES' || code === 'EPERM') {
    return new CliError(EXIT.permission.code, `${path}: this user may not read it.`, {
      hint: "Run the command as the node's user.",
    });
  }
  return new CliError(EXIT.io.code, `${path}: cannot be read (${code ?? String(error)}).`);
}

function checkedUrl(where: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new CliError(EXIT.usage.code, `${where}: "${text}" is no address, allowed is such as http://127.0.0.1:8080.`);
  }
  return text.replace(/\/+$/, '');
}

export function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}
