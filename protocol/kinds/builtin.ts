// The kinds every node knows without configuration.
// Looked up by ledger apply and by admission, before the operator's kinds of the registry.
// Must never depend on configuration: which kinds are built in is part of the protocol version.
import { accusation } from './accusation.js';
import type { Kind } from './kind.js';
import { note } from './note.js';
import { observation } from './observation.js';
import { pcs } from './pcs.js';

export const builtinKinds: ReadonlyMap<string, Kind> = new Map(
  [note, pcs, observation, accusation].map((kind) => [kind.name, kind]),
);
