// `quorate rounds` and `quorate reconcile`: observation rounds of one node or several, and whether nodes agree on them.
// Called by dispatch.ts. They read what nodes answer and change nothing: rounds follow from the ledger.
import { isObject } from '../client/http.js';
import type { JsonObject, JsonValue } from '../protocol/json.js';
import { EXIT } from '../runtime/exit-codes.js';
import { commonOptions } from './args.js';
import { defineCommand } from './command.js';
import { call } from './http.js';
import { chosenNodes, type NodeAt, nodeOptions } from './nodes.js';
import { CliError, type Paint, painter, printJson, type Terminal, table } from './output.js';

const options = {
  ...nodeOptions,
  'data-dir': commonOptions['data-dir'],
  json: commonOptions.json,
} as const;

export const roundsCommand = defineCommand({
  name: 'rounds',
  summary: 'show observation rounds, or one of them',
  positionals: [{ name: 'ID', about: 'a round id: shows who observed what in it', required: false }],
  options,
  about: `
A round puts together what observers say about one subject: the first observation opens it, a majority completes it with the
median of their scores, and after 300 seconds without one it has failed. Rounds follow from the ledger alone, so that every
node shows the same. They are advisory: nothing happens because of one, apart from counting and exclusion.`,
  examples: [
    ['quorate rounds', 'the rounds that are kept, newest last'],
    ['quorate rounds round_001 --json', 'one round with its observations and signatures'],
    ['quorate rounds --data-dir net/node_1 --all', 'of every node in net/'],
  ],
  exits: [
    [EXIT.ok.code, 'shown'],
    [EXIT.data.code, 'no such round'],
    [EXIT.unavailable.code, 'a node does not answer'],
  ],
  async run({ values, positionals }, terminal) {
    const nodes = chosenNodes('rounds', values, terminal);
    const path = positionals[0] === undefined ? '' : `/${encodeURIComponent(positionals[0])}`;
    const isSeveral = values.all || nodes.length > 1;
    const answers = [];
    for (const node of nodes) answers.push({ node, body: await ask(terminal, node, path) });
    if (values.json) {
      const named = answers.map(({ node, body }) => ({ node: node.name, ...body }));
      printJson(terminal, isSeveral ? { nodes: named } : answers[0]!.body);
      return EXIT.ok.code;
    }
    const paint = painter(terminal.colours.out);
    for (const { node, body } of answers) {
      if (isSeveral) terminal.out(`${paint('bold', node.name)}\n`);
      terminal.out(path === '' ? roundsText(body, paint) : roundText(body, paint));
    }
    return EXIT.ok.code;
  },
});

/** Nodes whose consensus of one round differs by more than this have drifted apart. */
const DRIFT_MAX = 0.01;
/** A node that is a block behind has not drifted: it is asked again. */
const TRIES = 4;
const AGAIN_MS = 500;

export const reconcileCommand = defineCommand({
  name: 'reconcile',
  summary: 'compare the observation rounds of nodes; count those that wait',
  positionals: [],
  options,
  about: `
Every node computes the rounds from the same ledger, so they agree to the last digit. This asks the nodes and says so: per round
the status and consensus of each, and what differs. A drift above ${DRIFT_MAX}, another status or another list of excluded
nodes after several looks means that a node's ledger or program is not the others': see its log, and "quorate wal verify".

Rounds that wait for their quorum are counted, each with what it would come to if it were over now. That is told and recorded
nowhere: to complete, a majority has to observe; otherwise the round fails when its time runs out.`,
  examples: [
    ['quorate reconcile', 'rounds of one node that wait'],
    ['quorate reconcile --data-dir net/node_1 --all --json', 'compare every node in net/'],
    ['quorate reconcile --api http://a:8080,http://b:8080', 'compare nodes elsewhere'],
  ],
  exits: [
    [EXIT.ok.code, 'the nodes agree'],
    [EXIT.data.code, 'they do not'],
    [EXIT.unavailable.code, 'a node does not answer'],
  ],
  async run({ values }, terminal) {
    const nodes = chosenNodes('reconcile', values, terminal);
    let found = await compareNodes(terminal, nodes);
    for (let tries = 1; !found.agreed && tries < TRIES; tries += 1) {
      await terminal.sleep(AGAIN_MS);
      found = await compareNodes(terminal, nodes);
    }
    if (values.json) printJson(terminal, found);
    else print(terminal, found);
    return found.agreed ? EXIT.ok.code : EXIT.data.code;
  },
});

