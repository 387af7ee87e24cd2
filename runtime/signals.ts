// What signals mean to the daemon. Called by the daemon, in two steps: taken at once, given their meaning when there is
// something to act on. No signal but a second stop may end the process in the middle of something.

export interface SignalActions {
  reload(): void;
  /** Writes down what the node is doing. */
  dump(): void;
  /** By a signal, or by the end of standard input where that was asked for. */
  stop(cause: string): void;
  /** A second stop signal: at once. */
  force(): void;
}

/**
 * Takes SIGHUP and SIGUSR2, which would end the process, before anything that takes time. What comes until the returned
 * function gives them a meaning is remembered, once each. TERM and INT end the process as long as nothing runs; USR1, which
 * would open Node's inspector, is taken by runtime/main.js before compiled code is loaded.
 *
 * `input`: the standard input whose end is a stop signal too; null: it is not looked at. A pipe ends when nobody holds its
 * other end any more, however that process died.
 */
export function takeSignals(input: NodeJS.ReadStream | null): (actions: SignalActions) => void {
  let actions: SignalActions | null = null;
  const early = new Set<'reload' | 'dump'>();
  const take = (signal: NodeJS.Signals, action: 'reload' | 'dump') => {
    process.on(signal, () => {
      if (actions === null) early.add(action);
      else actions[action]();
    });
  };
  take('SIGHUP', 'reload');
  take('SIGUSR2', 'dump');
  return (given) => {
    actions = given;
    stopOn(given, input);
    for (const action of early) given[action]();
  };
}

function stopOn({ stop, force }: SignalActions, input: NodeJS.ReadStream | null): void {
  let stopping = false;
  input?.on('error', () => undefined);
  input?.resume().once('close', () => {
    if (!stopping) stop('end of standard input');
    stopping = true;
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) force();
      else stop(signal);
      stopping = true;
    });
  }
}

/**
 * A reader of our output that has gone (EPIPE), or a terminal (EIO), is no reason to end. The log writes to the descriptor
 * itself and looks after its own errors; this is for Node's warnings and what workers print.
 */
export function surviveClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}
