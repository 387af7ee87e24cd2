// The composition root: configuration → identity → lock → logs and metrics → supervisor(tree) → ops server → signals.
// Started by runtime/main.js. Whatever ends the process goes through exit.ts; nothing here carries a submission.
import { mkdirSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { holdLedgerOpen, tree } from '../actors/tree.js';
import type { UnsignedAuditEvent } from '../config/audit-events.js';
import { AuditFile } from '../config/audit-file.js';
import { initialised } from '../config/chain-files.js';
import { DataDirectoryHeld, type DataLock, lockDataDirectory } from '../config/data-lock.js';
import { ConfigError, renderProblem } from '../config/errors.js';
import { helpText } from '../config/flags.js';
import { SIGNING_KEY_VARIABLE } from '../config/key-files.js';
import { listenRefusal } from '../config/listen-refusal.js';
import { type LoadedConfig, loadConfig } from '../config/load.js';
import { loadNamedFiles } from '../config/named-files.js';
import type { NodeConfig } from '../config/node.js';
import { printConfig } from '../config/print.js';
import { type ActorId, parseListen } from '../config/schema.js';
import { event } from '../observability/events.js';
import { type LogSettings, type OpenLog, openLog, wantsPretty } from '../observability/logs.js';
import { Counter, type Registry } from '../observability/prom-client.js';
import { createMainRegistry } from '../observability/registry.js';
import { banner } from './banner.js';
import { checkConfiguration } from './check-config.js';
import { endProcess } from './exit.js';
import { EXIT } from './exit-codes.js';
import { establish } from './identity.js';
import { systemClock } from './kernel/clock.js';
import { crashFiles } from './kernel/crash-files.js';
import { threadHost } from './kernel/host-thread.js';
import type { RestartSettings } from './kernel/restart.js';
import { inSource } from './kernel/source-places.js';
import { supervise } from './kernel/supervisor.js';
import type { Supervisor } from './kernel/supervisor-types.js';
import { AuditStory } from './ops/audit-story.js';
import { AuditTrail } from './ops/audit-trail.js';
import { Metrics } from './ops/metrics.js';
import { createOpsServer, type ReloadAnswer } from './ops/server.js';
import { watchStalls } from './ops/stalls.js';
import { type InForce, Reloader } from './reload.js';
import { claimRunFiles, type Endpoints, removeRunFiles, writeAdminToken, writeEndpoints } from './run-files.js';
import { ServiceManager, tellerOf, watchdogUsecOf } from './service-manager.js';
import { type SignalActions, surviveClosedOutput, takeSignals } from './signals.js';
import { startFailure } from './start-failure.js';
import { configurationHash, StateFile } from './state.js';
import { StatusDump } from './status-dump.js';
import { summaryOf, Vigil } from './vigil.js';

const STARTED_AT_MS = Date.now();
/** A disk that stalls makes it wait. */
const COMPACT_DEADLINE_MS = 110_000;
/** V8's flag of the same name, for every isolate of the process: docs/adr/0014-heap-growth.md. */
const HEAP_GROWING = '--heap-growing-percent';
const HEAP_GROWING_PERCENT = 100;
const PACKAGE = new URL('../../package.json', import.meta.url);

async function main(): Promise<void> {
  const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string };
  const loaded = loadConfig({ argv: process.argv.slice(2), env: { ...process.env }, cwd: process.cwd() });
  switch (loaded.action) {
    case 'help':
      return print(helpText());
    case 'version':
      return print(`${version}\n`);
    case 'print': {
      const signingKeyInEnvironment = (process.env[SIGNING_KEY_VARIABLE] ?? '') !== '';
      return print(printConfig(loaded, { signingKeyInEnvironment }));
    }
    case 'check':
      return print(await checkConfiguration(loaded));
    case 'run':
      return run(loaded, version);
  }
}

function print(text: string): void {
  process.stdout.write(text);
}

