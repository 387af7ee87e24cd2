// Which nodes does a command mean? One or several by their addresses, or one by its data directory; or, with --node and
// --all, those whose data directories lie side by side, as those of a local cluster do. Called by the commands that compare nodes. It only reads.
import { readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { EXIT } from '../runtime/exit-codes.js';
import { type Options, usageError, type Values } from './args.js';
import { apiUrl, dataDirectory, readEndpoints, readOptional } from './endpoint.js';
import { CliError, type Terminal } from './output.js';

export const nodeOptions = {
  api: {
    type: 'string',
    value: 'URL',
    about: 'client API of the node; several, with commas between, name several nodes',
  },
  node: { type: 'string', value: 'N', about: 'the node N of a cluster: its number, directory or node id' },
  all: { type: 'boolean', about: 'every running node whose data directory lies beside --data-dir' },
} as const satisfies Options;

export interface NodeAt {
  /** Name of its data directory, or its address. */
  readonly name: string;
  readonly api: string;
}

type Chosen = Values<typeof nodeOptions> & { readonly 'data-dir': string | undefined };

/** At least one. @throws CliError: 64 when the choice contradicts itself, 69 when no such node runs. */
export function chosenNodes(command: string, values: Chosen, terminal: Terminal): NodeAt[] {
  const directory = dataDirectory(values['data-dir'], terminal);
  if (values.node === undefined && !values.all) {
    if (values.api === undefined) {
      return [{ name: basename(resolve(directory)), api: apiUrl(undefined, directory, terminal) }];
    }
    const urls = values.api.split(',').map((url) => apiUrl(url.trim(), directory, terminal));
    return urls.map((api) => ({ name: api, api }));
  }
  if (values.node !== undefined && values.all) throw usageError(command, '--node and --all exclude each other.');
  if (values.api !== undefined) throw usageError(command, '--api names the nodes already: leave --node and --all out.');
  const beside = dirname(resolve(directory));
  const running = runningBeside(beside);
  const found = values.all ? running : running.filter((each) => isNamed(each, values.node!));
  if (found.length > 0) return found.map(({ name, api }) => ({ name, api }));
  const what = values.all ? 'no node is running' : `no node ${values.node} is running`;
  const known = running.length === 0 ? '' : ` Running are ${running.map(({ name }) => name).join(', ')}.`;
  throw new CliError(EXIT.unavailable.code, `${what} on a data directory in ${beside}.${known}`, {
    hint: 'Name the data directory of one of them with --data-dir.',
  });
}

interface Running extends NodeAt {
  readonly nodeId: string;
}

function runningBeside(directory: string): Running[] {
  return names(directory)
    .filter((name) => readOptional(join(directory, name, 'run', 'endpoints.json')) !== null)
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => {
      const { api, nodeId } = readEndpoints(join(directory, name));
      return { name, api, nodeId };
    });
}

function names(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    return [];
  }
}

/** `2` means node_2, node-2 or node2. */
function isNamed({ name, nodeId }: Running, wanted: string): boolean {
  if (name === wanted || nodeId === wanted) return true;
  return /^\d+$/.test(wanted) && new RegExp(`^\\D*0*${Number(wanted)}$`).test(name);
}
