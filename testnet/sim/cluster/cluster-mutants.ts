// Faults put into the consensus core, the log and the simulated host on purpose, one at a time, as exact replacements in the
// compiled tree. Read by mutants.ts: each must be found by a simulation or by the core's tests. It must never be imported by
// anything that runs a node.
import type { Look, Mutant, Suite } from '../mutant.js';

const core = (file: string, name: string, from: string, to: string, more: Partial<Mutant> = {}): Mutant => ({
  name,
  file: `protocol/consensus/${file}.js`,
  from,
  to,
  ...more,
});

const host = (file: string, name: string, from: string, to: string, more: Partial<Mutant> = {}): Mutant => ({
  name,
  file: `testnet/sim/cluster/${file}.js`,
  from,
  to,
  ...more,
});

const log = (file: string, name: string, from: string, to: string, more: Partial<Mutant> = {}): Mutant => ({
  name,
  file: `actors/wal-writer/${file}.js`,
  from,
  to,
  ...more,
});

/** A simulation narrowed to what shows the mutant. */
const targeted = (...args: string[]): Partial<Mutant> => ({
  shownBy: { kind: 'simulation', args: ['cluster', '--threads', '1', '--fail-fast', ...args] },
});

const RECORD_VOTE = `turn.records.push({ type: 'vote', epoch: context.epoch, vote });`;
const RECORD_CERTIFICATE = `turn.records.push({ type: 'certificate', epoch: context.epoch, certificate });`;
const HOLD_BACK =
  'this.#push({ ...NOTHING, log: records.map((record) => this.#encode(record)), journal: records, effects });';
const HOLD_NOTHING_BACK =
  'this.#push({ ...NOTHING, log: records.map((record) => this.#encode(record)), journal: records }); this.#owner.carryOutAll(effects);';

