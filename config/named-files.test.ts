// clients.yml and kinds_dir: what is read, what is refused and where, and that no secret shows.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { type ClientsFile, type ClientsOptions, loadClients } from './clients.js';
import { ConfigError } from './errors.js';
import { loadKinds } from './kinds.js';
import { loadConfig } from './load.js';
import { loadNamedFiles } from './named-files.js';

const KEY_A = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';
const KEY_B = '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c';
const SECRET = 'c4'.repeat(32);
const OPTIONS: ClientsOptions = { nodeId: 'node_1', hmacForm: 'direct', nowMs: Date.parse('2026-11-20T12:00:00Z') };

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'quorate-clients-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function read(t: ExecutionContext, yaml: string, options: Partial<ClientsOptions> = {}, mode = 0o600): ClientsFile {
  const file = join(folder(t), 'clients.yml');
  writeFileSync(file, yaml);
  chmodSync(file, mode);
  return loadClients(file, { ...OPTIONS, ...options });
}

/** A file with one client and one key of these members. */
function oneKey(members: string): string {
  return `clients:\n  - issuer: a\n    keys:\n      - {key_id: k, ${members}}\n`;
}

test('ID-3: keys with overlapping windows become records for the ledger', (t) => {
  const { clients, secrets, warnings } = read(
    t,
    `
clients:
  - issuer: billing
    roles: [submit, read]
    keys:
      - {key_id: old, alg: ed25519, public_key: ${KEY_A.toUpperCase()}, not_after: 2027-02-01T00:00:00Z}
      - {key_id: new, alg: ed25519, public_key: ${Buffer.from(KEY_B, 'hex').toString('base64')}, not_before: "2027-01-01T00:00:00Z", kinds: [note]}
`,
  );
  t.deepEqual(clients, [
    {
      issuer: 'billing',
      roles: ['submit', 'read'],
      keys: [
        { key_id: 'old', alg: 'ed25519', public_key: KEY_A, not_after: '2027-02-01T00:00:00Z' },
        { key_id: 'new', alg: 'ed25519', public_key: KEY_B, kinds: ['note'], not_before: '2027-01-01T00:00:00Z' },
      ],
    },
  ]);
  t.deepEqual([secrets, warnings], [[], []]);
});

test('ID-3: HMAC secrets in hex, base64 or a file stay out of the records, which name this node as home', (t) => {
  const path = folder(t);
  writeFileSync(join(path, 'secret'), 'x'.repeat(40).concat('\n'), { mode: 0o400 });
  const file = join(path, 'clients.yml');
  const yaml = `
clients:
  - issuer: agent
    keys:
      - {key_id: h, alg: hmac-sha256, secret_hex: ${SECRET}}
      - {key_id: b, alg: hmac-sha256, secret_base64: "${Buffer.alloc(32, 7).toString('base64')}", form: digest}
      - {key_id: f, alg: hmac-sha256, secret_file: secret, homes: [node_1, node_2]}
      - {key_id: elsewhere, alg: hmac-sha256, homes: [node_2]}
`;
  writeFileSync(file, yaml, { mode: 0o600 });
  const { clients, secrets } = loadClients(file, { ...OPTIONS, hmacForm: 'digest' });
  t.deepEqual(clients[0]?.keys, [
    { key_id: 'h', alg: 'hmac-sha256', homes: ['node_1'], form: 'digest' },
    { key_id: 'b', alg: 'hmac-sha256', homes: ['node_1'], form: 'digest' },
    { key_id: 'f', alg: 'hmac-sha256', homes: ['node_1', 'node_2'], form: 'digest' },
    { key_id: 'elsewhere', alg: 'hmac-sha256', homes: ['node_2'], form: 'digest' },
  ]);
  t.deepEqual(
    secrets.map(({ keyId, secret }) => [keyId, secret.toString('latin1')]),
    [
      ['h', Buffer.from(SECRET, 'hex').toString('latin1')],
      ['b', '\x07'.repeat(32)],
      ['f', 'x'.repeat(40)],
    ],
  );
  t.deepEqual(clients[0]?.roles, ['submit']);
});

