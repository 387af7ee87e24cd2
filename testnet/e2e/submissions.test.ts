// One submission from the client's side: final with a receipt, or durable and then final, found again by digest and by
// name, recorded once however often and however parallel it is sent, over restarts too.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { JsonObject, JsonValue } from '../../protocol/json.js';
import { isProblem, isProblemBody, Verifier } from './assertions.js';
import { Client } from './clients.js';
import type { Answer, Body } from './http.js';
import { eventually, Subject } from './subject.js';

const MAIN = fileURLToPath(new URL('../../../runtime/main.js', import.meta.url));

let subject: Subject;
let dev: Client;
let verifier: Verifier;

test.before(async () => {
  subject = await Subject.start();
  dev = subject.dev;
  verifier = new Verifier((await subject.api.get('/v1/validators')).text);
});

test.after.always(async () => {
  verifier?.close();
  await subject?.dispose();
});

test('CO-7: a submission comes back final, with a receipt that quorate verify accepts offline', async (t) => {
  const signed = dev.sign();
  const answer = await subject.submit(signed);
  t.is(answer.status, 200, answer.text);
  t.is(answer.headers['content-type'], 'application/json; charset=utf-8');
  t.is(answer.headers['idempotent-replayed'], undefined);
  t.is(answer.body.state, 'final');
  t.deepEqual(answer.body.outcome, { accepted: true, status: 200 });
  const receipt = answer.body.receipt!;
  t.is(receipt.digest, signed.digest);
  t.deepEqual(receipt.outcome, answer.body.outcome!);
  t.is(await verifier.exitCode(receipt), 0);
  t.is(await verifier.exitCode(receipt, signed.body), 0, 'also for the submitted bytes');
  t.is(await verifier.exitCode(receipt, dev.sign().body), 1, 'and not for other ones');
});

test('CO-7: a receipt with any field changed is not valid', async (t) => {
  // A block of several entries, so that the path is not empty.
  const answers = await Promise.all(Array.from({ length: 40 }, () => subject.submit(dev.sign())));
  const receipt = answers.map(({ body }) => body.receipt!).find((each) => pathOf(each).length > 0);
  if (receipt === undefined) return t.fail('40 parallel submissions made 40 blocks');
  t.is(await verifier.exitCode(receipt), 0);
  const changed = [...changesOf(receipt, [])];
  t.true(changed.length > 40, `only ${changed.length} changes`);
  for (const { place, value } of changed) t.is(await verifier.exitCode(value as JsonObject), 1, place);
});

test('CO-7: the installed command says the same by its exit code', async (t) => {
  const { body } = await subject.submit(dev.sign());
  const validators = join(subject.directory, 'validators.json');
  writeFileSync(validators, (await subject.api.get('/v1/validators')).text);
  const verify = async (receipt: JsonObject) => {
    const file = join(subject.directory, 'receipt.json');
    writeFileSync(file, JSON.stringify(receipt));
    const child = spawn(process.execPath, [MAIN, 'verify', file, '--validators', validators], { stdio: 'ignore' });
    return ((await once(child, 'exit')) as [number | null])[0];
  };
  t.is(await verify(body.receipt!), 0);
  t.is(await verify({ ...body.receipt!, height: Number(body.receipt!.height) + 1 }), 1);
});

test('IN-3: respond-async is answered 202 with a Location that leads to the receipt', async (t) => {
  const signed = dev.sign();
  const answer = await subject.submit(signed, { prefer: 'respond-async' });
  t.is(answer.status, 202, answer.text);
  t.deepEqual(answer.body, { state: 'durable', digest: signed.digest });
  t.is(answer.headers.location, `/v1/submissions/${signed.digest}`);
  const final = await untilFinal(answer.headers.location!);
  t.is(final.body.receipt!.digest, signed.digest);
  t.is(await verifier.exitCode(final.body.receipt!), 0);
});

