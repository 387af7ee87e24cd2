// The logger of an actor's thread: what the kernel's worker bootstrap loads by its address. It writes to the same place
// as the main thread, whole lines, without going through it.
import { type LogSettings, type OpenLog, openLog } from './logs.js';

export default function actorLog(bindings: Readonly<Record<string, unknown>>, options: unknown): OpenLog {
  return openLog(options as LogSettings, bindings);
}
