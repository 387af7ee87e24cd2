// Where compiled code stood in its source, for stacks that are about to be told. Called where a thread or the process ends
// by an error. It must never be on the way of one that is handled: each place reads a file, which costs milliseconds.
import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { fileURLToPath } from 'node:url';

const PLACE = /(file:[^\s()]+):(\d+):(\d+)/g;

/** The stack with every place that has a source map beside it told as in the source; the rest stays. */
export function inSource(stack: string): string {
  return stack.replaceAll(
    PLACE,
    (place, url: string, line: string, column: string) =>
      sourcePlace(url, Number(line) - 1, Number(column) - 1) ?? place,
  );
}

/** The place in the source that was compiled to this one, where a source map lies beside it. Lines and columns from 0. */
export function sourcePlace(url: string, lineNumber: number, columnNumber: number): string | null {
  if (!url.startsWith('file:')) return null;
  try {
    const path = fileURLToPath(url);
    const map = new SourceMap(JSON.parse(readFileSync(`${path}.map`, 'utf8')) as SourceMapPayload);
    const entry = map.findEntry(lineNumber, columnNumber);
    if (!('originalSource' in entry)) return null;
    return `${new URL(entry.originalSource, url).href}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
  } catch {
    return null;
  }
}
