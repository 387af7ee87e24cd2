// Numbers and tables as the benches print them. Called by the reports of every scenario.
// It must never round away a spread: median and both ends get the same digits.
import type { DiskCost, Environment } from './environment.js';
import type { Spread } from './statistics.js';

/** A whole number, thousands apart by a blank: 10 000. */
export const count = (value: number): string => value.toFixed(0).replace(/\B(?=(?:\d{3})+$)/g, ' ');

/** A measured value: three significant digits, whole above 100: 7 214, 36.5, 0.712. */
export function number(value: number): string {
  const absolute = Math.abs(value);
  if (absolute >= 100 || value === 0) return count(value);
  return value.toFixed(absolute >= 10 ? 1 : absolute >= 1 ? 2 : 3);
}

export const spreadText = (spread: Spread): string =>
  `${number(spread.median)} (${number(spread.min)}–${number(spread.max)})`;

/** Columns padded to their widest cell: the first to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return rows.map((row) => `  ${line(row)}`).join('\n');
}

export function environmentText(environment: Environment): string {
  const memoryGiB = (environment.memoryBytes / 2 ** 30).toFixed(0);
  return (
    `${environment.cpu}, ${environment.cores} cores, ${memoryGiB} GiB; Linux ${environment.kernel}; ` +
    `Node ${environment.node}; commit ${environment.commit}; load average ${environment.loadAverage1Min.toFixed(2)}; ` +
    environment.at
  );
}

export const diskText = (cost: DiskCost): string => `median ${number(cost.medianMs)} ms, p99 ${number(cost.p99Ms)} ms`;
