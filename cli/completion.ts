// `quorate completion bash|zsh|fish`: a completion script made from the tables of the commands. Called by dispatch.ts.
// The script is static text: completing a word starts no program.
import { EXIT } from '../runtime/exit-codes.js';
import type { Option } from './args.js';
import { type Command, defineCommand } from './command.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** @param commands late, because this command is one of them. */
export function completionCommand(commands: () => readonly Command[]): Command {
  return defineCommand({
    name: 'completion',
    summary: 'print a completion script for your shell',
    positionals: [{ name: 'SHELL', about: 'bash, zsh or fish', required: true, choices: SHELLS }],
    options: {},
    about: `
Prints a script that teaches your shell the commands and options of this version. Load it in the start-up file of the
shell, or write it to the place where the shell looks for such files.`,
    examples: [
      ['source <(quorate completion bash)', 'bash: in ~/.bashrc'],
      ['quorate completion zsh > ~/.zfunc/_quorate', 'zsh: a folder of $fpath'],
      ['quorate completion fish > ~/.config/fish/completions/quorate.fish', 'fish'],
    ],
    exits: [[EXIT.ok.code, 'the script is on stdout']],
    async run({ positionals }, terminal) {
      terminal.out(script(positionals[0]!, groups(commands())));
      return EXIT.ok.code;
    },
  });
}

/** A first word: a command of its own, or a group with second words. */
interface Group {
  readonly word: string;
  readonly summary: string;
  readonly single: Command | null;
  readonly subcommands: readonly { readonly word: string; readonly command: Command }[];
}

function groups(commands: readonly Command[]): Group[] {
  const words = [...new Set(commands.map((command) => command.name.split(' ')[0]!))];
  const found = words.map((word): Group => {
    const single = commands.find((command) => command.name === word) ?? null;
    const subcommands = commands
      .filter((command) => command.name.startsWith(`${word} `))
      .map((command) => ({ word: command.name.slice(word.length + 1), command }));
    const summary = single?.summary ?? subcommands.map((subcommand) => subcommand.word).join(', ');
    return { word, summary, single, subcommands };
  });
  return [...found, { word: 'help', summary: 'explain a command', single: null, subcommands: [] }];
}

function script(shell: string, list: readonly Group[]): string {
  if (shell === 'bash') return bash(list);
  return shell === 'zsh' ? zsh(list) : fish(list);
}

/** Options and fixed words that may follow a command. */
function optionNames(command: Command): string[] {
  return [...Object.keys(command.options), 'help'].map((name) => `--${name}`);
}

function choicesOf(command: Command): readonly string[] {
  return command.positionals.flatMap((positional) => positional.choices ?? []);
}

function valuedOptions(list: readonly Group[], value: (option: Option) => boolean): string[] {
  const commands = list.flatMap((group) => [group.single, ...group.subcommands.map(({ command }) => command)]);
  const names = commands.flatMap((command) =>
    Object.entries(command?.options ?? {}).flatMap(([name, option]) =>
      option.type === 'string' && value(option) ? [`--${name}`] : [],
    ),
  );
  return [...new Set(names)];
}

function bash(list: readonly Group[]): string {
  const words = list.map((group) => group.word).join(' ');
  const cases = list.flatMap(({ word, single, subcommands }) => [
    ...(single === null
      ? []
      : [`    '${word}') reply='${[...choicesOf(single), ...optionNames(single)].join(' ')}' ;;`]),
    ...(subcommands.length === 0 ? [] : [`    '${word}') reply='${subcommands.map((sub) => sub.word).join(' ')}' ;;`]),
    ...subcommands.map((sub) => `    '${word} ${sub.word}') reply='${optionNames(sub.command).join(' ')}' ;;`),
  ]);
  const grouped = list.filter((group) => group.subcommands.length > 0).map((group) => group.word);
  return `# bash completion for quorate
_quorate() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command="\${COMP_WORDS[1]}" reply=''
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${words}' -- "$current"))
    return
  fi
  case "$previous" in
    ${casePattern(valuedOptions(list, (option) => option.value === 'FILE'))}) COMPREPLY=($(compgen -f -- "$current")); return ;;
    ${casePattern(valuedOptions(list, (option) => option.value === 'DIRECTORY'))}) COMPREPLY=($(compgen -d -- "$current")); return ;;
    ${casePattern(valuedOptions(list, (option) => option.value !== 'FILE' && option.value !== 'DIRECTORY'))}) return ;;
  esac
  case "$command" in
    ${casePattern(grouped)}) [ "$COMP_CWORD" -gt 2 ] && command="$command \${COMP_WORDS[2]}" ;;
    help) COMPREPLY=($(compgen -W '${words}' -- "$current")); return ;;
  esac
  case "$command" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$reply" -- "$current"))
}
complete -o default -F _quorate quorate
`;
}