async function run(loaded: LoadedConfig, version: string): Promise<void> {
  const { config: settings } = loaded;
  growHeapsFreely();
  const actOnSignals = takeSignals(settings.stop_with_stdin ? process.stdin : null);
  surviveClosedOutput();
  const logSettings: LogSettings = {
    level: settings.log.level,
    pretty: wantsPretty(settings.log.format, process.stdout.isTTY === true),
    file: settings.log.file,
  };
  const opened = openLog(logSettings, {});
  const { log } = opened;
  event(log, 'node.starting', { version, mode: settings.mode, data_dir: settings.data_dir, config_file: loaded.file });
  for (const warning of loaded.warnings) event(log, 'config.warning', { warning });
  let running: Running;
  const made: UnsignedAuditEvent[] = [];
  try {
    mkdirSync(settings.data_dir, { recursive: true, mode: 0o700 });
    const lock = await lockDataDirectory(settings.data_dir);
    const node = await establish(settings, log, (happened) => made.push(happened));
    claimRunFiles(node.places.run);
    running = new Running({ loaded, node, logSettings, opened, version, lock, actOnSignals, made });
  } catch (error) {
    tellRefused(log, settings.data_dir, error);
    auditMade(settings.data_dir, made);
    throw error;
  }
  await running.start();
}

/** Before any thread is started. What the command line says of it stands. */
function growHeapsFreely(): void {
  if (process.execArgv.some((flag) => flag.replaceAll('_', '-').startsWith(HEAP_GROWING))) return;
  setFlagsFromString(`${HEAP_GROWING}=${HEAP_GROWING_PERCENT}`);
}

function tellRefused(log: Logger, dataDir: string, error: unknown): void {
  if (error instanceof DataDirectoryHeld) {
    event(log, 'node.already_running', { data_dir: dataDir, pid: error.pid });
  } else if (error instanceof ConfigError) {
    event(log, 'config.refused', { problems: error.problems.map(renderProblem) });
  }
}

/** The part of consensus' messages that an operator's command needs. */
type Compacting = {
  tell: Record<never, never>;
  ask: { compact: { request: { readonly all: boolean }; reply: object } };
};

/** What a refused start has made stays there: the next one will not make it again, so it is recorded now. */
function auditMade(dataDir: string, made: readonly UnsignedAuditEvent[]): void {
  if (made.length === 0) return;
  const atMs = Date.now();
  try {
    new AuditFile(dataDir).append(
      atMs,
      made.map((happened) => ({ atMs, event: { ...happened, by: 'node' } })),
    );
  } catch {
    // The refusal that is about to be told is what has to be mended first.
  }
}

interface RunningParts {
  readonly loaded: LoadedConfig;
  readonly node: NodeConfig;
  readonly logSettings: LogSettings;
  readonly opened: OpenLog;
  readonly version: string;
  readonly lock: DataLock;
  readonly actOnSignals: (actions: SignalActions) => void;
  /** What this start has made that did not exist before. */
  readonly made: readonly UnsignedAuditEvent[];
}

class Running {
  readonly #log: Logger;
  readonly #lock: DataLock;
  readonly #inForce: InForce;
  readonly #supervisor: Supervisor<NodeConfig>;
  readonly #ops: FastifyInstance;
  readonly #state: StateFile;
  readonly #audit: AuditTrail;
  readonly #reloader: Reloader;
  readonly #manager: ServiceManager;
  readonly #statusDump: StatusDump;
  readonly #actOnSignals: RunningParts['actOnSignals'];
  /** Where the client API listens; the report may come after the actor counts as up. */
  readonly #apiListens: Promise<Pick<AddressInfo, 'address' | 'port'>>;
  #ledger: ReturnType<typeof holdLedgerOpen> | null = null;
  #peer: string | null = null;
  /** As written; null before the node is ready. */
  #endpoints: Endpoints | null = null;
  #draining = false;
  #ending = false;

