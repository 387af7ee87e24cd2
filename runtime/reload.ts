// SIGHUP and the admin call: read everything anew, have every actor prepare, then commit everywhere or nowhere. Called by
// the daemon. Whatever is wrong, the last good configuration stays in force.
import { isDeepStrictEqual } from 'node:util';
import type { Counter } from 'prom-client';
import type { UnsignedAuditEvent } from '../config/audit-events.js';
import { ConfigError, renderProblem } from '../config/errors.js';
import { checkNodeKey } from '../config/key-files.js';
import type { LoadedConfig } from '../config/load.js';
import { loadNamedFiles } from '../config/named-files.js';
import type { NodeConfig } from '../config/node.js';
import { reloadConfig } from '../config/reloadable.js';
import type { QuorateConfig } from '../config/schema.js';
import { event } from '../observability/events.js';
import type { OpenLog } from '../observability/logs.js';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import { parseGenesis } from '../protocol/genesis.js';
import type { JsonObject } from '../protocol/json.js';
import { checkPeers, registryWish } from './identity.js';
import type { Supervisor } from './kernel/supervisor-types.js';
import { type AuditTrail, AuditUnwritable } from './ops/audit-trail.js';
import type { ReloadAnswer } from './ops/server.js';
import { configurationHash } from './state.js';

export interface ReloadParts {
  readonly supervisor: Supervisor<NodeConfig>;
  readonly opened: OpenLog;
  /** quorate_peer_reload_total{result}. */
  readonly results: Counter<'result'>;
  readonly audit: Pick<AuditTrail, 'write' | 'finish'>;
}

/** What is in force; changed only by a reload that went through. */
export interface InForce {
  loaded: LoadedConfig;
  node: NodeConfig;
  /** Of clients and kinds. */
  fingerprint: string;
}

export class Reloader {
  readonly #parts: ReloadParts;
  readonly #inForce: InForce;
  #running: Promise<ReloadAnswer> | null = null;

  constructor(parts: ReloadParts, inForce: InForce) {
    this.#parts = parts;
    this.#inForce = inForce;
  }

  /** One at a time: a call while one runs gets that one's answer, which then may not have seen the newest file. */
  async reload(by: string): Promise<ReloadAnswer> {
    while (this.#running !== null) await this.#running;
    this.#running = this.#attempt(by);
    try {
      return await this.#running;
    } finally {
      this.#running = null;
    }
  }

  async #attempt(by: string): Promise<ReloadAnswer> {
    const { supervisor, opened, results, audit } = this.#parts;
    const { log } = opened;
    // A log that was rotated away is opened anew whatever becomes of the configuration.
    opened.reopen();
    supervisor.adjustLogs({ reopen: true });
    const { file } = this.#inForce.node.settings.log;
    if (file !== null) event(log, 'log.reopened', { file });
    try {
      // A change that could not be recorded is not made.
      audit.write({ event: 'config_reload', result: 'started' }, by);
      const changed = await this.#apply();
      audit.finish(outcomeOf(changed, this.#inForce.node.settings), by);
      results.inc({ result: changed === null ? 'unchanged' : 'ok' });
      if (changed === null) event(log, 'config.reload_unchanged', {});
      else event(log, 'config.reload_ok', { changed });
      return { result: changed === null ? 'unchanged' : 'ok', errors: [], changed: changed ?? [] };
    } catch (error) {
      const errors = error instanceof ConfigError ? error.problems.map(renderProblem) : [(error as Error).message];
      if (!(error instanceof AuditUnwritable)) {
        audit.finish({ event: 'config_reload', result: 'refused', problems: errors }, by);
      }
      results.inc({ result: 'error' });
      event(log, 'config.reload_refused', { problems: errors });
      return { result: 'error', errors, changed: [] };
    }
  }

  /** The names of what changed; null when nothing did. Throws when anything is refused, and then nothing has changed. */
  async #apply(): Promise<readonly string[] | null> {
    const { supervisor, opened } = this.#parts;
    const { next, changed, refused } = reloadConfig(this.#inForce.loaded);
    if (refused !== undefined) throw refused;
    const { node } = this.#inForce;
    await checkKey(node, next.config);
    const named = loadNamedFiles(next.config, node.identity.nodeId, Date.now());
    const filesChanged = named.fingerprint !== this.#inForce.fingerprint;
    const peersChanged = !isDeepStrictEqual(named.peers, node.peers);
    if (changed.length === 0 && !filesChanged && !peersChanged) return null;
    const genesis = parseGenesis(JSON.parse(node.genesis) as JsonObject);
    checkPeers(next.config, named.peers, genesis);
    const nextNode: NodeConfig = {
      ...node,
      settings: next.config,
      wish: await registryWish(next.config, named, genesis),
      hmacSecrets: named.secrets,
      peers: named.peers,
    };
    await supervisor.prepare(nextNode);
    await supervisor.commit();
    // A port that was opened in between was told of the old one.
    nextNode.peerPort = node.peerPort;
    const { level } = next.config.log;
    opened.log.level = level;
    supervisor.adjustLogs({ level });
    this.#inForce.loaded = next;
    this.#inForce.node = nextNode;
    this.#inForce.fingerprint = named.fingerprint;
    return [
      ...changed,
      ...(filesChanged ? ['clients and kinds'] : []),
      ...(peersChanged ? ['peers, pins and certificates'] : []),
    ];
  }
}

function outcomeOf(changed: readonly string[] | null, settings: QuorateConfig): UnsignedAuditEvent {
  if (changed === null) return { event: 'config_reload', result: 'unchanged' };
  return { event: 'config_reload', result: 'applied', changed, config_sha256: configurationHash(settings) };
}

/** A key file that the next start would refuse is told now. The key in force stays: no reload changes who a node is. */
async function checkKey({ identity }: NodeConfig, settings: QuorateConfig): Promise<void> {
  if (identity.keyFile === null) return;
  const places = { mode: settings.mode, keysDir: settings.keys_dir, dataDir: settings.data_dir, env: {} };
  checkNodeKey(places, await loadEd25519());
}
