// The load generator: its own process, so that its CPU time is not the server's. Closed loop over raw keep-alive sockets
// with requests serialised beforehand. Forked by drive.ts, which sends one LoadPlan and receives one LoadReport.
// It must never retry or drop silently: what was not answered as planned is counted.
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { Histogram } from './histogram.js';
import { DRAIN_LIMIT_MS, type LoadPlan, type LoadReport, type ThreadCpu } from './load-plan.js';
import { type HostSample, type ProcessSample, sampleHost, sampleProcess } from './proc.js';
import { ResponseParser } from './response.js';

interface Connection {
  readonly socket: Socket;
  sentAtMs: number;
  busy: boolean;
  dead: boolean;
}

interface Sample {
  readonly atMs: number;
  readonly server: ProcessSample;
  readonly host: HostSample;
  readonly own: NodeJS.CpuUsage;
}

/** libuv reads and hands over in one go, so all connections share one read buffer. */
const READ_BUFFER_BYTES = 256 * 1024;

class Load {
  private readonly plan: LoadPlan;
  private readonly requests: readonly Buffer[];
  private readonly marker: Buffer;
  private readonly finish: (report: LoadReport) => void;
  private readonly connections: Connection[] = [];
  private readonly latency = new Histogram();
  private readonly statuses: Record<string, number> = {};
  private readonly errors: Record<string, number> = {};
  private phase: 'warm-up' | 'window' | 'drain' | 'over' = 'warm-up';
  private begin: Sample | null = null;
  private end: Sample | null = null;
  private sent = 0;
  private inFlight = 0;
  private completed = 0;
  private wrong = 0;
  private firstWrong: string | null = null;

  constructor(plan: LoadPlan, finish: (report: LoadReport) => void) {
    this.plan = plan;
    this.finish = finish;
    this.requests = serialise(plan);
    this.marker = Buffer.from(plan.marker);
  }

  async run(): Promise<void> {
    const shared = Buffer.allocUnsafe(READ_BUFFER_BYTES);
    await Promise.all(Array.from({ length: this.plan.connections }, () => this.open(shared)));
    if (this.plan.warmupMs === 0) this.beginWindow();
    else setTimeout(() => this.beginWindow(), this.plan.warmupMs);
    for (const connection of this.connections) this.next(connection);
  }

