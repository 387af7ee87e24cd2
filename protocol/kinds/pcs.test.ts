// PCS: the published golden vectors byte for byte, the number rule against Python, and the verdicts of FORMATS C7.
import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import test from 'ava';
import fc from 'fast-check';
import { loadEd25519 } from '../crypto/ed25519.js';
import { sha256, sha256Hex } from '../crypto/hash.js';
import { hmacSha256 } from '../crypto/hmac.js';
import { SignatureFormatError } from '../envelope.js';
import { JsonError, type JsonObject, type JsonValue } from '../json.js';
import { preparePcs, signatureInput } from '../submission.js';
import { ShapeError } from './kind.js';
import { asPcs, classifyRegime, expectedBudget, MAX_SCALES, pcs, pcsId, pcsSignedBytes, recomputeDHat } from './pcs.js';
import { pythonFloat, pythonString, round9 } from './pcs-number.js';

const golden = (name: string) => readFileSync(new URL(`../../../protocol/kinds/golden/${name}`, import.meta.url));
const g1 = JSON.parse(golden('g1.json').toString()) as JsonObject;
const g2 = JSON.parse(golden('g2.json').toString()) as JsonObject;
const t1 = JSON.parse(golden('t1.json').toString()) as JsonObject;
const KEY = Buffer.from('testsecret');
const backends = [await loadEd25519('sodium-native'), await loadEd25519('libsodium-wrappers')];
const RFC8032_SEED = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');

const body = (payload: JsonObject) => Buffer.from(JSON.stringify(payload));
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

test('IN-4: G1, every published and derived value', (t) => {
  const prepared = preparePcs(golden('g1.json'));
  t.is(
    prepared.signedBytes.toString(),
    '{"D_hat":0.528320834,"budget":0.317807017,"coh_star":0.066666667,"epoch":1,"merkle_root":"e966b52c992aefad3c3d0196db02554f30d10d55e8a6e5e3038f88e79e414112","pcs_id":"c50bb25a7aff94164147b73c846f0e5e10890d75df204875ca70c448f52c6edf","r":0.318421053,"shard_id":"test-shard-001"}',
  );
  t.is(prepared.signedBytes.length, 276);
  t.is(prepared.digest.toString('hex'), '0d93c78c52abc092e8add45b35ea22ea0b84b53e502bcfe5427dbce52d780008');
  t.is(prepared.id, 'c50bb25a7aff94164147b73c846f0e5e10890d75df204875ca70c448f52c6edf');
  t.is(prepared.id, pcsId(String(g1.merkle_root), 1, 'test-shard-001'));
  const direct = hmacSha256(KEY, signatureInput(prepared, 'hmac-sha256', 'direct'));
  t.is(base64(direct), 'x5KLRpKb75Oy1oxLA+3V+bgY/HL/3ZYOk1rw3pCiSm4=');
  t.deepEqual(prepared.signature, direct, 'the published signature verifies');
  const digest = hmacSha256(KEY, signatureInput(prepared, 'hmac-sha256', 'digest'));
  t.is(base64(digest), 'ie8rdnp+3qXnlMVyHmSdjFT3Unk6sZmoVxun71x2/X4=');
  for (const { keyPair, sign, verify } of backends) {
    const { publicKey, secretKey } = keyPair(RFC8032_SEED);
    const signature = sign(signatureInput(prepared, 'ed25519'), secretKey);
    t.is(base64(signature), 'fpTtsAPU/4+XyRr/IuP37pBB0TG0+rPd/7eUhWXRVuTqFkpHQKTYQbkGRxGzJtoEL4rX3JdHXiz2WZdghDudAA==');
    const resigned = preparePcs(body({ ...g1, sig: base64(signature) }));
    t.true(verify(resigned.signature, signatureInput(resigned, 'ed25519'), publicKey));
    t.false(verify(resigned.signature, resigned.signedBytes, publicKey), 'never over the bytes themselves');
  }
  t.like(prepared, { kind: 'pcs', issuer: '', issuedAtMs: null, alg: null });
});

