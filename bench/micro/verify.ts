// Micro benches of Ed25519 on both back ends. Called by run.ts.
// It must never time a verification that failed: each verdict is checked.
import { type Ed25519Backend, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { prepareEnvelope } from '../../protocol/submission.js';
import type { Bench } from './harness.js';
import { cycle, makeSamples } from './samples.js';

const BACKENDS: readonly Ed25519Backend[] = ['sodium-native', 'libsodium-wrappers'];

export async function verifyStage(): Promise<readonly Bench[]> {
  const { bodies, publicKey, secretKey } = await makeSamples();
  const prepared = bodies.map((body) => prepareEnvelope(body));
  const benches: Bench[] = [];
  for (const wanted of BACKENDS) {
    const ed25519 = await loadEd25519(wanted);
    if (ed25519.backend !== wanted) continue; // Not on this platform: the other one is measured once.
    const next = cycle(prepared);
    benches.push(
      {
        name: `verify ${wanted}`,
        run: () => {
          const { signature, signedBytes } = next();
          if (!ed25519.verify(signature, signedBytes, publicKey)) throw new Error('a good signature was refused');
          return true;
        },
      },
      { name: `sign ${wanted}`, run: () => ed25519.sign(next().signedBytes, secretKey) },
    );
  }
  return benches;
}
