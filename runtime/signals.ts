// What signals mean to the daemon. SIGUSR1 is taken so that Node does not open its inspector on it. Called once.

export interface SignalActions {
  reload(): void;
  stop(signal: string): void;
  /** A second stop signal: at once. */
  force(): void;
}

export function handleSignals(actions: SignalActions): void {
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) actions.force();
      else actions.stop(signal);
      stopping = true;
    });
  }
  process.on('SIGHUP', () => actions.reload());
  process.on('SIGUSR1', () => undefined);
}