test('IN-4: G2 keeps the .0 that JSON.parse loses', (t) => {
  const prepared = preparePcs(golden('g2.json'));
  t.is(prepared.signedBytes.length, 260);
  t.true(prepared.signedBytes.toString().startsWith('{"D_hat":1.0,"budget":0.349073359,"coh_star":0.2,"epoch":1,'));
  t.is(prepared.digest.toString('hex'), '18d1c25612e705e714d739fbf91345681d0960247a3458df4cbb0ffb5784c176');
  t.is(prepared.id, pcsId(String(g2.merkle_root), 1, 'test-shard-001'));
  t.is(base64(hmacSha256(KEY, prepared.signedBytes)), 'wahFdOY1XKgg9WTr5UTpryZTviM5zay5VMHcrzHH5hE=');
  t.is(base64(prepared.signature), 'wahFdOY1XKgg9WTr5UTpryZTviM5zay5VMHcrzHH5hE=');
  t.is(base64(hmacSha256(KEY, prepared.digest)), 't26vRWEJjtCWytzmkEkdCG/EX4FIJfVYEMJx60qh7Bs=');
  const integral = preparePcs(Buffer.from(golden('g2.json').toString().replace('"D_hat": 1.0', '"D_hat": 1')));
  t.deepEqual(integral.signedBytes, prepared.signedBytes, 'written as 1 or 1.0, it is the same float');
});

/** The subset under the number rules that are not ours. */
function otherRule(payload: JsonObject, float: (value: number) => string): Buffer {
  const p = asPcs(payload);
  const numbers = `"D_hat":${float(p.D_hat)},"budget":${float(p.budget)},"coh_star":${float(p.coh_star)},"epoch":${p.epoch}`;
  const names = `"merkle_root":"${p.merkle_root}","pcs_id":"${p.pcs_id}","r":${float(p.r)},"shard_id":"${p.shard_id}"`;
  return Buffer.from(`{${numbers},${names}}`);
}
const ruleB = (value: number) => value.toFixed(9);
const ruleC = (value: number) => String(value);

/** vector | rule | bytes | SHA-256 | direct | digest: FORMATS C5. */
const OTHER_RULES = [
  [
    'G2',
    g2,
    ruleC,
    258,
    '360d7dcd5f7d335b3dfb69a4b3714611fad345d94672acd0c3b486948eca63e6',
    'NpH2VEB4U9bqk91LZzhyr9wqiv9qEL8w7mEVHEQLfTs=',
    '3Uon27uijVDh3DhMs6v5uon/577G5Zpvh8VNFJB44Zs=',
  ],
  [
    'G2',
    g2,
    ruleB,
    276,
    'f2aa9d316b610a3df057eb390cddf993f2cc6deafaec88b33d28945dcbe7a434',
    'aKrupaM2nehQhqKogtoouPGbXGNqocJUaLyX8/Rm/wI=',
    'U8Vcc0yjH3sb08rXxkrh49M6EkHHiGrojolPHQHfFVQ=',
  ],
  [
    'T1',
    t1,
    ruleB,
    202,
    '15da4484d28930e7b1a43fd707c79d2af81811557f0173da7a2b79c1ee2781b7',
    'i5Q0UjUSbSnpB2F0Phb6TNtojA4Ancad3GiBFL+l7iQ=',
    'jx7R5mscq7kEYqP/zJcn7ojdupUb/XfbFIpEoADzbzU=',
  ],
] as const;

for (const [name, payload, rule, length, digest, direct, overDigest] of OTHER_RULES) {
  test(`IN-4: ${name} under rule ${rule === ruleB ? 'b (fixed 9 decimals)' : 'c (native)'} is known, and is not what we sign`, (t) => {
    const other = otherRule(payload, rule);
    t.is(other.length, length);
    t.is(sha256Hex(other), digest);
    t.is(base64(hmacSha256(KEY, other)), direct);
    t.is(base64(hmacSha256(KEY, sha256(other))), overDigest);
    t.notDeepEqual(pcsSignedBytes(asPcs(payload)), other);
  });
}

test('IN-4: G1 has the same bytes under all three rules', (t) => {
  t.deepEqual(otherRule(g1, ruleB), pcsSignedBytes(asPcs(g1)));
  t.deepEqual(otherRule(g1, ruleC), pcsSignedBytes(asPcs(g1)));
});

test('IN-4: T1 lacks fields of a PCS (400); completed, its placeholder id is a structure verdict (202)', (t) => {
  const error = t.throws(() => preparePcs(body({ ...t1, sig: g1.sig as JsonValue })), { instanceOf: ShapeError });
  t.deepEqual(
    error?.errors.map(({ pointer }) => pointer),
    ['/schema', '/version', '/scales', '/N_j', '/regime'],
  );
  const { outcome } = judged({ ...g1, ...t1 });
  t.like(outcome, { accepted: false, escalated: true, status: 202, pcs_id: 'sha256_abc123def456' });
  t.regex(String(outcome.reason), /^structure: pcs_id/);
});