export const MUTANTS: readonly Mutant[] = [
  // how many must agree
  core(
    'quorum',
    'one vote less makes a quorum',
    'Math.floor((n + faults(n)) / 2) + 1',
    'Math.floor((n + faults(n)) / 2)',
  ),
  core('quorum', 'one fault more is assumed', 'Math.floor((n - 1) / 3)', 'Math.floor((n + 2) / 3)'),
  // what may be signed
  core('ballot', 'finalizes after it nullified', 'own.nullified || own.finalized !== null', 'own.finalized !== null'),
  core('ballot', 'nullifies after it finalized', 'own.nullified || own.finalized !== null', 'own.nullified'),
  core('ballot', 'notarizes twice in a view', 'return own.notarized === null;', 'return true;'),
  core(
    'ballot',
    'finalizes another block than it notarized',
    'return own.notarized === null || own.notarized === hash;',
    'return true;',
  ),
  core('ballot', 'signs in quarantine', 'state.quarantined !== null || ', ''),
  core('ballot', 'signs at or below the floor', 'view <= state.floorView || ', ''),
  core('ballot', 'a vote is not recorded', RECORD_VOTE, ';'),
  core('ballot', 'a second vote takes the place of the first', 'if (votes[vote.signer] !== undefined)', 'if (false)'),
  core(
    'ballot',
    'votes for any block count',
    'if (vote !== undefined && vote.hash === hash)',
    'if (vote !== undefined)',
  ),
  core('ballot', 'a leader’s second block goes unnoticed', 'entry.leaderEquivocated = true;', ';'),
  core('ballot', 'nobody is accused', 'accuse(turn, evidence);', ';'),
  // what a certificate is
  core('certificate', 'a signer counts twice', 'signer <= previous', 'signer < previous'),
  core('certificate', 'a certificate needs one signer less', 'signers.length < needed', 'signers.length < needed - 1'),
  core(
    'certificate',
    'signatures of a certificate are not verified',
    'if (!context.verify(signature, bytes, context.validators[signer].publicKey))',
    'if (false)',
  ),
  core(
    'certificate',
    'the epoch is not signed',
    'voteSignBytes(context.chainId, context.epoch, ',
    'voteSignBytes(context.chainId, 0, ',
  ),
  core('certificate', 'a vote’s signature is not verified', 'return context.verify(', 'return true || context.verify('),
  core('vote', 'the kind is not signed', 'bytes[KIND_AT] = kind;', ';'),
  core('vote', 'the view is not signed', `writeCount(bytes, view, VIEW_AT, 'view');`, ';'),
  core('vote', 'the block is not signed', 'bytes.set(digest, DIGEST_AT);', ';'),
  // the door
  core('step', 'the epoch is not checked', 'if (message.epoch !== turn.context.epoch)', 'if (false)'),
  core('step', 'blocks that nobody asked for are kept', 'if (state.wanted.has(', 'if (true || state.wanted.has('),
  core(
    'admit',
    'anybody proposes',
    'if (verifySignature(context, leader, signature, NOTARIZE, block.view, block.hash))',
    'if (true)',
  ),
  core(
    'admit',
    'votes for any view are kept',
    '|| view < forgottenBelow(state) || view > state.view + 1)',
    '|| view < forgottenBelow(state))',
  ),
  core(
    'admit',
    'a certificate from elsewhere is believed',
    'if (certificateFault(context, certificate, known) !== null)',
    'if (false)',
  ),
  core(
    'admit',
    'an accusation from elsewhere is believed',
    'if (evidenceFault(context, evidence) !== null)',
    'if (false)',
  ),
  core(
    'admit',
    'an own vote that the log does not know is nothing',
    'if (signer === context.self)\n        disownVote(turn, view);',
    'if (signer === context.self)\n        return;',
  ),
  core('evidence', 'the same vote twice is evidence', 'if (a.hash === b.hash)', 'if (false)'),
  core('evidence', 'to nullify and to finalize is no offence', `return 'E3';`, 'return null;'),
  core('evidence', 'the rule that is broken does not matter', 'if (found !== rule)', 'if (found === null)'),
  core(
    'evidence',
    'signatures of evidence are not verified',
    'if (!verifySignature(context, signer, signature, kind, view, hash))',
    'if (false)',
  ),
  // certificates and views
  core('certify', 'a certificate is not recorded', RECORD_CERTIFICATE, ';'),
  core(
    'certify',
    'no finalize vote for a notarization',
    'const vote = signVote(turn, FINALIZE, view, notarization.hash);',
    'const vote = null;',
  ),
  core('certify', 'a view is entered one by one', 'state.view = state.certifiedView + 1;', 'state.view += 1;'),
  core(
    'certify',
    'no view is left by a Nullification',
    'if (view > state.certifiedView)',
    'if (view > state.certifiedView && kind !== NULLIFY)',
  ),
  core(
    'certify',
    'the time of a view goes on in the next',
    'state.enteredAtMs = turn.now;\n    state.pendingSinceMs = null;',
    ';',
  ),
  core(
    'certify',
    'a forgotten own vote in a certificate is nothing',
    'else if (voteOf(entry, vote.kind, vote.signer)?.hash !== vote.hash)',
    'else if (false)',
  ),
  core(
    'certify',
    'two final blocks in a view halt nobody',
    'if (certificate.kind === FINALIZE)\n            halt(',
    'if (false)\n            halt(',
  ),
  // following a leader
  core('follow', 'a gap needs no Nullification', 'let gap = parentView + 1;', 'let gap = view;'),
  core('follow', 'a parent needs no certificate', 'if (parentView > state.finalized.view && ', 'if (false && '),
  core('follow', 'what is final may be built around', 'if (besideTip(turn, block))', 'if (false)'),
  core(
    'follow',
    'an ancestry is not asked for',
    `if (ancestry(turn, block.parentHash, block.parentView, entry.proposalFrom) !== 'ready')`,
    'if (false)',
  ),
  core(
    'follow',
    'a height is not checked',
    `if (chainTo(state, block.hash, block.view).state === 'foreign')`,
    'if (false)',
  ),
  core('follow', 'a block is notarized unjudged', `if (known.validity !== 'valid')`, 'if (false)'),
  core('follow', 'a body is not recorded before its vote', 'recordBlock(turn, known);', ';'),
  core('follow', 'a view never takes too long', 'if (giveUp !== null && turn.now >= giveUp)', 'if (false)'),
  core(
    'follow',
    'a provably invalid block is waited for',
    `entry.proposal !== null && state.blocks.get(entry.proposal.block.hash)?.validity === 'invalid'`,
    'false',
  ),
  core('follow', 'one other gives a view up for all', 'return others > state.faults;', 'return others > 0;'),
  // leading
  core(
    'propose',
    'a leader skips views that nobody nullified',
    'if (entry === undefined || entry.nullification === null)',
    'if (false)',
  ),
  core(
    'propose',
    'a leader signs what comes too late',
    'if (view !== state.view || !maySign(turn, NOTARIZE, view, block.hash))',
    'if (false)',
  ),
  core('propose', 'an own body is not recorded', 'recordBlock(turn, entry);', ';'),
  core('propose', 'unfinalized blocks pile up', 'const UNFINALIZED_MAX = 8;', 'const UNFINALIZED_MAX = 8000;'),
  core('propose', 'a proposal does not justify its gaps', 'certificates.push(nullification);', ';'),
  // finality
  core('commit', 'a missing body is passed over', `if (chain.state === 'missing')`, 'if (false)'),
  core(
    'commit',
    'a Finalization is not recorded',
    `turn.records.push({ type: 'finalization', epoch: turn.context.epoch, height, certificate: finalization });`,
    ';',
  ),
  core(
    'commit',
    'bodies of ancestors are not recorded',
    'for (let i = entries.length - 1; i >= 0; i--)',
    'for (let i = 0; i >= 0; i--)',
  ),
  core('commit', 'a fork halts nobody', `if (chain.state === 'foreign')`, 'if (false)'),
  core('state', 'views are never forgotten', 'if (view <= floor)\n            state.views.delete(view);', ';'),
  core('state', 'blocks are never forgotten', 'if (block.view <= floor)\n            state.blocks.delete(hash);', ';'),
  core(
    'chain',
    'a parent’s height does not matter',
    'if (child !== null && child.height !== block.height + 1)',
    'if (false)',
  ),
  // coming back
  core(
    'restart',
    'amnesia',
    'viewState(state, vote.view).votes[vote.kind - 1][vote.signer] ??= vote;',
    'return NO_EFFECTS;',
  ),
  core('restart', 'own votes are not counted again', 'countVotes(turn, entry, kind, own.hash);', ';'),
  core('restart', 'a finalize vote that a crash cut off is not made up for', 'finalizeVote(turn, entry);', ';'),
  core(
    'restart',
    'a floor in the log is nothing',
    `case 'floor':\n            state.floorView = Math.max(state.floorView, record.view);`,
    `case 'floor':`,
  ),
  core('restart', 'a quarantine in the log is nothing', 'state.quarantined ??= record.reason;', ';'),
  core('restart', 'records of another epoch count', 'if (record.epoch !== context.epoch)', 'if (false)'),
  core(
    'restart',
    'a checkpoint forgets the own votes',
    `if (vote !== undefined)\n                records.push({ type: 'vote', epoch, vote });`,
    ';',
  ),
  core(
    'restart',
    'a checkpoint forgets bodies',
    `if (durable)\n            records.push({ type: 'block', block });`,
    ';',
  ),
  // anti-entropy, catching up, rejoining
  core('status', 'nobody says where he stands', 'if (dueAtMs === null || turn.now < dueAtMs)', 'if (true)'),
  core('status', 'a status is not answered', 'answer(turn, from, status);', ';'),
  core('status', 'own votes are not sent again', 'sendVotes(turn, to, entries, lacking);', ';'),
  core(
    'catchup',
    'what a peer serves is believed',
    'if (faulty || certificateFault(context, certificate) !== null)',
    'if (faulty)',
  ),
  core(
    'catchup',
    'a certificate of another block proves this one',
    'faulty = kind !== FINALIZE || view !== block.view || hash !== block.hash;',
    'faulty = false;',
  ),
  core('catchup', 'a peer that gives nothing is asked for ever', 'state.catchup.failed.add(peer);', ';'),
  core('rejoin', 'one answer ends a quarantine', 'return n - quorum + Math.max(faults, 1);', 'return 1;'),
  core(
    'rejoin',
    'a rejoin raises no floor',
    'const view = Math.max(state.view, ...recovery.answers.values()) + 1;',
    'const view = 0;',
  ),
  core('rejoin', 'an answer to an old question counts', 'recovery.nonce !== nonce || ', ''),
  core('rejoin', 'a claim needs no certificate', 'if (certificateFault(context, certificate) !== null)', 'if (false)'),
  core(
    'rejoin',
    'a rejoin is not recorded',
    `turn.records.push({ type: 'rejoin', epoch: context.epoch, view: state.floorView });`,
    ';',
  ),
  // timers
  core('timers', 'patience does not grow', 'deltaMs *= 1.5;', 'deltaMs *= 1;'),
  core('timers', 'patience has no limit', 'Math.min(deltaMs, timing.deltaMaxMs)', 'deltaMs'),
  core('activity', 'a leader is given no time', 'return since + (seen ? leaveMs : leaderMs);', 'return since;'),
  core(
    'activity',
    'the clock of a view starts with each submission',
    'state.pendingSinceMs ??= turn.now;',
    'state.pendingSinceMs = turn.now;',
  ),
  // the host and its log
  host('node-journal', 'effects do not wait for the disk', HOLD_BACK, HOLD_NOTHING_BACK),
  host(
    'node-journal',
    'what needs no record overtakes what does',
    'if (records.length === 0 && this.#queue.length === 0 && this.#inFlight.length === 0)',
    'if (records.length === 0)',
  ),
  host(
    'node-journal',
    'old segments go too early',
    'needed = Math.min(needed, place.lsn);',
    ';',
    targeted('--seeds', '40', '--minutes', '2', '--nemeses', 'crash,crash-storm,outage,crash-after-signature'),
  ),
  host('node-chain', 'every block is valid', 'return entries.every(', 'return true || entries.every('),
  host('node-chain', 'entries of unfinalized ancestors are proposed again', 'if (!taken.has(entry))', 'if (true)'),
  host(
    'node',
    'a body is believed to be the one proposed',
    'if (body === null || !isSound(body))',
    'if (body === null)',
    targeted('--seeds', '20', '--minutes', '1', '--nodes', '4', '--lies', 'swaps bodies'),
  ),
  host(
    'node',
    'a restart forgets what clients were told is kept',
    'if (!ledger.positions.has(entry))\n                    own.add(entry);',
    ';',
  ),
  log('log', 'a batch is not synced', 'this.#files.fdatasyncSync(this.#tailFd);', ';'),
  log(
    'recovery',
    'the end of the log is cut with what was acknowledged',
    'for (let offset = SEGMENT_HEADER_BYTES; offset < old.end;)',
    'old.end = SEGMENT_HEADER_BYTES;\n    for (let offset = SEGMENT_HEADER_BYTES; offset < old.end;)',
  ),
];

/** Those that need no time. */
const TESTS = ['dist/protocol/consensus/!(restart).test.js'];
const SLOW_TESTS = ['dist/protocol/consensus/restart.test.js'];

const FIRST: Look = {
  kind: 'simulation',
  args: ['cluster', '--seeds', '30', '--minutes', '0.5', '--threads', '1', '--fail-fast'],
};
const LONGER: Look = {
  kind: 'simulation',
  args: ['cluster', '--seeds', '80', '--minutes', '1', '--threads', '1', '--fail-fast'],
};
const TWINS: Look = { kind: 'simulation', args: ['twins', '--sample', '1500'] };

export const CLUSTER_SUITE: Suite = {
  mutants: MUTANTS,
  data: ['protocol/consensus/testdata', 'protocol/crypto/vectors'],
  looks: ({ shownBy }) =>
    shownBy === undefined
      ? [FIRST, { kind: 'tests', args: TESTS }, { kind: 'tests', args: SLOW_TESTS }, TWINS, LONGER]
      : [shownBy],
};
