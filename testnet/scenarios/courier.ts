// Calls to the peer ports of a local cluster, each with the certificate of one of its nodes: over the client that nodes
// use among themselves. Called by stage.ts. It must never go on over a connection of an earlier certificate.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createContext } from '../../actors/peer/tls.js';
import { PeerCaller } from '../../actors/rpc-client/caller.js';
import type { PeerCall, PeerReply } from '../../actors/rpc-client/contract.js';
import { createMetrics } from '../../actors/rpc-client/metrics.js';
import { Registry } from '../../observability/prom-client.js';
import { readCertificates } from '../../protocol/crypto/certificate.js';
import { systemClock } from '../../runtime/kernel/clock.js';
import type { LocalCluster } from '../local/cluster.js';

export type Errand = Pick<PeerCall, 'method' | 'path' | 'body'>;

export class Courier {
  readonly #cluster: LocalCluster;
  readonly #metrics = createMetrics(new Registry());
  readonly #callers = new Map<string, PeerCaller>();

  constructor(cluster: LocalCluster) {
    this.#cluster = cluster;
  }

  /** One attempt, as node `from`, at the peer port of node `to`. Never rejects. */
  async call(from: number, to: number, errand: Errand): Promise<PeerReply> {
    const name = `${from} ${to}`;
    const caller = this.#callers.get(name) ?? this.#makeCaller(from, to);
    this.#callers.set(name, caller);
    const { nodeId } = caller.config;
    const headers = errand.body === null ? {} : { 'content-type': 'application/json' };
    const reply = await caller.call({ ...errand, nodeId, headers, requestId: randomUUID(), attempts: 1 });
    // The breaker of a caller would keep later attempts from being made.
    if (reply.status === null && this.#callers.get(name) === caller) {
      this.#callers.delete(name);
      await caller.destroy();
    }
    return reply;
  }

  /** Ends all connections: the next ones show and expect what the certificate files hold then. */
  async forget(): Promise<void> {
    const callers = [...this.#callers.values()];
    this.#callers.clear();
    await Promise.all(callers.map((caller) => caller.destroy()));
  }

  #makeCaller(from: number, to: number): PeerCaller {
    const { members, certificates } = this.#cluster;
    const own = members[from]!.key.nodeId;
    const { key, ports } = members[to]!;
    const { ca, nodes } = certificates!;
    const [mine, theirs] = [nodes.get(own)!, nodes.get(key.nodeId)!];
    const read = (file: string) => readFileSync(file, 'utf8');
    const context = createContext({ ca: read(ca), cert: read(mine.cert), key: read(mine.key), minVersion: 'TLSv1.3' });
    const peer = {
      nodeId: key.nodeId,
      host: '127.0.0.1',
      port: ports.peer,
      publicKey: key.publicKey.toString('hex'),
      pins: [readCertificates(read(theirs.cert))[0]!.fingerprint],
    };
    return new PeerCaller(peer, {
      ownId: own,
      clock: systemClock,
      random: Math.random,
      metrics: this.#metrics,
      dialing: () => ({ context, rules: { enforcePins: true, requirePins: true } }),
    });
  }
}