test('floats print and round as Python does, 318 values', (t) => {
  const lines = golden('python-numbers.txt').toString().trim().split('\n').slice(1);
  t.is(lines.length, 318);
  for (const line of lines) {
    const [input, rounded] = line.split('\t') as [string, string];
    t.is(pythonFloat(Number(input)), input, `repr ${input}`);
    t.is(pythonFloat(round9(Number(input))), rounded, `round9 ${input}`);
  }
});

test('round9: at most 9 decimals, within half a unit, odd, and idempotent', (t) => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (x) => {
      const rounded = round9(x);
      t.is(round9(rounded), rounded);
      t.is(round9(-x), -rounded);
      t.true(Math.abs(rounded - x) <= 0.5e-9 + Math.abs(x) * 2 ** -52);
      t.is(Number(pythonFloat(x)), x);
    }),
    { numRuns: 2000 },
  );
});

test('strings are written in ASCII, as json.dumps writes them', (t) => {
  t.is(
    pythonString('a"b\\/\b\f\n\r\t\0\x1f\x7f é€\u{1f600}\u2028'),
    '"a\\"b\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\\u007f \\u00e9\\u20ac\\ud83d\\ude00\\u2028"',
  );
  t.regex(pcsSignedBytes(asPcs({ ...g1, shard_id: 'é' })).toString(), /"shard_id":"\\u00e9"}$/);
});

function judged(payload: JsonObject): { outcome: JsonObject } {
  const verdict = pcs.check(payload);
  if (!verdict.ok) throw new Error(JSON.stringify(verdict.errors));
  return verdict;
}

/** A PCS with its id recomputed. */
function changed(changes: JsonObject): JsonObject {
  const payload = { ...g1, ...changes };
  return { ...payload, pcs_id: pcsId(String(payload.merkle_root), Number(payload.epoch), String(payload.shard_id)) };
}

test('IN-4: both golden PCS are accepted', (t) => {
  t.deepEqual(judged(g1).outcome, {
    accepted: true,
    escalated: false,
    pcs_id: g1.pcs_id as string,
    status: 200,
    recomputed_D_hat: 0.528320834,
    recomputed_budget: 0.317807017,
  });
  t.like(judged(g2).outcome, {
    accepted: true,
    escalated: false,
    status: 200,
    recomputed_D_hat: 1,
    recomputed_budget: 0.349073359,
  });
});

/** What is changed in G1 | accepted | the reason begins with | recomputed values told */
const VERDICTS: readonly (readonly [
  changes: JsonObject,
  accepted: boolean,
  reason: RegExp,
  told: readonly string[],
])[] = [
  [{ schema: 'fractal' }, false, /^structure: schema is the string "fractal"/, []],
  [{ version: '0.2' }, false, /^structure: version/, []],
  [{ shard_id: '' }, false, /^structure: shard_id is empty/, []],
  [{ epoch: -1 }, false, /^structure: epoch is -1/, []],
  [{ scales: [] }, false, /^structure: scales is empty/, []],
  [{ merkle_root: '' }, false, /^structure: merkle_root is empty/, []],
  [{ scales: [2] }, false, /^D_hat cannot be recomputed: at least 2 scales/, []],
  [{ scales: [2, 2] }, false, /^D_hat cannot be recomputed: all scales are equal/, []],
  [{ scales: [0, 2] }, false, /^D_hat cannot be recomputed: scale 0 is not positive/, []],
  [{ scales: [2, 32] }, false, /^D_hat cannot be recomputed: N_j has no scale 32/, []],
  [{ N_j: { '2': 0, '4': 1, '8': 1, '16': 1 } }, false, /^D_hat cannot be recomputed: N_j at scale 2/, []],
  [{ N_j: { '2': 5, '4': 5, '8': 5, '16': 5 } }, false, /^D_hat: claimed 0.528320834, recomputed 0,/, []],
  [{ D_hat: 0.678320835 }, false, /^D_hat: claimed 0.678320835, recomputed 0.528320834/, ['recomputed_D_hat']],
  [{ coh_star: -0.001 }, false, /^coh_star: claimed -0.001/, ['recomputed_D_hat']],
  [{ coh_star: 1.0500001 }, false, /^coh_star/, ['recomputed_D_hat']],
  [
    { regime: 'sticky' },
    true,
    /^regime: claimed the string "sticky", expected mixed/,
    ['recomputed_D_hat', 'recomputed_budget'],
  ],
  [
    { coh_star: 0.7 },
    true,
    /^regime: claimed the string "mixed", expected sticky/,
    ['recomputed_D_hat', 'recomputed_budget'],
  ],
  [{ budget: 0.33 }, true, /^budget: claimed 0.33, recomputed 0.317807017/, ['recomputed_D_hat', 'recomputed_budget']],
];