test('IN-3: a wait of no time is answered as soon as the submission is durable', async (t) => {
  const signed = dev.sign();
  const answer = await subject.submit(signed, { prefer: 'wait=0' });
  // Finality may be quicker than the answer; what may not happen is a refusal.
  t.true(answer.status === 202 || answer.status === 200, answer.text);
  t.is((await untilFinal(`/v1/submissions/${signed.digest}`)).body.receipt!.digest, signed.digest);
});

test('IN-3: waits are read as RFC 7240 spells them, and strange ones are ignored', async (t) => {
  for (const prefer of [
    'wait=5',
    'wait=10, handling=lenient',
    'handling=strict;x=y, wait=3',
    'wait=x',
    'wait=-1',
    '',
  ]) {
    const answer = await subject.submit(dev.sign(), { prefer });
    t.is(answer.status, 200, `${prefer}: ${answer.text}`);
  }
});

test('IN-3: the recorded outcome and receipt are found by digest and by issuer and id', async (t) => {
  const signed = dev.sign();
  const first = await subject.submit(signed);
  const byDigest = await untilFinal(`/v1/submissions/${signed.digest}`);
  t.deepEqual(byDigest.body, first.body);
  const name = new URLSearchParams({ issuer: dev.issuer, id: String(signed.envelope.id) });
  const byName = await subject.api.get(`/v1/submissions?${name}`);
  t.is(byName.status, 200);
  t.is(byName.text, byDigest.text);
});

test('IN-3: a submission that nobody sent is unknown, by digest and by name', async (t) => {
  const digest = 'ab'.repeat(32);
  const byDigest = await subject.api.get(`/v1/submissions/${digest}`);
  isProblem(t, byDigest, 404, 'unknown-submission');
  t.is(byDigest.body.digest, digest);
  isProblem(t, await subject.api.get('/v1/submissions?issuer=dev&id=never-sent'), 404, 'unknown-submission');
  for (const path of ['/v1/submissions', '/v1/submissions?issuer=dev', '/v1/submissions?issuer=a&issuer=b&id=1']) {
    isProblem(t, await subject.api.get(path), 400, 'malformed-request');
  }
  for (const bad of ['zz', digest.toUpperCase(), `${digest}00`]) {
    isProblem(t, await subject.api.get(`/v1/submissions/${bad}`), 400, 'malformed-request');
  }
});

test('IN-3: a refusal after 202 is found as rejected, with its reason', async (t) => {
  const old = dev.sign({ issuedAtMs: Date.now() - 15 * 24 * 3_600_000 });
  const answer = await subject.submit(old, { prefer: 'respond-async' });
  t.is(answer.status, 202, answer.text);
  const found = await until(`/v1/submissions/${old.digest}`, ({ body }) => body.state === 'rejected');
  t.is(found.status, 200);
  t.is(found.body.digest, old.digest);
  t.is(found.body.outcome!.status, 422);
});

test('IN-6: the same submission again is the recorded answer, byte for byte', async (t) => {
  const signed = dev.sign();
  const first = await subject.submit(signed);
  const again = await subject.submit(signed);
  t.is(again.status, 200);
  t.is(again.headers['idempotent-replayed'], 'true');
  t.is(again.text, first.text);
  // The same content in another spelling is the same submission.
  const respelled = JSON.stringify(JSON.parse(signed.body.toString()), null, 2);
  const third = await subject.submit(respelled);
  t.is(third.headers['idempotent-replayed'], 'true');
  t.is(third.text, first.text);
});

test('IN-6: other content under a used id is 409, and the recorded answer stands', async (t) => {
  const signed = dev.sign({ text: 'first' });
  const first = await subject.submit(signed);
  const other = dev.sign({ id: String(signed.envelope.id), text: 'second' });
  isProblem(t, await subject.submit(other), 409, 'content-conflict');
  isProblem(t, await subject.api.get(`/v1/submissions/${other.digest}`), 404, 'unknown-submission');
  t.is((await subject.submit(signed)).text, first.text);
});

