// The words of the command line: help that teaches, errors that name what is allowed, completion, colours; and the process
// around it, spawned for real.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { EXIT } from '../runtime/exit-codes.js';
import { commands } from './dispatch.js';
import { painter, table, wantsColour } from './output.js';
import { emptyDirectory, removeDirectory, run } from './testkit.js';

/** How every colour sequence begins. */
const SGR = `${String.fromCharCode(27)}[`;
const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));

test('OP-1: the help lists every command and every exit code, and begins with a first round', async (t) => {
  for (const argv of [[], ['help'], ['--help'], ['-h'], ['help', '--help']]) {
    const { code, out, err } = await run(argv);
    t.is(code, 0);
    t.is(err, '');
    for (const command of commands) t.regex(out, new RegExp(`\\n {2}${command.name} +\\S`), command.name);
    for (const { code: exit } of Object.values(EXIT)) t.regex(out, new RegExp(`\\n +${exit} {2}\\S`), String(exit));
    t.true(out.indexOf('quorate submit') < out.indexOf('Operate'));
  }
});

test('OP-1: every command explains itself: usage, text, options, examples, exit codes', async (t) => {
  for (const command of commands) {
    const { code, out } = await run(['help', ...command.name.split(' ')]);
    t.is(code, 0);
    t.true(out.startsWith(`quorate ${command.name}`), command.name);
    for (const [name, option] of Object.entries(command.options)) {
      t.true(out.includes(`--${name}`) && out.includes(option.about), `${command.name} --${name}`);
    }
    t.regex(out, /\nExamples\n {2}\S/, command.name);
    t.regex(out, /\nExit codes\n {4}0 {2}\S/, command.name);
    if (command.name !== 'start') t.is((await run([...command.name.split(' '), '--help'])).out, out, command.name);
  }
});

test('the examples use options that exist', (t) => {
  for (const command of commands) {
    for (const [line] of command.examples) {
      for (const [, word, name] of line.matchAll(/quorate (\w+[\w-]*(?: \w+)?)[^|&]*? --([a-z-]+)/g)) {
        const used = commands.filter(({ name: known }) => word === known || word?.startsWith(`${known} `));
        const allowed = used.some(({ name: known, options }) => known === 'start' || name! in options);
        t.true(allowed, `${line}: --${name}`);
      }
    }
  }
});

test('words that are no command: exit 64 with the nearest one, groups with their words', async (t) => {
  const stories: [string[], RegExp][] = [
    [
      ['sbumit'],
      /^quorate: unknown command "sbumit"\. Did you mean "quorate submit"\?\n {2}"quorate help" lists all commands\.\n$/,
    ],
    [['frobnicate', '--json'], /^quorate: unknown command "frobnicate"\.\n/],
    [['help', 'frobnicate'], /unknown command "frobnicate"/],
    [['keys'], /^quorate keys: a second word is missing\. There are:\nquorate keys init +make/],
    [['wal', 'mend'], /^quorate wal: unknown word "mend"\. There are:\nquorate wal inspect/],
    [
      ['submit', '--dta', '{}'],
      /^quorate submit: unknown option --dta\. Did you mean --data\?.*\n {2}quorate help submit shows/,
    ],
  ];
  for (const [argv, expected] of stories) {
    const { code, err, out } = await run(argv);
    t.is(code, 64, argv.join(' '));
    t.regex(err, expected);
    t.is(out, '');
  }
  for (const argv of [
    ['help', 'keys'],
    ['keys', '--help'],
  ]) {
    const { code, out } = await run(argv);
    t.is(code, 0);
    t.regex(out, /^quorate keys init .*\nquorate keys show .*\nquorate keys client /);
  }
});

test('--json answers errors in JSON too, on stdout', async (t) => {
  const { code, out, err } = await run(['status', '--data-dir', '/no/such', '--json']);
  t.is(code, 69);
  t.like(JSON.parse(out), { error: { exit: 69 } });
  t.regex(err, /^quorate status: no node is running/);
});

test('OP-2: colours only on a terminal that wants them', async (t) => {
  t.true(wantsColour(true, {}));
  t.true(wantsColour(true, { NO_COLOR: '' }));
  for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) t.false(wantsColour(true, env));
  t.false(wantsColour(false, {}));
  t.true((await run(['help'], { colours: true })).out.includes(SGR));
  t.false((await run(['help'])).out.includes(SGR));
  const paint = painter(true);
  const cells = [
    [paint('red', 'a'), 'b'],
    ['ccc', 'd'],
  ];
  t.is(table(cells), `${SGR}31ma${SGR}39m    b\nccc  d\n`, 'colours take no room in a column');
});

