// `quorate peers` against a node that is a script: a cluster of three with one away, and a chain of one.
import test, { type ExecutionContext } from 'ava';
import type { JsonObject } from '../protocol/json.js';
import { dataDirectoryOf, fakeNode, NOW_MS, removeDirectory, run } from './testkit.js';

const AWAY = {
  nodeId: 'node_b',
  host: '10.0.0.2',
  port: 8001,
  validator: true,
  connected: false,
  sinceMs: NOW_MS - 90_000,
  lastSeenMs: NOW_MS - 92_000,
  direction: null,
  fingerprint: null,
  certificateEndMs: NOW_MS + 10 * 86_400_000,
  pins: ['sha256:abcd...7890'],
  queuedFrames: 0,
  queuedBytes: 0,
  breaker: 'open',
  lastError: 'silent: nothing heard for 6000 ms',
};
const HERE = { ...AWAY, nodeId: 'node_c', connected: true, direction: 'dialed', fingerprint: 'sha256:ef01...2345' };

async function node(t: ExecutionContext, quorum: JsonObject, peers: readonly object[] | null): Promise<string> {
  const fake = await fakeNode(({ url }) => {
    if (url === '/v1/status') return { status: 200, body: { quorum } };
    return { status: 200, body: peers === null ? {} : { peers } };
  });
  const directory = dataDirectoryOf({ api: fake.url, ops: fake.url });
  t.teardown(() => fake.close());
  t.teardown(() => removeDirectory(directory));
  return directory;
}

test('OP-1: peers shows who is connected, when each was seen, its certificate, and the quorum', async (t) => {
  const directory = await node(t, { validators: 3, needed: 2, reached: 2 }, [AWAY, HERE]);
  const { code, out, err } = await run(['peers', '--data-dir', directory]);
  t.is(code, 0, err);
  t.regex(out, /^2 of 3 validators within reach, 2 needed\n/);
  t.regex(out, / node_b +away +10\.0\.0\.2:8001 +92 s ago +10 days left +sha256:abcd...7890\n/);
  t.regex(out, / node_c +dialed .* sha256:ef01...2345\n/);
  t.regex(out, / node_b: silent: nothing heard for 6000 ms\n/);
  const json = JSON.parse((await run(['peers', '--data-dir', directory, '--json'])).out) as JsonObject;
  t.deepEqual(json.quorum, { validators: 3, needed: 2, reached: 2 });
  t.deepEqual((json.peers as JsonObject[])[0], {
    node_id: 'node_b',
    address: '10.0.0.2:8001',
    validator: true,
    connected: false,
    since: '2026-11-20T11:58:30.000Z',
    last_seen: '2026-11-20T11:58:28.000Z',
    direction: null,
    certificate_expires: '2026-11-30T12:00:00.000Z',
    fingerprint: null,
    pins: ['sha256:abcd...7890'],
    breaker: 'open',
    queued_frames: 0,
    queued_bytes: 0,
    last_error: 'silent: nothing heard for 6000 ms',
  });
});

test('OP-1: a chain of one has no peers; an answer of another shape is said to be one', async (t) => {
  const alone = await node(t, { validators: 1, needed: 1, reached: 1 }, []);
  t.is((await run(['peers', '--data-dir', alone])).out, '1 of 1 validator within reach, 1 needed\nno peers\n');
  const other = await node(t, {}, null);
  const { code, err } = await run(['peers', '--data-dir', other]);
  t.is(code, 65);
  t.regex(err, /something else than its peers/);
});
