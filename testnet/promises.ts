// `npm run promises`: which promise of docs/PROMISES.md is held by which tests, and which by none yet. For developers;
// also called by its own test. It must only read.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface PromiseLine {
  /** `IN-6` */
  readonly id: string;
  readonly promise: string;
}

export interface TestTitle {
  readonly ids: readonly string[];
  /** What follows the ids. */
  readonly title: string;
  /** From the root of the tree. */
  readonly file: string;
}

export interface Coverage {
  readonly held: readonly { readonly line: PromiseLine; readonly tests: readonly TestTitle[] }[];
  readonly unheld: readonly PromiseLine[];
  /** Titles that cite an id which no promise has. */
  readonly unknown: readonly TestTitle[];
}

const NO_SOURCES = new Set(['node_modules', 'dist', 'coverage', 'artifacts', 'data']);
/** A string that begins as a title with ids does: quote, ids, colon. Titles in tables of cases count as well. */
const TITLE = /(['"`])((?:[A-Z]{2,3}-\d+)(?:, [A-Z]{2,3}-\d+)*): ((?:(?!\1)[^\n\\]|\\.)*)\1/g;

/** The rows of the document's tables. Throws when an id stands twice. */
export function readPromises(markdown: string): PromiseLine[] {
  const lines = [...markdown.matchAll(/^\| ([A-Z]{2,3}-\d+) \| (.+) \|$/gm)].map(([, id, promise]) => ({
    id: id!,
    promise: promise!,
  }));
  const seen = new Set<string>();
  for (const { id } of lines) {
    if (seen.has(id)) throw new Error(`docs/PROMISES.md: ${id} stands twice`);
    seen.add(id);
  }
  return lines;
}

export function readTitles(text: string, file: string): TestTitle[] {
  return [...text.matchAll(TITLE)].map(([, , ids, title]) => ({ ids: ids!.split(', '), title: title!, file }));
}

export function cover(promises: readonly PromiseLine[], titles: readonly TestTitle[]): Coverage {
  const known = new Set(promises.map(({ id }) => id));
  const testsOf = (id: string) => titles.filter((title) => title.ids.includes(id));
  const lines = promises.map((line) => ({ line, tests: testsOf(line.id) }));
  return {
    held: lines.filter(({ tests }) => tests.length > 0),
    unheld: lines.filter(({ tests }) => tests.length === 0).map(({ line }) => line),
    unknown: titles.filter(({ ids }) => ids.some((id) => !known.has(id))),
  };
}

export function report({ held, unheld, unknown }: Coverage): string {
  const lines: string[] = [];
  for (const { line, tests } of held) {
    lines.push(`${line.id}  ${line.promise}`);
    for (const { title, file } of tests) lines.push(`      ${file}: ${title}`);
  }
  lines.push('', `Without a test (${unheld.length} of ${unheld.length + held.length}):`);
  for (const { id, promise } of unheld) lines.push(`${id}  ${promise}`);
  if (unknown.length > 0) lines.push('', 'Tests that cite an id which docs/PROMISES.md does not have:');
  for (const { ids, title, file } of unknown) lines.push(`${ids.join(', ')}  ${file}: ${title}`);
  return `${lines.join('\n')}\n`;
}

/** Everything below `root`, the folder that holds package.json. */
export function coverageOf(root: string): Coverage {
  const promises = readPromises(readFileSync(join(root, 'docs', 'PROMISES.md'), 'utf8'));
  const titles = [...testFiles(root)].sort().flatMap((file) => {
    return readTitles(readFileSync(file, 'utf8'), relative(root, file).replaceAll('\\', '/'));
  });
  return cover(promises, titles);
}

function* testFiles(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !entry.name.startsWith('.') && !NO_SOURCES.has(entry.name)) yield* testFiles(path);
    else if (entry.isFile() && entry.name.endsWith('.test.ts')) yield path;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const coverage = coverageOf(fileURLToPath(new URL('../../', import.meta.url)));
  process.stdout.write(report(coverage));
  process.exitCode = coverage.unknown.length > 0 ? 65 : 0;
}
