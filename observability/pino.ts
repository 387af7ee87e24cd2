// pino, loaded as the CommonJS module that it is: Node would read through its text once more in every thread to import
// it. Called by whoever makes a logger. It must never set one up: levels and redaction are of logs.ts.
import { createRequire } from 'node:module';

export const { destination, pino, stdTimeFunctions } = createRequire(import.meta.url)('pino') as typeof import('pino');
