// Where values come from, and what a wrong one is answered with.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { parse } from 'yaml';
import { ConfigError, type ConfigProblem } from './errors.js';
import { FIELDS, type Field } from './fields.js';
import { environmentName, flagName, helpText } from './flags.js';
import { type LoadedConfig, loadConfig } from './load.js';
import { printConfig } from './print.js';
import { reloadConfig, valueAt } from './reloadable.js';
import { FIELD_PATHS, type FieldPath, parseListen } from './schema.js';
import { nearest } from './suggest.js';

function folder(t: ExecutionContext, files: Record<string, string> = {}): string {
  const path = mkdtempSync(join(tmpdir(), 'quorate-config-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(path, name, '..'), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return path;
}

function load(cwd: string, argv: string[] = [], env: Record<string, string> = {}): LoadedConfig {
  return loadConfig({ argv, env, cwd, cores: 4 });
}

function refusal(t: ExecutionContext, run: () => unknown): ConfigError {
  return t.throws(run, { instanceOf: ConfigError })!;
}

function problemAt(error: ConfigError, path: string): ConfigProblem | undefined {
  return error.problems.find((problem) => problem.path === path);
}

test('CF-1: without anything the defaults are a development node on loopback', (t) => {
  const cwd = folder(t);
  const { config, action, file, warnings } = load(cwd);
  t.like(config, {
    mode: 'development',
    data_dir: join(cwd, 'data'),
    keys_dir: join(cwd, 'data', 'keys'),
    genesis: join(cwd, 'data', 'genesis.json'),
    listen: '127.0.0.1:8080',
    ops_listen: '127.0.0.1:9090',
    peer_listen: null,
    clients_file: null,
  });
  t.deepEqual([action, file, warnings], ['run', null, []]);
});

test('IN-8: the documented limits are the defaults', (t) => {
  const { limits } = load(folder(t)).config;
  t.like(limits, { body_bytes: 65_536, batch_bytes: 1_048_576, server_timeout_ms: 5000, wait_default_ms: 2000 });
});

test('IN-6: the response cache keeps 10 000 answers for ten minutes by default, and both can be changed', (t) => {
  const cwd = folder(t, { 'quorate.yaml': 'idempotency: {max: 20000, ttl_ms: 1000}' });
  t.deepEqual(load(folder(t)).config.idempotency, { max: 10_000, ttl_ms: 600_000 });
  t.deepEqual(load(cwd).config.idempotency, { max: 20_000, ttl_ms: 1000 });
});

test('RT-2, CF-7: backoff, breaker, budget and a policy for every actor stand in the configuration', (t) => {
  const { supervision } = load(folder(t)).config;
  t.deepEqual(supervision.backoff, { floor_ms: 100, factor: 2, ceiling_ms: 30_000, jitter: 0.25 });
  t.deepEqual(supervision.breaker, { failures: 5, open_ms: 60_000, successes: 3 });
  t.deepEqual(Object.keys(supervision.actors), [
    'wal-writer',
    'store',
    'consensus',
    'dedup',
    'gossip',
    'rpc-client',
    'ingress',
  ]);
});

test('CF-2: flags win over the environment, it over the file, that over the defaults', (t) => {
  const cwd = folder(t, { 'quorate.yaml': 'log: {level: warn}\nlisten: 127.0.0.1:1\nshutdown_ms: 40000\n' });
  const loaded = load(cwd, ['--log-level', 'trace'], { QUORATE_LOG_LEVEL: 'debug', QUORATE_LISTEN: '127.0.0.1:2' });
  t.is(loaded.config.log.level, 'trace');
  t.is(loaded.config.listen, '127.0.0.1:2');
  t.is(loaded.config.shutdown_ms, 40_000);
  const where = (path: FieldPath) => loaded.provenance.get(path)?.where;
  t.deepEqual(
    [where('log.level'), where('listen'), where('shutdown_ms'), where('mode')],
    ['flag --log-level', 'environment QUORATE_LISTEN', 'quorate.yaml', 'default'],
  );
  t.is(loaded.provenance.get('shutdown_ms')?.line, 3);
});

test('CF-2: every setting has a flag and a variable of its own, and both are read', (t) => {
  const cwd = folder(t);
  t.is(new Set(FIELD_PATHS.map(flagName)).size, FIELD_PATHS.length);
  t.is(new Set(FIELD_PATHS.map(environmentName)).size, FIELD_PATHS.length);
  const defaults = load(cwd).config;
  for (const path of FIELD_PATHS) {
    const value = valueAt(defaults, path);
    const text = value === null ? 'off' : String(value);
    t.is(load(cwd, [`--${flagName(path)}=${text}`]).provenance.get(path)?.source, 'flag', path);
    const fromEnvironment = load(cwd, [], { [environmentName(path)]: text });
    t.is(fromEnvironment.provenance.get(path)?.source, 'environment', path);
    t.is(valueAt(fromEnvironment.config, path), value, path);
  }
});

test('CF-2: every default satisfies its own schema', (t) => {
  const cwd = folder(t);
  for (const path of FIELD_PATHS) {
    const field: Field = FIELDS[path];
    if (typeof field.default === 'object') continue;
    const yaml = path.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), field.default);
    writeFileSync(join(cwd, 'one.yaml'), JSON.stringify(yaml));
    t.notThrows(() => load(cwd, ['--config', 'one.yaml']), path);
  }
});