  constructor({ loaded, node, logSettings, opened, version, lock, actOnSignals, made }: RunningParts) {
    const { log } = opened;
    this.#log = log;
    this.#lock = lock;
    this.#actOnSignals = actOnSignals;
    const { fingerprint } = loadNamedFiles(loaded.config, node.identity.nodeId, STARTED_AT_MS);
    this.#inForce = { loaded, node, fingerprint };
    const registry = createMainRegistry({ version, startedAtMs: STARTED_AT_MS, now: Date.now });
    this.#audit = this.#auditTrail(registry, log);
    this.#supervisor = supervise<NodeConfig>({
      tree,
      config: node,
      clock: systemClock,
      random: Math.random,
      host: threadHost({ clock: systemClock }),
      log,
      actorLogOptions: {
        factory: { module: new URL('../observability/actor-log.js', import.meta.url).href, options: logSettings },
      },
      onFatal: (code, reason) => void this.#fatal(code, reason),
      onCrash: crashFiles({
        directory: node.places.crash,
        extra: () => ({
          version,
          node: process.version,
          pid: process.pid,
          config_hash: configurationHash(this.#inForce.node.settings),
        }),
        secrets: () => secretsOf(this.#inForce.node),
        onWritten: (file, { actor, reason }) => event(log, 'actor.crash_bundle', { actor, reason, file }),
        onError: (err) => event(log, 'actor.crash_bundle_failed', { err }),
      }),
      // An operator of a production node kills and restarts; only a development node can be made to go wrong from within.
      drills: node.settings.mode === 'development',
      registry,
      restartSettings: (config, { id, restart }): RestartSettings => restartSettings(config, id as ActorId, restart),
    });
    this.#state = new StateFile(node, log, registry, this.#audit);
    const results = new Counter({
      name: 'quorate_peer_reload_total',
      help: 'Reloads of the configuration, by result.',
      labelNames: ['result'],
      registers: [registry],
    });
    this.#reloader = new Reloader({ supervisor: this.#supervisor, opened, results, audit: this.#audit }, this.#inForce);
    const health = {
      status: () => this.#supervisor.status(),
      reports: () => this.#supervisor.reports(),
      store: () => this.#supervisor.inspect('store') as Promise<{ height: number }>,
      draining: () => this.#draining,
      audit: () => this.#audit.check(),
    };
    this.#ops = createOpsServer({
      metrics: new Metrics(registry, () => this.#supervisor.metrics()),
      health,
      token: writeAdminToken(node.places.run),
      actors: this.#supervisor,
      audit: this.#audit,
      reload: (by) => this.#reload(by),
      compact: (all) =>
        this.#supervisor.link<Compacting>('consensus').ask('compact', { all }, { deadlineMs: COMPACT_DEADLINE_MS }),
    });
    this.#manager = this.#serviceManager();
    this.#statusDump = new StatusDump({
      version,
      startedAtMs: STARTED_AT_MS,
      log,
      node: () => this.#inForce.node,
      health,
      supervisor: this.#supervisor,
    });
    this.#auditStart(node, version, made);
    watchStalls(registry, () => this.#supervisor.status());
    this.#apiListens = new Promise((resolve) => {
      this.#supervisor.on('event', (happened) => {
        if (happened.kind !== 'report') return;
        if (happened.name === 'consensus') this.#state.chainMoved(happened.value);
        if (happened.name === 'quorum') this.#state.reachMoved(happened.value);
        if (happened.name === 'peer-listening') this.#peersListen(happened.value.data ?? {});
        if (happened.name !== 'listening') return;
        const { host, port } = happened.value.data ?? {};
        node.apiPort = Number(port);
        resolve({ address: String(host), port: node.apiPort });
      });
    });
  }

  #serviceManager(): ServiceManager {
    const vigil = new Vigil({
      status: () => this.#supervisor.status(),
      stopping: () => this.#draining,
      ending: () => this.#ending,
      monotonic: systemClock.monotonic,
    });
    return new ServiceManager({
      teller: tellerOf(process.env, this.#log),
      watchdogUsec: watchdogUsecOf(process.env, process.pid),
      clock: systemClock,
      monotonicUsec: () => process.hrtime.bigint() / 1000n,
      log: this.#log,
      look: () => vigil.look(),
      summary: () => summaryOf(this.#supervisor.status(), this.#supervisor.reports()),
    });
  }

  #reload(by: string): Promise<ReloadAnswer> {
    return this.#manager.reload(() => this.#reloader.reload(by));
  }

  #auditTrail(registry: Registry, log: Logger): AuditTrail {
    return new AuditTrail({
      directory: this.#inForce.node.places.data,
      limits: () => {
        const { file_bytes: fileBytes, files_kept: filesKept } = this.#inForce.node.settings.audit;
        return { fileBytes, filesKept };
      },
      registry,
      log,
      now: Date.now,
      onBroken: (reason) => void this.#fatal(EXIT.io.code, reason),
    });
  }

  /** From here on what the supervisor tells is recorded too. */
  #auditStart({ identity, chainId, settings }: NodeConfig, version: string, made: readonly UnsignedAuditEvent[]): void {
    for (const happened of made) this.#audit.record(happened);
    this.#audit.finish({
      event: 'node_started',
      version,
      mode: settings.mode,
      pid: process.pid,
      node_id: identity.nodeId,
      chain_id: chainId,
      config_sha256: configurationHash(settings),
    });
    // A genesis has registry version 0.
    const story = new AuditStory(this.#audit.knownRegistryVersion() ?? 0);
    this.#supervisor.on('event', (happened) => {
      const told = story.hear(happened);
      if (told !== null) this.#audit.record(told);
    });
  }

  /** A peer port that was opened or opened anew: later incarnations take the same one. */
  #peersListen({ host, port, tls }: Readonly<Record<string, unknown>>): void {
    const { node } = this.#inForce;
    node.peerPort = port === null ? 0 : Number(port);
    this.#peer =
      port === null ? null : `${tls === true ? 'https' : 'http'}://${authority(String(host), node.peerPort)}`;
    if (this.#endpoints !== null) writeEndpoints(node.places.run, { ...this.#endpoints, peer: this.#peer });
  }

  async start(): Promise<void> {
    // First of all, while the process is small: it may start a helper.
    this.#manager.starting();
    this.#actOnSignals({
      reload: () => void this.#reload('signal SIGHUP'),
      dump: () => void this.#statusDump.write(),
      stop: (signal) => void this.#stop(signal),
      force: () => void this.#fatal(EXIT.internal.code, 'the stop was forced by a second signal', 'node.stop_forced'),
    });
    process.on('uncaughtException', (error) => {
      void this.#fatal(
        EXIT.internal.code,
        `unexpected failure on the main thread: ${inSource(error.stack ?? error.message)}`,
      );
    });
    try {
      this.#state.open();
    } catch (error) {
      return this.#fatal(EXIT.config.code, (error as Error).message);
    }
    // Before the actors start: a taken port is found at once, and probes are answered while the log is replayed.
    if (!(await this.#listen())) return;
    try {
      this.#ledger = holdLedgerOpen(this.#inForce.node);
    } catch (error) {
      const { syscall, message } = error as NodeJS.ErrnoException;
      // What is not the system's is damage to the files.
      const { code, text } = syscall === undefined ? { ...EXIT.data, text: message } : startFailure(error);
      return this.#fatal(code, text);
    }
    try {
      await this.#supervisor.start();
    } catch (error) {
      // A stop that came during the start has its own way out.
      if (this.#draining) return;
      return this.#fatal(EXIT.internal.code, `the actors did not start: ${(error as Error).message}`);
    }
    if (this.#draining) return;
    initialised(this.#inForce.node.places.data);
    await this.#announce();
    this.#state.keepCurrent();
  }

  async #listen(): Promise<boolean> {
    const { ops_listen: configured } = this.#inForce.node.settings;
    try {
      await this.#ops.listen(parseListen(configured)!);
      return true;
    } catch (error) {
      const refusal = listenRefusal(error, '--ops-listen', configured);
      const reason = refusal?.reason ?? `--ops-listen ${configured}: ${(error as Error).message}`;
      await this.#fatal(refusal?.exitCode ?? EXIT.unavailable.code, reason);
      return false;
    }
  }

  async #announce(): Promise<void> {
    const { node, loaded } = this.#inForce;
    const ops = url(this.#ops.server.address() as AddressInfo);
    const api = url(await this.#apiListens);
    if (this.#draining) return;
    const { nodeId, publicKey } = node.identity;
    this.#endpoints = { api, ops, peer: this.#peer, nodeId, publicKey };
    writeEndpoints(node.places.run, this.#endpoints);
    this.#manager.ready(api);
    const startupMs = Date.now() - STARTED_AT_MS;
    event(this.#log, 'node.ready', {
      api,
      ops,
      node_id: nodeId,
      chain_id: node.chainId,
      startup_ms: startupMs,
      audit_head: this.#audit.head(),
    });
    if (process.stdout.isTTY === true) print(banner({ api, ops, nodeId, settings: loaded.config }));
  }

  async #stop(signal: string): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const startedMs = Date.now();
    event(this.#log, 'node.stopping', { signal });
    const { node } = this.#inForce;
    this.#manager.stopping(node.settings.shutdown_ms);
    const forced = setTimeout(() => {
      void this.#fatal(EXIT.internal.code, 'the drain did not end in time', 'node.stop_forced');
    }, node.settings.shutdown_ms);
    await this.#supervisor.stop();
    if (this.#ending) return;
    await this.#ledger?.release();
    this.#state.close();
    await this.#ops.close();
    clearTimeout(forced);
    this.#audit.finish({ event: 'node_stopped', signal });
    this.#audit.close();
    removeRunFiles(node.places.run);
    await this.#lock.release();
    event(this.#log, 'node.stopped', {
      drained: true,
      duration_ms: Date.now() - startedMs,
      audit_head: this.#audit.head(),
    });
    await this.#manager.close();
    process.exit(EXIT.ok.code);
  }

  async #fatal(code: number, reason: string, forced?: 'node.stop_forced'): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    if (forced !== undefined) {
      const cut = this.#supervisor
        .status()
        .filter(({ state }) => state !== 'stopped')
        .map(({ id }) => id);
      event(this.#log, forced, { reason, cut });
    }
    this.#audit.record({ event: 'node_failed', exit_code: code, reason });
    this.#audit.close();
    this.#manager.failing(reason);
    await endProcess(this.#inForce.node.places.run, code, reason, this.#log, this.#supervisor);
  }
}

/** Every spelling in which a secret of this node could come into a text. */
function secretsOf({ identity, hmacSecrets, peers }: NodeConfig): string[] {
  const tlsKey = peers?.tls == null ? [] : [Buffer.from(peers.tls.key)];
  const secrets = [...tlsKey, identity.seed, ...hmacSecrets.map(({ secret }) => secret)].map((bytes) =>
    Buffer.from(bytes),
  );
  return secrets.flatMap((secret) => [secret.toString('hex'), secret.toString('base64'), secret.toString('utf8')]);
}

function restartSettings({ settings }: NodeConfig, id: ActorId, policy: RestartSettings['policy']): RestartSettings {
  const { backoff, breaker, actors } = settings.supervision;
  return {
    policy: actors[id]?.restart ?? policy,
    backoff: {
      floorMs: backoff.floor_ms,
      factor: backoff.factor,
      ceilingMs: backoff.ceiling_ms,
      jitter: backoff.jitter,
    },
    breaker: { failures: breaker.failures, openMs: breaker.open_ms, successes: breaker.successes },
    successAfterMs: 30_000,
  };
}

function url({ address, port }: Pick<AddressInfo, 'address' | 'port'>): string {
  return `http://${authority(address, port)}`;
}

function authority(address: string, port: number): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

try {
  await main();
} catch (error) {
  const { code, text } = startFailure(error);
  process.stderr.write(`${text}\n`);
  process.exit(code);
}
