// The list of promises is whole, and tests cite only ids that it has.
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { cover, coverageOf, readPromises, readTitles, report } from './promises.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

test('promises: every area is there with its number of ids', (t) => {
  const { held, unheld } = coverageOf(ROOT);
  const areas: Record<string, number> = {};
  for (const { id } of [...held.map(({ line }) => line), ...unheld]) {
    const area = id.split('-')[0]!;
    areas[area] = (areas[area] ?? 0) + 1;
  }
  t.deepEqual(areas, {
    RT: 14,
    IN: 13,
    ID: 12,
    CO: 12,
    NET: 10,
    ST: 11,
    CF: 9,
    OB: 9,
    OP: 6,
    TN: 8,
    BE: 5,
    DE: 9,
    DO: 3,
  });
});

test('promises: no test cites an id that is not promised', (t) => {
  t.deepEqual(coverageOf(ROOT).unknown, []);
});

test('promises: titles are found in tests, tables and templates, with one id or several', (t) => {
  // Put together here, or this file would cite them itself.
  const tick = '`';
  const id = (number: number): string => `ZZ-${number}`;
  const text = [
    `test('${id(1)}: plain', (t) => {});`,
    `test(${tick}${id(2)}, ${id(10)}: template \${name}${tick}, (t) => {});`,
    `  ['${id(3)}: a row of a table', 1],`,
    `test("${id(4)}: somebody's", (t) => {});`,
    `const notATitle = 'see ${id(5)}';`,
  ].join('\n');
  const titles = readTitles(text, 'a.test.ts');
  t.deepEqual(
    titles.map(({ ids, title }) => [ids.join('+'), title]),
    [
      ['ZZ-1', 'plain'],
      ['ZZ-2+ZZ-10', `template \${name}`],
      ['ZZ-3', 'a row of a table'],
      ['ZZ-4', "somebody's"],
    ],
  );
  const coverage = cover(readPromises('| ZZ-1 | one |\n| ZZ-7 | seven |\n'), titles);
  t.deepEqual(
    [coverage.held.length, coverage.unheld.map((line) => line.id), coverage.unknown.length],
    [1, ['ZZ-7'], 3],
  );
  t.regex(report(coverage), /ZZ-1 {2}one\n {6}a\.test\.ts: plain\n\nWithout a test \(1 of 2\):\nZZ-7 {2}seven/);
});

test('promises: an id that stands twice is refused', (t) => {
  t.throws(() => readPromises('| ZZ-1 | one |\n| ZZ-1 | again |\n'), { message: /ZZ-1 stands twice/ });
});