test('CF-2: paths start at the file’s folder, or at the working directory for flags and environment', (t) => {
  const cwd = folder(t, { 'etc/node.yaml': 'data_dir: state\nclients_file: ../clients.yml\n' });
  const { config } = load(cwd, ['--config', 'etc/node.yaml', '--kinds-dir', 'kinds'], {
    QUORATE_KEYS_DIR: '/abs/keys',
  });
  t.is(config.data_dir, join(cwd, 'etc', 'state'));
  t.is(config.clients_file, join(cwd, 'clients.yml'));
  t.is(config.kinds_dir, join(cwd, 'kinds'));
  t.is(config.keys_dir, '/abs/keys');
  t.is(config.genesis, join(cwd, 'etc', 'state', 'genesis.json'), 'derived from data_dir, wherever that came from');
});

// Each row: a file, and the place, finding and permission that its refusal must name.
const WRONG_FILES: [name: string, yaml: string, path: string, place: string, found: RegExp, allowed: RegExp][] = [
  [
    'a word for a number',
    'limits:\n  body_bytes: 64k\n',
    'limits.body_bytes',
    '2:15',
    /"64k"/,
    /integer 1024 to 262144/,
  ],
  ['a number out of range', 'limits:\n  body_bytes: 7\n', 'limits.body_bytes', '2:15', /7/, /integer 1024/],
  ['a fraction', 'shutdown_ms: 1500.5\n', 'shutdown_ms', '1:14', /1500\.5/, /integer/],
  ['an unknown word', 'mode: prod\n', 'mode', '1:7', /"prod"/, /development \| production/],
  ['an unknown key', 'log:\n  levle: info\n', 'log.levle', '2:3', /unknown setting/, /level, format, file/],
  ['a value for a section', 'log: info\n', 'log', '1:6', /"info"/, /mapping of level/],
  ['a section for a value', 'listen: {port: 8080}\n', 'listen', '1:9', /a mapping/, /HOST:PORT/],
  ['a port too high', 'listen: 127.0.0.1:65536\n', 'listen', '1:9', /65536/, /port 0 to 65535/],
  ['a list', '- a\n', '', '1:1', /a list of 1/, /mapping of mode/],
  ['null where a value is needed', 'data_dir:\n', 'data_dir', '1:10', /null/, /path/],
  ['a store that forgets', 'dedup: {store: memory}\n', 'dedup.store', '1:16', /"memory"/, /embedded/],
];

for (const [name, yaml, path, place, found, allowed] of WRONG_FILES) {
  test(`CF-2: an error names file, line, path, found and allowed: ${name}`, (t) => {
    const error = refusal(t, () => load(folder(t, { 'quorate.yaml': yaml })));
    const problem = problemAt(error, path);
    t.is(error.exitCode, 78);
    t.is(`${problem?.line}:${problem?.column}`, place);
    t.is(problem?.file, 'quorate.yaml');
    t.regex(problem?.found ?? '', found);
    t.regex(problem?.allowed ?? '', allowed);
    t.true(error.message.includes(`quorate.yaml:${place}`));
  });
}

