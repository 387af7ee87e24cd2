// Why a port could not be opened, in words that name setting, cause and remedy, with the exit code. Called by whoever
// opens a listener of the node. Pure; what it does not know it leaves to the caller.

export interface ListenRefusal {
  /** EX_UNAVAILABLE, EX_NOPERM or EX_CONFIG. */
  readonly exitCode: 69 | 77 | 78;
  readonly reason: string;
}

/** @param flag `--listen` or `--ops-listen` @param address HOST:PORT as configured */
export function listenRefusal(error: unknown, flag: string, address: string): ListenRefusal | null {
  const place = `${flag} ${address}`;
  switch ((error as { code?: unknown }).code) {
    case 'EADDRINUSE': {
      const reason = `${place}: another program holds this port. Stop it, or choose another: ${flag} HOST:PORT.`;
      return { exitCode: 69, reason };
    }
    case 'EACCES': {
      const reason = `${place}: this user may not open this port. Choose one over 1023, or grant CAP_NET_BIND_SERVICE.`;
      return { exitCode: 77, reason };
    }
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return { exitCode: 78, reason: `${place}: this machine has no such address. Choose one that it has.` };
    default:
      return null;
  }
}
