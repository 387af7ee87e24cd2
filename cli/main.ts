// Entry of the CLI: the process around dispatch.ts. Called by the launcher runtime/main.js when the first word is a command.
// It sets the exit code and lets the process end by itself: process.exit would cut off output that a pipe has not taken yet.
import { EXIT } from '../runtime/exit-codes.js';
import { dispatch } from './dispatch.js';
import { processTerminal } from './output.js';

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader has what it wanted: `quorate … | head`.
  if (error.code === 'EPIPE') process.exit(EXIT.ok.code);
  throw error;
});

const code = await dispatch(process.argv.slice(2), processTerminal());
if (code !== null) process.exitCode = code;
