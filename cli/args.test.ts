// What the argument tables let through and what they refuse, and in which words.
import test from 'ava';
import fc from 'fast-check';
import { nearest, parseArguments, wholeNumber } from './args.js';
import { CliError } from './output.js';

const table = {
  name: 'demo',
  options: {
    key: { type: 'string', value: 'FILE', about: 'a file' },
    data: { type: 'string', value: 'JSON', about: 'a payload' },
    json: { type: 'boolean', about: 'as JSON' },
  },
  positionals: [
    { name: 'VERB', about: 'what to do', required: true, choices: ['up', 'down'] },
    { name: 'NAME', about: 'whom', required: false },
  ],
} as const;

test('options, values and positionals come apart, in any order', (t) => {
  const expected = { values: { key: 'k.json', data: undefined, json: true }, positionals: ['up', 'x'] };
  t.deepEqual(parseArguments(['up', '--key', 'k.json', 'x', '--json'], table), expected);
  t.deepEqual(parseArguments(['--json', '--key=k.json', 'up', 'x'], table), expected);
  t.deepEqual(parseArguments(['up', '--', '--json'], table).positionals, ['up', '--json']);
  t.is(parseArguments(['up', '--data', '-'], table).values.data, '-');
  t.is(parseArguments(['up', '--key=-odd'], table).values.key, '-odd');
  t.is(parseArguments(['up', '--data='], table).values.data, '');
});

test('OP-1: what is wrong with the arguments is said with what is allowed', (t) => {
  const stories: [string[], RegExp][] = [
    [[], /^VERB is missing: what to do\.$/],
    [['left'], /^VERB is "left", allowed are up, down\.$/],
    [['up', 'a', 'b'], /^unexpected argument "b"\.$/],
    [['up', '--kye', 'x'], /^unknown option --kye\. Did you mean --key\? Allowed are --key, --data, --json, --help\.$/],
    [['up', '--frobnicate'], /^unknown option --frobnicate\. Allowed are/],
    [['up', '-x'], /^unknown option -x\./],
    [['up', '--constructor'], /^unknown option --constructor\./],
    [['up', '--key'], /^--key needs a value: --key FILE\.$/],
    [['up', '--key', ''], /^--key needs a value: --key FILE\.$/],
    [['up', '--key', '--json'], /^--key needs a value, found the option --json\. Write --key=--json if it is meant\.$/],
    [['up', '--json=yes'], /^--json takes no value, found "yes"\.$/],
  ];
  for (const [argv, expected] of stories) {
    const error = t.throws(() => parseArguments(argv, table), { instanceOf: CliError }, argv.join(' '));
    t.is(error.exitCode, 64);
    t.regex(error.message, expected);
  }
});

test('whole numbers are taken within their range only', (t) => {
  t.is(wholeNumber('demo', 'wait', '0', 0, 10), 0);
  t.is(wholeNumber('demo', 'wait', '10', 0, 10), 10);
  for (const text of ['11', '-1', '1.5', '1e3', '', ' 1', 'ten', '99999999999']) {
    t.throws(() => wholeNumber('demo', 'wait', text, 0, 10), { instanceOf: CliError }, text);
  }
});

test('a word is suggested when at most two edits away, and the nearest one first', (t) => {
  t.is(nearest('submti', ['submit', 'status']), 'submit');
  t.is(nearest('stat', ['status', 'start']), 'start');
  t.is(nearest('frobnicate', ['submit', 'status']), undefined);
  fc.assert(
    fc.property(fc.string(), fc.array(fc.string()), (word, others) => {
      t.is(nearest(word, [...others, word]), word);
    }),
  );
});
