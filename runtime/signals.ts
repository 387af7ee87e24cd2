// What signals mean to the daemon. Called once each, by the daemon.

export interface SignalActions {
  reload(): void;
  stop(signal: string): void;
  /** A second stop signal: at once. */
  force(): void;
}

/** SIGUSR1 is taken, so that Node does not open its inspector on it. To be called before anything that takes time. */
export function closeInspectorSignal(): void {
  process.on('SIGUSR1', () => undefined);
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
}
