// `quorate start`: becomes the daemon. Called by dispatch.ts. The daemon has options of its own and reads them itself.

import { EXIT } from '../runtime/exit-codes.js';
import type { Command } from './command.js';
import { defineCommand } from './command.js';

const described = defineCommand({
  name: 'start',
  summary: 'run a node in this terminal',
  positionals: [],
  options: {},
  about: `
Runs a node until it is stopped (Ctrl-C or SIGTERM: it finishes what is in hand first). Without any option: development
mode, one validator, data in ./data, client API on 127.0.0.1:8080, ops on 127.0.0.1:9090, and a client key already
registered, so that "quorate submit" works at once. All options are those of the daemon: "quorate start --help".`,
  examples: [
    ['quorate start', 'a node on defaults'],
    ['quorate start --config /etc/quorate/quorate.yaml', 'as configured'],
    ['quorate start --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0', 'any free ports; run/endpoints.json names them'],
  ],
  exits: [
    [EXIT.ok.code, 'stopped cleanly'],
    [EXIT.internal.code, EXIT.internal.meaning],
    [EXIT.io.code, EXIT.io.meaning],
    [EXIT.running.code, EXIT.running.meaning],
    [EXIT.config.code, EXIT.config.meaning],
  ],
  run: async () => null,
});

export const startCommand: Command = {
  ...described,
  /** The daemon parses process.argv from its third word on: the word `start` has to go. */
  async execute(argv) {
    process.argv = [process.argv[0]!, process.argv[1]!, ...argv];
    // By address and not by name: the commands must not pull the daemon, and all it imports, into their own start.
    await import(new URL('../runtime/daemon.js', import.meta.url).href);
    return null;
  },
};
