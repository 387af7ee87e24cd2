// docs/CONFIGURATION.md as text: the prose that stays, and a table a section made from the field table. Called by the
// command that writes the file and by the test that holds the file against it. It must never say what fields.ts does not.
import { allowedText, FIELDS, type Field, type FieldPath } from './fields.js';
import { defaultText } from './flags.js';
import { FIELD_PATHS } from './schema.js';

/** Sections in the order of the field table, with what one wants to know before the settings. '' stands for the top. */
const SECTIONS: ReadonlyMap<string, readonly [title: string, about: string]> = new Map([
  ['', ['Node', 'Who and where the node is.']],
  ['log', ['Log', 'Lines of JSON, one an event; secrets never stand in them.']],
  ['tls', ['TLS between peers', 'See [PEERS.md](PEERS.md).']],
  [
    'limits',
    ['Limits', 'What one client, and all together, may ask for. What is over a limit is refused before it is kept.'],
  ],
  [
    'idempotency',
    [
      'Idempotency',
      'Recent answers kept in memory. That a submission counts once does not depend on them: the ledger decides that.',
    ],
  ],
  ['verify', ['Verification', 'The pool of threads that checks signatures.']],
  ['consensus', ['Consensus', 'Timing between validators. What must be equal on all of them stands in the genesis.']],
  ['wal', ['Log on disk', 'See [LOG.md](LOG.md).']],
  ['disk', ['Room on the data disk', 'See [DISK.md](DISK.md).']],
  ['audit', ['Audit log', 'See [AUDIT.md](AUDIT.md).']],
  ['dedup', ['Deduplication', 'The filter in front of consensus.']],
  ['pcs', ['PCS', 'The built-in kind `pcs`.']],
  [
    'backups',
    [
      'Backups',
      'Online backups are not part of this release: the setting is what production mode asks you to confirm.',
    ],
  ],
  [
    'supervision',
    [
      'Supervision',
      'When a dead thread comes back, and when the process gives up and leaves it to the service manager. A thread that shows no sign of life for `heartbeat_ms` is ended and replaced; native work that it declares, such as an fsync, is no silence.',
    ],
  ],
]);

const CHANGE: Readonly<Record<Field['change'], string>> = { reload: 'reload', restart: 'restart', chain: 'never' };

const HEAD = `# Configuration

<!-- Written by "npm run docs" from config/fields.ts and config/reference.ts: change those. -->

A node needs no configuration: everything has a default. What you set comes from four places, strongest first: **flags**,
**environment**, **file**, **defaults**. Every setting has the same name in all of them:

| in the file | as a flag | in the environment |
|---|---|---|
| \`limits.body_bytes\` | \`--limits-body-bytes\` | \`QUORATE_LIMITS_BODY_BYTES\` |

The file is YAML, named by \`--config\` or \`QUORATE_CONFIG\`, else \`quorate.yaml\` in the working directory when there is one.
Relative paths start at the file's folder, those of flags and environment at the working directory. \`off\` clears a setting
that may be empty. An unknown name is an error with file, line, column and the nearest name that exists.

\`\`\`sh
node runtime/main.js --config quorate.yaml --check-config    # reads and judges everything, starts nothing: exit 0 or 78
node runtime/main.js --config quorate.yaml --print-config    # every setting in force, each with its origin
\`\`\`

**On a running node**, SIGHUP or \`quorate reload\` reads everything again. All of it is taken over, or, when anything is wrong,
none, and the old configuration stays in force. The column *change* says what a running node takes over: *reload* at once;
*restart* only at the next start, and until then a reload that changes it is refused and names it; *never* on existing data.

Three more variables: \`QUORATE_SIGNING_KEY\` gives the node key itself (64 hex digits, PKCS#8 PEM, or its DER in base64);
\`QUORATE_API\`, \`QUORATE_KEY\` and \`QUORATE_TOKEN\` are the command line's.
Examples: [config/examples/](../config/examples/).
`;

const TAIL = `
## clients.yml

Who may submit, with which keys: the file that \`clients_file\` names. It is a wish: the node submits it as an entry of the
ledger, so that every key is judged by every node at the same block.

| member | what it is |
|---|---|
| \`issuer\` | name of the client, unique; what submissions carry as \`issuer\` |
| \`roles\` | \`submit\`, \`read\`, \`operate\`, \`observe\`; default \`[submit]\`. \`submit\` is asked of every submission but observations, which ask for \`observe\`; the others are not asked for yet |
| \`keys\` | 1 to 16; old and new overlap during a rotation |
| \`keys[].key_id\` | unique name of the key |
| \`keys[].alg\` | \`ed25519\` or \`hmac-sha256\` |
| \`keys[].public_key\` | Ed25519: 64 hex digits, or base64. Weak keys (small order, not canonical) are refused |
| \`keys[].secret_file\`, \`secret_hex\`, \`secret_base64\` | HMAC: one of them. With a secret inside, clients.yml itself must have mode 0600 |
| \`keys[].homes\` | HMAC: the nodes that hold the secret and may vouch for it; default this node |
| \`keys[].form\` | HMAC of a PCS: \`direct\` over the canonical bytes, \`digest\` over their SHA-256; default \`pcs.hmac_form\` |
| \`keys[].kinds\` | only these kinds; default every kind but \`registry\` |
| \`keys[].not_before\`, \`not_after\` | window of validity, RFC 3339 UTC, judged at block time |

In development mode the generated client \`dev\` stays registered beside these as long as its key file exists.

## Kinds of your own

\`kinds_dir\` holds one JSON Schema file a kind, named after it: \`reading.json\` makes kind \`reading\`. The vocabulary is closed:
\`type\`, \`properties\`, \`required\`, \`additionalProperties\`, \`items\`, \`enum\`, \`const\`, and bounds of numbers, lengths and counts.
\`pattern\`, \`format\`, \`$ref\` and the rest are refused by name: what two nodes could judge differently would split a chain
([why](adr/0002-own-schema-subset.md)). What is registered stays registered under its name until a later entry changes it.
`;

export function configurationReference(): string {
  const sections = [...SECTIONS].map(([section, [title, about]]) => {
    const paths = FIELD_PATHS.filter((path) => sectionOf(path) === section);
    const lines = paths.map(row);
    return [
      `\n## ${title}`,
      '',
      about,
      '',
      '| setting | takes | default | change | what it is |',
      '|---|---|---|---|---|',
      ...lines,
      '',
    ].join('\n');
  });
  return `${HEAD}${sections.join('')}${TAIL}`;
}

/** Sections of the field table that the reference has no title for. */
export function untitledSections(): string[] {
  return [...new Set(FIELD_PATHS.map(sectionOf))].filter((section) => !SECTIONS.has(section));
}

function sectionOf(path: FieldPath): string {
  return path.includes('.') ? path.slice(0, path.indexOf('.')) : '';
}

function row(path: FieldPath): string {
  const field: Field = FIELDS[path];
  const text = defaultText(field);
  const value = text.includes(' ') ? text : `\`${text}\``;
  const cells = [`\`${path}\``, allowedText(field), value, CHANGE[field.change], field.about];
  // A bar would end the cell.
  return `| ${cells.map((cell) => cell.replaceAll(' | ', ', ')).join(' | ')} |`;
}
