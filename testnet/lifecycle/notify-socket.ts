// A service manager's notification socket for tests: Perl receives, for Node has no datagrams on Unix sockets. Called by
// service-manager.test.ts. It answers nothing, and closes the descriptors that systemd-notify's barrier sends.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

const SCRIPT = `
use Socket;
socket(my $socket, PF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
my $name = $ARGV[0];
$name =~ s/^@/\\0/;
bind($socket, pack_sockaddr_un($name)) or die "bind: $!";
$| = 1;
print "bound\\n";
while (defined recv($socket, my $datagram, 65536, 0)) {
  $datagram =~ s/\\n/\\t/g;
  print "$datagram\\n";
}`;

/** Whether this machine has what the tests take: Debian has both, other systems may not. */
export function canReceive(): boolean {
  const works = (command: string, ...args: string[]) => spawnSync(command, args).status === 0;
  return process.platform === 'linux' && works('perl', '-MSocket', '-e', '1') && works('systemd-notify', '--version');
}

/** Assignments of one datagram by name; a barrier is left out. */
export type Datagram = Readonly<Record<string, string>>;

export class NotifySocket {
  readonly name: string;
  readonly #child: ChildProcess;
  #output = '';

  private constructor(name: string) {
    this.name = name;
    this.#child = spawn('perl', ['-e', SCRIPT, name], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
  }

  /** @param name a path, or `@name` in the abstract namespace. */
  static async bind(name: string): Promise<NotifySocket> {
    const socket = new NotifySocket(name);
    while (!socket.#output.startsWith('bound\n')) await once(socket.#child.stdout!, 'data');
    return socket;
  }

  get datagrams(): readonly Datagram[] {
    const lines = this.#output.split('\n').slice(1, -1);
    return lines
      .filter((line) => line !== 'BARRIER=1')
      .map((line) => {
        const pairs = line.split('\t').map((assignment) => {
          const equals = assignment.indexOf('=');
          return [assignment.slice(0, equals), assignment.slice(equals + 1)];
        });
        return Object.fromEntries(pairs) as Datagram;
      });
  }

  /** Without those that say nothing but that the node lives. */
  get news(): readonly Datagram[] {
    return this.datagrams.filter((datagram) => Object.keys(datagram).some((name) => name !== 'WATCHDOG'));
  }

  get pings(): number {
    return this.datagrams.filter(({ WATCHDOG }) => WATCHDOG === '1').length;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill();
    await once(this.#child, 'exit');
  }
}
