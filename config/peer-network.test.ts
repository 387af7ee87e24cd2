// peers.yml, pinned_certs.json and the TLS files: what is taken from them, and every mistake with file, line and remedy.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import {
  createAuthority,
  type Issued,
  issueCertificate,
  type KeyAndCertificate,
  nodeCertificate,
} from './certificates.js';
import { ConfigError, renderProblem } from './errors.js';
import { loadConfig } from './load.js';
import { loadPeerNetwork } from './peer-network.js';
import { loadPeersFile } from './peers-file.js';
import { loadPinsFile, pinsText } from './pins-file.js';

const NOW = Date.parse('2026-11-20T12:00:00Z');
const DAY_MS = 86_400_000;
const KEYS = [
  'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
  '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
] as const;

let authority: KeyAndCertificate;
let other: KeyAndCertificate;
let own: Issued;

test.before(async () => {
  [authority, other] = await Promise.all([createAuthority('one', NOW, 2048), createAuthority('two', NOW, 2048)]);
  own = await issueCertificate(authority, nodeCertificate('node_1', [], NOW));
});

const issued = (change: Partial<Parameters<typeof issueCertificate>[1]> = {}, by = authority): Promise<Issued> =>
  issueCertificate(by, { ...nodeCertificate('node_1', [], NOW), key: own.key, ...change });

interface Files {
  readonly peers?: string;
  readonly pins?: string | null;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly keyMode?: number;
  readonly certMode?: number;
  readonly more?: readonly string[];
}

const PEERS = `peers:
  - node_id: node_2
    address: 10.0.0.2
    port: 8001
    public_key: ${KEYS[0]}
`;

function load(t: ExecutionContext, files: Files = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-peers-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, text: string, mode = 0o644) => {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), mode);
  };
  write('peers.yml', files.peers ?? PEERS);
  const pins = files.pins === undefined ? '{"peers": {}}' : files.pins;
  if (pins !== null) write('pins.json', pins);
  write('ca.crt', files.ca ?? authority.cert);
  write('node.crt', files.cert ?? own.cert, files.certMode);
  write('node.key', files.key ?? own.key, files.keyMode ?? 0o600);
  const argv = [
    '--peers-file=peers.yml',
    '--peer-listen=127.0.0.1:8001',
    '--tls-ca=ca.crt',
    '--tls-cert=node.crt',
    '--tls-key=node.key',
    ...(pins === null ? [] : ['--pinned-certs=pins.json']),
    ...(files.more ?? []),
  ];
  const { config } = loadConfig({ argv, env: {}, cwd: folder });
  return loadPeerNetwork(config, 'node_1', NOW);
}

const PRODUCTION = ['--mode=production', '--keys-dir=/etc/quorate/keys', '--backups-enabled=true'];

test('NET-6: peers, pins and certificates become the network of this node', (t) => {
  const pin = 'AB'.repeat(32);
  const pins = `{"peers": {"node_2": "sha256:${pin}", "10.0.0.2": ["sha256:${'cd'.repeat(32)}", "${pin.toLowerCase()}"]}}`;
  const { peers, warnings } = load(t, { pins });
  t.deepEqual(warnings, []);
  t.deepEqual(peers?.peers, [
    {
      nodeId: 'node_2',
      host: '10.0.0.2',
      port: 8001,
      publicKey: KEYS[0],
      pins: ['ab'.repeat(32), 'cd'.repeat(32)],
    },
  ]);
  t.like(peers, { listen: { host: '127.0.0.1', port: 8001 }, enforcePins: true, requirePins: false });
  t.is(peers?.tls?.key, own.key);
});

test('NET-6: this node’s own entry is left out, and of a node that stands twice the first entry counts', (t) => {
  const entry = (id: string, port: number, key: string) =>
    `  - { node_id: ${id}, address: h, port: ${port}, public_key: ${key} }\n`;
  const text = `peers:\n${entry('node_1', 1, KEYS[0])}${entry('node_2', 2, KEYS[1])}${entry('node_2', 3, KEYS[1])}`;
  const { peers, warnings } = load(t, { peers: text });
  t.deepEqual(
    peers?.peers.map(({ nodeId, port }) => [nodeId, port]),
    [['node_2', 2]],
  );
  t.true(warnings.some((warning) => /names node_2 twice; the first/.test(warning)));
});

