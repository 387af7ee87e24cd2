// Drills of several nodes: a part of the cluster dies, stands still, is cut off or loses its disk under load. Called by main.ts
// with full counts and by a test with small ones. It must never forgive: what was acknowledged is final once, everywhere.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseClientKey } from '../../client/sign.js';
import type { JsonObject } from '../../protocol/json.js';
import { parseValidatorSet } from '../../protocol/validators.js';
import { LocalCluster } from '../local/cluster.js';
import { Wires } from '../local/proxies.js';
import { admin } from './admin.js';
import { type ClusterFindings, checkClusterLedgers } from './cluster-check.js';
import { ClusterLoad } from './cluster-load.js';

export interface ClusterDrillOptions {
  readonly nodes: number;
  readonly connections: number;
  readonly perSecond: number;
  /** How often each node has its turn. */
  readonly rounds: number;
  /** How long a fault lasts. */
  readonly faultMs: number;
  /** Until the first receipt after a fault; a verdict on this machine at this time. */
  readonly limitMs: number;
  readonly log: (line: string) => void;
}

export interface Incident {
  readonly what: string;
  readonly node: number;
  /** From the fault to the first receipt of a submission that was sent after it; null: none within the limit. */
  readonly resumedMs: number | null;
  /** From the end of the fault until that node had caught up. */
  readonly caughtUpMs: number;
}

export interface ClusterDrillReport {
  readonly incidents: readonly Incident[];
  readonly acknowledged: number;
  readonly endings: Readonly<Record<string, number>>;
  readonly ledger: ClusterFindings;
  readonly faults: readonly string[];
}

/** What a drill does to one node; resolves when the fault is over and the node runs again. */
export type Fault = (drill: ClusterDrill, node: number) => Promise<void>;

const CAUGHT_UP_LIMIT_MS = 60_000;
const RESUME_LIMIT_MS = 60_000;
const POLL_MS = 20;
const CALM_MS = 500;

export class ClusterDrill {
  readonly cluster: LocalCluster;
  readonly wires: Wires;
  readonly options: ClusterDrillOptions;
  readonly #load: ClusterLoad;
  readonly #incidents: Incident[] = [];
  readonly #faults: string[] = [];
  #resumed: Promise<number | null> = Promise.resolve(null);

