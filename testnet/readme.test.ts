// Runs what README.md and docs/RECEIPTS.md show, against a real node, and holds their printed output against the true one.
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { commands } from '../cli/dispatch.js';
import { parseClientKey, signSubmission } from '../client/sign.js';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import { EXIT, SELF_KILLED } from '../runtime/exit-codes.js';
import { LocalNode } from './local/node.js';
import { fencesOf, linksOf, missingLine, stepsOf } from './markdown.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const RECEIPTS = readFileSync(join(ROOT, 'docs', 'RECEIPTS.md'), 'utf8');

const folders: string[] = [];

interface Ran {
  readonly code: number;
  /** Standard output and standard error together. */
  readonly output: string;
}

function run(command: string, words: readonly string[], cwd: string): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(command, words, { cwd }, () => resolve({ code: child.exitCode ?? -1, output }));
    let output = '';
    for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (text: string) => (output += text));
  });
}

/** A folder that is a checkout for every command: what they read is linked, what they write stays in it. */
function checkout(): string {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-readme-'));
  folders.push(folder);
  for (const name of ['package.json', 'runtime', 'dist', 'node_modules', 'config']) {
    symlinkSync(join(ROOT, name), join(folder, name));
  }
  return folder;
}

let running: { readonly folder: string; readonly node: LocalNode } | null = null;

/** One node for all, in a checkout of its own. */
async function started(): Promise<{ readonly folder: string; readonly node: LocalNode }> {
  if (running === null) {
    const folder = checkout();
    mkdirSync(join(folder, 'data'), { mode: 0o700 });
    running = { folder, node: new LocalNode({ dataDir: join(folder, 'data'), cwd: folder }) };
  }
  await running.node.ready();
  return running;
}

test.after.always(async () => {
  await running?.node.dispose();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

test.serial(
  'DO-1: the README path from a start to a verified receipt, a forged one, a killed thread and an own kind',
  async (t) => {
    t.timeout(120_000);
    const { folder, node } = await started();
    const steps = stepsOf(README);
    t.true(steps.length >= 5);
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const [index, { script, printed, line }] of steps.entries()) {
      const there = script.replaceAll('http://127.0.0.1:8080', node.endpoints.api);
      // Once by npm; then what npm runs, without npm's own start each time.
      const here = index === 0 ? there : there.replaceAll('npm run -s quorate --', scripts.quorate!);
      const { code, output } = await run('bash', ['-euo', 'pipefail', '-c', here], folder);
      t.is(code, 0, `README.md:${line} failed:\n${here}\n${output}`);
      const missing = missingLine(printed, output);
      t.is(missing, null, `README.md:${line} prints this line, the commands did not; they wrote:\n${output}`);
    }
  },
);

test('DO-1: the README names the two commands that package.json has, and every command of the CLI', (t) => {
  const { scripts, engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
    engines: { node: string };
  };
  const blocks = fencesOf(README).filter(({ language }) => language === 'sh');
  t.deepEqual(
    blocks.slice(0, 2).map(({ text }) => text),
    ['npm ci && npm start', 'npm ci && npm test'],
  );
  for (const [, name] of README.matchAll(/npm run (?:-s )?([a-z:]+)/g)) t.true(name! in scripts, `npm run ${name}`);
  t.true(README.includes(`Node ${engines.node.replace('>=', '')} or newer`));
  const table = /## The command line\n[\s\S]*?\n## /.exec(README)![0];
  for (const { name } of commands) {
    const [first, second] = name.split(' ');
    t.true(table.includes(`\`${name}\``) || (table.includes(`\`${first} `) && table.includes(`\`${second}\``)), name);
  }
});

test.serial('RT-13: the runtime example of the README runs as printed', async (t) => {
  const folder = checkout();
  const fences = fencesOf(README);
  for (const { language, tag, text } of fences) if (language === 'js') writeFileSync(join(folder, tag), `${text}\n`);
  const printed = fences.find(({ language, tag }) => language === 'text' && tag === 'main.js')!.text;
  const { code, output } = await run(process.execPath, ['main.js'], folder);
  t.is(code, 0, output);
  t.is(output.trim(), printed);
});

test('CF-5: docs/OPERATIONS.md has the exit codes that the program has', (t) => {
  const table = /## Exit codes\n[\s\S]*?\n## /.exec(readFileSync(join(ROOT, 'docs', 'OPERATIONS.md'), 'utf8'))![0];
  const written = [...table.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
  t.deepEqual(written, [...Object.values(EXIT).map(({ code }) => code), SELF_KILLED]);
});

test('DO-2: links between documents lead to files', (t) => {
  const own = ['README.md', 'CHANGELOG.md', 'bench/README.md', 'testnet/README.md'];
  const documents = [...own, ...markdownIn('docs'), ...markdownIn('docs/adr')];
  const broken = documents.flatMap((document) =>
    linksOf(readFileSync(join(ROOT, document), 'utf8'))
      .filter((target) => !existsSync(join(ROOT, dirname(document), target)))
      .map((target) => `${document}: ${target}`),
  );
  t.deepEqual(broken, []);
});

function markdownIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);
}

