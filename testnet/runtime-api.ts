// The API reference of quorate/runtime as Markdown, made from the exports of its index and the comments on them. Called by
// write-docs.ts and by its test. It reads the sources with the compiler; it must never invent a sentence.
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const INDEX = `${ROOT}runtime/kernel/index.ts`;
const WIDTH = 118;

export function runtimeApiReference(): string {
  const program = ts.createProgram([INDEX], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    strict: true,
    types: ['node'],
    typeRoots: [`${ROOT}node_modules/@types`],
  });
  const checker = program.getTypeChecker();
  const index = program.getSourceFile(INDEX);
  const module = index === undefined ? undefined : checker.getSymbolAtLocation(index);
  if (module === undefined) throw new Error(`${INDEX} has no exports`);
  const entries = checker.getExportsOfModule(module).map((symbol) => entryOf(checker, symbol));
  entries.sort((a, b) => a.kind.localeCompare(b.kind) || a.name.localeCompare(b.name));
  const sections = ['value', 'type'].map((kind) => {
    const title = kind === 'value' ? 'Functions, classes and constants' : 'Types';
    return `## ${title}\n\n${entries
      .filter((entry) => entry.kind === kind)
      .map(entryText)
      .join('\n')}`;
  });
  return `# API of quorate/runtime

Made from the sources by \`npm run docs\`. [RUNTIME.md](RUNTIME.md) explains how the parts work together.

${sections.join('\n')}`;
}

interface Entry {
  readonly kind: 'value' | 'type';
  readonly name: string;
  readonly comment: string;
  readonly code: string;
}

function entryOf(checker: ts.TypeChecker, exported: ts.Symbol): Entry {
  const isAlias = (exported.flags & ts.SymbolFlags.Alias) !== 0;
  const symbol = isAlias ? checker.getAliasedSymbol(exported) : exported;
  const declaration = symbol.declarations?.[0];
  if (declaration === undefined) throw new Error(`${exported.name} is declared nowhere`);
  const kind = (symbol.flags & ts.SymbolFlags.Value) === 0 ? 'type' : 'value';
  const comment = ts.displayPartsToString(symbol.getDocumentationComment(checker));
  return { kind, name: exported.name, comment, code: codeOf(declaration) };
}

/** The declaration without bodies: what a user can rely on, with the comments on its members. */
function codeOf(declaration: ts.Declaration): string {
  if (ts.isFunctionDeclaration(declaration)) return withoutBody(declaration);
  if (ts.isClassDeclaration(declaration)) return classText(declaration);
  const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
  const text = node.getText();
  // A table of data is shown by its names alone.
  return text.length > 1_500 && ts.isVariableStatement(node) ? `${text.slice(0, text.indexOf('=')).trim()};` : text;
}

function withoutBody(node: ts.FunctionLikeDeclaration): string {
  const end = node.body?.getStart() ?? node.end;
  return `${node
    .getText()
    .slice(0, end - node.getStart())
    .trim()};`;
}

function classText(node: ts.ClassDeclaration): string {
  const members = node.members.filter(({ name }) => name === undefined || !ts.isPrivateIdentifier(name));
  const source = node.getSourceFile().text;
  const lines = members.map((member) => {
    const ranges = ts.getLeadingCommentRanges(source, member.getFullStart()) ?? [];
    const comment = ranges.map(({ pos, end }) => `  ${source.slice(pos, end)}\n`).join('');
    const code = ts.isFunctionLike(member) ? withoutBody(member as ts.FunctionLikeDeclaration) : member.getText();
    return `${comment}  ${code}`;
  });
  const head = node.getText().slice(0, node.getText().indexOf('{')).trim();
  return `${head} {\n${lines.join('\n')}\n}`;
}

function entryText({ name, comment, code }: Entry): string {
  const paragraph = comment === '' ? '' : `${wrapped(comment)}\n\n`;
  return `### ${name}\n\n${paragraph}\`\`\`ts\n${code}\n\`\`\`\n`;
}

/** Comments are wrapped to their indentation in the source; here they are one paragraph each. */
function wrapped(text: string): string {
  const words = text.split(/\s+/);
  const lines: string[] = [''];
  for (const word of words) {
    const line = lines.at(-1)!;
    if (line !== '' && line.length + 1 + word.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.join('\n');
}
