// What a person asks of the command line before a node runs: is this file right, what is in force and why, how does it
// work. Each answer comes from the real program, and none of them may write anything.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parse } from 'yaml';
import { command, contentsOf, put, quorate, type Ran, type RunOptions, temporaryDirectory } from './support.js';

/** Runs in `cwd` and proves that nothing there was made, changed or removed. */
async function asks(t: ExecutionContext, cwd: string, args: string[], options: RunOptions = {}): Promise<Ran> {
  const before = contentsOf(cwd);
  const ran = await quorate(args, { cwd, ...options });
  t.deepEqual(contentsOf(cwd), before);
  return ran;
}

const PRODUCTION = 'mode: production\nkeys_dir: ../keys\nlog: { format: json }\nbackups: { enabled: true }\n';

/** What stands in quorate.yaml, what else is there, and the lines that say what is wrong. */
interface Case {
  readonly yaml: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly problems: readonly RegExp[];
}

const HMAC_WITHOUT_SECRET = 'clients: [{ issuer: a, keys: [{ key_id: a, alg: hmac-sha256 }] }]\n';
const CASES: Record<string, Case> = {
  'not YAML': {
    yaml: 'limits:\n  body_bytes: [\n',
    problems: [/^quorate\.yaml:[23]:\d+: found .*; allowed: one YAML document/],
  },
  'several problems of one file, each with its place': {
    yaml: 'listen: 8080\nlimits:\n  body_bytes: 64k\nlog:\n  levle: info\n',
    problems: [
      /^quorate\.yaml:1:9: listen: found 8080; allowed: HOST:PORT with port 0 to 65535/,
      /^quorate\.yaml:3:15: limits\.body_bytes: found "64k"; allowed: integer 1024 to 262144/,
      /^quorate\.yaml:5:3: log\.levle: found an unknown setting; allowed: level, format, file\. Did you mean "?level/,
    ],
  },
  'relations between settings': {
    yaml: 'limits:\n  wait_default_ms: 9000\n',
    problems: [
      /^quorate\.yaml:2:\d+: limits\.wait_default_ms: found a default wait of 9000 ms.*5000 ms; allowed: a wait/,
    ],
  },
  'the environment': {
    yaml: '',
    env: { QUORATE_LIMITS_BODY_BYTES: 'many' },
    problems: [/^environment QUORATE_LIMITS_BODY_BYTES: limits\.body_bytes: found "many"; allowed: integer/],
  },
  'clients, kinds and genesis together': {
    yaml: 'clients_file: clients.yml\nkinds_dir: kinds\n',
    files: {
      'clients.yml': HMAC_WITHOUT_SECRET,
      'kinds/order.json': '{"type":"object","format":"x"}',
      'data/genesis.json': '{"version":1,',
      'data/state.json': '{"schema_version":3}',
    },
    problems: [
      /data\/genesis\.json.*found/,
      /data\/state\.json.*schema_version is 3.*a newer version wrote it/,
      /clients\.yml:1:\d+: clients\[0\]\.keys\[0\].*an hmac-sha256 key without its secret; allowed: one of secret_hex/,
      /kinds\/order\.json.*format/,
    ],
  },
  'production without key': { yaml: PRODUCTION, problems: [/keys\/node\.key: found no key; allowed:/] },
  'production with keys beside the data, and without backups': {
    yaml: 'mode: production\nlog: { format: json }\n',
    problems: [
      /^quorate\.yaml:1:7: mode: found keys in .*data\/keys, inside the data directory; allowed: a keys_dir outside/,
      /^quorate\.yaml:1:7: mode: found backups off; allowed: backups\.enabled: true/,
    ],
  },
  'a file that is not there': {
    yaml: '',
    args: ['--config', 'other.yaml'],
    problems: [/^other\.yaml: found no such file; allowed: a readable file/],
  },
};
for (const [what, { yaml, files = {}, env = {}, args = [], problems }] of Object.entries(CASES)) {
  test(`CF-2: --check-config refuses with 78, place, found and allowed: ${what}`, async (t) => {
    const cwd = join(temporaryDirectory(t), 'here');
    put(join(cwd, 'quorate.yaml'), yaml);
    for (const [name, text] of Object.entries(files)) put(join(cwd, name), text);
    const { code, stdout, stderr } = await asks(t, cwd, ['--check-config', ...args], { env });
    t.is(code, 78);
    t.is(stdout, '');
    const lines = stderr.trimEnd().split('\n');
    t.is(lines.length, problems.length, stderr);
    for (const [index, problem] of problems.entries()) t.regex(lines[index]!, problem);
  });
}