for (const [changes, accepted, reason, told] of VERDICTS) {
  test(`IN-4: ${JSON.stringify(changes)} is ${accepted ? 'accepted and escalated' : 'rejected and escalated'} with 202`, (t) => {
    const { outcome } = judged(changed(changes));
    t.like(outcome, { accepted, escalated: true, status: 202 });
    t.regex(String(outcome.reason), reason);
    t.deepEqual(
      Object.keys(outcome).filter((name) => name.startsWith('recomputed')),
      [...told],
    );
  });
}

test('IN-4: tolerances are inclusive on the good side', (t) => {
  t.like(judged(changed({ D_hat: 0.678 })).outcome, { accepted: true, status: 200 });
  t.like(judged(changed({ budget: 0.3278 })).outcome, { accepted: true, status: 200 });
  t.like(judged(changed({ coh_star: 1.05, regime: 'sticky', budget: 0.514473684 })).outcome, {
    accepted: true,
    status: 200,
  });
});

test('IN-4: the id is checked before anything is computed', (t) => {
  const { outcome } = judged({ ...g1, epoch: 2, scales: [], merkle_root: 'x' });
  t.regex(String(outcome.reason), /^structure: scales/);
  t.regex(String(judged({ ...g1, epoch: 2 }).outcome.reason), /^structure: pcs_id .* recomputed [0-9a-f]{64}$/);
});

test('Theil–Sen takes the upper median of all pairs', (t) => {
  // Slopes of y = 1, 2, 4 over x = 1, 2, 3: 1, 1.5, 2.
  t.is(recomputeDHat([2, 4, 8], { '2': 2, '4': 4, '8': 16 }), 1.5);
  // y = 1, 2, 4, 8 over x = 1, 2, 3, 4: 1, 1.5, 2, 7/3, 3, 4; element 3 of 6.
  t.is(recomputeDHat([2, 4, 8, 16], { '2': 2, '4': 4, '8': 16, '16': 256 }), 2.333333333);
  t.is(recomputeDHat([16, 8, 4, 2], { '2': 2, '4': 4, '8': 16, '16': 256 }), 2.333333333, 'order does not matter');
  t.is(recomputeDHat([4, 4, 8], { '4': 4, '8': 8 }), 1, 'equal scales make no pair');
  t.is(recomputeDHat([2, 4], JSON.parse('{"2":4,"4":2,"__proto__":1}') as Record<string, number>), -1);
  t.regex(String(recomputeDHat([2, 4], { '2': 4 })), /no scale 4/);
});

test('regimes and budget at their edges', (t) => {
  t.is(classifyRegime(1.5, 0.7), 'sticky');
  t.is(classifyRegime(1.500000001, 0.7), 'mixed');
  t.is(classifyRegime(1.5, 0.699999999), 'mixed');
  t.is(classifyRegime(2.6, 0), 'non_sticky');
  t.is(classifyRegime(2.599999999, 1), 'mixed');
  t.is(expectedBudget(2.2, 0, 1), 0.1);
  t.is(expectedBudget(3.2, 0, 1), 0.6);
  t.is(expectedBudget(0, 0, 0), 0.4);
  t.is(expectedBudget(5, 1, 0), 1);
  t.is(expectedBudget(0, 0, 9), 0);
});

