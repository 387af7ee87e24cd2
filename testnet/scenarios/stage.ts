// Three real nodes of a scripted scenario: who observes what, what each of them says then, and waiting until they agree.
// Called by run.ts and by the scenarios. Nodes count from 1. It must never wait without an end, nor outlive an interruption.
import { setTimeout as sleep } from 'node:timers/promises';
import { signObservation } from '../../client/observe.js';
import type { ClusterCertificates } from '../../config/certificates.js';
import { type Ed25519, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { sha256Hex } from '../../protocol/crypto/hash.js';
import type { JsonObject } from '../../protocol/json.js';
import type { Bias } from '../../protocol/kinds/observation.js';
import { LocalCluster, type Member } from '../local/cluster.js';
import { type Metrics, metricsText, parseMetrics } from '../local/metrics.js';
import type { LocalNode } from '../local/node.js';
import { Courier, type Errand } from './courier.js';
import { describe, type Expected, roundFaults, type Said } from './verdict.js';

export const NODES = 3;
/**
 * Threads that a handful of observations does not need would only make three nodes start later; and nobody looks at a node so
 * often over its peer port as who waits for it here.
 */
const SETTINGS = [
  ...['supervision:', '  standby: false', 'verify:', '  threads: 1'],
  ...['limits:', '  peer_burst: 10000', '  peer_sustained: 10000'],
];
const AGREE_LIMIT_MS = 30_000;
const POLL_MS = 50;
const ANSWER_LIMIT_MS = 10_000;

/** What a look at the nodes found: in a few words, and sentences for what is not as expected. */
export interface Finding {
  readonly said: string;
  readonly faults: readonly string[];
}

/** An observation, but for who observes. The parts of its score are all the same. */
export interface Word {
  readonly roundId: string;
  readonly tis: number;
  readonly biases?: readonly Bias[];
  /** Tells two observations of one node in one round apart. */
  readonly audit?: string;
}

export class Stage {
  readonly cluster: LocalCluster;
  readonly courier: Courier;
  readonly nodeIds: readonly string[];
  readonly #ed25519: Ed25519;
  #interrupted = false;

  private constructor(cluster: LocalCluster, ed25519: Ed25519) {
    this.cluster = cluster;
    this.courier = new Courier(cluster);
    this.nodeIds = cluster.members.map(({ key }) => key.nodeId);
    this.#ed25519 = ed25519;
  }

  /** Keys, certificates, configurations; nothing runs yet. @throws PortsTaken */
  static async make(ports: 'auto' | 'fixed'): Promise<Stage> {
    const ed25519 = await loadEd25519();
    return new Stage(await LocalCluster.make({ nodes: NODES, ports, settings: SETTINGS }), ed25519);
  }

  async start(): Promise<void> {
    this.#check();
    for (const { index } of this.cluster.members) this.cluster.launch(index);
    await this.cluster.ready();
  }

  /** Kills the nodes; whatever waits for them ends with an error. */
  interrupt(): void {
    this.#interrupted = true;
    for (const node of this.cluster.nodes) node.process.kill('SIGKILL');
  }

  async dispose(): Promise<void> {
    await this.courier.forget();
    await this.cluster.dispose();
  }

  get certificates(): ClusterCertificates {
    return this.cluster.certificates!;
  }

  get isInterrupted(): boolean {
    return this.#interrupted;
  }

  node(node: number): LocalNode {
    return this.cluster.node(node - 1);
  }

  member(node: number): Member {
    return this.cluster.members[node - 1]!;
  }

  nodeId(node: number): string {
    return this.nodeIds[node - 1]!;
  }

  async metrics(node: number): Promise<Metrics> {
    return parseMetrics(await this.metricsText(node));
  }

  metricsText(node: number): Promise<string> {
    return metricsText(this.cluster.ops(node - 1));
  }

  /** Node `from` observes, and tells node `to` until that one has it as final. */
  async observe(from: number, word: Word, to = from === 1 ? 2 : 1): Promise<void> {
    const body = this.#signed(from, word);
    for (const endMs = Date.now() + AGREE_LIMIT_MS; Date.now() < endMs; await sleep(POLL_MS)) {
      this.#check();
      const { status, body: answer, detail } = await this.#post(from, to, body);
      // 409: it was final before this attempt.
      if (status === 200 || status === 409) return;
      if (status !== null && status !== 202 && status !== 503) {
        throw new Error(`node ${to} answered ${status} to node ${from}: ${detail} ${Buffer.from(answer).toString()}`);
      }
    }
    throw new Error(`node ${to} had no final answer for node ${from} within ${AGREE_LIMIT_MS} ms`);
  }

  /** One attempt of that, whatever comes of it. */
  attempt(from: number, word: Word, to: number) {
    return this.#post(from, to, this.#signed(from, word));
  }

  /** Looks again and again until nothing is wrong; when time is over, what is wrong then is the finding. */
  async settle(look: () => Promise<Finding>): Promise<Finding> {
    for (const endMs = Date.now() + AGREE_LIMIT_MS; ; await sleep(POLL_MS)) {
      this.#check();
      const finding = await look().catch((error: Error) => ({ said: '', faults: [error.message] }));
      if (finding.faults.length === 0 || Date.now() >= endMs) return finding;
    }
  }

  /** Waits until these nodes say of the round what is expected, and all the same. */
  agree(expected: Expected, nodes: readonly number[] = this.nodeIds.map((_, index) => index + 1)): Promise<Finding> {
    return this.settle(async () => {
      const said = await Promise.all(nodes.map((node) => this.says(node, expected.roundId)));
      return { said: describe(said[0]!, this.nodeIds), faults: roundFaults(expected, said, this.nodeIds) };
    });
  }

  /** What one node answers about a round, over its peer port and its client API. */
  async says(node: number, roundId: string): Promise<Said> {
    const [round, status, reconcile, rounds] = await Promise.all([
      this.#ask(node, { method: 'GET', path: `/rpc/status?round_id=${roundId}`, body: null }),
      this.#ask(node, { method: 'GET', path: '/rpc/status', body: null }),
      this.#ask(node, { method: 'POST', path: '/rpc/reconcile', body: null }),
      this.#rounds(node),
    ]);
    return {
      node,
      round,
      status: known(status, node),
      reconcile: known(reconcile, node),
      excluded: rounds.excluded as JsonObject[],
    };
  }

  async #rounds(node: number): Promise<JsonObject> {
    const signal = AbortSignal.timeout(ANSWER_LIMIT_MS);
    return (await (await fetch(`${this.cluster.api(node - 1)}/v1/rounds`, { signal })).json()) as JsonObject;
  }

  /** Null: 404. */
  async #ask(node: number, errand: Errand): Promise<JsonObject | null> {
    const asker = node === 1 ? 2 : 1;
    const { status, body, detail } = await this.courier.call(asker - 1, node - 1, errand);
    if (status === 404) return null;
    if (status !== 200) throw new Error(`node ${node} does not answer node ${asker}: ${detail}`);
    return JSON.parse(Buffer.from(body).toString()) as JsonObject;
  }

  #post(from: number, to: number, body: Uint8Array) {
    return this.courier.call(from - 1, to - 1, { method: 'POST', path: '/rpc/submit', body });
  }

  #signed(from: number, { roundId, tis, biases = [], audit = 'audit' }: Word): Uint8Array {
    const { nodeId, publicKey, seed } = this.member(from).key;
    const key = { issuer: nodeId, publicKey: publicKey.toString('hex'), seed };
    return signObservation(this.#ed25519, key, {
      audit_id: `${audit}_${roundId}_node_${from}`,
      round_id: roundId,
      window_hours: 24,
      timestamp: new Date().toISOString(),
      forecast_hash: `sha256:${sha256Hex(`forecast of ${roundId}`)}`,
      outcome_hash: `sha256:${sha256Hex(`outcome of ${roundId}`)}`,
      tis_components: { prediction_accuracy: tis, ethical_alignment: tis, coherence_stability: tis },
      tis_overall: tis,
      bias_flags: [...biases],
    }).body;
  }

  /** A node that ended will not come back, and after an interruption nothing is worth waiting for. */
  #check(): void {
    if (this.#interrupted) throw new Error('interrupted');
    const gone = this.cluster.members.find(({ index }) => this.cluster.nodes[index]?.hasExited === true);
    if (gone === undefined) return;
    const node = gone.index + 1;
    throw new Error(`node ${node} ended:\n${this.node(node).output.slice(-2_000)}`);
  }
}

function known(answer: JsonObject | null, node: number): JsonObject {
  if (answer === null) throw new Error(`node ${node} has no such call`);
  return answer;
}