test.serial('CO-7: the submitter and the verifier of docs/RECEIPTS.md need nothing of this project', async (t) => {
  const { folder, node } = await started();
  const scripts = fencesOf(RECEIPTS).filter(({ language }) => language === 'js');
  t.deepEqual(
    scripts.map(({ tag }) => tag),
    ['submit.mjs', 'verify.mjs'],
  );
  for (const { tag, text } of scripts) {
    t.deepEqual(
      [...text.matchAll(/from '([^']+)'/g)].map(([, name]) => name!).filter((name) => !name.startsWith('node:')),
      [],
    );
    writeFileSync(join(folder, tag), `${text}\n`);
  }
  const submitted = await run(
    process.execPath,
    ['submit.mjs', 'data/keys/dev-client.json', `${node.endpoints.api}/v1/submissions`],
    folder,
  );
  t.is(submitted.code, 0, submitted.output);
  const { receipt } = JSON.parse(submitted.output) as { receipt: Record<string, unknown> };
  const validators = await (await fetch(`${node.endpoints.api}/v1/validators`)).text();
  const inTrees = await receiptsOfBatch(node);
  writeFileSync(join(folder, 'validators.json'), validators);
  const verdictOn = async (changed: unknown): Promise<Ran> => {
    writeFileSync(join(folder, 'receipt.json'), JSON.stringify(changed));
    return run(process.execPath, ['verify.mjs', 'receipt.json', 'validators.json'], folder);
  };
  const whole = await verdictOn(receipt);
  t.is(whole.code, 0, whole.output);
  t.true(inTrees.length >= 2, 'a block with several entries');
  for (const one of inTrees) t.is((await verdictOn(one)).output, 'valid\n');
  for (const [what, forged] of forgeries(receipt)) t.is((await verdictOn(forged)).code, 1, what);
});

/** First, middle and last receipt of the largest block that a batch of notes made. */
async function receiptsOfBatch(node: LocalNode): Promise<unknown[]> {
  const key = parseClientKey(JSON.parse(readFileSync(join(node.dataDir, 'keys', 'dev-client.json'), 'utf8')));
  const ed25519 = await loadEd25519();
  const submissions = Array.from({ length: 40 }, (_, index) => {
    return signSubmission(ed25519, key, {
      kind: 'note',
      id: `n-${index}`,
      issuedAtMs: Date.now(),
      payload: { text: '' },
    });
  });
  const answer = await fetch(`${node.endpoints.api}/v1/submissions:batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ submissions: submissions.map(({ envelope }) => envelope) }),
  });
  const { results } = (await answer.json()) as { results: { body: { receipt: InTree } }[] };
  const receipts = results.map(({ body }) => body.receipt).sort((a, b) => a.index - b.index);
  const size = Math.max(...receipts.map(({ inclusion }) => inclusion.tree_size));
  const largest = receipts.filter(({ inclusion }) => size > 1 && inclusion.tree_size === size);
  return [largest[0], largest[Math.floor(largest.length / 2)], largest.at(-1)].filter((one) => one !== undefined);
}

interface InTree {
  readonly index: number;
  readonly inclusion: { readonly tree_size: number };
}

function* forgeries(receipt: Record<string, unknown>): Generator<[string, unknown]> {
  const text = JSON.stringify(receipt);
  for (const member of ['chain_id', 'digest', 'body', 'entries_root', 'state_digest', 'validators_hash']) {
    const at = text.indexOf(`"${member}":"`) + member.length + 4;
    yield [member, JSON.parse(text.slice(0, at) + (text[at] === '0' ? '1' : '0') + text.slice(at + 1))];
  }
  const certificate = receipt.certificate as { signatures: string[] };
  const [signature] = certificate.signatures;
  const flipped = `${signature!.startsWith('A') ? 'B' : 'A'}${signature!.slice(1)}`;
  yield ['outcome', { ...receipt, outcome: { accepted: false, status: 200 } }];
  yield ['height', { ...receipt, height: Number(receipt.height) + 1 }];
  yield ['index', { ...receipt, index: 1 }];
  yield ['signature', { ...receipt, certificate: { ...certificate, signatures: [flipped] } }];
  yield ['no signature', { ...receipt, certificate: { ...certificate, signers: [], signatures: [] } }];
  yield ['view', { ...receipt, certificate: { ...certificate, view: 9_999 } }];
}

test('printed output: shortened, masked and aligned is fine, a line that did not come is not', (t) => {
  const real = '  a   1\nb: 77 of x\n\nc\n';
  t.is(missingLine('', real), null);
  t.is(missingLine('a 1\nc', real), null);
  t.is(missingLine('b: … of x', real), null);
  t.is(missingLine('…', real), null);
  t.is(missingLine('up 1.5 s -', 'up  27 s  -'), null, 'no run takes as long as another');
  t.is(missingLine('c\na 1', real), 'a 1', 'order counts');
  t.is(missingLine('b: …y', real), 'b: …y');
  t.is(missingLine('b. 77 of x', real), 'b. 77 of x', 'a dot is a dot');
});

test('fences: unclosed is an error, tags are words', (t) => {
  t.throws(() => fencesOf('```sh\nls\n'), { message: /line 1 is not closed/ });
  t.deepEqual(fencesOf('x\n```sh run\nls\n\npwd\n```\n'), [{ language: 'sh', tag: 'run', text: 'ls\n\npwd', line: 2 }]);
});
