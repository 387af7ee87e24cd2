// The client connections of one HTTP server: their limits, which a reload may change, and their orderly end. Used by the
// actor. A stop must wait for every answer that is owed, and for nothing else.
import type { Server } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import type { QuorateConfig } from '../../config/schema.js';

/** Node's default for the headers; it may not be above the limit of the whole request. */
const HEADERS_TIMEOUT_MS = 60_000;
/** How often a drain looks for connections that have become idle. */
const IDLE_SWEEP_MS = 20;

export class Connections {
  readonly #server: Server;
  /** Sockets that have sent nothing yet; node counts them as busy until their request is overdue. */
  readonly #silent = new Set<Socket>();

  constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket: Socket) => {
      this.#silent.add(socket);
      const forget = (): void => void this.#silent.delete(socket);
      socket.once('close', forget);
    });
    server.on('request', ({ socket }) => this.#silent.delete(socket));
  }

  limit({ connections_max: connectionsMax, server_timeout_ms: timeoutMs }: QuorateConfig['limits']): void {
    this.#server.maxConnections = connectionsMax;
    this.#server.headersTimeout = Math.min(HEADERS_TIMEOUT_MS, timeoutMs);
    this.#server.requestTimeout = timeoutMs;
  }

  /** Refuses new connections and ends those that owe nothing; resolves when the last answer is on its way. */
  async drain(): Promise<void> {
    // Not the HTTP server's own close: that one ends idle connections at once, and with them the requests that have
    // arrived and were not read yet.
    const ended = new Promise<void>((resolve) => {
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
    await everythingRead();
    for (const socket of this.#silent) if (socket.bytesRead === 0) socket.destroy();
    const sweep = setInterval(() => this.#server.closeIdleConnections(), IDLE_SWEEP_MS);
    await ended;
    clearInterval(sweep);
  }
}

/** Two turns: between them the event loop has read every socket that had something to read. */
async function everythingRead(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
}
