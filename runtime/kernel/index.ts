// The public face of quorate/runtime: supervision for worker threads. For users of the package; inside the project
// each module is imported by its own name. It must re-export nothing that is not meant to be kept stable.
export { Batch, type BatchOptions, packBytes, unpackBytes } from './batch.js';
export { ManualClock, systemClock } from './clock.js';
export type * from './contract.js';
export { type CrashFilesOptions, crashFileNames, crashFiles } from './crash-files.js';
export { defineActor, defineSpec } from './define.js';
export type { CrashReport } from './flight-recorder.js';
export type { Host, HostEvents, Hosted } from './host.js';
export { threadHost } from './host-thread.js';
export { type SuperviseOptions, supervise } from './library.js';
export { MISDEEDS, type Misdeed } from './misdeeds.js';
export type { RestartSettings } from './restart.js';
export { restartDefaults } from './restart.js';
export type * from './supervisor-types.js';
export { ACTOR_ERRORS, ActorError, type ActorErrorCode } from './wire-error.js';