test('completion: bash completes commands, second words, options and choices', async (t) => {
  const script = (await run(['completion', 'bash'])).out;
  const complete = (...words: string[]): string[] => {
    const list = words.map((word) => `'${word}'`).join(' ');
    const program = `${script}\nCOMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _quorate; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-c', program], { encoding: 'utf8' });
    t.is(status, 0, stderr);
    t.is(stderr, '');
    return stdout.split('\n').filter((line) => line !== '');
  };
  t.deepEqual(complete('quorate', 'st'), ['start', 'status']);
  t.deepEqual(complete('quorate', 'keys', ''), ['init', 'show', 'client']);
  t.deepEqual(complete('quorate', 'keys', 'init', '--k'), ['--keys-dir']);
  t.deepEqual(complete('quorate', 'submit', '--da'), ['--data', '--data-dir']);
  t.deepEqual(complete('quorate', 'completion', 'z'), ['zsh']);
  t.deepEqual(
    complete('quorate', 'submit', '--key', '/etc/passw').filter((path) => path === '/etc/passwd'),
    ['/etc/passwd'],
  );
  t.deepEqual(complete('quorate', 'help', 'mig'), ['migrate-state']);
});

test('completion: each shell that is here reads its script; an unknown one is refused', async (t) => {
  const directory = emptyDirectory();
  t.teardown(() => removeDirectory(directory));
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { out } = await run(['completion', shell]);
    for (const command of commands) t.true(out.includes(command.name.split(' ').at(-1)!), `${shell}: ${command.name}`);
    const file = join(directory, shell);
    writeFileSync(file, out);
    const check = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
    // Without such a shell on this machine (ENOENT) only the words above are checked.
    if (check.error === undefined) t.is(check.status, 0, `${shell}: ${check.stderr}`);
  }
  const { code, err } = await run(['completion', 'tcsh']);
  t.is(code, 64);
  t.regex(err, /SHELL is "tcsh", allowed are bash, zsh, fish/);
});

test('CF-5: the process ends with the code of the command, and writes nothing else', (t) => {
  const stories: [string[], number, RegExp, RegExp][] = [
    [['help'], 0, /^quorate: a self-healing/, /^$/],
    [['frobnicate'], 64, /^$/, /unknown command/],
    [['submit'], 64, /^$/, /--data is missing/],
    [['verify', 'r.json'], 64, /^$/, /--validators is missing/],
    [['receipt', 'xyz'], 64, /^$/, /allowed are 64 hex digits/],
    [['status', '--data-dir', '/no/such'], 69, /^$/, /no node is running/],
    [['wal', 'inspect', '--data-dir', '/no/such'], 65, /^$/, /no such data directory/],
    [['verify', '/no/such', '--validators', '/no/such'], 2, /^$/, /cannot be read/],
  ];
  for (const [argv, exit, out, err] of stories) {
    const { status, stdout, stderr } = spawn(argv);
    t.is(status, exit, argv.join(' '));
    t.regex(stdout, out, argv.join(' '));
    t.regex(stderr, err, argv.join(' '));
    t.false((stdout + stderr).includes('    at '), 'no stack of an expected error');
  }
});

test('a reader that stops reading is no error', (t) => {
  const { status, stderr } = spawnSync(
    'bash',
    ['-c', `set -o pipefail; '${process.execPath}' '${MAIN}' help | head -c 1 >/dev/null`],
    { encoding: 'utf8' },
  );
  t.is(status, 0, stderr);
  t.is(stderr, '');
});

test('start hands its arguments to the daemon', async (t) => {
  const program = `
    import { startCommand } from ${JSON.stringify(new URL('./start.js', import.meta.url).href)};
    process.argv = [process.argv[0], 'main.js', 'start', '--check-config'];
    await startCommand.execute(['--check-config'], null).catch((error) => {
      if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    });
    console.log(JSON.stringify(process.argv.slice(1)));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  t.regex(stdout, /\["main\.js","--check-config"\]\n$/);
});

function spawn(argv: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [MAIN, ...argv], { encoding: 'utf8', env: { PATH: process.env.PATH } });
}
