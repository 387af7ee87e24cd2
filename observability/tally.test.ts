import test from 'ava';
import { Registry } from './prom-client.js';
import { tallied, talliedBy } from './tally.js';

test('what was counted is in every scrape, once', async (t) => {
  const registry = new Registry();
  const tally = tallied({ name: 'things_total', help: 'Things.', registers: [registry] });
  t.regex(await registry.metrics(), /^things_total 0$/m);
  tally.inc();
  tally.inc(3);
  t.regex(await registry.metrics(), /^things_total 4$/m);
  t.regex(await registry.metrics(), /^things_total 4$/m);
  tally.inc();
  t.regex(await registry.metrics(), /^things_total 5$/m);
});

test('a label has its values one by one, and none that was not counted', async (t) => {
  const registry = new Registry();
  const by = talliedBy('kind', { name: 'things_total', help: 'Things.', registers: [registry] });
  t.notRegex(await registry.metrics(), /^things_total/m);
  by('a').inc(2);
  by('b "c"').inc();
  await registry.metrics();
  by('a').inc();
  const text = await registry.metrics();
  t.regex(text, /^things_total\{kind="a"\} 3$/m);
  t.regex(text, /^things_total\{kind="b \\"c\\""\} 1$/m);
});
