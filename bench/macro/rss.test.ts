// Runs the memory scenario against the floor and a stand-in for the node. Run by ava.
// Sizes are only compared with zero.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { type RssOptions, rss, rssText, rssVerdict } from './rss.js';

const STUB = fileURLToPath(new URL('../testing/stub-node.js', import.meta.url));

function optionsFor(t: ExecutionContext, more: Partial<RssOptions>): RssOptions {
  const directory = mkdtempSync(join(tmpdir(), 'bench-rss-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return {
    subject: 'floor',
    connections: 3,
    points: [20, 100],
    directory,
    readingEveryMs: 1,
    progress: () => undefined,
    ...more,
  };
}

test('resident memory at each point of one process', async (t) => {
  const options = optionsFor(t, {});
  const result = await rss(options);
  t.deepEqual(
    result.points.map(({ submissions }) => submissions),
    [20, 100],
  );
  t.true(result.points.every(({ rssMiB }) => rssMiB > 0));
  t.deepEqual(result.faults, []);
  t.is(rssVerdict(result, 100), null);
  t.regex(rssVerdict(result, 0) ?? '', /at most 0 is wanted/);
  t.regex(rssText(result), /after 100 submissions/);
  t.deepEqual(readdirSync(options.directory), ['floor.log']);
});

test('wrong answers fail it', async (t) => {
  const result = await rss(optionsFor(t, { subject: 'node', nodeCommand: [STUB, 'refuse'] }));
  t.is(rssVerdict(result, 100), 'not every request was answered as planned');
  t.regex(rssText(result), /FAULT 20 wrong answers/);
});