interface Difference {
  readonly round_id: string;
  /** Largest distance between two nodes' consensus; null when at most one of them has one. */
  readonly drift: number | null;
  readonly nodes: readonly {
    readonly node: string;
    readonly status: string | null;
    readonly consensus_tis: JsonValue;
  }[];
}

interface Comparison {
  readonly nodes: readonly string[];
  readonly rounds: number;
  /** Rounds that wait for their quorum, on the node that has most. */
  readonly reconciled: number;
  /** What each would come to if it were over now. */
  readonly pending: readonly {
    readonly round_id: string;
    readonly observations: JsonValue;
    readonly provisional_tis: JsonValue;
  }[];
  readonly drift_max: number;
  readonly differing: readonly Difference[];
  readonly excluded: readonly { readonly node: string; readonly excluded: readonly string[] }[];
  readonly agreed: boolean;
}

async function compareNodes(terminal: Terminal, nodes: readonly NodeAt[]): Promise<Comparison> {
  const bodies = await Promise.all(nodes.map((node) => ask(terminal, node, '')));
  return compare(bodies.map((body, index) => ({ node: nodes[index]!.name, body })));
}

/** `body` is what GET /v1/rounds answers. */
export function compare(answers: readonly { readonly node: string; readonly body: JsonObject }[]): Comparison {
  const tables = answers.map(({ node, body }) => {
    const rows = objects(body.rounds);
    const byId = new Map(rows.map((row) => [String(row.round_id), row]));
    return { node, byId, waiting: rows.filter(({ status }) => status === 'Pending') };
  });
  const ids = [...new Set(tables.flatMap(({ byId }) => [...byId.keys()]))];
  const all = ids.map((roundId): Difference => {
    const views = tables.map(({ node, byId }) => {
      const row = byId.get(roundId);
      return { node, status: row === undefined ? null : String(row.status), consensus_tis: row?.consensus_tis ?? null };
    });
    const scores = views.flatMap(({ consensus_tis }) => (typeof consensus_tis === 'number' ? [consensus_tis] : []));
    return {
      round_id: roundId,
      drift: scores.length < 2 ? null : distance(Math.min(...scores), Math.max(...scores)),
      nodes: views,
    };
  });
  const excluded = answers.map(({ node, body }) => ({
    node,
    excluded: objects(body.excluded)
      .map(({ node_id }) => String(node_id))
      .sort(),
  }));
  const differing = all.filter(
    ({ drift, nodes }) => (drift ?? 0) > DRIFT_MAX || new Set(nodes.map(({ status }) => status)).size > 1,
  );
  return {
    nodes: answers.map(({ node }) => node),
    rounds: ids.length,
    reconciled: Math.max(0, ...tables.map(({ waiting }) => waiting.length)),
    pending: ids.flatMap((roundId) => {
      const row = tables.flatMap(({ waiting }) => waiting).find(({ round_id }) => round_id === roundId);
      if (row === undefined) return [];
      const { observations = null, provisional_tis = null } = row;
      return [{ round_id: roundId, observations, provisional_tis }];
    }),
    drift_max: Math.max(0, ...all.map(({ drift }) => drift ?? 0)),
    differing,
    excluded,
    agreed: differing.length === 0 && new Set(excluded.map((each) => each.excluded.join(' '))).size <= 1,
  };
}