/** A changed member of G1 (undefined = left out) that makes it no PCS at all. */
const NO_PCS: readonly (readonly [name: string, value: JsonValue | undefined])[] = [
  ...[
    'pcs_id',
    'schema',
    'version',
    'shard_id',
    'epoch',
    'scales',
    'N_j',
    'coh_star',
    'D_hat',
    'r',
    'regime',
    'budget',
    'merkle_root',
  ].map((name) => [name, undefined] as const),
  ['pcs_id', ''],
  ['pcs_id', 'a b'],
  ['pcs_id', 'a'.repeat(129)],
  ['epoch', 1.5],
  ['epoch', '1'],
  ['epoch', 2 ** 53],
  ['D_hat', '1.0'],
  ['D_hat', null],
  ['scales', '2,4'],
  ['scales', [2, 4.5]],
  ['scales', Array.from({ length: MAX_SCALES + 1 }, (_, i) => i + 1)],
  ['N_j', [5, 10]],
  ['N_j', { '2': '5' }],
  ['N_j', null],
  ['regime', 1],
  ['attempt', 'one'],
  ['sent_at', 0],
  ['seed', 0.5],
  ['seed', 1e19],
  ['v_star', [1, 2]],
  ['ft', []],
];

for (const [name, value] of NO_PCS) {
  test(`IN-4: 400 with the pointer /${name}: ${JSON.stringify(value)?.slice(0, 40) ?? 'left out'}`, (t) => {
    const copy = Object.fromEntries(Object.entries(g1).filter(([key]) => key !== name)) as JsonObject;
    if (value !== undefined) copy[name] = value;
    const error = t.throws(() => preparePcs(body(copy)), { instanceOf: ShapeError });
    t.is(error?.status, 400);
    t.deepEqual(
      error?.errors.map(({ pointer }) => pointer),
      [`/${name}`],
    );
    t.false(pcs.check(copy).ok);
  });
}

test('IN-4: what is not JSON, or no object, is 400', (t) => {
  t.throws(() => preparePcs(Buffer.from('{not valid json')), { instanceOf: JsonError });
  for (const text of ['null', '[]', '"x"', '1'])
    t.throws(() => preparePcs(Buffer.from(text)), { instanceOf: ShapeError });
});

for (const sig of [
  undefined,
  null,
  '',
  'not-valid-base64!!!',
  'AAAA',
  1,
  base64(Buffer.alloc(33)),
  base64(Buffer.alloc(64)).slice(0, -1),
]) {
  test(`IN-4: 401 for the signature ${JSON.stringify(sig) ?? 'left out'}`, (t) => {
    const { sig: _, ...unsigned } = g1;
    const error = t.throws(() => preparePcs(body(sig === undefined ? unsigned : { ...unsigned, sig })), {
      instanceOf: SignatureFormatError,
    });
    t.is(error?.status, 401);
  });
}

test('IN-4: a 64-bit seed passes, other fields and later members are not touched by it', (t) => {
  const text = golden('g1.json').toString();
  const seeded = preparePcs(
    Buffer.from(text.replace('"seed": 42', '"seed": -9223372036854775808, "later": {"x": [1]}')),
  );
  t.deepEqual(seeded.digest, preparePcs(golden('g1.json')).digest);
  t.notDeepEqual(seeded.body, preparePcs(golden('g1.json')).body);
  t.throws(() => preparePcs(Buffer.from(text.replace('"2": 5', '"2": 9007199254740993'))), { instanceOf: ShapeError });
});

test('IN-4: every signed field changes the digest, no other does', (t) => {
  const digest = preparePcs(golden('g1.json')).digest.toString('hex');
  const of = (changes: JsonObject) => preparePcs(body({ ...g1, ...changes })).digest.toString('hex');
  const signed: JsonObject = {
    D_hat: 0.5,
    budget: 0.5,
    coh_star: 0.5,
    epoch: 2,
    merkle_root: 'x',
    pcs_id: 'x',
    r: 0.5,
    shard_id: 'x',
  };
  for (const [name, value] of Object.entries(signed)) t.not(of({ [name]: value }), digest, name);
  t.is(
    of({ attempt: 2, sent_at: 'later', seed: 1, scales: [2, 4], N_j: {}, v_star: [0, 0, 1], regime: 'sticky', ft: {} }),
    digest,
  );
  t.is(of({ D_hat: 0.5283208340000001 }), digest, 'beyond 9 decimals nothing is signed');
});

test('any JSON at all gets a verdict or errors, and verdicts do not depend on member order', (t) => {
  const member = fc.constantFrom(...Object.keys(g1));
  fc.assert(
    fc.property(fc.array(fc.tuple(member, fc.jsonValue({ maxDepth: 2 })), { maxLength: 3 }), (changes) => {
      const payload = { ...g1, ...Object.fromEntries(changes) } as JsonObject;
      const reversed = Object.fromEntries(Object.entries(payload).reverse());
      t.deepEqual(pcs.check(payload), pcs.check(reversed));
    }),
    { numRuns: 1000 },
  );
});