const REFUSED: [name: string, yaml: string, path: string, line: number, message: RegExp][] = [
  ['ID-12: ed25519 without a key', oneKey('alg: ed25519'), 'clients[0].keys[0]', 4, /without public_key/],
  ['ID-12: HMAC without a secret', oneKey('alg: hmac-sha256'), 'clients[0].keys[0]', 4, /without its secret/],
  [
    'ID-7: a small-order key',
    oneKey(`alg: ed25519, public_key: "${'00'.repeat(32)}"`),
    'clients[0].keys[0].public_key',
    4,
    /small-order/,
  ],
  [
    'ID-7: a non-canonical key',
    oneKey(`alg: ed25519, public_key: "${'ff'.repeat(32)}"`),
    'clients[0].keys[0].public_key',
    4,
    /non-canonical/,
  ],
  ['ID-3: bad base64', oneKey('alg: ed25519, public_key: "%%%"'), 'clients[0].keys[0].public_key', 4, /not 32 bytes/],
  [
    'ID-3: a window that closes first',
    oneKey(`alg: ed25519, public_key: ${KEY_A}, not_before: 2027-01-01T00:00:00Z, not_after: 2026-01-01T00:00:00Z`),
    'clients[0].keys[0].not_after',
    4,
    /after not_before/,
  ],
  [
    'ID-3: a time in no zone',
    oneKey(`alg: ed25519, public_key: ${KEY_A}, not_after: "2027-01-01"`),
    'clients[0].keys[0].not_after',
    4,
    /RFC 3339/,
  ],
  [
    'ID-3: two secrets',
    oneKey(`alg: hmac-sha256, secret_hex: ${SECRET}, secret_base64: ${SECRET}`),
    'clients[0].keys[0]',
    4,
    /together/,
  ],
  [
    'ID-3: a secret that is no hex',
    oneKey('alg: hmac-sha256, secret_hex: c4c4x'),
    'clients[0].keys[0].secret_hex',
    4,
    /hex digits/,
  ],
  [
    'ID-3: an empty secret',
    oneKey('alg: hmac-sha256, secret_base64: ""'),
    'clients[0].keys[0].secret_base64',
    4,
    /no usable secret/,
  ],
  [
    'ID-3: a secret file that is missing',
    oneKey('alg: hmac-sha256, secret_file: gone'),
    'clients[0].keys[0].secret_file',
    0,
    /no such file/,
  ],
  [
    'ID-3: a public key for HMAC',
    oneKey(`alg: hmac-sha256, secret_hex: ${SECRET}, public_key: ${KEY_A}`),
    'clients[0].keys[0].public_key',
    4,
    /public_key on an hmac/,
  ],
  [
    'ID-3: a secret for ed25519',
    oneKey(`alg: ed25519, public_key: ${KEY_A}, secret_hex: ${SECRET}`),
    'clients[0].keys[0].secret_hex',
    4,
    /secret_hex on an ed25519/,
  ],
  [
    'ID-3: the registry as a kind of clients',
    oneKey(`alg: ed25519, public_key: ${KEY_A}, kinds: [registry]`),
    'clients[0].keys[0].kinds',
    4,
    /kind registry/,
  ],
  ['CF-2: an unknown algorithm', oneKey('alg: rsa'), 'clients[0].keys[0].alg', 4, /ed25519 \| hmac-sha256/],
  [
    'CF-2: an unknown member',
    oneKey(`alg: ed25519, publik_key: ${KEY_A}`),
    'clients[0].keys[0].publik_key',
    4,
    /Did you mean public_key/,
  ],
  ['CF-2: a missing member', 'clients:\n  - keys: []\n', 'clients[0]', 2, /with issuer/],
  [
    'CF-2: an issuer with a space',
    'clients:\n  - issuer: a b\n    keys: [{key_id: k, alg: ed25519}]\n',
    'clients[0].issuer',
    2,
    /A-Z a-z/,
  ],
  [
    'CF-2: a role that is none',
    'clients:\n  - issuer: a\n    roles: [admin]\n    keys: [{key_id: k, alg: ed25519}]\n',
    'clients[0].roles[0]',
    3,
    /submit \| read/,
  ],
  [
    'CF-2: a client twice',
    `clients:\n  - {issuer: a, keys: [{key_id: k, alg: ed25519, public_key: ${KEY_A}}]}\n  - {issuer: a, keys: [{key_id: k, alg: ed25519, public_key: ${KEY_B}}]}\n`,
    'clients[1].issuer',
    3,
    /every issuer once/,
  ],
  [
    'CF-2: one key for two clients',
    `clients:\n  - {issuer: a, keys: [{key_id: k, alg: ed25519, public_key: ${KEY_A}}]}\n  - {issuer: b, keys: [{key_id: k, alg: ed25519, public_key: ${KEY_A}}]}\n`,
    'clients[1].keys[0].public_key',
    3,
    /every key once/,
  ],
  ['CF-2: a list for the file', '- a\n', '', 1, /a list of 1/],
];

for (const [name, yaml, path, line, message] of REFUSED) {
  test(`${name} is refused with its place and without secrets`, (t) => {
    const error = t.throws(() => read(t, yaml), { instanceOf: ConfigError })!;
    const problem = error.problems.find((candidate) => candidate.path === path);
    t.truthy(problem, error.message);
    if (line > 0) t.is(problem?.line, line);
    t.regex(error.message, message);
    t.false(error.message.includes('c4c4'), error.message);
  });
}

test('ID-8: secrets in a file that others may read are refused before they are used', (t) => {
  const yaml = oneKey(`alg: hmac-sha256, secret_hex: ${SECRET}`);
  const error = t.throws(() => read(t, yaml, {}, 0o644), { instanceOf: ConfigError });
  t.regex(error?.message ?? '', /mode 0644; allowed: 0600 or 0400\. Fix it: chmod 0600/);
  t.notThrows(() => read(t, oneKey(`alg: ed25519, public_key: ${KEY_A}`), {}, 0o644), 'public keys may be public');
});

