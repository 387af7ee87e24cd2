// ajv, loaded as the CommonJS module that it is: Node would read through its text once more in every thread to import it.
// Called by whoever checks a file of the configuration. It must never set one up: what a schema allows is its caller's.
import { createRequire } from 'node:module';

export const { Ajv } = createRequire(import.meta.url)('ajv') as typeof import('ajv');
