// Micro benches of what happens to a body before its signature is checked: parse, canonical form, hash, prepare.
// Called by run.ts. JSON.parse stands beside the strict parser as its lower bound.
// It must never time the making of the bodies.
import { canonicalize } from '../../protocol/canonical.js';
import { sha256 } from '../../protocol/crypto/hash.js';
import { parseStrict } from '../../protocol/json.js';
import { prepareEnvelope } from '../../protocol/submission.js';
import type { Bench } from './harness.js';
import { cycle, makeSamples } from './samples.js';

export async function prepareStage(): Promise<readonly Bench[]> {
  const { bodies } = await makeSamples();
  const body = cycle(bodies);
  const value = cycle(bodies.map((bytes) => parseStrict(bytes)));
  return [
    { name: 'parse JSON.parse', run: () => JSON.parse(body().toString('utf8')) },
    { name: 'parse parseStrict', run: () => parseStrict(body()) },
    { name: 'canonical canonicalize', run: () => canonicalize(value()) },
    { name: 'hash sha256', run: () => sha256(body()) },
    { name: 'prepare prepareEnvelope', run: () => prepareEnvelope(body()) },
  ];
}
