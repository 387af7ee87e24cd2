// IN-2: whoever cannot sign never reaches the deduplication store. A flood of bad signatures of every sort, and then the
// counters, the store and the ledger: nothing of it is anywhere but in the log and in the answers.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { canonicalize } from '../../protocol/canonical.js';
import type { JsonObject } from '../../protocol/json.js';
import { isProblem } from './assertions.js';
import { Client, HmacClient, pcsOfShard, register } from './clients.js';
import type { Answer } from './http.js';
import { eventually, Subject } from './subject.js';

const FLOOD = 10_000;
/** Requests under way at once. */
const WIDTH = 64;

const known = new Client('known');
const sharing = new HmacClient('sharing');
const expired = new Client('expired');
const g1 = JSON.parse(
  readFileSync(new URL('../../../protocol/kinds/golden/g1.json', import.meta.url), 'utf8'),
) as JsonObject;

let subject: Subject;

test.before(async () => {
  const clients = [register(known), register(sharing), register(expired, {}, { not_after: '2020-01-01T00:00:00Z' })];
  subject = await Subject.start({ clients, settings: { log: { level: 'error' } } });
});

test.after.always(() => subject?.dispose());

/** One that is refused for its signature, each sort in turn. */
function forged(index: number): () => Promise<Answer> {
  const random = (bytes: number) => randomBytes(bytes).toString('base64');
  const id = `forged-${index}`;
  const template = { kind: 'note', id, issued_at: new Date().toISOString(), payload: { text: 'x' } };
  const ed25519 = { ...template, issuer: 'known', alg: 'ed25519', sig: random(64) };
  const sorts: readonly JsonObject[] = [
    ed25519,
    { ...ed25519, sig: random(63) },
    { ...ed25519, issuer: 'stranger' },
    { ...ed25519, issuer: 'expired' },
    { ...template, issuer: 'sharing', alg: 'hmac-sha256', sig: random(32) },
  ];
  const sort = index % (sorts.length + 2);
  if (sort < sorts.length) return () => subject.submit(canonicalize(sorts[sort]!));
  const sig = random(sort === sorts.length ? 32 : 64);
  return () => subject.submitPcs({ ...pcsOfShard(g1, id), sig });
}

test('IN-2: 10 000 invalid signatures are 10 000 × 401, with no read and no write of the dedup store', async (t) => {
  // Something real first: figures that stay at nothing would prove nothing.
  const real = known.sign();
  t.is((await subject.submit(real)).status, 200);
  t.is((await subject.submit(sharing.sign())).status, 200);
  const before = await settled();
  t.true(before.reads > 0 && before.writes > 0);

  const statuses = new Map<number, number>();
  let next = 0;
  const client = async () => {
    while (next < FLOOD) {
      const answer = await forged(next++)();
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status !== 401) t.log(answer.text);
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, client));
  t.deepEqual([...statuses], [[401, FLOOD]]);

  const after = await figures();
  t.deepEqual({ ...after, signatureErrors: 0 }, { ...before, signatureErrors: 0 });
  t.is(after.signatureErrors - before.signatureErrors, FLOOD);
  isProblem(t, await subject.api.get('/v1/submissions?issuer=known&id=forged-0'), 404, 'unknown-submission');
});

test.after('IN-2: an id that forgers used is free for its owner', async (t) => {
  const before = await figures();
  t.is((await subject.submit(known.sign({ id: 'forged-0' }))).status, 200);
  const after = await figures();
  t.true(after.reads > before.reads && after.writes > before.writes, 'the counters do count');
});

/** The figures once the answered submissions are marked and stored as well: an answer does not wait for either. */
function settled() {
  return eventually('marks and store to follow', async () => {
    const now = await figures();
    return now.storedEntries === now.finalEntries && now.writes === now.reads + now.finalEntries ? now : null;
  });
}

/** Everything that dedup, store and ledger have done and hold. */
async function figures() {
  const metrics = await subject.metrics();
  const dedup = await subject.admin('/actors/dedup', 'GET');
  const status = await subject.api.get('/v1/status');
  return {
    reads: metrics.total('quorate_dedup_reads_total'),
    writes: metrics.total('quorate_dedup_writes_total'),
    ledgerReads: metrics.total('quorate_dedup_ledger_reads_total'),
    hits: metrics.total('quorate_dedup_hits'),
    marks: Number(dedup.body.marks),
    storedEntries: metrics.total('quorate_store_entries_total'),
    finalEntries: metrics.total('quorate_consensus_entries_total'),
    refused: metrics.total('quorate_consensus_refused_total'),
    height: Number(status.body.height),
    signatureErrors: metrics.total('quorate_signature_errors'),
  };
}