test('CF-2: a misspelt key, flag or variable is answered with the likely one', (t) => {
  const cwd = folder(t, { 'quorate.yaml': 'shutdwon_ms: 1000\n' });
  t.regex(refusal(t, () => load(cwd)).message, /Did you mean shutdown_ms\?/);
  const flag = refusal(t, () => load(folder(t), ['--lisen', '127.0.0.1:0']));
  t.regex(flag.message, /Did you mean --listen\?/);
  t.is(flag.exitCode, 64);
  t.regex(
    load(folder(t), [], { QUORATE_LISTNE: 'x' }).warnings.join(),
    /QUORATE_LISTNE.*Did you mean QUORATE_LISTEN\?/,
  );
  t.is(nearest('zzzz', ['mode', 'listen']), null);
});

test('CF-2: a setting that stands elsewhere is sent there', (t) => {
  const cwd = folder(t, { 'quorate.yaml': 'chain: {horizon_ms: 1}\nsigning_key: c4n4ry\n' });
  const error = refusal(t, () => load(cwd));
  t.regex(problemAt(error, 'chain')?.hint ?? '', /genesis\.json/);
  t.regex(problemAt(error, 'signing_key')?.hint ?? '', /QUORATE_SIGNING_KEY/);
  t.false(error.message.includes('c4n4ry'), 'what may be a secret is not repeated');
});

test('CF-2: all problems are told at once, over all sources that were read', (t) => {
  const cwd = folder(t, { 'quorate.yaml': 'mode: x\nlimits: {body_bytes: 1}\n' });
  const error = refusal(t, () => load(cwd, ['--log-level', 'loud'], { QUORATE_SHUTDOWN_MS: 'soon' }));
  t.deepEqual(
    error.problems.map((problem) => problem.path),
    ['mode', 'limits.body_bytes', 'shutdown_ms', 'log.level'],
  );
  t.is(problemAt(error, 'shutdown_ms')?.file, 'environment QUORATE_SHUTDOWN_MS');
});

const WRONG_YAML: [name: string, text: string | Uint8Array, found: RegExp][] = [
  ['not YAML', 'limits: [1, 2\n', /Flow sequence|flow/i],
  ['a duplicate key', 'mode: development\nmode: production\n', /unique/],
  ['two documents', 'mode: development\n---\nmode: production\n', /documents/],
  ['a tag', 'mode: !!js/function x\n', /tag/i],
  ['aliases without end', `a: &a [x,x,x,x,x,x,x,x,x,x]\n${bomb()}`, /aliases/],
  ['bytes that are no text', Uint8Array.of(0x6d, 0x3a, 0xff, 0xfe), /UTF-8/],
];

function bomb(): string {
  const names = 'abcdefgh';
  return [...names.slice(1)]
    .map((name, index) => `${name}: &${name} [${Array.from({ length: 10 }, () => `*${names[index]}`).join(',')}]`)
    .join('\n');
}

for (const [name, text, found] of WRONG_YAML) {
  test(`CF-2: a file that cannot be read as settings is refused: ${name}`, (t) => {
    const cwd = folder(t);
    writeFileSync(join(cwd, 'quorate.yaml'), text);
    const error = refusal(t, () => load(cwd));
    t.regex(error.message, found);
    t.is(error.problems[0]?.file, 'quorate.yaml');
  });
}

test('CF-2: a named file must be there; the default one need not; an empty one is all defaults', (t) => {
  const cwd = folder(t, { 'empty.yaml': '# nothing\n', 'sections.yaml': 'log: {}\n' });
  t.regex(refusal(t, () => load(cwd, ['--config', 'gone.yaml'])).message, /gone\.yaml: found no such file/);
  t.regex(refusal(t, () => load(cwd, ['--config', '.'])).message, /not a regular file/);
  t.deepEqual(load(cwd, ['--config', 'empty.yaml']).config, load(cwd).config);
  t.deepEqual(load(cwd, ['--config', 'sections.yaml']).config, load(cwd).config);
  t.is(load(cwd, [], { QUORATE_CONFIG: 'empty.yaml' }).file, join(cwd, 'empty.yaml'));
});

