// One HTTP exchange with a node that may die in the middle of it. Called by the drills' client and by their checks.
// It never retries and never throws: what happened is the answer.
import { Agent, request } from 'node:http';

export interface Answered {
  readonly status: number;
  readonly text: string;
}

/** `lost`: the connection ended without an answer. `silent`: the node kept the connection open and said nothing. */
export type Exchange = Answered | { readonly status: 0; readonly text: 'lost' | 'silent' };

/** Far above any wait of the server's own: a node that lives has answered by then, if only with 202. */
const SILENCE_MS = 20_000;

/** Connections to one node. */
export class Connections {
  readonly #agent: Agent;
  readonly #host: string;
  readonly #port: number;

  constructor(url: string, most: number) {
    const { hostname, port } = new URL(url);
    this.#host = hostname;
    this.#port = Number(port);
    this.#agent = new Agent({ keepAlive: true, maxSockets: most, maxFreeSockets: most });
  }

  close(): void {
    this.#agent.destroy();
  }

  post(path: string, body: Uint8Array): Promise<Exchange> {
    return this.#exchange('POST', path, body);
  }

  get(path: string): Promise<Exchange> {
    return this.#exchange('GET', path, null);
  }

  #exchange(method: string, path: string, body: Uint8Array | null): Promise<Exchange> {
    return new Promise((resolve) => {
      const headers = body === null ? {} : { 'content-type': 'application/json', 'content-length': body.length };
      const options = { agent: this.#agent, host: this.#host, port: this.#port, method, path, headers };
      const sent = request({ ...options, timeout: SILENCE_MS }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => resolve(response.complete ? { status: response.statusCode!, text } : LOST));
        response.on('error', () => resolve(LOST));
        response.on('close', () => resolve(LOST));
      });
      sent.on('timeout', () => {
        resolve({ status: 0, text: 'silent' });
        sent.destroy();
      });
      sent.on('error', () => resolve(LOST));
      sent.end(body ?? undefined);
    });
  }
}

const LOST = { status: 0, text: 'lost' } as const;
