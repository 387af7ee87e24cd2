// Rules between settings, one row each: what is asked for, and what is said.
import { resolve } from 'node:path';
import test from 'ava';
import { ConfigError } from './errors.js';
import { type LoadedConfig, loadConfig } from './load.js';

const PRODUCTION = ['--mode=production', '--keys-dir=/etc/quorate/keys', '--backups-enabled=true', '--log-format=json'];

function load(argv: string[]): LoadedConfig {
  return loadConfig({ argv, env: {}, cwd: resolve('/nowhere'), cores: 2 });
}

const REFUSED: [name: string, argv: string[], path: string, message: RegExp][] = [
  [
    'IN-8: a wait as long as the server timeout',
    ['--limits-wait-default-ms=5000'],
    'limits.wait_default_ms',
    /shorter/,
  ],
  [
    'IN-8: a timeout below the default wait',
    ['--limits-server-timeout-ms=1000'],
    'limits.server_timeout_ms',
    /shorter/,
  ],
  ['IN-8: a batch smaller than one body', ['--limits-batch-bytes=2048'], 'limits.batch_bytes', /at least as large/],
  ['IN-8: a batch never admitted', ['--limits-in-flight-max=10'], 'limits.in_flight_max', /at most in_flight_max/],
  ['IN-6: fewer answers than work in hand', ['--idempotency-max=100'], 'idempotency.max', /at least limits/],
  ['CF-2: a segment of broken pages', ['--wal-segment-bytes=1048577'], 'wal.segment_bytes', /multiple of 4096/],
  ['CF-2: one address twice', ['--ops-listen=127.0.0.1:8080'], 'ops_listen', /address of its own/],
  ['NET-3: TLS switched off', ['--tls-enabled=false'], 'tls.enabled', /allow_insecure_peers/],
  [
    'NET-3: insecure peers in production',
    [
      '--mode=production',
      '--keys-dir=/k',
      '--backups-enabled=true',
      '--tls-enabled=false',
      '--allow-insecure-peers=true',
    ],
    'allow_insecure_peers',
    /allow_insecure_peers: false/,
  ],
  ['CF-2: peers without a port', ['--peers-file=peers.yml'], 'peers_file', /HOST:PORT/],
  [
    'NET-1: peers without certificates',
    ['--peers-file=peers.yml', '--peer-listen=127.0.0.1:8001'],
    'peers_file',
    /tls\.ca: a PEM file/,
  ],
  [
    'CF-7: a floor over the ceiling',
    ['--supervision-backoff-floor-ms=40000'],
    'supervision.backoff.floor_ms',
    /at most/,
  ],
  [
    'CF-7: a breaker on what everything stands on',
    ['--supervision-actors-store-restart=circuit-breaker'],
    'supervision.actors.store.restart',
    /immediate \| backoff/,
  ],
  [
    'ID-2: production with keys beside the data',
    ['--mode=production', '--backups-enabled=true'],
    'mode',
    /keys_dir outside/,
  ],
  ['ID-2: production without backups', ['--mode=production', '--keys-dir=/k'], 'mode', /backups\.enabled: true/],
];

for (const [name, argv, path, message] of REFUSED) {
  test(`${name} is refused`, (t) => {
    const error = t.throws(() => load(argv), { instanceOf: ConfigError });
    const problem = error?.problems.find((candidate) => candidate.path === path);
    t.truthy(problem, error?.message);
    t.regex(problem?.allowed ?? '', message);
    t.true(problem?.file.startsWith('flag --'), 'placed at what somebody chose');
    t.is(error?.exitCode, 78);
  });
}

const WARNED: [name: string, argv: string[], message: RegExp][] = [
  ['IN-8: a wait that races impatient clients', ['--limits-wait-default-ms=3000'], /2\.5 s/],
  ['CF-4: a stop cut short', ['--shutdown-ms=5000'], /forced after 5000 ms/],
  ['CF-7: a budget that is never spent', ['--supervision-budget-intensity=20'], /never be spent/],
  ['CF-2: a peer port without peers', ['--peer-listen=127.0.0.1:8001'], /no peer port/],
  ['ID-2: production with logs for people', [...PRODUCTION, '--log-format=pretty'], /not json/],
  ['CF-2: production with a public ops port', [...PRODUCTION, '--ops-listen=0.0.0.0:9090'], /not loopback/],
];

for (const [name, argv, message] of WARNED) {
  test(`${name} is allowed with a warning`, (t) => {
    const { warnings } = load(argv);
    t.is(warnings.length, 1);
    t.regex(warnings[0] ?? '', message);
  });
}

test('ID-2: production with a key directory of its own, backups and JSON logs starts without a word', (t) => {
  t.deepEqual(load(PRODUCTION).warnings, []);
  t.deepEqual(load([...PRODUCTION, '--ops-listen=[::1]:9090']).warnings, []);
});

test('CF-2: port 0 may stand twice: each takes a free one', (t) => {
  t.notThrows(() => load(['--listen=127.0.0.1:0', '--ops-listen=127.0.0.1:0']));
});

test('CF-7: the default budget can be spent by one crash loop', (t) => {
  t.deepEqual(load([]).warnings, []);
});