function casePattern(words: readonly string[]): string {
  return words.join('|');
}

function zsh(list: readonly Group[]): string {
  const words = list.map((group) => `    ${quoted(`${group.word}:${group.summary}`)}`).join('\n');
  const cases = list.flatMap(({ word, single, subcommands }) => {
    if (single !== null) return [`    ${word})\n      ${zshArguments(single)} ;;`];
    if (subcommands.length === 0) return [`    ${word}) _describe command commands ;;`];
    const inner = subcommands.map((sub) => `        ${sub.word}) ${zshArguments(sub.command)} ;;`);
    const names = subcommands.map((sub) => quoted(`${sub.word}:${sub.command.summary}`)).join(' ');
    return [
      `    ${word})
      local -a subcommands=(${names})
      if (( CURRENT == 2 )); then _describe subcommand subcommands; return; fi
      shift words; (( CURRENT-- ))
      case "$words[1]" in
${inner.join('\n')}
      esac ;;`,
    ];
  });
  return `#compdef quorate
_quorate() {
  local -a commands=(
${words}
  )
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  shift words; (( CURRENT-- ))
  case "$words[1]" in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = _quorate ]; then _quorate "$@"; else compdef _quorate quorate; fi
`;
}

function zshArguments(command: Command): string {
  const options = Object.entries(command.options).map(([name, option]) => {
    const about = option.about.replace(/[[\]:\\]/g, (special) => `\\${special}`);
    return quoted(
      `--${name}[${about}]${option.type === 'boolean' ? '' : `:${option.value ?? 'value'}:${zshValue(option)}`}`,
    );
  });
  const positionals = command.positionals.map((positional, index) =>
    quoted(
      `${index + 1}:${positional.name}:${positional.choices === undefined ? '_files' : `(${positional.choices.join(' ')})`}`,
    ),
  );
  return ['_arguments', quoted('--help[explain this command]'), ...options, ...positionals].join(' ');
}

function zshValue(option: Option): string {
  if (option.value === 'FILE') return '_files';
  return option.value === 'DIRECTORY' ? '_files -/' : ' ';
}

function fish(list: readonly Group[]): string {
  const lines = ['# fish completion for quorate', 'complete -c quorate -e'];
  for (const { word, summary, single, subcommands } of list) {
    lines.push(`complete -c quorate -n __fish_use_subcommand -f -a ${word} -d ${quoted(summary)}`);
    if (single !== null) lines.push(...fishOptions(single, `__fish_seen_subcommand_from ${word}`));
    const all = subcommands.map((sub) => sub.word).join(' ');
    for (const sub of subcommands) {
      const seen = `__fish_seen_subcommand_from ${word}`;
      const first = quoted(`${seen}; and not __fish_seen_subcommand_from ${all}`);
      lines.push(`complete -c quorate -n ${first} -f -a ${sub.word} -d ${quoted(sub.command.summary)}`);
      lines.push(...fishOptions(sub.command, `${seen}; and __fish_seen_subcommand_from ${sub.word}`));
    }
  }
  return `${lines.join('\n')}\n`;
}

function fishOptions(command: Command, when: string): string[] {
  const condition = quoted(when);
  const options = Object.entries(command.options).map(([name, option]) => {
    const files =
      option.value === 'FILE' ? ' -F' : option.value === 'DIRECTORY' ? " -f -a '(__fish_complete_directories)'" : ' -f';
    const value = option.type === 'boolean' ? ' -f' : ` -r${files}`;
    return `complete -c quorate -n ${condition} -l ${name}${value} -d ${quoted(option.about)}`;
  });
  const choices = choicesOf(command);
  if (choices.length > 0) options.push(`complete -c quorate -n ${condition} -f -a ${quoted(choices.join(' '))}`);
  return options;
}

/** In single quotes: the form that all three shells read alike, a quote inside apart. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
