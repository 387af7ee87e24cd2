// Runs the text stories of testdata/ and compares what the cores did with what each file says they do.
// Run by ava; QUORATE_REWRITE=1 writes the output into the files instead, to be read before it is committed.
// Must never hold a story's logic: commands live in testing/story.ts, expectations in the files.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import test from 'ava';
import { Story } from './testing/story.js';

// From dist/protocol/consensus/ back to the sources.
const FOLDER = new URL('../../../protocol/consensus/testdata/', import.meta.url);

/** A file is paragraphs: comment lines, or a command, `----`, and its output. */
function play(text: string): string {
  const story = new Story();
  const paragraphs = text.trimEnd().split(/\n\n+/);
  const played = paragraphs.map((paragraph) => {
    const lines = paragraph.split('\n').filter((line) => !line.startsWith('#'));
    const comments = paragraph.split('\n').filter((line) => line.startsWith('#'));
    if (lines.length === 0) return paragraph;
    return [...comments, lines[0], '----', story.run(lines[0]!)].join('\n');
  });
  return `${played.join('\n\n')}\n`;
}

for (const name of readdirSync(FOLDER).sort()) {
  test(`story ${name}`, (t) => {
    const file = new URL(name, FOLDER);
    const text = readFileSync(file, 'utf8');
    const played = play(text);
    if (process.env.QUORATE_REWRITE === '1') writeFileSync(file, played);
    else t.is(played, text);
    t.pass();
  });
}