/** In the decimals that consensus has, six and a half: 0.51 − 0.5 is 0.01. */
function distance(least: number, most: number): number {
  return Math.round((most - least) * 1e7) / 1e7;
}

function print(terminal: Terminal, found: Comparison): void {
  const paint = painter(terminal.colours.out);
  const { nodes, rounds, reconciled, pending, drift_max, differing, excluded, agreed } = found;
  const who = nodes.length === 1 ? nodes[0]! : `${nodes.length} nodes`;
  terminal.out(`${agreed ? paint('green', 'agreed') : paint('red', 'not agreed')}: ${rounds} rounds of ${who}\n`);
  terminal.out(
    table(
      [
        ['waiting', `${reconciled} pending rounds`],
        ...pending.map((each) => [`  ${each.round_id}`, `would be ${each.provisional_tis ?? 'none'} now`]),
        ['largest drift', String(drift_max)],
        ...excluded.map((each) => [`excluded on ${each.node}`, each.excluded.join(', ') || 'nobody']),
      ],
      '  ',
    ),
  );
  for (const { round_id, drift, nodes: views } of differing) {
    terminal.out(`${paint('yellow', round_id)}${drift === null ? '' : `  drift ${drift}`}\n`);
    const rows = views.map(({ node, status, consensus_tis }) => [
      node,
      status ?? 'not there',
      consensus_tis === null ? '' : String(consensus_tis),
    ]);
    terminal.out(table(rows, '  '));
  }
}

async function ask(terminal: Terminal, { api }: NodeAt, path: string): Promise<JsonObject> {
  const { body } = await call(terminal, `${api}/v1/rounds${path}`);
  if (Array.isArray(body.rounds) || Array.isArray(body.observations)) return body;
  throw new CliError(EXIT.data.code, `${api} answered something else than rounds.`, {
    hint: 'Check that the address is that of a client API.',
  });
}

function roundsText(body: JsonObject, paint: Paint): string {
  const rows = objects(body.rounds).map((row) => [
    String(row.round_id),
    String(row.status),
    `${row.observations} of ${row.required_quorum}`,
    row.consensus_tis === null ? '' : String(row.consensus_tis),
    texts(row.consensus_biases).join(', '),
  ]);
  const head = ['round', 'status', 'observations', 'TIS', 'biases'];
  const list = rows.length === 0 ? '  no rounds yet\n' : table([head, ...rows], '  ');
  const facts = `${body.completed} of ${body.opened} rounds complete${body.average_tis === null ? '' : `, average TIS ${body.average_tis}`}\n`;
  const excluded = objects(body.excluded).map(({ node_id, reason, detected_at }) =>
    paint('red', `  excluded: ${node_id}, ${reason}, ${detected_at}\n`),
  );
  return `${facts}${list}${excluded.join('')}`;
}

function roundText(body: JsonObject, paint: Paint): string {
  const tis = body.consensus_tis === null ? 'none' : String(body.consensus_tis);
  const facts: string[][] = [
    ['status', String(body.status)],
    ['consensus TIS', tis],
    ['biases', texts(body.consensus_biases).join(', ') || 'none'],
    ['quorum', `${body.required_quorum}`],
    ['opened', `${body.opened_at} by ${body.opened_by}`],
    ['completed', String(body.completed_at ?? 'not yet')],
  ];
  const rows = objects(body.observations).map((each) => [
    String(each.node_id),
    String(each.tis_overall),
    each.counted === true ? 'counts' : 'does not count',
    String(each.audit_id),
    texts(each.bias_flags).join(', '),
  ]);
  return `${paint('bold', String(body.round_id))}\n${table(facts, '  ')}${table(rows, '    ')}`;
}

function objects(value: JsonValue | undefined): JsonObject[] {
  return Array.isArray(value) ? value.filter((item): item is JsonObject => isObject(item)) : [];
}

function texts(value: JsonValue | undefined): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
