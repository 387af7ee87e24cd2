// Bodies on their way in, by connection: whose is still arriving, and who was refused before its own had ended. Kept by the
// server, asked when node gives up on a connection: that has a socket, and no request any more.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type BodyDone, BodyTooLarge, readBody } from './bodies.js';

export class Arrivals {
  /** The request's id, for the answer to one that does not arrive in time. */
  readonly #arriving = new WeakMap<Socket, string>();
  /** These have their answer. */
  readonly #refused = new WeakSet<Socket>();

  /** Reads the body of a request, up to a limit. */
  read(request: IncomingMessage, requestId: string, limitBytes: number, done: BodyDone): void {
    const { socket } = request;
    this.#arriving.set(socket, requestId);
    readBody(request, limitBytes, (error, body) => {
      this.#arriving.delete(socket);
      if (error instanceof BodyTooLarge) {
        this.#refused.add(socket);
        request.once('end', () => this.#refused.delete(socket));
      }
      done(error, body);
    });
  }

  requestIdOf(socket: Socket): string | undefined {
    return this.#arriving.get(socket);
  }

  wasRefused(socket: Socket): boolean {
    return this.#refused.has(socket);
  }
}
