// The command line against a live node: what each command prints, and what it ends with. One node for all of them; one
// round of commands as processes of their own, the rest in this one.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { JsonObject } from '../../protocol/json.js';
import { LocalNode } from '../local/node.js';
import { admin, command, http, put, quorate, type Ran, temporaryDirectory, until } from './support.js';

let node: LocalNode;

test.before(async () => {
  node = await LocalNode.start();
});

test.after.always(async () => {
  await node?.dispose();
});

/** A command on the data directory of the node; fails the test unless it ends with `code`. */
async function cli(t: ExecutionContext, code: number, words: string[], run: Run = command): Promise<Ran> {
  const ran = await run([...words, '--data-dir', node.dataDir]);
  t.is(ran.code, code, `${words.join(' ')}\n${ran.stdout}${ran.stderr}`);
  return ran;
}

type Run = (words: readonly string[]) => Promise<Ran>;

function json(ran: Ran): JsonObject {
  return JSON.parse(ran.stdout) as JsonObject;
}

const FORMS: [what: string, data: (file: string) => string, stdin: string][] = [
  ['inline', () => '{"text":"hi"}', ''],
  ['from a file', (file) => `@${file}`, ''],
  ['from standard input', () => '-', '{"text":"hi"}'],
];

test('OP-1: submit in every form of input, receipt, verify: one round without a node at its end', async (t) => {
  const directory = temporaryDirectory(t);
  const file = (name: string): string => join(directory, name);
  put(file('data.json'), '{"text":"hi"}');
  const digests = new Set<unknown>();
  for (const [what, data, stdin] of FORMS) {
    const receipt = json(
      await cli(t, 0, ['submit', '--json', '--data', data(file('data.json'))], (args) => quorate(args, { stdin })),
    );
    t.deepEqual(receipt.outcome, { accepted: true, status: 200 }, what);
    digests.add(receipt.digest);
  }
  t.is(digests.size, 3, 'each a submission of its own');

  const words = ['submit', '--data', '{"text":"kept"}', '--id', 'order-17', '--issued-at', new Date().toISOString()];
  const human = await cli(t, 0, [...words, '--envelope-out', file('e.json')], quorate);
  t.regex(human.stdout, /^final\n {2}kind +note\n {2}id +order-17\n/);
  const first = await cli(t, 0, [...words, '--json']);
  put(file('r.json'), first.stdout);
  const digest = String(json(first).digest);
  const again = await cli(t, 0, ['receipt', digest, '--json'], quorate);
  t.deepEqual(json(again), json(first));
  const conflict = await cli(t, 65, ['submit', '--data', '{"text":"other"}', '--id', 'order-17']);
  t.regex(conflict.stderr, /409.*\n?.*Choose another --id/s);
  const hurried = json(await cli(t, 0, ['submit', '--data', '{"text":"x"}', '--wait', '0', '--json']));
  t.regex(String(hurried.digest), /^[0-9a-f]{64}$/);

  const { body } = await http(`${node.endpoints.api}/v1/validators`);
  put(file('v.json'), JSON.stringify(body));
  const { publicKey } = devKey();
  const verify = ['verify', file('r.json'), '--validators', file('v.json'), '--envelope', file('e.json')];
  const valid = await quorate([...verify, '--client-key', publicKey]);
  t.deepEqual([valid.code, valid.stdout.endsWith('valid\n')], [0, true], valid.stdout);
  put(
    file('r.json'),
    first.stdout.replace(/"height":(\d+)/, (_, height) => `"height":${Number(height) + 1}`),
  );
  t.is((await command(verify)).code, 1);
  put(file('r.json'), '{');
  t.is((await command(verify)).code, 2);
});

function devKey(): { publicKey: string } {
  const file = JSON.parse(readFileSync(join(node.dataDir, 'keys', 'dev-client.json'), 'utf8')) as JsonObject;
  return { publicKey: String(file.public_key) };
}

const REFUSALS: [code: number, words: string[], line: RegExp][] = [
  [64, ['submit'], /--data is missing/],
  [65, ['submit', '--data', 'not json'], /--data: not JSON/],
  [65, ['submit', '--data', '{"txt":1}'], /422.*\n.*\/text/],
  [65, ['submit', '--kind', 'nothing', '--data', '{}'], /422.*nothing/],
  [65, ['submit', '--key', 'nowhere.json', '--data', '{"text":"x"}'], /nowhere\.json: no such key file/],
  [65, ['receipt', '0'.repeat(64)], /404/],
  [64, ['receipt', 'x'], /allowed are 64 hex digits/],
  [65, ['actors', 'restart', 'nobody'], /no actor "nobody"; there are: store, /],
  [75, ['wal', 'verify'], /is in use by process \d+/],
  [75, ['wal', 'repair'], /is in use by process \d+/],
  [75, ['init'], /is in use by process \d+/],
  [75, ['migrate-state'], /is in use by process \d+/],
];
test('OP-1: what is refused says why, and ends with the code of the table', async (t) => {
  for (const [code, words, line] of REFUSALS) t.regex((await cli(t, code, words)).stderr, line, words.join(' '));
  const unknown = await command(['submti']);
  t.is(unknown.code, 64);
  t.regex(unknown.stderr, /unknown command "submti"\. Did you mean "quorate submit"/);
  const nowhere = temporaryDirectory(t);
  const away = await command(['status', '--data-dir', nowhere]);
  t.is(away.code, 69);
  t.regex(away.stderr, /no node is running on/);
  const elsewhere = ['--api', 'http://127.0.0.1:9', '--wait', '0'];
  const dead = await cli(t, 69, ['receipt', '0'.repeat(64), ...elsewhere]);
  t.regex(dead.stderr, /127\.0\.0\.1:9: no answer/);
});

