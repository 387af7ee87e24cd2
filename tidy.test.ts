// Style and import direction as a test: reads the import table from docs/ARCHITECTURE.md and checks every file of the
// tree against it and against the rules below the table. Run by `npm run check`. It must never change a file.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import ts from 'typescript';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NO_SOURCES = new Set(['node_modules', 'dist', 'coverage', 'artifacts', 'data']);
const LINES_MAX = 500;
/** Longer functions are listed, not refused: a table of data may be one. */
const FUNCTION_LINES_SHOWN = 80;

interface Source {
  /** From the root, with slashes: `actors/store/actor.ts`. */
  readonly path: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
}

interface Import {
  readonly specifier: string;
  /** `import type`: gone at run time. */
  readonly isType: boolean;
  /** Imported names; null when the whole module is taken. */
  readonly names: readonly string[] | null;
}

interface Row {
  /** Folders or files that the row is about. */
  readonly owners: readonly string[];
  readonly anything: boolean;
  readonly sealed: boolean;
  readonly targets: readonly string[];
  readonly typeTargets: readonly string[];
  /** What tests and fixtures may import besides. */
  readonly testTargets: readonly string[];
  /** File name → what it may import besides. */
  readonly extra: ReadonlyMap<string, readonly string[]>;
}

function source(path: string, text: string): Source {
  return { path, text, tree: ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true) };
}

function* walk(folder: string): Generator<string> {
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory() && !entry.name.startsWith('.') && !NO_SOURCES.has(entry.name)) yield* walk(path);
    else if (entry.isFile() && /\.(ts|js)$/.test(entry.name)) yield path;
  }
}

// ---- the table

function readTable(markdown: string): Row[] {
  const lines = markdown.split('\n');
  const start = lines.indexOf('| folder | may import |');
  if (start < 0) throw new Error('docs/ARCHITECTURE.md: found no line "| folder | may import |"');
  const rows: Row[] = [];
  for (const line of lines.slice(start + 2)) {
    const cells = /^\|([^|]+)\|([^|]+)\|$/.exec(line);
    if (cells === null) break;
    rows.push(readRow(cells[1]!.trim(), cells[2]!.trim()));
  }
  return rows;
}

function readRow(owners: string, cell: string): Row {
  let anything = false;
  let sealed = false;
  const targets: string[] = [];
  const typeTargets: string[] = [];
  const testTargets: string[] = [];
  const extra = new Map<string, readonly string[]>();
  for (const clause of cell.replace(/ \([^)]*\)/g, '').split('; ')) {
    const typed = /^`import type` of (.+)$/.exec(clause);
    const tests = /^tests also (.+)$/.exec(clause);
    const also = /^(\S+\.ts) also (.+)$/.exec(clause);
    if (clause === 'anything') anything = true;
    else if (clause === 'nothing imports them') sealed = true;
    else if (clause === 'nothing of ours' || clause === 'libraries only') continue;
    else if (tests !== null) testTargets.push(...names(tests[1]!));
    else if (typed !== null) typeTargets.push(...names(typed[1]!));
    else if (also !== null) extra.set(also[1]!, names(also[2]!));
    else targets.push(...names(clause));
  }
  return { owners: names(owners), anything, sealed, targets, typeTargets, testTargets, extra };
}

function names(list: string): string[] {
  return list.split(', ').map((name) => {
    if (!/^[A-Za-z*.-]+(\/[A-Za-z*.-]+)*$/.test(name)) throw new Error(`docs/ARCHITECTURE.md: cannot read "${name}"`);
    return name;
  });
}

/** The part of `path` that `pattern` covers (`actors/X` → `actors/store`), or null. X and Y are one folder each. */
function covered(pattern: string, path: string): string | null {
  const wanted = pattern.split('/');
  const found = path.split('/');
  if (found.length < wanted.length) return null;
  for (const [index, part] of wanted.entries()) {
    const isLast = index === wanted.length - 1;
    const name = found[index]!;
    const isFile = index === found.length - 1;
    if (part === '*.ts') return isFile ? found.slice(0, index).join('/') : null;
    if ((part === 'X' || part === 'Y') && !isFile) continue;
    if (name !== part && !(isLast && isFile && name.replace(/\.(ts|js)$/, '') === part)) return null;
  }
  return found.slice(0, wanted.length).join('/');
}

