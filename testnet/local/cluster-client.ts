// A client of a local cluster for tests: signs notes with the development key, submits them to the node that is named, and
// reads what nodes answer. It must never take an answer for final that is not.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BODY_BYTES, envelopeText } from '../../bench/submissions.js';
import { canonicalize } from '../../protocol/canonical.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import type { JsonObject } from '../../protocol/json.js';
import type { LocalCluster } from './cluster.js';

export interface Final {
  readonly status: number;
  readonly body: JsonObject & { readonly receipt: JsonObject };
}

const AGAIN_MS = 20;

export class ClusterClient {
  readonly #cluster: LocalCluster;
  readonly #envelope: (id: string, bodyBytes: number) => string;

  private constructor(cluster: LocalCluster, envelope: (id: string, bodyBytes: number) => string) {
    this.#cluster = cluster;
    this.#envelope = envelope;
  }

  static async of(cluster: LocalCluster): Promise<ClusterClient> {
    const file = join(cluster.members[0]!.dataDir, 'keys', 'dev-client.json');
    const key = JSON.parse(readFileSync(file, 'utf8')) as { issuer: string; seed: string };
    const ed25519 = await loadEd25519();
    const { secretKey } = ed25519.keyPair(Buffer.from(key.seed, 'hex'));
    const issuedAt = new Date().toISOString();
    const sign = (message: Uint8Array) => ed25519.sign(message, secretKey);
    return new ClusterClient(cluster, (id, bodyBytes) => envelopeText(key.issuer, id, issuedAt, sign, bodyBytes));
  }

  /** One attempt. The same id and size is the same bytes. */
  post(
    node: number,
    id: string,
    headers: Readonly<Record<string, string>> = {},
    bodyBytes = BODY_BYTES,
  ): Promise<Response> {
    return fetch(`${this.#cluster.api(node)}/v1/submissions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: this.#envelope(id, bodyBytes),
    });
  }

  /** A machine that is busy with other tests may take longer than a client waits: the same bytes join what is under way. */
  async submit(node: number, id: string): Promise<Final> {
    for (;;) {
      const response = await this.post(node, id);
      const answer = { status: response.status, body: (await response.json()) as Final['body'] };
      if (answer.status !== 202 && answer.status !== 503) return answer;
    }
  }

  /** The receipt as this node has it, as soon as it has. */
  async find(node: number, digest: string): Promise<JsonObject> {
    const answer = await this.until(node, `/v1/submissions/${digest}`, ({ state }) => state === 'final');
    return answer.receipt as JsonObject;
  }

  async get(node: number, path: string): Promise<JsonObject> {
    return (await (await fetch(`${this.#cluster.api(node)}${path}`)).json()) as JsonObject;
  }

  /** The first answer that is as wanted. */
  async until(node: number, path: string, wanted: (answer: JsonObject) => boolean): Promise<JsonObject> {
    for (;;) {
      const answer = await this.get(node, path);
      if (wanted(answer)) return answer;
      await delay(AGAIN_MS);
    }
  }

  /** Ids in the ledger of a node, in its order. */
  async ids(node: number): Promise<string[]> {
    const ids: string[] = [];
    for (let from: number | null = 1; from !== null; ) {
      const page = await this.get(node, `/v1/ledger?from=${from}&limit=100`);
      for (const { entries } of page.blocks as { entries: { envelope: { id: string } }[] }[]) {
        for (const { envelope } of entries) ids.push(envelope.id);
      }
      from = page.next as number | null;
    }
    return ids;
  }
}

/** What the receipts of one submission have in common on all nodes. */
export function withoutCertificate({ certificate: _, chain: __, ...rest }: JsonObject): string {
  return canonicalize(rest);
}