test('CF-2: --check-config says ok on defaults and on a whole production set-up, and writes nothing', async (t) => {
  const root = temporaryDirectory(t);
  const cwd = join(root, 'here');
  mkdirSync(cwd);
  const defaults = await asks(t, cwd, ['--check-config']);
  t.deepEqual(defaults, {
    code: 0,
    stdout: 'ok: built-in defaults (development mode, 0 clients, 0 kinds)\n',
    stderr: '',
  });
  put(join(cwd, 'quorate.yaml'), PRODUCTION);
  t.is((await command(['init', '--data-dir', join(cwd, 'data'), '--keys-dir', join(root, 'keys')])).code, 0);
  const production = await asks(t, cwd, ['--check-config']);
  t.is(production.code, 0, production.stderr);
  t.regex(production.stdout, /^ok: .*quorate\.yaml \(production mode/);
});

test('CF-2: flags win over environment, environment over file, file over defaults; --print-config says which', async (t) => {
  const cwd = temporaryDirectory(t);
  put(join(cwd, 'quorate.yaml'), 'limits:\n  body_bytes: 2048\n  batch_entries: 7\n  in_flight_max: 77\n');
  const { code, stdout } = await asks(t, cwd, ['--print-config', '--limits-body-bytes', '4096'], {
    env: {
      QUORATE_LIMITS_BODY_BYTES: '3072',
      QUORATE_LIMITS_IN_FLIGHT_MAX: '99',
      QUORATE_SIGNING_KEY: 'ab'.repeat(32),
    },
  });
  t.is(code, 0);
  const { limits } = parse(stdout) as { limits: Record<string, number> };
  t.like(limits, { body_bytes: 4096, in_flight_max: 99, batch_entries: 7, wait_default_ms: 2000 });
  t.regex(stdout, /body_bytes: 4096 +# flag --limits-body-bytes\n/);
  t.regex(stdout, /in_flight_max: 99 +# environment QUORATE_LIMITS_IN_FLIGHT_MAX\n/);
  t.regex(stdout, /batch_entries: 7 +# quorate\.yaml:3\n/);
  t.regex(stdout, /wait_default_ms: 2000 +# default\n/);
  t.regex(stdout, /QUORATE_SIGNING_KEY \(redacted\)/);
  t.false(stdout.includes('abab'));
  put(join(cwd, 'printed.yaml'), stdout);
  const again = await asks(t, cwd, ['--print-config', '--config', 'printed.yaml']);
  t.deepEqual(parse(again.stdout), parse(stdout), 'what is printed can be read back');
});

test('CF-1: --help and --version answer also beside a broken file; a wrong command line is 64', async (t) => {
  const cwd = temporaryDirectory(t);
  put(join(cwd, 'quorate.yaml'), ': broken [');
  const help = await asks(t, cwd, ['--help']);
  t.is(help.code, 0);
  for (const word of ['--check-config', '--data-dir', 'QUORATE_', 'submit', '78'])
    t.true(help.stdout.includes(word), word);
  const version = await asks(t, cwd, ['--version']);
  t.is(version.code, 0);
  t.regex(version.stdout, /^\d+\.\d+\.\d+\n$/);
  const wrong = await asks(t, cwd, ['--lisen', '127.0.0.1:1']);
  t.is(wrong.code, 64);
  t.regex(wrong.stderr, /flag --lisen: found an unknown flag; .*Did you mean "?--listen/);
});