test('ID-8: a YAML mistake beside a secret does not print it', (t) => {
  const error = t.throws(() => read(t, `clients:\n  - secret_hex: ${SECRET}\n ${SECRET}\n`), {
    instanceOf: ConfigError,
  });
  t.false(error?.message.includes('c4c4'), error?.message);
});

test('ID-3: short secrets and clients without a valid key are allowed with a warning', (t) => {
  const { warnings } = read(
    t,
    `clients:
  - {issuer: a, keys: [{key_id: k, alg: hmac-sha256, secret_base64: dGVzdHNlY3JldA==}]}
  - {issuer: b, keys: [{key_id: k, alg: ed25519, public_key: ${KEY_A}, not_after: 2026-01-01T00:00:00Z}]}
`,
  );
  t.regex(warnings[0] ?? '', /a\/k has a secret of 10 bytes/);
  t.regex(warnings[1] ?? '', /client b has no key that is still valid/);
});

test('ID-3: an empty file is an empty wish', (t) => {
  t.deepEqual(read(t, '').clients, []);
  t.deepEqual(read(t, 'clients:\n').clients, []);
});

test('IN-3: operators add kinds as JSON Schema files', (t) => {
  const path = folder(t);
  writeFileSync(join(path, 'b-order.json'), '{"type":"object","properties":{"n":{"type":"integer"}}}');
  writeFileSync(join(path, 'a.json'), '\t{"type": "object"}');
  writeFileSync(join(path, 'README.md'), 'not a kind');
  const kinds = loadKinds(path);
  t.deepEqual(
    kinds.map(({ kind }) => kind),
    ['a', 'b-order'],
  );
  t.regex(kinds[0]?.schema_sha256 ?? '', /^[0-9a-f]{64}$/);
});

const WRONG_KINDS: [name: string, file: string, text: string, message: RegExp][] = [
  ['a name that no kind has', 'Order.json', '{}', /makes the kind "Order"/],
  ['a built-in name', 'note.json', '{"type":"object"}', /built-in kind note/],
  ['no JSON', 'a.json', '{"type":', /a\.json: found/],
  ['a duplicate name', 'a.json', '{"type":"object","type":"object"}', /duplicate/i],
  ['no object', 'a.json', '[]', /no object/],
  [
    'a keyword that validators could judge differently',
    'a.json',
    '{"type":"object",\n"properties":{"x":{"type":"string",\n"pattern":"a+"}}}',
    /a\.json:\d.*pattern/s,
  ],
];

for (const [name, file, text, message] of WRONG_KINDS) {
  test(`IN-3: a kind file is refused by name: ${name}`, (t) => {
    const path = folder(t);
    writeFileSync(join(path, file), text);
    t.regex(t.throws(() => loadKinds(path), { instanceOf: ConfigError })?.message ?? '', message);
  });
}

test('CF-2: problems of all named files are told together', (t) => {
  const path = folder(t);
  mkdirSync(join(path, 'kinds'));
  writeFileSync(join(path, 'kinds', 'X.json'), '{}');
  writeFileSync(join(path, 'clients.yml'), 'clients: 3\n');
  const argv = ['--clients-file=clients.yml', '--kinds-dir=kinds'];
  const { config } = loadConfig({ argv, env: {}, cwd: path });
  const error = t.throws(() => loadNamedFiles(config, 'node_1', 0), { instanceOf: ConfigError });
  t.is(error?.problems.length, 2);
  const gone = loadConfig({ argv: ['--kinds-dir=gone'], env: {}, cwd: path });
  t.regex(t.throws(() => loadNamedFiles(gone.config, 'n', 0))?.message ?? '', /gone: found no such file/);
});

test('CF-3: the fingerprint follows contents, secrets included, not spelling', (t) => {
  const path = folder(t);
  const { config } = loadConfig({ argv: ['--clients-file=clients.yml'], env: {}, cwd: path });
  const fingerprint = (yaml: string) => {
    writeFileSync(join(path, 'clients.yml'), yaml, { mode: 0o600 });
    return loadNamedFiles(config, 'node_1', 0).fingerprint;
  };
  const first = fingerprint(oneKey(`alg: hmac-sha256, secret_hex: ${SECRET}`));
  t.is(fingerprint(`# the same\n${oneKey(`secret_hex: ${SECRET}, alg: hmac-sha256`)}`), first);
  t.not(fingerprint(oneKey(`alg: hmac-sha256, secret_hex: ${'c5'.repeat(32)}`)), first);
});

test('CF-2: the examples are valid', (t) => {
  const cwd = fileURLToPath(new URL('../../', import.meta.url));
  for (const name of ['quorate.yaml', 'quorate.production.yaml']) {
    const { warnings } = loadConfig({ argv: ['--config', join('config', 'examples', name)], env: {}, cwd });
    t.deepEqual(warnings, [], name);
  }
  const { config } = loadConfig({ argv: ['--config', join('config', 'examples', 'quorate.yaml')], env: {}, cwd });
  const files = loadNamedFiles(config, 'node_1', OPTIONS.nowMs);
  t.deepEqual([files.clients.length, files.kinds.map(({ kind }) => kind), files.warnings], [2, ['reading'], []]);
});
