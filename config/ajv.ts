// ajv, loaded as the CommonJS module that it is: Node would read through its text once more in every thread to import it.
// Called by whoever checks a file of the configuration. It must never hold a schema: those are its callers'.
import { createRequire } from 'node:module';
import type { Ajv as Compiler } from 'ajv';

const { Ajv } = createRequire(import.meta.url)('ajv') as typeof import('ajv');

/**
 * A compiler that finds every problem of a file, with the data that has it. It throws for a schema with an unknown keyword
 * or a keyword of the wrong type; to hold the schema, which is ours, to the schema of schemas and to shorten the compiled
 * code would take as long at every start as all else here.
 */
export function schemaCompiler(): Compiler {
  return new Ajv({
    allErrors: true,
    strict: true,
    allowUnionTypes: true,
    verbose: true,
    meta: false,
    validateSchema: false,
    code: { optimize: false },
  });
}
