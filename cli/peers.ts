// `quorate peers`: the other nodes as this one sees them, and how much of the quorum is within its reach. Called by dispatch.ts;
// status.ts shares the sentence about the quorum. It only asks: who may connect is decided by the node's configuration.
import { isObject } from '../client/http.js';
import { EXPIRY_WARNING_MS } from '../config/tls-files.js';
import type { JsonObject, JsonValue } from '../protocol/json.js';
import { EXIT } from '../runtime/exit-codes.js';
import { adminOf } from './admin.js';
import { commonOptions } from './args.js';
import { defineCommand } from './command.js';
import { apiUrl, dataDirectory } from './endpoint.js';
import { call } from './http.js';
import { CliError, type Paint, painter, printJson, table } from './output.js';

const DAY_MS = 86_400_000;

export const peersCommand = defineCommand({
  name: 'peers',
  summary: 'show the peers of a node: connected or not, since when, their certificates',
  positionals: [],
  options: {
    'data-dir': commonOptions['data-dir'],
    api: commonOptions.api,
    ops: commonOptions.ops,
    json: commonOptions.json,
  },
  about: `
Lists the nodes of peers.yml as the node that runs on a data directory sees them: whether they are connected and who dialed, when
something was last heard of them, until when the certificate that they showed is valid and its fingerprint, masked; of one that is
not connected, why. A chain needs a quorum of its validators within reach of each other to go on. A chain of one has no peers.`,
  examples: [
    ['quorate peers', 'the node of ./data'],
    ['quorate peers --json | jq ".peers[] | select(.connected | not)"', 'those that are away'],
  ],
  exits: [
    [EXIT.ok.code, 'shown'],
    [EXIT.unavailable.code, 'no node answers, or its part for peers is restarting'],
    [EXIT.permission.code, 'the admin token is not readable or was refused'],
  ],
  async run({ values }, terminal) {
    const directory = dataDirectory(values['data-dir'], terminal);
    const api = apiUrl(values.api, directory, terminal);
    const { body: status } = await call(terminal, `${api}/v1/status`);
    const { body } = await adminOf(terminal, directory, values.ops).call('/v1/admin/actors/gossip');
    if (!Array.isArray(body.peers)) {
      throw new CliError(EXIT.data.code, 'the node answered something else than its peers.', {
        hint: 'Node and command may be of different versions: compare "quorate --version".',
      });
    }
    const peers = body.peers.filter(isObject).map(peerJson);
    if (values.json) {
      printJson(terminal, { quorum: status.quorum ?? null, peers });
      return EXIT.ok.code;
    }
    const paint = painter(terminal.colours.out);
    terminal.out(`${reachText(status.quorum)}\n`);
    if (peers.length === 0) terminal.out('no peers\n');
    else terminal.out(peersTable(peers, paint, terminal.nowMs()));
    return EXIT.ok.code;
  },
});

/** One sentence on what `GET /v1/status` says of the quorum. */
export function reachText(quorum: JsonValue | undefined): string {
  if (!isObject(quorum)) return 'unknown';
  const { validators, needed, reached } = quorum;
  const within = reached === null ? 'an unknown number' : String(reached);
  return `${within} of ${validators} ${validators === 1 ? 'validator' : 'validators'} within reach, ${needed} needed`;
}

function peerJson(view: JsonObject): JsonObject {
  return {
    node_id: view.nodeId ?? null,
    address: `${view.host}:${view.port}`,
    validator: view.validator ?? null,
    connected: view.connected ?? null,
    since: time(view.sinceMs),
    last_seen: time(view.lastSeenMs),
    direction: view.direction ?? null,
    certificate_expires: time(view.certificateEndMs),
    fingerprint: view.fingerprint ?? null,
    pins: view.pins ?? [],
    breaker: view.breaker ?? null,
    queued_frames: view.queuedFrames ?? null,
    queued_bytes: view.queuedBytes ?? null,
    last_error: view.lastError ?? null,
  };
}

function time(unixMs: JsonValue | undefined): string | null {
  return typeof unixMs === 'number' ? new Date(unixMs).toISOString() : null;
}

function peersTable(peers: readonly JsonObject[], paint: Paint, nowMs: number): string {
  const head = ['node', 'state', 'address', 'last seen', 'certificate', 'fingerprint'].map((name) =>
    paint('dim', name),
  );
  const rows = peers.map((peer) => [
    String(peer.node_id),
    peer.connected === true ? paint('green', String(peer.direction)) : paint('red', 'away'),
    String(peer.address),
    ago(peer.last_seen, nowMs),
    certificate(peer.certificate_expires, paint, nowMs),
    String(peer.fingerprint ?? peer.pins?.toString() ?? ''),
  ]);
  const notes = peers
    .filter(({ connected, last_error }) => connected !== true && last_error !== null)
    .map(({ node_id, last_error }) => `  ${node_id}: ${last_error}\n`);
  return `${table([head, ...rows], '  ')}${notes.join('')}`;
}

function ago(at: JsonValue | undefined, nowMs: number): string {
  if (typeof at !== 'string') return 'never';
  return `${Math.max(0, Math.round((nowMs - Date.parse(at)) / 1000))} s ago`;
}

function certificate(end: JsonValue | undefined, paint: Paint, nowMs: number): string {
  if (typeof end !== 'string') return 'none seen';
  const leftMs = Date.parse(end) - nowMs;
  const text = `${Math.floor(leftMs / DAY_MS)} days left`;
  return leftMs > EXPIRY_WARNING_MS ? text : paint('yellow', text);
}
