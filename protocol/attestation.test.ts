// The attestation's bytes are signed by home nodes and kept in the ledger: they change only with their domain string.
import { Buffer } from 'node:buffer';
import test from 'ava';
import { attest, attestationBytes, attestationHolds, attestationJson, readAttestation } from './attestation.js';
import { loadEd25519 } from './crypto/ed25519.js';
import type { JsonObject } from './json.js';
import { Mistakes } from './shape.js';

const ed25519 = await loadEd25519();
const home = ed25519.keyPair(Buffer.alloc(32, 5));
const chainId = 'c1'.repeat(32);
const body = Buffer.alloc(32, 0xb0);
const claim = { issuer: 'hmac', keyId: 'h1', nodeId: 'node_0', timeMs: 1_795_176_000_000 };
const attestation = attest(ed25519, home.secretKey, chainId, body, claim);

test('conformance: signed bytes and signature of an attestation', (t) => {
  t.is(
    attestationBytes(chainId, body, claim).toString(),
    `quorate/attestation/1\n{"body":"${'b0'.repeat(32)}","chain_id":"${chainId}","issuer":"hmac","key_id":"h1",` +
      '"node_id":"node_0","time_ms":1795176000000}',
  );
  t.is(
    attestation.signature.toString('base64'),
    'vfmVoYik5wzRB+7eu91vOKIeKEKIyi80IXwgifl7BTaetv5uM2dhdPFKIMttgBQv+50iWmV6QQcXyROIO6rgAQ==',
  );
});

test('it holds for what was attested and for nothing else', (t) => {
  const holds = (change: object = {}, chain = chainId, ofBody = body): boolean =>
    attestationHolds(ed25519, home.publicKey, chain, ofBody, { ...attestation, ...change });
  t.true(holds());
  t.false(holds({ issuer: 'dev' }));
  t.false(holds({ keyId: 'h2' }));
  t.false(holds({ nodeId: 'node_1' }));
  t.false(holds({ timeMs: claim.timeMs + 1 }));
  t.false(holds({ signature: Buffer.alloc(64) }));
  t.false(holds({}, 'c2'.repeat(32)));
  t.false(holds({}, chainId, Buffer.alloc(32)));
});

test('its JSON form is read back, and everything wrong with one is named', (t) => {
  const read = (value: JsonObject): string[] => {
    const mistakes = new Mistakes();
    const result = readAttestation(value, '/attestation', mistakes);
    if (mistakes.errors.length === 0) t.deepEqual(result, attestation);
    return mistakes.errors.map(({ pointer }) => pointer);
  };
  const json = attestationJson(attestation);
  t.deepEqual(read(json), []);
  t.deepEqual(read({ ...json, time_ms: -1, signature: 'AAAA', more: 1 }), [
    '/attestation/more',
    '/attestation/time_ms',
    '/attestation/signature',
  ]);
});