test('CF-2: bad input never crashes: any text is a configuration or a ConfigError', (t) => {
  const cwd = folder(t);
  const words = fc.constantFrom(
    'mode',
    'limits',
    'log',
    ': ',
    '\n',
    '  ',
    '- ',
    '{',
    '}',
    '[',
    '"',
    '&a',
    '*a',
    '0',
    '#',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(words, { maxLength: 12 }).map((parts) => parts.join('')),
      ),
      (text) => {
        writeFileSync(join(cwd, 'any.yaml'), text);
        try {
          load(cwd, ['--config', 'any.yaml']);
        } catch (error) {
          if (!(error instanceof ConfigError) || error.problems.length === 0) throw error;
        }
      },
    ),
    { numRuns: 300 },
  );
  t.pass();
});

test('CF-2: bad command lines end with 64 and say why', (t) => {
  const cwd = folder(t);
  const lines: [argv: string[], expected: RegExp][] = [
    [['--listen'], /--listen: found no value; allowed: HOST:PORT/],
    [['--mode', '--check-config'], /--mode: found no value/],
    [['serve'], /found "serve"; allowed: flags only/],
    [['--check-config=yes'], /found a value/],
    [['-x'], /-x: found an unknown flag/],
    [['--no-such'], /--no-such: found an unknown flag/],
  ];
  for (const [argv, expected] of lines) {
    const error = refusal(t, () => load(cwd, argv));
    t.is(error.exitCode, 64, argv.join(' '));
    t.regex(error.message, expected);
  }
});

test('CF-2: the line says what to do; --help and --version work beside a broken file', (t) => {
  const cwd = folder(t, { 'quorate.yaml': 'mode: [' });
  t.is(load(cwd, ['--help', '--nonsense']).action, 'help');
  t.is(load(cwd, ['-h']).action, 'help');
  t.is(load(cwd, ['--version']).action, 'version');
  const good = folder(t);
  t.is(load(good, ['--check-config']).action, 'check');
  t.is(load(good, ['--print-config', '--check-config']).action, 'print');
});

test('CF-2: the help names every first setting with its default, how to try it, and how it ends', (t) => {
  const help = helpText();
  for (const word of ['--data-dir', '127.0.0.1:8080', 'quorate submit', 'quorate verify', '--check-config', '78']) {
    t.true(help.includes(word), word);
  }
  for (const line of help.split('\n')) t.true(line.length <= 118, line);
});