test('IN-6: of two contents racing for one id, one is final and the other 409', async (t) => {
  for (let round = 0; round < 10; round++) {
    const id = `race-${round}`;
    const texts = Array.from({ length: 8 }, (_, index) => `content ${index}`);
    const answers = await Promise.all(texts.map((text) => subject.submit(dev.sign({ id, text }))));
    t.is(answers.filter(({ status }) => status === 200).length, 1);
    for (const answer of answers) if (answer.status !== 200) isProblem(t, answer, 409, 'content-conflict');
  }
});

test('IN-6: 1 000 parallel identical submissions make one entry, and all get its receipt', async (t) => {
  const signed = dev.sign();
  const before = await entriesOf(signed.digest);
  const answers = await Promise.all(Array.from({ length: 1_000 }, () => subject.submit(signed)));
  t.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  t.is(new Set(answers.map(({ text }) => text)).size, 1);
  t.is(answers.filter(({ headers }) => headers['idempotent-replayed'] === undefined).length, 1);
  t.is(before, 0);
  t.is(await entriesOf(signed.digest), 1);
});

test('IN-6: an Idempotency-Key gives its recorded answer, and 422 to another body', async (t) => {
  const signed = dev.sign();
  const key = { 'idempotency-key': '"7a1c-key"' };
  const first = await subject.submit(signed, key);
  t.is(first.status, 200, first.text);
  const again = await subject.submit(signed, key);
  t.is(again.text, first.text);
  t.is(again.headers['idempotent-replayed'], 'true');
  isProblem(t, await subject.submit(dev.sign(), key), 422, 'idempotency-key-reused');
});

test("IN-6: an Idempotency-Key is one client's own, and must be a quoted string", async (t) => {
  for (const header of ['bare', '""', '"unended', '"tab\tinside"', `"${'x'.repeat(256)}"`, '"a", "b"']) {
    isProblem(t, await subject.submit(dev.sign(), { 'idempotency-key': header }), 400, 'malformed-request');
  }
  const escaped = { 'idempotency-key': '"with \\" and \\\\ inside"' };
  t.is((await subject.submit(dev.sign(), escaped)).status, 200);
});

test('IN-3: a batch answers each entry by itself, good and bad in one call', async (t) => {
  const good = dev.sign();
  const taken = dev.sign({ text: 'taken' });
  await subject.submit(taken);
  const entries: JsonValue[] = [
    good.envelope,
    { ...dev.sign().envelope, payload: { text: 'tampered' } },
    dev.sign({ kind: 'nonesuch' }).envelope,
    { ...dev.sign().envelope, surplus: 1 },
    'no envelope',
    dev.sign({ id: String(taken.envelope.id), text: 'other' }).envelope,
    taken.envelope,
    new Client('stranger').sign().envelope,
    dev.sign({ payload: { text: 5 } }).envelope,
    good.envelope,
  ];
  const answer = await subject.api.post('/v1/submissions:batch', JSON.stringify({ submissions: entries }));
  t.is(answer.status, 207, answer.text);
  const results = answer.body.results!;
  t.deepEqual(
    results.map(({ status }) => status),
    [200, 401, 422, 400, 400, 409, 200, 401, 422, 200],
  );
  const slugs = [
    '',
    'bad-signature',
    'unknown-kind',
    'malformed-envelope',
    'malformed-envelope',
    'content-conflict',
    '',
    'unknown-key',
    'invalid-payload',
    '',
  ];
  results.forEach(({ status, body }, index) => {
    if (status === 200) t.is(body.state, 'final');
    else isProblemBody(t, body, status, slugs[index]!);
  });
  t.deepEqual(results[9]!.body, results[0]!.body, 'the same entry twice is one submission');
  t.is(await verifier.exitCode(results[0]!.body.receipt!), 0);
  t.is(await verifier.exitCode(results[6]!.body.receipt!), 0);
});

