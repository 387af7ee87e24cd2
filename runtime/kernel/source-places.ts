// Where compiled code stood in its source, for stacks that are about to be told. Called where a thread or the process ends
// by an error. It must never be on the way of one that is handled: each place reads a file, which costs milliseconds.
import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { fileURLToPath } from 'node:url';

/** By the file that a map lies beside: those of one stack are read once. */
type SourceMaps = Map<string, SourceMap>;

const PLACE = /(file:[^\s()]+):(\d+):(\d+)/g;

/** The stack with every place that has a source map beside it told as in the source; the rest stays. */
export function inSource(stack: string): string {
  const maps: SourceMaps = new Map();
  return stack.replaceAll(
    PLACE,
    (place, url: string, line: string, column: string) =>
      sourcePlace(url, Number(line) - 1, Number(column) - 1, maps) ?? place,
  );
}

/** The place in the source that was compiled to this one, where a source map lies beside it. Lines and columns from 0. */
export function sourcePlace(
  url: string,
  lineNumber: number,
  columnNumber: number,
  maps: SourceMaps = new Map(),
): string | null {
  if (!url.startsWith('file:')) return null;
  try {
    const map = maps.get(url) ?? readMap(url);
    maps.set(url, map);
    const entry = map.findEntry(lineNumber, columnNumber);
    if (!('originalSource' in entry)) return null;
    return `${new URL(entry.originalSource, url).href}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
  } catch {
    return null;
  }
}

function readMap(url: string): SourceMap {
  return new SourceMap(JSON.parse(readFileSync(`${fileURLToPath(url)}.map`, 'utf8')) as SourceMapPayload);
}