  private open(shared: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      const parser = new ResponseParser((status, body, close) => {
        this.answered(connection, status, body);
        if (close) this.lost(connection, 'the server closed a keep-alive connection');
        else this.next(connection);
      });
      const onread = {
        buffer: shared,
        callback: (size: number): boolean => {
          try {
            parser.push(shared.subarray(0, size));
          } catch (error) {
            this.lost(connection, String(error));
          }
          return true;
        },
      };
      const socket = connect({ host: this.plan.host, port: this.plan.port, noDelay: true, onread });
      const connection: Connection = { socket, sentAtMs: 0, busy: false, dead: false };
      this.connections.push(connection);
      socket.once('connect', resolve);
      socket.on('error', (error) => {
        reject(error);
        this.lost(connection, String(error));
      });
      socket.on('close', () => this.lost(connection, parser.midway ? 'cut in a response' : 'connection closed'));
    });
  }

  private next(connection: Connection): void {
    if (this.phase === 'drain' || this.phase === 'over' || connection.dead) return;
    const request = this.requests[this.sent];
    if (request === undefined) {
      if (this.inFlight === 0) this.endWindow();
      return;
    }
    this.sent += 1;
    this.inFlight += 1;
    connection.busy = true;
    connection.sentAtMs = performance.now();
    connection.socket.write(request);
  }

  private answered(connection: Connection, status: number, body: Buffer): void {
    if (!connection.busy) {
      this.count('an answer that nobody asked for');
      return;
    }
    connection.busy = false;
    this.inFlight -= 1;
    this.statuses[status] = (this.statuses[status] ?? 0) + 1;
    if (status !== this.plan.status || !body.includes(this.marker)) {
      this.wrong += 1;
      this.firstWrong ??= `${status} ${body.toString('utf8', 0, 400)}`;
    }
    if (this.phase === 'window') {
      this.completed += 1;
      this.latency.record((performance.now() - connection.sentAtMs) * 1000);
    } else if (this.phase === 'drain' && this.inFlight === 0) {
      this.conclude();
    }
  }

  private lost(connection: Connection, reason: string): void {
    if (connection.dead) return;
    connection.dead = true;
    connection.socket.destroy();
    if (this.phase === 'over') return;
    this.count(reason);
    if (connection.busy) {
      connection.busy = false;
      this.inFlight -= 1;
    }
    if (this.inFlight > 0) return;
    if (this.phase === 'drain') this.conclude();
    else if (this.sent > 0 && this.connections.every(({ dead }) => dead)) this.endWindow();
  }

  private count(error: string): void {
    this.errors[error] = (this.errors[error] ?? 0) + 1;
  }

  private beginWindow(): void {
    if (this.phase !== 'warm-up') return;
    this.phase = 'window';
    this.begin = this.sample();
    setTimeout(() => this.endWindow(), this.plan.durationMs).unref();
  }

  /** By the clock, or because the bodies are used up or every connection is lost (then possibly still warming up). */
  private endWindow(): void {
    if (this.phase === 'drain' || this.phase === 'over') return;
    this.begin ??= this.sample();
    this.phase = 'drain';
    this.end = this.sample();
    if (this.inFlight === 0) {
      this.conclude();
      return;
    }
    setTimeout(() => {
      if (this.phase === 'over') return;
      for (const { busy } of this.connections) if (busy) this.count(`no answer within ${DRAIN_LIMIT_MS} ms`);
      this.conclude();
    }, DRAIN_LIMIT_MS).unref();
  }

  private sample(): Sample {
    const server = sampleProcess(this.plan.serverPid);
    return { atMs: performance.now(), server, host: sampleHost(), own: process.cpuUsage() };
  }

  private conclude(): void {
    const { begin, end } = this;
    if (this.phase === 'over' || begin === null || end === null) return;
    this.phase = 'over';
    for (const { socket } of this.connections) socket.destroy();
    this.finish({
      elapsedMs: end.atMs - begin.atMs,
      completed: this.completed,
      latency: this.latency.data(),
      sent: this.sent,
      statuses: this.statuses,
      wrong: this.wrong,
      firstWrong: this.firstWrong,
      errors: this.errors,
      exhausted: this.sent === this.requests.length,
      serverThreads: threadsBetween(begin.server, end.server),
      loadCpuUs: end.own.user + end.own.system - begin.own.user - begin.own.system,
      hostBusyUs: end.host.busyUs - begin.host.busyUs,
      hostStealUs: end.host.stealUs - begin.host.stealUs,
      rssStartBytes: begin.server.rssBytes,
      rssEndBytes: end.server.rssBytes,
    });
  }
}

/** One buffer a request, head and body in one piece: one write, one packet. */
function serialise(plan: LoadPlan): Buffer[] {
  const lines = readFileSync(plan.bodiesFile);
  const requests: Buffer[] = [];
  let line = 0;
  for (let at = 0; at < lines.length && requests.length < plan.maxCount; line += 1) {
    const newline = lines.indexOf(10, at);
    const end = newline < 0 ? lines.length : newline;
    if (line >= plan.first) requests.push(serialiseOne(plan, lines.subarray(at, end)));
    at = end + 1;
  }
  return requests;
}

function serialiseOne(plan: LoadPlan, body: Buffer): Buffer {
  const head =
    `POST ${plan.path} HTTP/1.1\r\nHost: ${plan.host}:${plan.port}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

/** CPU time of each thread in the window. What a thread that ended meanwhile had used is not known and left out. */
function threadsBetween(begin: ProcessSample, end: ProcessSample): ThreadCpu[] {
  const before = new Map(begin.threads.map(({ tid, cpuUs }) => [tid, cpuUs]));
  return end.threads.map(({ tid, name, cpuUs }) => ({ tid, name, cpuUs: cpuUs - (before.get(tid) ?? 0) }));
}

process.once('message', (plan: LoadPlan) => {
  const load = new Load(plan, (report) => process.send?.(report));
  load.run().catch((error: unknown) => {
    process.stderr.write(`load generator: ${String(error)}\n`);
    process.exit(69);
  });
});
// The parent has the report, or is gone and nobody would read it.
process.once('disconnect', () => process.exit(0));