test('IN-3: a batch as a whole is refused when it is no batch, too long, or too large', async (t) => {
  const send = (body: string) => subject.api.post('/v1/submissions:batch', body);
  for (const body of ['[]', '{}', '{"submissions":{}}', '{"submissions":[],"more":1}', '"x"']) {
    isProblem(t, await send(body), 400, 'malformed-envelope');
  }
  isProblem(t, await send('{"submissions":[1,]}'), 400, 'malformed-json');
  const long = await send(`{"submissions":[${Array(1_001).fill('0').join(',')}]}`);
  isProblem(t, long, 413, 'batch-too-long');
  t.is(long.body.limit_entries, 1_000);
  const large = await send(`{"submissions":["${'x'.repeat(1_048_576)}"]}`);
  isProblem(t, large, 413, 'body-too-large');
  t.is(large.body.limit_bytes, 1_048_576);
  const one = await send(JSON.stringify({ submissions: [dev.sign({ text: 'x'.repeat(70_000) }).envelope, 0] }));
  t.deepEqual(
    one.body.results!.map(({ status }) => status),
    [413, 400],
  );
  t.is(one.body.results![0]!.body.limit_bytes, 65_536);
  t.deepEqual((await send('{"submissions":[]}')).body, { results: [] });
});

test('IN-3: a batch of 1 000 is final as a whole, each with its own receipt', async (t) => {
  const signed = Array.from({ length: 1_000 }, () => dev.sign());
  const body = `{"submissions":[${signed.map(({ body: text }) => text.toString()).join(',')}]}`;
  const answer = await subject.api.post('/v1/submissions:batch', body, { prefer: 'wait=5' });
  t.is(answer.status, 207);
  const results = answer.body.results!;
  t.deepEqual(new Set(results.map(({ status }) => status)), new Set([200]));
  t.deepEqual(
    results.map(({ body: { receipt } }) => receipt!.digest),
    signed.map(({ digest }) => digest),
  );
});

test('ST-4: the ledger is read page by page, every block with its entries and certificate', async (t) => {
  const signed = dev.sign({ text: 'in the ledger' });
  const { body } = await subject.submit(signed);
  const blocks = await ledger();
  t.deepEqual(
    blocks.map(({ height }) => height),
    blocks.map((_, index) => index + 1),
  );
  blocks.forEach((block, index) => {
    if (index > 0) t.is(block.parent_hash, blocks[index - 1]!.hash);
    t.is(block.entries.length, block.entry_count);
    t.is(block.certificate.signers.length, 1);
  });
  const receipt = body.receipt!;
  const entry = blocks[Number(receipt.height) - 1]!.entries[Number(receipt.index)]!;
  t.like(entry, { digest: signed.digest, envelope: signed.envelope, outcome: body.outcome! });
  for (const query of ['from=0', 'from=x', 'limit=0', 'limit=101', 'limit=1.5', 'from=-1', 'from=1&from=2']) {
    isProblem(t, await subject.api.get(`/v1/ledger?${query}`), 400, 'malformed-request');
  }
  t.deepEqual((await subject.api.get('/v1/ledger?from=999999999')).body, { blocks: [], next: null });
});

test('CO-1: validators and status name the chain, the node and its height', async (t) => {
  await subject.submit(dev.sign());
  const { nodeId, publicKey } = subject.node.endpoints;
  const validators = await subject.api.get('/v1/validators');
  t.is(validators.status, 200);
  t.is(validators.body.quorum, 1);
  t.is(validators.body.epoch, 0);
  t.deepEqual(validators.body.validators, [{ node_id: nodeId, public_key: publicKey }]);
  const status = await subject.api.get('/v1/status');
  t.is(status.status, 200);
  t.is(status.body.node_id, nodeId);
  t.is(status.body.public_key, publicKey);
  t.is(status.body.chain_id, validators.body.chain_id);
  t.deepEqual(status.body.quorum, { validators: 1, needed: 1, reached: 1 });
  t.deepEqual(status.body.peers, []);
  t.deepEqual((await subject.api.get('/v1/evidence')).body, { evidence: [] });
  const height = Number(status.body.height);
  t.true(height >= 1);
  const page = await subject.api.get(`/v1/ledger?from=${height}&limit=1`);
  t.is((page.body.blocks as { hash: string }[])[0]!.hash, status.body.hash as string);
});