test('OP-1: status and actors list show the node; restart, kill and reset act on one actor', async (t) => {
  const status = await cli(t, 0, ['status']);
  t.regex(status.stdout, /^ready\n/);
  t.regex(status.stdout, new RegExp(`node id +${node.endpoints.nodeId}`));
  t.regex(status.stdout, /ingress +up/);
  const list = json(await cli(t, 0, ['actors', 'list', '--json'])).actors as JsonObject[];
  t.deepEqual(
    list.map(({ id }) => id),
    ['store', 'wal-writer', 'consensus', 'dedup', 'gossip', 'rpc-client', 'ingress'],
  );
  const incarnationOf = async (id: string): Promise<unknown> => {
    const { body } = await admin(node, '/v1/admin/actors', 'GET');
    const actor = (body.actors as JsonObject[]).find((candidate) => candidate.id === id);
    return actor?.state === 'up' ? actor.incarnation : 'down';
  };
  const restarted = json(await cli(t, 0, ['actors', 'restart', 'rpc-client', '--json']));
  t.like(restarted, { actor: { id: 'rpc-client', incarnation: 2, state: 'up' } });
  t.is(
    (await cli(t, 0, ['actors', 'kill', 'rpc-client'])).stdout,
    'rpc-client: killed. "quorate actors list" shows it.\n',
  );
  await until('the third incarnation', async () => (await incarnationOf('rpc-client')) === 3);
  await cli(t, 0, ['actors', 'reset', 'rpc-client']);
  t.is(await incarnationOf('rpc-client'), 3, 'a closed breaker changes nothing');
});

test('OP-1: keys and log of a running node can be looked at; reload answers; completion prints scripts', async (t) => {
  const { nodeId, publicKey } = node.endpoints;
  t.like(json(await cli(t, 0, ['keys', 'show', '--json'])), { node_id: nodeId, public_key: publicKey });
  const kept = await cli(t, 0, ['keys', 'init']);
  t.regex(kept.stderr, /is there already and stays as it is/);
  const shop = await cli(t, 0, ['keys', 'client', 'shop']);
  t.is(statSync(join(node.dataDir, 'keys', 'shop-client.json')).mode & 0o777, 0o600);
  t.regex(shop.stdout, /issuer: "shop"/);
  t.is((await cli(t, 78, ['keys', 'client', 'shop'])).stdout, '', 'never over an existing key');
  const log = json(await cli(t, 0, ['wal', 'inspect', '--json']));
  t.true(['clean', 'torn'].includes(String(log.state)), 'a batch may be on its way');
  t.like(json(await cli(t, 0, ['reload', '--json'])), { result: 'unchanged', errors: [] });
  t.regex((await cli(t, 0, ['reload', '--signal-only'])).stdout, /SIGHUP sent to process \d+/);
  for (const shell of ['bash', 'zsh', 'fish']) {
    const script = await command(['completion', shell]);
    t.is(script.code, 0);
    for (const word of ['submit', 'actors', 'accept-loss']) t.true(script.stdout.includes(word), `${shell}: ${word}`);
  }
});

test('the ops port asks for the token, and knows only its own routes', async (t) => {
  const { ops } = node.endpoints;
  const wrong: Readonly<Record<string, string>>[] = [
    {},
    { authorization: 'Bearer ' },
    { authorization: `Bearer ${'0'.repeat(64)}` },
    { authorization: `Basic ${node.adminToken}` },
  ];
  for (const headers of wrong) {
    const calls: ['GET' | 'POST', string][] = [
      ['GET', '/v1/admin/actors'],
      ['POST', '/v1/admin/reload'],
      ['POST', '/v1/admin/actors/ingress/kill'],
    ];
    for (const [method, path] of calls) t.is((await http(`${ops}${path}`, { method, headers })).status, 401, path);
  }
  t.is((await admin(node, '/v1/admin/actors/ingress/dance')).status, 404);
  t.is((await admin(node, '/v1/admin/actors/nobody/kill')).status, 404);
  t.is((await admin(node, '/v1/admin/nothing', 'GET')).status, 404);
  t.like((await admin(node, '/v1/admin/actors/wal-writer', 'GET')).body, { condition: { quarantine: null } });
  const metrics = String((await http(`${ops}/metrics`)).body.text);
  t.regex(metrics, /^quorate_actor_state\{actor="ingress"\} 2$/m);
  t.false(metrics.includes(node.adminToken));
});