test('CF-2: the examples are valid', (t) => {
  const example = (name: string) => fileURLToPath(new URL(`../../config/examples/${name}`, import.meta.url));
  const { peers, warnings } = loadPeersFile(example('peers.yml'), 'node_1');
  t.deepEqual([peers.map(({ nodeId }) => nodeId), warnings], [['node_2'], []]);
  t.is(loadPinsFile(example('pinned_certs.json')).pins.get('node_2')?.length, 2);
});

test('without a peer there is no network', (t) => {
  t.is(load(t, { peers: 'peers: []\n' }).peers, null);
  t.is(load(t, { peers: '' }).peers, null);
});

const PEER_MISTAKES: [title: string, text: string, message: RegExp][] = [
  ['an unknown member', `${PEERS}    color: red\n`, /peers\.yml:6:5: peers\[0\]\.color: found an unknown member/],
  ['an older shape', 'allow_insecure_peers: true\n', /peers\.yml:1:1: .*setting of the node/],
  ['a missing port', PEERS.replace(/ {4}port.*\n/, ''), /peers\.yml:2:5: peers\[0\]: found a peer without port/],
  [
    'a port that is none',
    PEERS.replace('8001', '80010'),
    /peers\.yml:4:11: .*found 80010; allowed: integer 1 to 65535/,
  ],
  ['an address with a port', PEERS.replace('10.0.0.2', 'h:8001/x'), /peers\.yml:3:14: .*without port/],
  ['a key that is too short', PEERS.replace(KEYS[0], 'abcd'), /peers\.yml:5:17: .*64 hex digits/],
  ['a weak key', PEERS.replace(KEYS[0], `"01${'00'.repeat(31)}"`), /unusable key \(small-order\)/],
  ['a key that YAML takes for a number', PEERS.replace(KEYS[0], '1'.repeat(64)), /put it in quotes/],
  [
    'one key for two peers',
    `${PEERS}  - { node_id: node_3, address: h, port: 1, public_key: ${KEYS[0]} }\n`,
    /peers\.yml:6:\d+: peers\[1\]\.public_key: found what node_2 has too/,
  ],
  [
    'one address for two peers',
    `${PEERS}  - { node_id: node_3, address: 10.0.0.2, port: 8001, public_key: ${KEYS[1]} }\n`,
    /peers\.yml:6:\d+: peers\[1\]\.address: found what node_2 has too/,
  ],
  ['no list', 'peers: node_2\n', /peers\.yml:1:8: peers: found "node_2"; allowed: a list of peers/],
  ['a key twice', `${PEERS}    port: 1\n`, /peers\.yml:6:5: found Map keys must be unique/],
];

for (const [title, peers, message] of PEER_MISTAKES) {
  test(`NET-6: peers.yml with ${title} is refused with its line`, (t) => {
    const error = t.throws(() => load(t, { peers }), { instanceOf: ConfigError });
    t.regex(
      error!.problems
        .map(renderProblem)
        .join('\n')
        .replaceAll(/\S*\/peers\.yml/g, 'peers.yml'),
      message,
    );
    t.is(error?.exitCode, 78);
  });
}

const PIN_MISTAKES: [title: string, text: string, message: RegExp][] = [
  ['no JSON', '{"peers": {"node_2": "sha256:', /pins\.json:1:\d+/],
  ['no peers', '{"enforce": true}', /pins\.json:1:1: found no member peers/],
  ['another member', '{\n "peers": {},\n "pins": {}\n}', /pins\.json:3:2: pins: found an unknown member/],
  [
    'a pin that is too short',
    `{"peers": {\n  "node_2": "sha256:abcd"}}`,
    /pins\.json:2:13: peers\.node_2: found "sha256:abcd"; allowed: "sha256:" and 64 hex digits/,
  ],
  [
    'a wrong pin in a list',
    `{"peers": {"node_2": [\n "sha256:${'a'.repeat(64)}",\n "md5:1"]}}`,
    /pins\.json:3:2: peers\.node_2\[1\]: found "md5:1"/,
  ],
  ['an empty list', '{"peers": {"node_2": []}}', /peers\.node_2: found a list of 0/],
  ['a number', '{"peers": {"node_2": 5}}', /peers\.node_2: found 5/],
];

for (const [title, pins, message] of PIN_MISTAKES) {
  test(`NET-2: pinned_certs.json with ${title} is refused with its line`, (t) => {
    const error = t.throws(() => load(t, { pins }), { instanceOf: ConfigError });
    t.regex(error!.problems.map(renderProblem).join('\n'), message);
    t.is(error?.exitCode, 78);
  });
}

