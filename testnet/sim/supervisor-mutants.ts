// Faults put into the kernel on purpose, one at a time, as exact replacements in the compiled tree. Read by mutants.ts: each
// must be found by the tests or the simulation, or these would not notice it in earnest either. It must never be imported
// by anything that runs the kernel.

import type { Mutant, Suite } from './mutant.js';

const kernel = (file: string, name: string, from: string, to: string): Mutant => ({
  name,
  file: `runtime/kernel/${file}.js`,
  from,
  to,
});

// The text is a template of the kernel's, and none of this file's.
const CLOSE_CONTROL = `this.#hosted.control.close(new ActorError('start_failed', \`"\${this.#options.spec.id}" was ended\`));`;

export const MUTANTS: readonly Mutant[] = [
  // budgets and escalation
  kernel('restart', 'the budget is never over', 'over: recent.length > budget.intensity', 'over: false'),
  kernel(
    'restart',
    'the budget allows one restart more',
    'recent.length > budget.intensity',
    'recent.length > budget.intensity + 1',
  ),
  kernel('restart', 'old restarts are never forgotten', 'nowMs - atMs < budget.periodMs', 'true'),
  kernel('budgets', 'a group that gave up does not begin anew', 'over ? [] : spent', 'spent'),
  kernel('budgets', 'a spent budget is not escalated', 'onSpent(level);', 'onSpent(level); return level;'),
  kernel('budgets', 'the root’s spent budget is ignored', 'return null;', 'return levels.at(-1);'),
  kernel(
    'supervisor',
    'a breaker’s restarts spend the budget',
    'decision.spendsBudget ? this.#spend(seat, nowMs) : seat.levels[0]',
    'this.#spend(seat, nowMs)',
  ),
  kernel('supervisor', 'the process ends with another code', 'EXIT_BUDGET_SPENT = 70', 'EXIT_BUDGET_SPENT = 1'),
  // backoff
  kernel(
    'backoff',
    'backoff has no ceiling',
    'Math.min(settings.ceilingMs, settings.floorMs * settings.factor ** Math.max(0, failures - 1))',
    'settings.floorMs * settings.factor ** Math.max(0, failures - 1)',
  ),
  kernel(
    'backoff',
    'jitter comes after the clamp',
    'return Math.min(settings.ceilingMs, Math.max(settings.floorMs, varied));',
    'return varied;',
  ),
  kernel('restart', 'backoff does not grow', 'const failures = history.failures + 1;', 'const failures = 1;'),
  kernel(
    'restart',
    'uptime is no success',
    'return { failures: 0, breaker: afterSuccess(history.breaker, settings.breaker, nowMs) };',
    'return history;',
  ),
  kernel('supervisor', 'a delay is not waited for', 'seat.held > 0 || seat.dueAtMs > nowMs', 'seat.held > 0'),
  kernel(
    'supervisor',
    'nobody wakes an actor whose time has come',
    'seat.dueAtMs = this.#clock.monotonic();',
    'return;',
  ),
  kernel(
    'supervisor',
    'the uptime of a dead incarnation counts on',
    'seat.successTimer?.cancel();\n        seat.successTimer = null;',
    'void 0;',
  ),
  // breaker
  kernel(
    'breaker',
    'an open breaker is never half-open',
    "breaker.phase === 'open' && nowMs >= breaker.untilMs",
    'false',
  ),
  kernel('breaker', 'a failure in half-open does not open it', "if (current.phase === 'half-open')", 'if (false)'),
  kernel('breaker', 'one success closes it', 'successes >= settings.successes', 'true'),
  kernel(
    'breaker',
    'a success does not zero the count of failures',
    "if (current.phase === 'closed')\n        return CLOSED;",
    "if (current.phase === 'closed')\n        return current;",
  ),
  kernel('breaker', 'it opens one failure late', 'failures >= settings.failures', 'failures > settings.failures'),
  kernel(
    'supervisor',
    'a half-open breaker is not watched on',
    "if (seat.history.breaker.phase !== 'closed')",
    'if (false)',
  ),
  kernel(
    'supervisor',
    'one that was started by hand while open is not watched on',
    "if (seat.history.breaker.phase !== 'closed')",
    "if (seat.history.breaker.phase === 'half-open')",
  ),
  // who goes along, and in which order
  kernel(
    'order',
    'rest-for-one takes the earlier ones too',
    "'rest-for-one' ? position >= index",
    "'rest-for-one' ? position >= 0",
  ),
  kernel(
    'order',
    'rest-for-one takes nobody along',
    "'rest-for-one' ? position >= index",
    "'rest-for-one' ? position === index",
  ),
  kernel('order', 'one-for-all takes nobody along', "if (group.strategy === 'one-for-all')", 'if (false)'),
  kernel('order', 'one-for-one takes all along', ': position === index', ': true'),
  kernel('order', 'nobody stands on anybody', "group.strategy === 'one-for-one' ? attempted : up", 'attempted'),
  kernel('order', 'nothing starts after anything', 'kind.push(...earlier(group, index));', 'void 0;'),
  kernel(
    'supervisor',
    'neighbours are not stopped',
    'for (const seat of [...seats].reverse())',
    'for (const seat of [])',
  ),
  kernel('supervisor', 'a recovery stops in start order', '[...seats].reverse()', '[...seats]'),
  kernel(
    'supervisor',
    'the shutdown stops in start order',
    'const reverse = [...this.#seats.values()].reverse();',
    'const reverse = [...this.#seats.values()];',
  ),
  kernel(
    'supervisor',
    'the shutdown does not drain',
    "await seat.current.call('drain', [], seat.spec.shutdownMs);",
    'void 0;',
  ),
  kernel(
    'supervisor',
    'actors begin before those they stand on are up',
    "if (!up.every((other) => other.state === 'up') || !attempted.every((other) => other.attempted))",
    'if (false)',
  ),
  kernel('supervisor', 'a recovery holds nobody back', 'seat.held += 1;', 'void 0;'),
  kernel('supervisor', 'a recovery never lets go', 'seat.held -= 1;', 'void 0;'),
  kernel('supervisor', 'those that went down together do not come up in order', 'seat.attempted = false;', 'void 0;'),
  kernel(
    'supervisor',
    'a neighbour’s end counts as its own failure',
    "!onlyLoaded && reason !== 'killed' && this.#fell(seat)",
    'false',
  ),
  kernel('supervisor', 'a planned end counts as a failure', 'else if (seat.stopping !== null)', 'else if (false)'),
  kernel('supervisor', 'a kill counts as a failure', "if (exit.reason === 'killed') {", 'if (false) {'),
  kernel(
    'supervisor',
    'starts go on while it stops',
    "if (this.#mode !== 'running')\n            return;\n        const nowMs",
    'const nowMs',
  ),
  kernel('supervisor', 'a reset forgets nothing', "this.#setHistory(seat, NO_HISTORY, 'reset asked for');", 'void 0;'),
  // fences, gates, deadlines
  {
    ...kernel(
      'supervisor',
      'an init of a fenced incarnation counts',
      'if (!incarnation.fenced)\n                this.#onReady',
      'this.#onReady',
    ),
    also: [
      kernel('incarnation', '', 'if (this.#fenced)\n            throw', 'if (false)\n            throw'),
      kernel('incarnation', '', CLOSE_CONTROL, 'void 0;'),
    ],
  },
  kernel(
    'incarnation',
    'an incarnation is ended without a fence',
    'this.#end ??= { reason, detail, stack };\n        this.#fence();',
    'this.#end ??= { reason, detail, stack };',
  ),
  kernel('incarnation', 'the first reason of an end is overwritten', 'this.#end ??= {', 'this.#end = {'),
  kernel('incarnation', 'the gate is not closed before the end', 'if (!(await this.#mayTerminate()))', 'if (false)'),
  kernel('incarnation', 'control calls of a fenced incarnation go on', CLOSE_CONTROL, 'void 0;'),
  kernel(
    'incarnation',
    'a thread that does not end is not told of',
    'this.#options.onStuck(`the thread',
    'void (`the thread',
  ),
  kernel(
    'control',
    'control calls have no deadline',
    "fail(new ActorError('deadline'",
    "void (new ActorError('deadline'",
  ),
  kernel('switchboard', 'survivors do not hear of a death', "survivor.post({ kind: 'down', peer: id });", 'void 0;'),
  kernel(
    'switchboard',
    'a new incarnation is connected to nobody',
    "incarnation.post({ kind: 'link', ...end });",
    'void 0;',
  ),
  kernel(
    'switchboard',
    'the shared fence is not raised for those it serves',
    'for (const cells of this.#depths.get(id)?.values() ?? [])\n            Atomics.store(cells, FENCED, 1);',
    'void 0;',
  ),
  kernel(
    'switchboard',
    'the shared fence is not raised for those it called',
    'if (cells !== undefined)\n                Atomics.store(cells, FENCED, 1);',
    'void 0;',
  ),
  // hangs
  kernel('watchdog', 'a hang is never noticed', 'if (this.#silentLooks === BEATS + 1)', 'if (false)'),
  kernel(
    'watchdog',
    'a hang is noticed too early',
    'if (this.#silentLooks === BEATS + 1)',
    'if (this.#silentLooks === 1)',
  ),
  kernel(
    'incarnation',
    'one that goes on is ended as hung all the same',
    'if (this.vitals.beats() !== beats)',
    'if (false)',
  ),
  kernel(
    'incarnation',
    'the last word of a fenced incarnation is not heard',
    "if (!this.#fenced || notice.kind === 'fatal')",
    'if (!this.#fenced)',
  ),
  // talk
  kernel(
    'link',
    'calls in hand are forgotten at a death',
    'const lost = [...this.#pending.values()];',
    'const lost = [];',
  ),
  kernel(
    'link',
    'calls in flight fail with the wrong code',
    "this.#outcomeUnknownOnDeath ? 'outcome_unknown' : 'peer_down'",
    "'peer_down'",
  ),
  kernel(
    'link',
    'an answer of a fenced incarnation counts',
    'if (Atomics.load(channel.depth, FENCED) !== 0)\n            return;',
    'void 0;',
  ),
  kernel('link', 'calls have no deadline', 'pending.expired = true;', 'continue;'),
  kernel('link', 'credit is never taken for a tell', "take(channel, lane);\n        return 'ok';", "return 'ok';"),
  kernel('link', 'an answer gives no credit back', 'pending.lane.out -= 1;', 'void 0;'),
  kernel('mailbox', 'credit is never given back', 'served.port.postMessage([CREDIT, index, count]);', 'void 0;'),
  kernel(
    'mailbox',
    'a message of a fenced incarnation is taken',
    'if (served.open && Atomics.load(served.depth, FENCED) === 0)',
    'if (true)',
  ),
  kernel('mailbox', 'an actor that stops takes new channels', 'if (this.#closed) {', 'if (false) {'),
  // metrics and configuration
  kernel(
    'retired',
    'what a dead incarnation counted is lost',
    'this.#retired = withRetired(lasting(this.#last), this.#retired);',
    'void 0;',
  ),
  kernel(
    'retired',
    'a living incarnation’s counts are retired too',
    'this.#last = snapshot;',
    'this.#last = snapshot; this.#retired = withRetired(lasting(snapshot), this.#retired);',
  ),
  kernel(
    'reconfiguration',
    'a refusal aborts nothing',
    'await this.abort();\n                throw refusals[0];',
    'throw refusals[0];',
  ),
  kernel(
    'reconfiguration',
    'an actor started on the old configuration keeps it',
    'await this.#restart(seat.spec.id);',
    'void 0;',
  ),
  kernel(
    'supervisor',
    'later starts use the old configuration',
    'this.#config = config;\n        const tree',
    'const tree',
  ),
  kernel('milestones', 'what was asked for never settles when the tree ends', 'waiter.reject(error);', 'void 0;'),
];

/** The first failing seed ends it; most mutants fail within a hundred. */
const SEEDS = 1_500;
/** Those without threads of their own: they are quick, and the rest is about threads. */
const TESTS = [
  ...['restart', 'breaker', 'order', 'budgets', 'order-properties', 'link', 'retired', 'vitals', 'watchdog', 'clock'],
  ...['supervisor-decisions', 'supervisor-loading', 'supervisor-operator', 'adopted-tree', 'host-simulated'],
].map((name) => `dist/runtime/kernel/${name}.test.js`);

export const SUPERVISOR_SUITE: Suite = {
  mutants: MUTANTS,
  data: [],
  looks: () => [
    { kind: 'simulation', args: ['supervisor', '--seeds', String(SEEDS), '--threads', '1', '--fail-fast'] },
    { kind: 'tests', args: TESTS },
  ],
};
