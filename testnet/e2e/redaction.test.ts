// OB-5, ID-8: a run that uses every secret the node knows, at the most talkative level, through everything that goes
// wrong with them, and then a search: no secret, signature or token in any spelling stands in a log line or an answer.
import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { JsonObject } from '../../protocol/json.js';
import { Client, HmacClient, pcsOfShard, register } from './clients.js';
import { eventually, Subject } from './subject.js';

const g1 = JSON.parse(
  readFileSync(new URL('../../../protocol/kinds/golden/g1.json', import.meta.url), 'utf8'),
) as JsonObject;

test('OB-5, ID-8, ST-8: no secret, signature or token is in a log, the audit log or an answer of a run that used all of them', async (t) => {
  const secrets = new Secrets();
  const nodeSeed = secrets.add('node seed', randomBytes(32));
  const hex = new HmacClient('hex', secrets.add('secret_hex', randomBytes(32)));
  const base64 = new HmacClient('base64', secrets.add('secret_base64', randomBytes(32)));
  const file = new HmacClient(
    'file',
    secrets.add('secret_file', Buffer.from(`pass ${randomBytes(24).toString('hex')}`)),
  );
  const signer = new Client('signer', secrets.add('client seed', randomBytes(32)));

  const subject = await Subject.start({
    clients: [
      register(hex),
      {
        issuer: 'base64',
        keys: [{ key_id: 'base64', alg: 'hmac-sha256', secret_base64: base64.secret.toString('base64') }],
      },
      register(signer),
    ],
    settings: { log: { level: 'trace' }, supervision: { budget: { intensity: 1_000 } } },
    node: { env: { QUORATE_SIGNING_KEY: nodeSeed.toString('hex') } },
  });
  t.teardown(() => subject.dispose());
  const answers: string[] = [];
  const keep = async (answer: Promise<{ readonly text: string; readonly headers: object }>) => {
    const { text, headers } = await answer;
    answers.push(text, JSON.stringify(headers));
  };
  secrets.add('admin token', Buffer.from(subject.node.adminToken));
  secrets.add('admin token bytes', Buffer.from(subject.node.adminToken, 'hex'));
  secrets.add('development client seed', Buffer.from(subject.dev.seed));

  // A secret in a file of its own, taken by a reload.
  const clients = join(subject.directory, 'clients.yml');
  const good = JSON.parse(readFileSync(clients, 'utf8')) as { clients: JsonObject[] };
  writeFileSync(join(subject.directory, 'file.secret'), `${file.secret.toString()}\n`, { mode: 0o600 });
  const fileKey = { key_id: 'file', alg: 'hmac-sha256', secret_file: './file.secret' };
  good.clients.push({ issuer: 'file', keys: [fileKey] });
  writeFileSync(clients, JSON.stringify(good));
  await keep(subject.admin('/reload'));
  await subject.ready();

  // Everything signed, right and wrong.
  for (const client of [hex, base64, file, signer, subject.dev]) {
    const signed = client.sign();
    secrets.signature(signed.envelope);
    await keep(
      subject.submit(signed, { 'idempotency-key': '"one"', authorization: `Bearer ${subject.node.adminToken}` }),
    );
    await keep(subject.submit(signed));
    await keep(subject.submit(JSON.stringify({ ...signed.envelope, payload: { text: 'tampered' } })));
    await keep(subject.submit(JSON.stringify({ ...signed.envelope, sig: `${String(signed.envelope.sig)}=` })));
    await keep(subject.submit(JSON.stringify({ ...signed.envelope, kind: 7 })));
    await keep(subject.submit(JSON.stringify({ ...signed.envelope, seed: nodeSeed.toString('hex') })));
    await keep(subject.submit(`${signed.body.toString()}}`));
    const refused = client.sign({ kind: 'nonesuch' });
    secrets.signature(refused.envelope);
    await keep(subject.submit(refused));
    const old = client.sign({ issuedAtMs: 0 });
    secrets.signature(old.envelope);
    await keep(subject.submit(old, { prefer: 'respond-async' }));
    if (client === subject.dev) continue;
    const pcs = client.signPcs(pcsOfShard(g1, client.issuer));
    secrets.signature(pcs);
    await keep(subject.submitPcs(pcs));
    await keep(subject.submitPcs({ ...pcs, r: 0.5 }));
    await keep(subject.submitPcs({ ...pcs, epoch: 'x' }));
  }
  const { adminToken } = subject.node;
  await keep(subject.api.get(`/v1/status?token=${adminToken}&signature=${adminToken}`));
  await keep(
    subject.api.get(`/nonesuch?token=${adminToken}`, { authorization: `Bearer ${adminToken}`, cookie: adminToken }),
  );
  await keep(subject.ops.get(`/nonesuch?access_token=${adminToken}`, { authorization: `Bearer ${adminToken}` }));
  await keep(
    subject.ops.call('/v1/admin/reload', { method: 'POST', headers: { authorization: `Bearer ${adminToken}0` } }),
  );
  for (const path of ['/metrics', '/readyz', '/livez', '/health']) await keep(subject.ops.get(path));
  for (const path of ['', '/wal-writer', '/store', '/consensus', '/dedup', '/ingress']) {
    await keep(subject.admin(`/actors${path}`, 'GET'));
  }

  // Files with secrets that are wrong in every way, one reload each.
  const secretHex = hex.secret.toString('hex');
  const key = { key_id: 'hex', alg: 'hmac-sha256' };
  const wrong = [
    `clients: [{issuer: hex, keys: [{key_id: hex, alg: hmac-sha256, secret_hex: ${secretHex}`,
    `clients:\n  - issuer: hex\n    keys:\n  secret_hex: ${secretHex}: x\n\t- ${secretHex}`,
    JSON.stringify({ clients: [{ issuer: 'hex', keys: [{ ...key, secret_hex: `${secretHex}zz` }] }] }),
    JSON.stringify({ clients: [{ issuer: 'hex', keys: [{ ...key, secret_base64: `!${secretHex}` }] }] }),
    JSON.stringify({ clients: [{ issuer: 'hex', keys: [{ ...key, secret_hex: [secretHex] }] }] }),
    JSON.stringify({ clients: [{ issuer: 'hex', keys: [{ ...key, secret: secretHex }] }] }),
    JSON.stringify({ clients: [register(hex), { ...register(hex), issuer: 'again' }] }),
    JSON.stringify({
      clients: [{ issuer: 'hex', keys: [{ ...key, secret_hex: secretHex, secret_base64: secretHex }] }],
    }),
    JSON.stringify({ clients: [{ issuer: 'hex', keys: [{ key_id: 'hex', alg: 'ed25519', secret_hex: secretHex }] }] }),
  ];
  for (const text of wrong) {
    writeFileSync(clients, text);
    const answer = await subject.admin('/reload');
    t.is(answer.status, 422, text);
    answers.push(answer.text);
  }
  writeFileSync(clients, JSON.stringify(good));

  // Deaths and failed starts: their reports show configuration and stacks, if anything does.
  for (const actor of ['ingress', 'consensus', 'wal-writer']) {
    await keep(subject.admin(`/actors/${actor}/kill`));
    await subject.ready();
  }
  const ledger = join(subject.node.dataDir, 'ledger');
  renameSync(ledger, `${ledger}.away`);
  await keep(subject.admin('/actors/ingress/kill'));
  await eventually('a failed start', () => (subject.node.output.includes('start_failed') ? true : null));
  // What failed starts have left there.
  rmSync(ledger, { recursive: true, force: true });
  renameSync(`${ledger}.away`, ledger);
  await subject.ready();
  await subject.node.stop();

  t.true(subject.node.logs().length > 100, 'a talkative run');
  t.true(subject.node.logs().some(({ level }) => level === 'debug'));
  t.deepEqual(secrets.foundIn(subject.node.output), [], 'in the log');
  const shown = answers.join('\n');
  t.deepEqual(secrets.foundIn(shown), [], 'in an answer');
  const audit = readFileSync(join(subject.node.dataDir, 'audit.jsonl'), 'utf8');
  t.true(
    audit.includes('"result":"refused"') && audit.includes('"event":"actor_died"'),
    'a log of much that went wrong',
  );
  t.deepEqual(secrets.foundIn(audit), [], 'in the audit log');
});

/** What may appear nowhere, in every spelling that a program would give it. */
class Secrets {
  readonly #spellings: { readonly name: string; readonly text: string }[] = [];

  add(name: string, bytes: Buffer): Buffer {
    const spellings = {
      hex: bytes.toString('hex'),
      'upper hex': bytes.toString('hex').toUpperCase(),
      base64: bytes.toString('base64').replace(/=+$/, ''),
      base64url: bytes.toString('base64url'),
      list: [...bytes].join(','),
      text: JSON.stringify(bytes.toString('utf8')).slice(1, -1),
    };
    for (const [spelling, text] of Object.entries(spellings)) {
      // Its first half is already too much.
      this.#spellings.push({ name: `${name} as ${spelling}`, text: text.slice(0, Math.ceil(text.length / 2)) });
    }
    return bytes;
  }

  signature({ id, pcs_id: pcsId, sig }: JsonObject): void {
    this.add(`signature of ${String(id ?? pcsId)}`, Buffer.from(String(sig), 'base64'));
  }

  foundIn(text: string): string[] {
    return this.#spellings.filter((secret) => text.includes(secret.text)).map(({ name }) => name);
  }
}