test('a pins file that is written is read as it was meant', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-pins-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const pins = new Map([
    ['node_2', ['b'.repeat(64), 'c'.repeat(64)]],
    ['node_1', ['a'.repeat(64)]],
  ]);
  writeFileSync(join(folder, 'p.json'), pinsText(pins));
  t.deepEqual(loadPinsFile(join(folder, 'p.json')), { enforce: true, pins: new Map([...pins].reverse()) });
});

const TLS_MISTAKES: [title: string, files: () => Promise<Files>, message: RegExp][] = [
  [
    'NET-8: a key that others may read',
    async () => ({ keyMode: 0o644 }),
    /node\.key: found mode 0644; allowed: 0600 or 0400\. Fix it: chmod 0600 \S+node\.key/,
  ],
  ['NET-8: a key that the group may read', async () => ({ keyMode: 0o640 }), /node\.key: found mode 0640/],
  [
    'NET-8: a key that the group may write',
    async () => ({ keyMode: 0o660, more: ['--tls-key-group-read=true'] }),
    /node\.key: found mode 0660; allowed: 0600, 0400, 0640 or 0440/,
  ],
  [
    'NET-8: a certificate that others may write',
    async () => ({ certMode: 0o666 }),
    /node\.crt: found mode 0666, which others may write/,
  ],
  ['a certificate file without one', async () => ({ cert: 'nothing' }), /node\.crt: found no certificate/],
  [
    'a damaged certificate',
    async () => ({ cert: own.cert.replace('MII', 'MIA') }),
    /certificate 1 that cannot be read/,
  ],
  ['a key file without one', async () => ({ key: 'nothing' }), /node\.key: tls\.key: found no private key/],
  [
    'a key of another certificate',
    async () => ({ key: other.key }),
    /node\.key: tls\.key: found a key that is not the one of the certificate/,
  ],
  [
    'NET-1: a certificate of another authority',
    async () => ({ cert: (await issued({}, other)).cert }),
    /found a certificate that this authority did not sign/,
  ],
  [
    'NET-1: an expired certificate',
    async () => ({ cert: (await issued({ notAfterMs: NOW - DAY_MS })).cert }),
    /node\.crt: found a certificate that expired at 2026-11-19T12:00:00/,
  ],
  [
    'NET-1: a certificate of tomorrow',
    async () => ({ cert: (await issued({ notBeforeMs: NOW + DAY_MS })).cert }),
    /begins to be valid at 2026-11-21/,
  ],
  [
    'an authority that is none',
    async () => ({ ca: own.cert }),
    /ca\.crt: tls\.ca: found a certificate that is no auth/,
  ],
];

for (const [title, files, message] of TLS_MISTAKES) {
  test(`${title} is refused`, async (t) => {
    const made = await files();
    const error = t.throws(() => load(t, made), { instanceOf: ConfigError });
    t.regex(error!.problems.map(renderProblem).join('\n'), message);
    t.is(error?.exitCode, 78);
    t.false(error!.message.includes('PRIVATE KEY'));
  });
}

test('NET-8: a group that may read the key is an option', (t) => {
  t.truthy(load(t, { keyMode: 0o640, more: ['--tls-key-group-read=true'] }).peers);
  t.truthy(load(t, { keyMode: 0o440, more: ['--tls-key-group-read=true'] }).peers);
});

test('NET-9: a certificate near its end is a warning', async (t) => {
  const { cert } = await issued({ notAfterMs: NOW + 10 * DAY_MS });
  const { warnings } = load(t, { cert });
  t.true(warnings.some((warning) => /expires in 10 days/.test(warning)));
});

test('NET-2: in production every peer has a pin, and pins are enforced', (t) => {
  const unpinned = t.throws(() => load(t, { more: PRODUCTION }), { instanceOf: ConfigError });
  t.regex(unpinned!.message, /found no pin of node_2/);
  const pin = `"node_2": "sha256:${'a'.repeat(64)}"`;
  const lax = t.throws(() => load(t, { pins: `{"enforce": false, "peers": {${pin}}}`, more: PRODUCTION }));
  t.regex(lax!.message, /enforce: true in production/);
  t.true(load(t, { pins: `{"peers": {${pin}}}`, more: PRODUCTION }).peers?.requirePins);
  const { warnings } = load(t, { pins: null });
  t.true(warnings.some((warning) => /no certificate is pinned for node_2/.test(warning)));
});