test.serial('IN-6: over a clean restart and a kill the recorded answers are the same bytes', async (t) => {
  const restarted = await Subject.start();
  t.teardown(() => restarted.dispose());
  const client = restarted.dev;
  const signed = client.sign();
  const first = await restarted.submit(signed, { 'idempotency-key': '"kept"' });
  for (const how of ['stop', 'kill'] as const) {
    await restarted.restart(how);
    const again = await restarted.submit(signed);
    t.is(again.status, 200, how);
    t.is(again.headers['idempotent-replayed'], 'true');
    t.is(again.text, first.text);
    t.is((await restarted.api.get(`/v1/submissions/${signed.digest}`)).text, first.text);
    const other = client.sign({ id: String(signed.envelope.id), text: 'other' });
    isProblem(t, await restarted.submit(other), 409, 'content-conflict');
  }
});

interface LedgerBlock {
  readonly height: number;
  readonly hash: string;
  readonly parent_hash: string;
  readonly entry_count: number;
  readonly entries: readonly { readonly digest: string; readonly envelope: JsonObject; readonly outcome: JsonObject }[];
  readonly certificate: { readonly signers: readonly string[] };
}

async function ledger(): Promise<LedgerBlock[]> {
  const blocks: LedgerBlock[] = [];
  for (let from: number | null = 1; from !== null; ) {
    const { body }: { body: Body } = await subject.api.get(`/v1/ledger?from=${from}&limit=100`);
    blocks.push(...(body.blocks as LedgerBlock[]));
    from = body.next as number | null;
  }
  return blocks;
}

async function entriesOf(digest: string): Promise<number> {
  return (await ledger()).flatMap(({ entries }) => entries).filter((entry) => entry.digest === digest).length;
}

function untilFinal(path: string): Promise<Answer> {
  return until(path, ({ status, body }) => status === 200 && body.state === 'final');
}

function until(path: string, wanted: (answer: Answer) => boolean): Promise<Answer> {
  return eventually(path, async () => {
    const answer = await subject.api.get(path);
    return wanted(answer) ? answer : null;
  });
}

function pathOf(receipt: JsonObject): JsonValue[] {
  return (receipt.inclusion as JsonObject).path as JsonValue[];
}

/** Every way to change one value of `value`: the whole each time, with the place of the change. */
function* changesOf(value: JsonValue, place: readonly string[]): Generator<{ place: string; value: JsonValue }> {
  const at = `/${place.join('/')}`;
  if (typeof value === 'string') yield { place: at, value: changedText(value) };
  else if (typeof value === 'number') yield { place: at, value: value + 1 };
  else if (typeof value === 'boolean') yield { place: at, value: !value };
  else if (Array.isArray(value)) {
    for (const [index, member] of value.entries()) {
      for (const change of changesOf(member, [...place, String(index)])) {
        yield { place: change.place, value: value.with(index, change.value) };
      }
    }
    yield { place: `${at} longer`, value: [...value, value[0] ?? 'ab'.repeat(32)] };
    if (value.length > 0) yield { place: `${at} shorter`, value: value.slice(1) };
  } else if (value !== null) {
    for (const [name, member] of Object.entries(value)) {
      for (const change of changesOf(member, [...place, name])) {
        yield { place: change.place, value: { ...value, [name]: change.value } };
      }
      const { [name]: _, ...rest } = value;
      yield { place: `${at}/${name} left out`, value: rest };
    }
  }
}

/** Another character in the middle: of hex, base64 or a time as good a character as before. */
function changedText(text: string): string {
  const middle = text.length >> 1;
  const old = text[middle]!;
  return `${text.slice(0, middle)}${old === '1' ? '2' : '1'}${text.slice(middle + 1)}`;
}
