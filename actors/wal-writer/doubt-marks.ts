// The marks that keep a log in doubt over restarts (`*.suspect`, beside what was set aside). Called when the doubt is answered
// without a repair: the other validators have told this one where they are. It must never remove what was set aside.
import { join } from 'node:path';
import { type Files, syncDirectory } from './files.js';

/** Gives the marks other names, durably: the copies stay for whoever wants to know what was lost. */
export function answerDoubt(files: Files, directory: string, nowMs: number): void {
  const marks = files.readdirSync(directory).filter((name) => name.endsWith('.suspect'));
  for (const name of marks) files.renameSync(join(directory, name), join(directory, `${name}.answered-${nowMs}`));
  if (marks.length > 0) syncDirectory(files, directory);
}
