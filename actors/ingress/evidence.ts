// Evidence against validators as this node has proved it: kept for whoever asks, and put forward in the ledger. Filled by
// consensus, which tells all it has to each new ingress. It must never take a document from anybody else: it verifies nothing.
import type { Accuser } from './accuser.js';

/** Consensus keeps 8 against a validator (CONSENSUS.md 1.9), and a chain has at most 128. */
const DOCUMENTS_MAX = 1_024;

export class EvidenceBook {
  readonly #accuser: Pick<Accuser, 'accuse'>;
  /** Canonical texts, oldest first. */
  readonly #documents = new Set<string>();

  constructor(accuser: Pick<Accuser, 'accuse'>) {
    this.#accuser = accuser;
  }

  /** `documents` are canonical texts of what evidenceToJson makes. Those that are known are left alone. */
  add(documents: readonly string[]): void {
    for (const document of documents) {
      if (this.#documents.size < DOCUMENTS_MAX) this.#documents.add(document);
      const { signer } = JSON.parse(document) as { signer: string };
      this.#accuser.accuse(signer, 'ProtocolEquivocation', Buffer.from(document));
    }
  }

  /** Body of `GET /v1/evidence`. */
  text(): string {
    return `{"evidence":[${[...this.#documents].join(',')}]}`;
  }
}
