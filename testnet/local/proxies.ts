// The wires between the nodes of a local cluster: every node finds every other one through a TCP proxy of its own, and a
// drill stops what flows in one direction or in both. Called by drills. It must never change a byte, only hold it up.
import { createConnection, createServer, type Server, type Socket } from 'node:net';

const HOST = '127.0.0.1';

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/** One direction of dialling: connections that `from` opens to `to`. */
class Wire {
  readonly from: number;
  readonly to: number;
  readonly #server: Server;
  readonly #wires = new Set<Pair>();
  readonly #blocked: (from: number, to: number) => boolean;

  constructor(from: number, to: number, port: number, blocked: (from: number, to: number) => boolean) {
    this.from = from;
    this.to = to;
    this.#blocked = blocked;
    this.#server = createServer((client) => this.#connect(client, port));
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(0, HOST, resolve);
    });
    return (this.#server.address() as { port: number }).port;
  }

  /** Lets flow what may flow now, and holds up the rest. */
  apply(): void {
    for (const wire of this.#wires) this.#applyTo(wire);
  }

  close(): void {
    this.#server.close();
    for (const { client, server } of this.#wires) {
      client.destroy();
      server.destroy();
    }
  }

  #connect(client: Socket, port: number): void {
    const server = createConnection({ host: HOST, port });
    const wire = { client, server };
    this.#wires.add(wire);
    const end = (): void => {
      client.destroy();
      server.destroy();
      this.#wires.delete(wire);
    };
    for (const socket of [client, server]) socket.setNoDelay(true).on('error', end).on('close', end);
    client.on('data', (bytes) => server.write(bytes));
    server.on('data', (bytes) => client.write(bytes));
    this.#applyTo(wire);
  }

  #applyTo({ client, server }: Pair): void {
    if (this.#blocked(this.from, this.to)) client.pause();
    else client.resume();
    if (this.#blocked(this.to, this.from)) server.pause();
    else server.resume();
  }
}

export class Wires {
  readonly #proxies: Wire[] = [];
  readonly #blocked = new Set<string>();

  /** Where `from` finds `to`, whose listener is at `port`. */
  async add(from: number, to: number, port: number): Promise<{ readonly host: string; readonly port: number }> {
    const proxy = new Wire(from, to, port, (one, other) => this.#blocked.has(`${one} ${other}`));
    this.#proxies.push(proxy);
    return { host: HOST, port: await proxy.listen() };
  }

  /** From now on nothing that `from` says reaches `to`; it waits, as on a network that loses every packet. */
  block(from: number, to: number): void {
    this.#blocked.add(`${from} ${to}`);
    for (const proxy of this.#proxies) proxy.apply();
  }

  heal(): void {
    this.#blocked.clear();
    for (const proxy of this.#proxies) proxy.apply();
  }

  close(): void {
    for (const proxy of this.#proxies) proxy.close();
  }
}
