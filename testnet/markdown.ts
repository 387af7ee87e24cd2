// Fenced blocks of a Markdown file, and how printed output is held against real output. Called by the tests that run what
// the documents show. It must never run anything itself.

export interface Fence {
  readonly language: string;
  /** The word after the language: `run` in "sh run", a file name in "js main.js"; '' without one. */
  readonly tag: string;
  readonly text: string;
  /** Line of the fence, from 1. */
  readonly line: number;
}

export function fencesOf(markdown: string): Fence[] {
  const fences: Fence[] = [];
  let open: { language: string; tag: string; line: number; lines: string[] } | null = null;
  for (const [index, line] of markdown.split('\n').entries()) {
    if (open !== null && line === '```') {
      const { lines, ...fence } = open;
      fences.push({ ...fence, text: lines.join('\n') });
      open = null;
    } else if (open !== null) {
      open.lines.push(line);
    } else if (line.startsWith('```')) {
      const [language = '', tag = ''] = line.slice(3).split(' ');
      open = { language, tag, line: index + 1, lines: [] };
    }
  }
  if (open !== null) throw new Error(`the fence of line ${open.line} is not closed`);
  return fences;
}

/** A block that is run, with the output printed below it ('' when none is). */
export interface Step {
  readonly script: string;
  readonly printed: string;
  readonly line: number;
}

/** The blocks tagged `sh run`, in order. */
export function stepsOf(markdown: string): Step[] {
  const fences = fencesOf(markdown);
  return fences.flatMap((fence, index) => {
    if (fence.language !== 'sh' || fence.tag !== 'run') return [];
    const next = fences[index + 1];
    const printed = next?.language === 'text' && next.tag === '' ? next.text : '';
    return [{ script: fence.text, printed, line: fence.line }];
  });
}

/**
 * The first printed line that real output does not have, or null. Output may have lines between, since documents print
 * it shortened; `…` and a duration (`6.7 s`) stand for any text, and spaces align columns only.
 */
export function missingLine(printed: string, real: string): string | null {
  const lines = real.split('\n').map(squeezed);
  let at = 0;
  for (const line of printed.split('\n')) {
    if (line.trim() === '') continue;
    const parts = squeezed(line)
      .split(/…|\b\d+\.\d s\b/)
      .map(escaped);
    const wanted = new RegExp(`^${parts.join('.*')}$`);
    while (at < lines.length && !wanted.test(lines[at]!)) at += 1;
    if (at === lines.length) return line;
    at += 1;
  }
  return null;
}

/** Relative targets of the links of a document, without their anchors. */
export function linksOf(markdown: string): string[] {
  const targets = [...markdown.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
  return targets.filter((target) => !/^(https?:|#)/.test(target)).map((target) => target.replace(/#.*$/, ''));
}

function squeezed(line: string): string {
  return line.trim().replace(/\s+/g, ' ');
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