  constructor(cluster: LocalCluster, wires: Wires, options: ClusterDrillOptions) {
    this.cluster = cluster;
    this.wires = wires;
    this.options = options;
    const file = join(cluster.members[0]!.dataDir, 'keys', 'dev-client.json');
    this.#load = new ClusterLoad({
      apis: cluster.members.map(({ index }) => cluster.api(index)),
      key: parseClientKey(JSON.parse(readFileSync(file, 'utf8'))),
      connections: options.connections,
      perSecond: options.perSecond,
      prefix: 'drill',
    });
  }

  /** @param nodes whose turn it is, in order; all of them when absent. */
  async run(what: string, fault: Fault, nodes?: readonly number[]): Promise<ClusterDrillReport> {
    await this.#load.start();
    const begun = await this.#load.nextSuccess(0, RESUME_LIMIT_MS);
    if (begun === null) this.#faults.push('the cluster made nothing final before the first fault');
    for (let round = 0; round < this.options.rounds && begun !== null; round++) {
      for (const index of nodes ?? this.cluster.members.map((member) => member.index)) {
        await this.#incident(what, index, fault);
      }
    }
    await this.#load.stop();
    const validators = parseValidatorSet(
      (await (await fetch(`${this.cluster.api(0)}/v1/validators`)).json()) as JsonObject,
    );
    await this.#settled();
    const exits = await this.cluster.stop();
    for (const [index, { code }] of exits.entries()) {
      if (code !== 0) this.#faults.push(`node ${index + 1} ended with ${code} after the drill`);
    }
    const dataDirs = this.cluster.members.map(({ dataDir }) => dataDir);
    const ledger = await checkClusterLedgers(dataDirs, this.#load.receipts, validators);
    const abandoned = this.#load.abandoned.map((id) => `${id} was never acknowledged`);
    return {
      incidents: this.#incidents,
      acknowledged: this.#load.receipts.size,
      endings: this.#load.endings,
      ledger,
      faults: [...this.#faults, ...this.#load.faults, ...abandoned.slice(0, 20), ...ledger.faults],
    };
  }

  /** The fault has taken hold: from here on progress is waited for. */
  began(node: number): void {
    const atMs = performance.now();
    this.#resumed = this.#load
      .nextSuccess(atMs, RESUME_LIMIT_MS, (other) => other !== node)
      .then((success) => (success === null ? null : success.endedAtMs - atMs));
  }

  /** Whether a submission that was sent after `afterMs` becomes final within `limitMs`. */
  async successWithin(afterMs: number, limitMs: number): Promise<boolean> {
    return (await this.#load.nextSuccess(afterMs, limitMs)) !== null;
  }

  broken(promise: string): void {
    this.#faults.push(promise);
  }

  async #incident(what: string, node: number, fault: Fault): Promise<void> {
    await fault(this, node);
    const endedAtMs = performance.now();
    const resumedMs = await this.#resumed;
    const caughtUpMs = await this.#caughtUp(node, endedAtMs);
    this.#incidents.push({ what, node: node + 1, resumedMs, caughtUpMs });
    const { limitMs, log } = this.options;
    if (resumedMs === null || resumedMs > limitMs) {
      const took = resumedMs === null ? 'nothing became final' : `it took ${Math.round(resumedMs)} ms`;
      this.#faults.push(`${what} of node ${node + 1}: ${took} until the next receipt, ${limitMs} ms are allowed`);
    }
    log(
      `${what} of node ${node + 1}: next receipt after ${round(resumedMs)} ms, caught up ${round(caughtUpMs)} ms after its end`,
    );
    await delay(CALM_MS);
  }

  /** Until this node has what the others had when the fault was over. */
  async #caughtUp(node: number, fromMs: number): Promise<number> {
    const others = this.cluster.members.map(({ index }) => index).filter((index) => index !== node);
    const heights = await Promise.all(others.map((index) => this.#height(index)));
    const wanted = Math.max(...heights);
    for (let atMs = performance.now(); atMs - fromMs < CAUGHT_UP_LIMIT_MS; atMs = performance.now()) {
      if ((await this.#height(node)) >= wanted) return performance.now() - fromMs;
      await delay(POLL_MS);
    }
    this.#faults.push(`node ${node + 1} was not at height ${wanted} within ${CAUGHT_UP_LIMIT_MS} ms`);
    return CAUGHT_UP_LIMIT_MS;
  }

  /** Until all nodes stand at one height and nothing is under way. */
  async #settled(): Promise<void> {
    let calmSince: number | null = null;
    for (const untilMs = performance.now() + CAUGHT_UP_LIMIT_MS; performance.now() < untilMs; await delay(POLL_MS)) {
      const heights = new Set(await Promise.all(this.cluster.members.map(({ index }) => this.#height(index))));
      if (heights.size !== 1 || heights.has(-1)) calmSince = null;
      else calmSince ??= performance.now();
      // The database follows within a second.
      if (calmSince !== null && performance.now() - calmSince > 1_500) return;
    }
    this.#faults.push('the nodes did not come to stand at one height');
  }

  /** -1 while it does not answer. */
  async #height(index: number): Promise<number> {
    try {
      const response = await fetch(`${this.cluster.api(index)}/v1/status`, { signal: AbortSignal.timeout(2_000) });
      return ((await response.json()) as { height: number }).height;
    } catch {
      return -1;
    }
  }
}

function round(ms: number | null): string {
  return ms === null ? 'no' : String(Math.round(ms));
}

/** SIGKILL, and a start on the same data. */
export const killed: Fault = async (drill, node) => {
  await drill.cluster.kill(node);
  drill.began(node);
  await delay(drill.options.faultMs);
  drill.cluster.launch(node);
  await drill.cluster.ready([node]);
};

/** SIGTERM, and a start on the same data, as in a rolling restart. */
export const restarted: Fault = async (drill, node) => {
  const running = drill.cluster.node(node);
  running.process.kill('SIGTERM');
  drill.began(node);
  const { code } = await running.exited;
  if (code !== 0) drill.broken(`node ${node + 1} ended with ${code} when it was told to stop`);
  drill.cluster.launch(node);
  await drill.cluster.ready([node]);
};

/** SIGKILL to all at once, and a start of all on their data. */
export const blackout: Fault = async (drill) => {
  const all = drill.cluster.members.map(({ index }) => index);
  await Promise.all(all.map((index) => drill.cluster.kill(index)));
  for (const index of all) drill.cluster.launch(index);
  await drill.cluster.ready();
  drill.began(-1);
};

/** SIGSTOP: the process stands still with all its connections open, and goes on later as if nothing had been. */
export const stopped: Fault = async (drill, node) => {
  const { process: child } = drill.cluster.node(node);
  child.kill('SIGSTOP');
  drill.began(node);
  await delay(drill.options.faultMs);
  child.kill('SIGCONT');
};

/** SIGKILL, and log and ledger are gone: key and genesis are what it starts with. */
export const wiped: Fault = async (drill, node) => {
  await drill.cluster.kill(node);
  drill.began(node);
  const { dataDir } = drill.cluster.members[node]!;
  for (const part of ['wal', 'ledger', 'crash', 'state.json', 'audit.jsonl']) {
    rmSync(join(dataDir, part), { recursive: true, force: true });
  }
  await delay(drill.options.faultMs);
  drill.cluster.launch(node);
  await drill.cluster.ready([node]);
};

/** Every actor of one node in turn: its threads die, its process does not. */
export const actorsKilled: Fault = async (drill, node) => {
  const local = drill.cluster.node(node);
  drill.began(-1);
  for (const actor of ACTORS_TO_KILL) {
    await admin(local, 'POST', `/v1/admin/actors/${actor}/kill`);
    await delay(drill.options.faultMs / ACTORS_TO_KILL.length);
  }
  await drill.cluster.ready([node]);
};

const ACTORS_TO_KILL = ['gossip', 'consensus', 'ingress', 'dedup', 'store', 'wal-writer', 'rpc-client'] as const;

/** Nothing of what this node says to its peers, or of what they say to it, arrives. Its clients reach it. */
export const cutOff: Fault = async (drill, node) => {
  for (const { index } of drill.cluster.members) {
    drill.wires.block(node, index);
    drill.wires.block(index, node);
  }
  drill.began(node);
  await delay(drill.options.faultMs);
  drill.wires.heal();
};

/** It hears everybody, and nobody hears it. */
export const mute: Fault = async (drill, node) => {
  for (const { index } of drill.cluster.members) drill.wires.block(node, index);
  drill.began(node);
  await delay(drill.options.faultMs);
  drill.wires.heal();
};

/** Two halves, neither of which is a quorum: nothing may become final until they meet again. */
export const halves: Fault = async (drill, node) => {
  const { members } = drill.cluster;
  const side = (index: number): boolean => (index - node + members.length) % members.length < members.length / 2;
  for (const one of members) {
    for (const other of members) if (side(one.index) !== side(other.index)) drill.wires.block(one.index, other.index);
  }
  const cutAtMs = performance.now();
  // What was under way when the cut came may still have made it.
  await delay(drill.options.faultMs / 2);
  const early = await drill.successWithin(performance.now(), drill.options.faultMs / 2);
  if (early)
    drill.broken(`something became final ${Math.round(performance.now() - cutAtMs)} ms after the cluster was halved`);
  drill.wires.heal();
  drill.began(-1);
};

export const CLUSTER_FAULTS: Readonly<Record<string, Fault>> = {
  'cluster-kills': killed,
  'cluster-stops': stopped,
  'cluster-restarts': restarted,
  'cluster-blackouts': blackout,
  'cluster-wipes': wiped,
  'cluster-actors': actorsKilled,
  'partition-one': cutOff,
  'partition-one-way': mute,
  'partition-halves': halves,
};

export async function clusterDrill(name: string, options: ClusterDrillOptions): Promise<ClusterDrillReport> {
  const wires = new Wires();
  const address = name.startsWith('partition') ? { address: wires.add.bind(wires) } : {};
  const cluster = await LocalCluster.start({ nodes: options.nodes, settings: SETTINGS, ...address });
  try {
    return await new ClusterDrill(cluster, wires, options).run(name, CLUSTER_FAULTS[name]!);
  } finally {
    wires.close();
    await cluster.dispose();
  }
}

/** Threads that only wait would cost a small machine more than they gain. */
const SETTINGS = ['supervision:', '  standby: false'];