/** The row of a file and the folder that is its own. The longest covered part decides, a literal name before X. */
function ownerOf(table: readonly Row[], file: string): { row: Row; own: string } | null {
  const path = table.some((row) => row.owners.includes(file)) ? file : file.replace(/\.test\.ts$/, '.ts');
  let best: { row: Row; own: string; rank: number } | null = null;
  for (const row of table) {
    for (const owner of row.owners) {
      const own = covered(owner, path);
      const rank = owner.split('/').length + (/\/[XY*]/.test(owner) ? 0 : 0.5);
      if (own !== null && (best === null || rank > best.rank)) best = { row, own, rank };
    }
  }
  return best;
}

// ---- imports

function importsOf({ tree }: Source): Import[] {
  const found: Import[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const clause = node.importClause;
      const bindings = clause?.namedBindings;
      const named = bindings !== undefined && ts.isNamedImports(bindings) && clause?.name === undefined;
      found.push({
        specifier: node.moduleSpecifier.text,
        isType: clause?.phaseModifier === ts.SyntaxKind.TypeKeyword,
        names: named ? bindings.elements.map((element) => (element.propertyName ?? element.name).text) : null,
      });
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      found.push({ specifier: node.moduleSpecifier.text, isType: node.isTypeOnly, names: null });
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      if (ts.isStringLiteral(node.argument.literal)) {
        found.push({ specifier: node.argument.literal.text, isType: true, names: null });
      }
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [target] = node.arguments;
      if (target && ts.isStringLiteral(target)) found.push({ specifier: target.text, isType: false, names: null });
    } else if (ts.isCallExpression(node) && isRequire(node.expression)) {
      const [target] = node.arguments;
      if (target && ts.isStringLiteral(target)) found.push({ specifier: target.text, isType: false, names: null });
    } else if (ts.isNewExpression(node) && node.expression.getText() === 'URL' && node.arguments?.length === 2) {
      const [target, base] = node.arguments;
      // The URL of a module, as worker specs name it; other URLs may name files that are made later.
      if (target && ts.isStringLiteral(target) && /\.js$/.test(target.text) && base?.getText() === 'import.meta.url') {
        found.push({ specifier: target.text, isType: false, names: null });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

/** `createRequire(import.meta.url)`, which stands where it is called or under the name `requirePackage`. */
function isRequire(callee: ts.Expression): boolean {
  return callee.getText() === 'createRequire(import.meta.url)' || callee.getText() === 'requirePackage';
}

/** Path of the source that a relative specifier means, or null when there is none. */
function resolved(from: string, specifier: string, exists: (path: string) => boolean): string | null {
  const path = posix.join(posix.dirname(from), specifier);
  // Code runs one folder deeper, in dist/: a URL that leaves dist/ names plain JavaScript of the tree.
  const beside = posix.join('dist', posix.dirname(from), specifier);
  for (const candidate of [path.replace(/\.js$/, '.ts'), path.replace(/\.js$/, '.d.ts'), path, beside]) {
    if (exists(candidate)) return candidate;
  }
  return null;
}

const isTest = (path: string): boolean => path.endsWith('.test.ts');
/** A test, or what tests of one folder share. */
const isTestCode = (path: string): boolean => isTest(path) || path.endsWith('-fixture.ts');
const isTool = (path: string): boolean =>
  isTest(path) || /^(testnet|bench)\//.test(path) || /(^|\/)(fixtures|vectors)\//.test(path);

function checkImports(file: Source, table: readonly Row[], exists: (path: string) => boolean): string[] {
  const owner = ownerOf(table, file.path);
  if (owner === null) return ['stands in no row of the import table'];
  const { row, own } = owner;
  const also = [...(row.extra.get(posix.basename(file.path)) ?? []), ...(isTestCode(file.path) ? row.testTargets : [])];
  const complaints: string[] = [];
  for (const { specifier, isType } of importsOf(file)) {
    if (!specifier.startsWith('.')) continue;
    const target = resolved(file.path, specifier, exists);
    if (target === null) {
      complaints.push(`imports ${specifier}, which is not there`);
      continue;
    }
    const to = ownerOf(table, target);
    const same = to?.row === row && (to.own === own || row.sealed);
    const listed = (patterns: readonly string[]) => patterns.some((pattern) => covered(pattern, target) !== null);
    const allowed = row.anything || listed(row.targets) || listed(also) || (isType && listed(row.typeTargets));
    if (same || (allowed && !(to?.row.sealed ?? false))) continue;
    const asType = !isType && listed(row.typeTargets) ? ' other than by "import type"' : '';
    complaints.push(`imports ${target}${asType}, which the row "${row.owners.join(', ')}" does not allow`);
  }
  return complaints;
}

const SODIUM = new Set(['sodium-native', 'libsodium-wrappers']);
const RANDOMNESS = new Set(['randomBytes', 'randomUUID', 'randomFillSync', 'randomInt']);
/** What pure code may take of Node: data types, no effects. */
const PURE_MODULES = new Set(['node:buffer', 'node:util']);

function checkPackages(file: Source, dependencies: ReadonlySet<string>, development: ReadonlySet<string>): string[] {
  const complaints: string[] = [];
  const inCrypto = file.path.startsWith('protocol/crypto/');
  const inProtocol = file.path.startsWith('protocol/');
  for (const { specifier, isType, names: taken } of importsOf(file)) {
    if (specifier.startsWith('.')) continue;
    const name = specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/');
    const isNode = specifier.startsWith('node:');
    if (!isNode && builtinModules.includes(specifier)) complaints.push(`imports ${specifier} without "node:"`);
    else if (!isNode && !dependencies.has(name) && !development.has(name)) {
      complaints.push(`imports ${specifier}, which package.json does not name`);
    } else if (!isNode && !dependencies.has(name) && !isTool(file.path) && !isType) {
      complaints.push(`imports ${specifier}, which only development installs`);
    }
    if (isTest(file.path) || isType) continue;
    if (SODIUM.has(name) && !inCrypto && !file.path.startsWith('bench/')) {
      complaints.push(`imports ${specifier}: libsodium is loaded in protocol/crypto/ alone`);
    }
    if (specifier === 'node:crypto' && !inCrypto && !isTool(file.path)) {
      const others = taken?.filter((member) => !RANDOMNESS.has(member)) ?? ['*'];
      if (inProtocol || others.length > 0)
        complaints.push(`takes ${others.join(', ')} of node:crypto: see protocol/crypto/`);
    } else if (inProtocol && isNode && !PURE_MODULES.has(specifier) && !inCrypto) {
      complaints.push(`imports ${specifier}: protocol/ is pure`);
    }
  }
  return complaints;
}

// ---- purity of protocol/

/** Exact by the language's definition, or decided for (log2); the others differ between engines. */
const SAFE_MATH = new Set('abs ceil clz32 floor fround imul log2 max min round sign sqrt trunc LN2 PI'.split(' '));
const EFFECTS = new Set(
  'process console performance setTimeout setInterval setImmediate queueMicrotask fetch WebSocket crypto'.split(' '),
);

function checkPurity(file: Source): string[] {
  if (!file.path.startsWith('protocol/') || isTool(file.path)) return [];
  const complaints: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
      const [object, member] = [node.expression.text, node.name.text];
      if (object === 'Math' && !SAFE_MATH.has(member)) complaints.push(`uses Math.${member}: engines differ in it`);
      if (object === 'Date' && member === 'now') complaints.push('reads the clock (Date.now)');
      if (EFFECTS.has(object)) complaints.push(`uses ${object}.${member}`);
      if (object === 'globalThis') complaints.push('reaches for globalThis');
    } else if (ts.isNewExpression(node) && node.expression.getText() === 'Date' && !node.arguments?.length) {
      complaints.push('reads the clock (new Date())');
    } else if (ts.isCallExpression(node) && ts.isIdentifier(node.expression)) {
      const called = node.expression.text;
      if (EFFECTS.has(called) || called === 'Date') complaints.push(`calls ${called}()`);
    } else if (
      ts.isBinaryExpression(node) &&
      [ts.SyntaxKind.AsteriskAsteriskToken, ts.SyntaxKind.AsteriskAsteriskEqualsToken].includes(node.operatorToken.kind)
    ) {
      complaints.push('uses **: engines differ in it; write the constant or a shift');
    } else if (ts.isAwaitExpression(node) && file.path.startsWith('protocol/consensus/')) {
      complaints.push('awaits inside the deterministic core');
    }
    ts.forEachChild(node, visit);
  };
  visit(file.tree);
  return complaints;
}

// ---- style

function commentsOf({ text, path }: Source): string[] {
  const scanner = ts.createScanner(ts.ScriptTarget.ES2023, false, ts.LanguageVariant.Standard, text);
  const comments: string[] = [];
  if (path.endsWith('.d.ts') && text === '') return comments;
  // A template's tail has to be scanned as such, or its text would be taken for code.
  let braces: boolean[] = [];
  for (let token = scanner.scan(); token !== ts.SyntaxKind.EndOfFileToken; token = scanner.scan()) {
    if (token === ts.SyntaxKind.SingleLineCommentTrivia || token === ts.SyntaxKind.MultiLineCommentTrivia) {
      comments.push(scanner.getTokenText());
    } else if (token === ts.SyntaxKind.TemplateHead) braces.push(true);
    else if (token === ts.SyntaxKind.OpenBraceToken) braces.push(false);
    else if (token === ts.SyntaxKind.CloseBraceToken && braces.pop() === true) {
      if (scanner.reScanTemplateToken(false) === ts.SyntaxKind.TemplateMiddle) braces.push(true);
    } else if (token === ts.SyntaxKind.SlashToken && scanner.reScanSlashToken() === undefined) braces = [];
  }
  return comments;
}

function checkStyle(file: Source): string[] {
  const complaints: string[] = [];
  const lines = file.text.split('\n').length - 1;
  if (lines > LINES_MAX) complaints.push(`has ${lines} lines: over ${LINES_MAX} it has two subjects`);
  if (!/^(#!.*\n)?\/[/*]/.test(file.text) && !file.path.endsWith('.config.js') && !isTest(file.path)) {
    complaints.push('does not say at its head what it is');
  }
  for (const comment of commentsOf(file)) {
    if (/\b(TODO|FIXME|XXX|HACK)\b/.test(comment)) complaints.push(`postpones work: ${comment.slice(0, 60)}`);
    if (/@ts-(ignore|nocheck|expect-error)/.test(comment))
      complaints.push(`silences the compiler: ${comment.slice(0, 60)}`);
  }
  const visit = (node: ts.Node): void => {
    if (isTest(file.path) && ts.isPropertyAccessExpression(node) && isTestFunction(node.expression)) {
      if (['only', 'skip', 'todo', 'failing'].includes(node.name.text))
        complaints.push(`hides tests: ${node.getText()}`);
    }
    if (functionLines(node) > LINES_MAX) complaints.push(`has a function of ${functionLines(node)} lines`);
    ts.forEachChild(node, visit);
  };
  visit(file.tree);
  return complaints;
}

function isTestFunction(node: ts.Expression): boolean {
  return /^(test|anyTest)(\.(serial|macro|before|after|beforeEach|afterEach))*$/.test(node.getText());
}

function functionLines(node: ts.Node): number {
  if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return 0;
  return node.getText().split('\n').length;
}

function longFunctions(file: Source): string[] {
  const long: string[] = [];
  const visit = (node: ts.Node): void => {
    const lines = functionLines(node);
    const name = ts.isFunctionLike(node) && node.name ? node.name.getText() : '(unnamed)';
    if (lines > FUNCTION_LINES_SHOWN) long.push(`${file.path}: ${name} has ${lines} lines`);
    ts.forEachChild(node, visit);
  };
  visit(file.tree);
  return long;
}

// ---- the tests

const TABLE = readTable(readFileSync(join(ROOT, 'docs', 'ARCHITECTURE.md'), 'utf8'));
const MANIFEST = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, Record<string, string>>;
const DEPENDENCIES = new Set(Object.keys(MANIFEST.dependencies ?? {}));
const DEVELOPMENT = new Set(Object.keys(MANIFEST.devDependencies ?? {}));
const SOURCES = [...walk('')].sort().map((path) => source(path, readFileSync(join(ROOT, path), 'utf8')));

const CHECKS: Record<string, (file: Source, exists: (path: string) => boolean) => string[]> = {
  'imports follow the table of docs/ARCHITECTURE.md': (file, exists) => checkImports(file, TABLE, exists),
  'packages are named, and cryptography has one place': (file) => checkPackages(file, DEPENDENCIES, DEVELOPMENT),
  'protocol/ is pure and computes alike on every engine': (file) => checkPurity(file),
  'files are short, headed, honest': (file) => checkStyle(file),
};

for (const [name, check] of Object.entries(CHECKS)) {
  test(name, (t) => {
    const exists = (path: string): boolean => existsSync(join(ROOT, path));
    const complaints = SOURCES.flatMap((file) => check(file, exists).map((complaint) => `${file.path} ${complaint}`));
    t.deepEqual(complaints, []);
  });
}

test('long functions, for the reader’s eye', (t) => {
  for (const line of SOURCES.filter(({ path }) => !isTest(path)).flatMap(longFunctions)) t.log(line);
  t.true(SOURCES.length > 20, 'the tree was found');
});

// Each row: a file that does what it must not, and the complaint that has to come.
const PLANTED: [path: string, text: string, complaint: RegExp][] = [
  ['protocol/a.ts', "import './../config/load.js';", /config\/load\.ts.*row "protocol"/],
  ['observability/a.ts', "export * from '../protocol/json.js';", /row "observability"/],
  ['config/a.ts', "import { x } from '../runtime/exit-codes.js';", /row "config"/],
  ['runtime/kernel/a.ts', "const x = await import('../../config/load.js');", /row "runtime\/kernel"/],
  ['runtime/kernel/a.ts', "type X = import('../../protocol/json.js').JsonValue;", /row "runtime\/kernel"/],
  ['actors/store/a.ts', "import { x } from '../dedup/contract.js';", /other than by "import type"/],
  ['actors/store/a.ts', "import { type X } from '../dedup/contract.js';", /other than by "import type"/],
  ['actors/store/a.ts', "import type { X } from '../dedup/marks.js';", /actors\/dedup\/marks\.ts/],
  ['actors/store/a.ts', "import '../../runtime/kernel/supervisor.js';", /supervisor\.ts/],
  ['actors/store/a.ts', "new URL('../dedup/actor.js', import.meta.url);", /actors\/dedup\/actor\.ts/],
  ['actors/store/a.test.ts', "import '../dedup/actor.js';", /actors\/dedup\/actor\.ts/],
  ['actors/store/a.ts', "import '../testing/links.js';", /actors\/testing\/links\.ts/],
  ['actors/tree.ts', "import './store/actor.js';", /row "actors\/tree\.ts"/],
  ['runtime/signals.ts', "import '../actors/tree.js';", /actors\/tree\.ts/],
  ['runtime/daemon.ts', "import '../actors/store/spec.js';", /actors\/store\/spec\.ts/],
  ['config/a.ts', "import '../testnet/promises.js';", /testnet\/promises\.ts/],
  ['client/a.ts', "import '../cli/main.js';", /cli\/main\.ts/],
  ['stray/a.ts', '', /no row/],
  ['config/a.ts', "import './gone.js';", /gone\.js, which is not there/],
  ['config/a.ts', "import 'fs';", /without "node:"/],
  ['config/a.ts', "import 'left-pad';", /package\.json does not name/],
  ['config/a.ts', "import { x } from 'ava';", /only development installs/],
  ['config/a.ts', "createRequire(import.meta.url)('left-pad');", /package\.json does not name/],
  ['actors/a/b.ts', "import sodium from 'sodium-native';", /protocol\/crypto\/ alone/],
  ['protocol/a.ts', "import sodium from 'libsodium-wrappers';", /protocol\/crypto\/ alone/],
  ['protocol/a.ts', "import { randomBytes } from 'node:crypto';", /node:crypto/],
  ['actors/a/b.ts', "import { randomBytes, verify } from 'node:crypto';", /takes verify/],
  ['runtime/a.ts', "import * as crypto from 'node:crypto';", /takes \*/],
  ['protocol/a.ts', "import { readFileSync } from 'node:fs';", /protocol\/ is pure/],
  ['protocol/a.ts', 'const x = Math.pow(2, 3);', /Math\.pow/],
  ['protocol/a.ts', 'const x = Math.sin(1) + Math.exp(1);', /Math\.exp/],
  ['protocol/a.ts', 'const x = Math.random();', /Math\.random/],
  ['protocol/a.ts', 'const x = 2 ** 53;', /\*\*/],
  ['protocol/a.ts', 'let x = 2; x **= 2;', /\*\*/],
  ['protocol/a.ts', 'const x = Date.now();', /clock/],
  ['protocol/a.ts', 'const x = new Date();', /clock/],
  ['protocol/a.ts', 'setTimeout(() => {}, 1);', /setTimeout/],
  ['protocol/a.ts', 'const x = process.env.X;', /process\.env/],
  ['protocol/consensus/a.ts', 'async function f() { await 1; }', /awaits/],
  ['config/a.test.ts', "test.only('x', (t) => t.pass());", /hides tests: test\.only/],
  ['config/a.test.ts', "test.serial.skip('x', (t) => t.pass());", /hides tests/],
  ['config/a.ts', `// head\n// ${'TO'}${'DO'}: later\n`, /postpones work/],
  ['config/a.ts', `// head\nconst x = \`a\${1}b\`; /* ${'FIX'}${'ME'} */\n`, /postpones work/],
  ['config/a.ts', `// head\n// @ts-${'ignore'}\n`, /silences the compiler/],
  ['config/a.ts', 'export const x = 1;\n', /head/],
  ['config/a.ts', '// head\n'.repeat(LINES_MAX + 1), /501 lines/],
  ['config/a.ts', `function f() {\n${'f();\n'.repeat(LINES_MAX)}}`, /function of 502 lines/],
];

for (const [path, text, complaint] of PLANTED) {
  test(`caught: ${path}: ${text.slice(0, 70).replaceAll('\n', '⏎')} ${complaint.source}`, (t) => {
    const file = source(path, text);
    const exists = (target: string): boolean => target.endsWith('.ts') && !target.includes('gone');
    const complaints = Object.values(CHECKS).flatMap((check) => check(file, exists));
    t.true(
      complaints.some((line) => complaint.test(line)),
      complaints.join('\n'),
    );
  });
}

const FINE: [path: string, text: string][] = [
  [
    'protocol/a.ts',
    "// head\nimport { Buffer } from 'node:buffer';\nimport './consensus/step.js';\nexport const x = Math.floor(1 / 3);\n",
  ],
  ['protocol/crypto/a.ts', "// head\nimport { createHash } from 'node:crypto';\nimport sodium from 'sodium-native';\n"],
  [
    'protocol/a.test.ts',
    "// head\nimport test from 'ava';\nimport { readFileSync } from 'node:fs';\nconst x = 2 ** 3;\n",
  ],
  [
    'actors/store/a.ts',
    "// head\nimport type { X } from '../dedup/contract.js';\nimport { y } from '../../protocol/json.js';\nimport { z } from './b.js';\n",
  ],
  ['actors/store/a.ts', `// head\nimport { randomBytes } from 'node:crypto';\nconst x = '// ${'TO'}${'DO'}';\n`],
  [
    'runtime/daemon.ts',
    "// head\nimport { tree } from '../actors/tree.js';\nimport { s } from './kernel/supervisor.js';\n",
  ],
  ['cli/a.ts', "// head\nimport { x } from '../actors/wal-writer/inspect.js';\n"],
  ['actors/store/a.test.ts', "import { x } from '../testing/links.js';\n"],
  ['actors/store/a-fixture.ts', "// head\nimport { x } from '../../runtime/kernel/clock.js';\n"],
];

for (const [path, text] of FINE) {
  test(`let through: ${path}: ${text.slice(8, 70).replaceAll('\n', '⏎')}`, (t) => {
    const complaints = Object.values(CHECKS).flatMap((check) => check(source(path, text), (p) => p.endsWith('.ts')));
    t.deepEqual(complaints, []);
  });
}

test('a table that cannot be read is an error, not a pass', (t) => {
  t.throws(() => readTable('# no table'), { message: /found no line/ });
  t.throws(() => readRow('config', 'whatever it likes'), { message: /cannot read/ });
  t.true(TABLE.length >= 10);
});
