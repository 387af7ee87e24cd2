// Proves that the floor does what it is measured for: it verifies, and what it answered 200 is in its file. Run by ava.
// It must never become a test of features: the floor has none.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { prepareEnvelope } from '../protocol/submission.js';
import { newKey, startSubject } from './subject.js';
import { BODY_BYTES, writeSubmissions } from './submissions.js';

function recordsOf(file: Buffer): string[] {
  const records: string[] = [];
  for (let at = 0; at < file.length; ) {
    const end = at + 4 + file.readUInt32BE(at);
    records.push(file.toString('utf8', at + 4, end));
    at = end;
  }
  return records;
}

test('the floor answers 200 to what is signed and stored, 401 to a changed byte, 400 to no JSON', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'bench-floor-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const key = await newKey('bench');
  const path = join(directory, 'bodies.ndjson');
  await writeSubmissions(path, key, 'floor', 40);
  const bodies = readFileSync(path, 'utf8').trimEnd().split('\n');
  const floor = await startSubject({ name: 'floor', directory, key });
  const post = async (body: string, route = '/v1/submissions'): Promise<string> => {
    const response = await fetch(`http://${floor.host}:${floor.port}${route}`, { method: 'POST', body });
    return `${response.status} ${await response.text()}`;
  };
  try {
    const answers = await Promise.all(bodies.map((body) => post(body)));
    t.deepEqual([...new Set(answers)], ['200 {"state":"durable"}']);
    const stored = recordsOf(readFileSync(join(directory, 'floor-data', 'floor.log')));
    t.deepEqual([...stored].sort(), [...bodies].sort());

    const good = bodies[0] ?? '';
    t.is(await post(good.replace('"kind":"note"', '"kind":"nose"')), '401 {"error":"refused"}');
    t.is(await post(good.replace('"issuer":"bench"', '"issuer":"other"')), '401 {"error":"refused"}');
    t.is(await post(good.replace('"sig":"', '"sig":"AA')), '401 {"error":"refused"}');
    t.is(await post('{'), '400 {"error":"refused"}');
    t.is(await post(good, '/other'), '404 {"error":"path"}');
    // The order of the members is not signed.
    const { sig, ...rest } = JSON.parse(good);
    t.is(await post(JSON.stringify({ sig, ...rest })), '200 {"state":"durable"}');
  } finally {
    await floor.stop();
  }
});

test('the bodies of the benches are envelopes of the planned size, each with its own id', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'bench-bodies-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'bodies.ndjson');
  await writeSubmissions(path, await newKey('bench'), 'x', 2001);
  const bodies = readFileSync(path, 'utf8').trimEnd().split('\n');
  const prepared = bodies.map((body) => prepareEnvelope(Buffer.from(body)));
  t.is(new Set(prepared.map(({ id }) => id)).size, 2001);
  t.deepEqual([...new Set(bodies.map((body) => body.length))], [BODY_BYTES]);
});