test('CF-2: --print-config is YAML that says where each value came from and loads to the same configuration', (t) => {
  const cwd = folder(t, { 'quorate.yaml': 'log: {level: warn}\nclients_file: "with space: and # hash.yml"\n' });
  const loaded = load(cwd, ['--listen', '[::1]:0'], { QUORATE_SHUTDOWN_MS: '31000' });
  const text = printConfig(loaded, { signingKeyInEnvironment: true });
  t.regex(text, /listen: "?\[::1\]:0"? +# flag --listen, restart/);
  t.regex(text, /level: warn +# quorate\.yaml:1/);
  t.regex(text, /shutdown_ms: 31000 +# environment QUORATE_SHUTDOWN_MS/);
  t.regex(text, /ops_listen: 127\.0\.0\.1:9090 +# default/);
  t.regex(text, /QUORATE_SIGNING_KEY \(redacted\)/);
  t.deepEqual(parse(text), loaded.config);
  writeFileSync(join(cwd, 'printed.yaml'), text);
  t.deepEqual(load(cwd, ['--config', 'printed.yaml']).config, loaded.config);
});

test('ID-2: the signing key is in nothing that the configuration keeps', (t) => {
  const loaded = load(folder(t), [], { QUORATE_SIGNING_KEY: 'c4n4ry', QUORATE_LOG_LEVEL: 'warn', OTHER: 'x' });
  t.false(JSON.stringify([loaded, [...loaded.provenance]]).includes('c4n4ry'));
  t.deepEqual(loaded.inputs.env, { QUORATE_LOG_LEVEL: 'warn' });
  t.deepEqual(loaded.warnings, []);
});

test('CF-2: variables that Kubernetes adds for a Service of our name are no misspelt settings', (t) => {
  const env = { QUORATE_SERVICE_HOST: '10.0.0.1', QUORATE_PORT: 'tcp://10.0.0.1:80', QUORATE_PORT_80_TCP: 'tcp://x' };
  t.deepEqual(load(folder(t), [], env).warnings, []);
});

test('CF-2: an empty variable is no variable, and "off" clears what may be empty', (t) => {
  const cwd = folder(t, { 'quorate.yaml': 'clients_file: c.yml\n' });
  t.is(load(cwd, [], { QUORATE_CLIENTS_FILE: '' }).config.clients_file, join(cwd, 'c.yml'));
  t.is(load(cwd, [], { QUORATE_CLIENTS_FILE: 'off' }).config.clients_file, null);
});

test('CF-2: verify threads follow the cores, two to eight', (t) => {
  const threads = (cores: number) => loadConfig({ argv: [], env: {}, cwd: folder(t), cores }).config.verify.threads;
  t.deepEqual([1, 2, 4, 64].map(threads), [2, 2, 3, 8]);
});

test('CF-3: a reload that changes nothing says so; one that may, names what changed', (t) => {
  const cwd = folder(t, { 'quorate.yaml': 'log: {level: info}\n' });
  const first = load(cwd);
  t.deepEqual(reloadConfig(first).changed, []);
  writeFileSync(join(cwd, 'quorate.yaml'), '# a comment\nlog: {level: debug}\nlimits: {in_flight_max: 1000}\n');
  const reload = reloadConfig(first);
  t.deepEqual(reload.changed, ['log.level', 'limits.in_flight_max']);
  t.is(reload.refused, undefined);
  t.is(reload.next.config.log.level, 'debug');
  t.is(first.config.log.level, 'info', 'the old one is untouched');
});

test('CF-3: a reload that is wrong keeps the last good configuration', (t) => {
  const cwd = folder(t, { 'quorate.yaml': 'log: {level: info}\n' });
  const first = load(cwd);
  for (const text of ['log: [', 'log: {level: loud}\n', 'limits: {wait_default_ms: 9000}\n']) {
    writeFileSync(join(cwd, 'quorate.yaml'), text);
    const reload = reloadConfig(first);
    t.is(reload.next, first);
    t.true(reload.refused instanceof ConfigError, text);
  }
});

test('CF-3: changing what only a restart, or another chain, may change is refused by name', (t) => {
  const cwd = folder(t, { 'quorate.yaml': '' });
  const first = load(cwd);
  const others: Partial<Record<FieldPath, string>> = {
    mode: 'production\nbackups: {enabled: true}\nkeys_dir: /elsewhere',
    listen: '127.0.0.1:1',
    genesis: 'other.json',
    data_dir: 'other',
  };
  for (const [path, value] of Object.entries(others)) {
    writeFileSync(join(cwd, 'quorate.yaml'), `${path}: ${value}\n`);
    const reload = reloadConfig(first);
    const problem = problemAt(reload.refused ?? new ConfigError([]), path);
    t.is(reload.next, first);
    t.is(problem?.line, 1, path);
    t.regex(problem?.hint ?? '', path === 'genesis' ? /part of the chain/ : /restart/);
  }
});

test('CF-2: addresses', (t) => {
  t.deepEqual(parseListen('127.0.0.1:0'), { host: '127.0.0.1', port: 0 });
  t.deepEqual(parseListen('[::1]:65535'), { host: '::1', port: 65_535 });
  t.deepEqual(parseListen('node-1.example:80'), { host: 'node-1.example', port: 80 });
  for (const wrong of ['', '8080', ':80', 'a:', 'a:b', 'a:65536', '::1:80', 'a b:1', 'http://a:1', 'a:-1', '[x]:1']) {
    t.is(parseListen(wrong), null, wrong);
  }
});
