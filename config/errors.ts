// What a wrong configuration looks like: problems with a place, what was found, what is allowed, and one error that
// carries them all. Thrown by every reader of this folder; caught by the daemon and the CLI. Never carries a secret.

export interface ConfigProblem {
  /** A file's path, `environment NAME` or `flag --name`: where the operator has to look. */
  readonly file: string;
  /** 1-based; null when the place has no lines. */
  readonly line: number | null;
  readonly column: number | null;
  /** Dotted path of the setting (`limits.body_bytes`); empty when the whole file is meant. */
  readonly path: string;
  readonly found: string;
  readonly allowed: string;
  readonly hint: string | null;
}

/** EX_USAGE when the command line itself cannot be read, EX_CONFIG for everything else. */
export type ConfigExitCode = 64 | 78;

export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];
  readonly exitCode: ConfigExitCode;

  constructor(problems: readonly ConfigProblem[], exitCode: ConfigExitCode = 78) {
    super(problems.map(renderProblem).join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
    this.exitCode = exitCode;
  }
}

/** Problems that may still be completed by their place. */
export type ProblemParts = Pick<ConfigProblem, 'found' | 'allowed'> & Partial<ConfigProblem>;

export function configProblem(parts: ProblemParts & { readonly file: string }): ConfigProblem {
  return { line: null, column: null, path: '', hint: null, ...parts };
}

/** `quorate.yaml:12:3: limits.body_bytes: found "64k", allowed: integer 1024 to 262144. Hint …` */
export function renderProblem(problem: ConfigProblem): string {
  const place =
    problem.line === null
      ? problem.file
      : `${problem.file}:${problem.line}${problem.column === null ? '' : `:${problem.column}`}`;
  const path = problem.path === '' ? '' : `${problem.path}: `;
  const hint = problem.hint === null ? '' : ` ${problem.hint}`;
  return `${place}: ${path}found ${problem.found}; allowed: ${problem.allowed}.${hint}`;
}

const SHOWN_MAX_CHARS = 60;

/** A value as an error may show it: short, and only its type where a secret may stand. */
export function describeFound(value: unknown, secret = false): string {
  if (value === null) return 'nothing (null)';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object') return 'a mapping';
  if (value === undefined) return 'nothing';
  if (secret) return `a ${typeof value} (not shown)`;
  const text = JSON.stringify(value) ?? String(value);
  return text.length > SHOWN_MAX_CHARS ? `${text.slice(0, SHOWN_MAX_CHARS)}…` : text;
}
