// Makes the logger of one actor's thread from settings that crossed to it as plain data. Loaded by the worker
// bootstrap by its module URL, hence the default export. It must never be imported by the main thread's code.
import type { Logger } from 'pino';
import { type LogSettings, openLog } from './logs.js';

/** `bindings` are {actor, incarnation}; `settings` are LogSettings. */
export default function createActorLog(bindings: Readonly<Record<string, unknown>>, settings: LogSettings): Logger {
  return openLog(settings, bindings).log;
}
