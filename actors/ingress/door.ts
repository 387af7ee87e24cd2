// The one door of a node: every submission, from a client or from the log after a restart, goes through these stages in
// this order: log, parse, signature, dedup, kind, consensus. Called by the HTTP server and the actor. It answers nothing
// before the log has the body, and forgets nothing that the log has before it is final or refused.
import { SettledReason } from '../../protocol/wal-record.js';
import { Batch, column } from '../../runtime/kernel/batch.js';
import { ReleasingMap } from '../../runtime/kernel/releasing-map.js';
import { type Refusal, refusalOfLog } from './answers.js';
import type { FinalizedBlock, NotarizedBlock, RefusedBatch } from './contract.js';
import type { DoorParts } from './door-parts.js';
import { Gossiped } from './gossiped.js';
import { Inbox } from './inbox.js';
import { contentOf, packContents, packProposal } from './proposal.js';
import { QuorumWaits } from './quorum-waits.js';
import { Replay } from './replay.js';
import { Room } from './room.js';
import { Settlements } from './settlements.js';
import { Sharing } from './sharing.js';
import { Signatures } from './signatures.js';
import { type Answer, bytesKey, ledgerKey, type Submission, type Waiter } from './submission.js';
import { WaitingClients } from './waiting-clients.js';

/** Stages whose next step waits for another actor; a parked submission is taken up again when that actor is back. */
type Parked = 'verify' | 'admit' | 'propose' | 'recorded';

/** Refusals that another registry would not make. */
const REGISTRY_SLUGS: ReadonlySet<string> = new Set(['unknown-key', 'key-not-valid-now', 'unknown-kind', 'forbidden']);
const VERIFIED_BATCH_MAX = 256;
/** Finality takes milliseconds; no word after this long means that the word got lost, as when a mailbox was full. */
const OVERDUE_MS = 5_000;
/** A restart of the wal-writer takes less: who comes meanwhile waits for it instead of coming back a second later. */
const LOG_DOWN_MAX_MS = 1_000;

export class Door {
  readonly #parts: DoorParts;
  readonly #inbox: Inbox;
  readonly #replay: Replay;
  /** Content → the submission that every later one with this content joins. From dedup until final or refused. */
  readonly #pending = new ReleasingMap<string, Submission>();
  /** LSNs that are being worked on: what a replay of the log must leave alone. */
  readonly #inHand = new Set<number>();
  readonly #waiting = new WaitingClients();
  readonly #quorumWaits: QuorumWaits;
  readonly #room = new Room();
  /** What several verification batches of one turn let through goes on together. */
  readonly #verified: Batch<Submission>;
  readonly #parked: Record<Parked, Submission[]> = { verify: [], admit: [], propose: [], recorded: [] };
  readonly #settlements: Settlements;
  readonly #signatures: Signatures;
  readonly #gossiped: Gossiped;
  /** Null on a chain of one. */
  readonly #sharing: Sharing | null;
  #accepting = true;
  #finalHeight = 0;
  /** Whether consensus can tell what becomes of a submission. Before that nothing is taken from the log. */
  #connected = false;
  /** Why nothing is admitted, or null. */
  #quarantine: string | null = null;
  #overdueLookAtMs = 0;
  #logDownSinceMs = Number.NEGATIVE_INFINITY;

  constructor(parts: DoorParts) {
    this.#parts = parts;
    this.#inbox = new Inbox(parts.links['wal-writer'], () => parts.clock.now(), {
      logged: (batch) => this.#logged(batch),
      failed: (batch, error) => this.#unlogged(batch, error),
    });
    this.#quorumWaits = new QuorumWaits(parts.links.consensus, parts.clock, parts.answers, this.#waiting);
    this.#settlements = new Settlements(parts.links['wal-writer']);
    this.#signatures = new Signatures(parts, {
      refuse: (submission, refusal) => this.#refuse(submission, refusal),
      park: (list, error) => this.#park('verify', list, error),
      verified: (submission) => this.#verified.add(submission),
    });
    this.#gossiped = new Gossiped(parts.metrics);
    this.#sharing = parts.nodes > 1 ? new Sharing(parts.links.gossip, parts.clock, parts.metrics) : null;
    this.#verified = new Batch({ maxCount: VERIFIED_BATCH_MAX, flush: (batch) => this.#identify(batch) });
    this.#replay = new Replay(parts.links['wal-writer'], parts.log, {
      isInHand: (lsn) => this.#inHand.has(lsn),
      take: (batch) => this.#logged(batch),
    });
    parts.links['wal-writer'].onUp(() => void this.replay());
    parts.links['wal-writer'].onDown(() => {
      this.#logDownSinceMs = parts.clock.monotonic();
    });
    parts.links.dedup.onUp(() => this.#resume('admit'));
    parts.links.consensus.onUp(() => this.#proposeAgain());
  }

  /** The highest block that clients may have been told of; the ledger comes to have it within a second. */
  get finalHeight(): number {
    return this.#finalHeight;
  }

  get depth(): number {
    return this.#waiting.size;
  }

  /** Takes one body in, or says at once why not. The waiter is settled exactly once, by its deadline at the latest. */
  admit(submission: Submission, waiter: Waiter): Refusal | null {
    if (!this.#accepting) return { slug: 'draining' };
    if (this.#quarantine !== null) return { slug: 'quarantined', detail: this.#quarantine };
    const inFlightMax = this.#parts.inFlightMax();
    if (this.#waiting.size >= inFlightMax || this.#inHand.size >= 4 * inFlightMax) return { slug: 'overloaded' };
    if (!this.#mayReachLog()) return { slug: 'unavailable', detail: 'the log is not there' };
    const crowded = this.#room.refusal();
    if (crowded !== null) return crowded;
    if (waiter.untilQuorum === true) this.#quorumWaits.begun();
    this.#waiting.add(submission, waiter);
    this.#inbox.add(submission);
    return null;
  }

  #mayReachLog(): boolean {
    if (this.#parts.links['wal-writer'].up) return true;
    return this.#parts.clock.monotonic() - this.#logDownSinceMs < LOG_DOWN_MAX_MS;
  }

  // --- stage 1: the log has it ---

  #logged(batch: readonly Submission[]): void {
    for (const { lsn } of batch) this.#inHand.add(lsn);
    this.#signatures.parse(batch);
  }

  #unlogged(batch: readonly Submission[], error: Error): void {
    this.#parts.log.warn({ err: error, count: batch.length }, 'submissions could not be written to the log');
    const refusal = refusalOfLog(error);
    for (const submission of batch) this.#answerRefusal(submission, refusal);
  }

  /** What peers tell of enters behind the log: it stands in theirs (DECISIONS 7). */
  gossiped(from: string, frames: readonly Uint8Array[]): void {
    if (this.#quarantine !== null || !this.#connected) return;
    const fresh = this.#gossiped.read(from, frames, Math.max(0, 4 * this.#parts.inFlightMax() - this.#inHand.size));
    if (fresh.length > 0) this.#logged(fresh);
  }

  /** A peer is connected that may know nothing of what waits here. */
  peerUp(): void {
    this.#sharing?.peerUp();
  }

  // --- stage 4: dedup ---

  #identify(valid: readonly Submission[]): void {
    const first: Submission[] = [];
    for (const submission of valid) {
      submission.content = contentOf(submission.prepared!);
      if (!this.#mayUseIdempotencyKey(submission)) continue;
      const recent = this.#parts.recorded.recent(submission.content);
      if (recent !== null) {
        this.#answerRecorded(submission, recent);
        continue;
      }
      const earlier = this.#pending.get(submission.content);
      if (earlier !== undefined && earlier !== submission) {
        if (earlier.origin === '' || submission.origin !== '') {
          this.#join(submission, earlier);
          continue;
        }
        // This node's log has it now: what a peer told of steps back.
        this.#inHand.delete(earlier.lsn);
      }
      this.#pending.set(submission.content, submission);
      first.push(submission);
    }
    if (first.length > 0) void this.#dedup(first);
  }

  #mayUseIdempotencyKey(submission: Submission): boolean {
    if (submission.idempotencyKey === null) return true;
    const { issuer } = submission.verifiedBy!;
    const body = bytesKey(submission.prepared!.body);
    const use = this.#parts.idempotencyKeys.begin(issuer, submission.idempotencyKey, body);
    if (use === 'new' || use === 'same') return true;
    this.#refuse(submission, { slug: use === 'running' ? 'still-in-flight' : 'idempotency-key-reused' }, false);
    return false;
  }

  #join(later: Submission, earlier: Submission): void {
    this.#waiting.move(later, earlier);
    this.#done(later, SettledReason.joined);
    if (earlier.stage === 'proposed') this.#answerAsync(earlier);
  }

  async #dedup(list: readonly Submission[]): Promise<void> {
    const end = this.#parts.metrics.stage('dedup');
    const contents = packContents(list);
    const transfer = [contents.buffer];
    try {
      const keys = column(list, ledgerKey);
      const { known } = await this.#parts.links.dedup.ask('admit', { keys, contents }, { transfer });
      const fresh: Submission[] = [];
      let next = 0;
      list.forEach((submission, place) => {
        const found = known[next]?.place === place ? known[next++]! : null;
        // Final by now: an earlier proposal of it, or of what the log held twice, was under way.
        if (!this.#inHand.has(submission.lsn)) return;
        if (found?.verdict === 'final') this.#replayRecorded(submission, found.height, found.index);
        else if (found?.verdict === 'conflict') this.#refuse(submission, { slug: 'content-conflict' });
        else fresh.push(submission);
      });
      if (fresh.length > 0) this.#judge(fresh);
    } catch (error) {
      this.#park('admit', list, error);
    } finally {
      end();
    }
  }

  #replayRecorded(submission: Submission, height: number, index: number): void {
    const answer = this.#parts.recorded.answer(submission.content, height, index);
    if (answer === null) {
      submission.recordedAt = { height, index };
      this.#parked.recorded.push(submission);
      return;
    }
    this.#answerRecorded(submission, answer);
  }

  #answerRecorded(submission: Submission, answer: Answer): void {
    this.#parts.metrics.dedupHits.inc();
    const replayed = asReplayed(answer);
    this.#waiting.answer(submission, () => replayed);
    this.#done(submission, SettledReason.joined);
  }

  // --- stage 5: the kind's own check ---

  #judge(fresh: readonly Submission[]): void {
    const passed: Submission[] = [];
    const released: string[] = [];
    for (const submission of fresh) {
      const refusal = this.#parts.keyring.judge(submission) ?? this.#crowded(submission);
      if (refusal === null) {
        submission.stage = 'admitted';
        passed.push(submission);
        continue;
      }
      released.push(ledgerKey(submission));
      this.#refuse(submission, refusal);
    }
    if (released.length > 0) this.#parts.links.dedup.tell('release', { keys: released });
    if (passed.length > 0) void this.#propose(passed);
  }

  // --- stage 6: consensus ---

  async #propose(wanted: readonly Submission[]): Promise<void> {
    // What waited here may have become final meanwhile, or been found on record.
    const list = wanted.filter(({ lsn, recordedAt }) => recordedAt === null && this.#inHand.has(lsn));
    if (list.length === 0) return;
    for (const submission of list) {
      this.#answerAsync(submission);
      this.#sharing?.share(submission);
    }
    try {
      const { batch, transfer } = packProposal(list);
      const nowMs = this.#parts.clock.monotonic();
      for (const submission of list) {
        submission.stage = 'proposed';
        submission.proposedAtMs = nowMs;
      }
      const { left, full } = await this.#parts.links.consensus.ask('propose', batch, { transfer });
      const crowded = left.map((index) => list[index]!);
      const own = full ? [] : crowded.filter(({ origin }) => origin === '');
      this.#room.heard(
        full,
        own.map(({ verifiedBy }) => verifiedBy!.issuer),
        this.#parts.clock.monotonic(),
      );
      if (left.length > 0) this.#noRoom(crowded);
    } catch (error) {
      this.#park('propose', list, error);
    }
  }

  /** Why this finds no room, where its client still waits and was told of nothing: whoever was told 202 keeps his place. */
  #crowded({ waiters, toldDurable, verifiedBy }: Submission): Refusal | null {
    return waiters.length === 0 || toldDurable ? null : this.#room.refusalOf(verifiedBy!.issuer);
  }

  /** What a peer told of may come again, and what a client still waits for too; what was promised waits here. */
  #noRoom(list: readonly Submission[]): void {
    const promised: Submission[] = [];
    const dropped: Submission[] = [];
    for (const submission of list) {
      const crowded = this.#crowded(submission);
      if (submission.origin === '' && crowded === null) {
        promised.push(submission);
        continue;
      }
      dropped.push(submission);
      if (submission.origin === '') this.#refuse(submission, crowded!);
      else {
        this.#gossiped.forget(submission, 'no-room');
        this.#forget(submission);
      }
    }
    this.#park('propose', promised, null);
    if (dropped.length > 0) this.#parts.links.dedup.tell('release', { keys: column(dropped, ledgerKey) });
  }

  /** Consensus is heard from now on. It may have decided before on what a client or the log brought in meanwhile. */
  connected(registry: string, quarantine: string | null): void {
    this.#connected = true;
    this.#quarantine = quarantine;
    this.#room.changed();
    this.#parts.keyring.update(registry);
    this.#proposeAgain();
    void this.replay();
  }

  /**
   * Everything that was proposed before and is not final yet is proposed again, in log order: consensus came back without
   * its mempool, was not heard, or a word of it got lost. It answers a repetition with the outcome, if there is one by now.
   */
  #proposeAgain(beforeMs = Number.POSITIVE_INFINITY): void {
    const again = new Set(this.#parked.propose.splice(0));
    for (const submission of this.#pending.values()) {
      if (submission.stage === 'proposed' && submission.proposedAtMs <= beforeMs) again.add(submission);
    }
    const ordered = [...again].sort((a, b) => a.lsn - b.lsn);
    for (let at = 0; at < ordered.length; at += 256) void this.#propose(ordered.slice(at, at + 256));
  }

  notarized(block: NotarizedBlock): void {
    this.#quorumWaits.notarized(block, (content) => this.#pending.get(content));
  }

  /** Answers every waiting client of a finalized block, with its receipt. */
  finalized(block: FinalizedBlock): void {
    this.#finalHeight = Math.max(this.#finalHeight, block.height);
    this.#room.changed();
    if (block.registry !== null) this.#parts.keyring.update(block.registry);
    const end = this.#parts.metrics.stage('answer');
    const receipts = this.#parts.answers.receiptsOf(block);
    for (let index = 0; index < block.outcomes.length; index++) {
      const digest = bytesKey(block.digests, 32 * index);
      const submission = this.#pending.get(digest) ?? this.#pending.get(bytesKey(block.bodies, 32 * index));
      if (submission === undefined) continue;
      const answer = receipts.answer(index);
      this.#parts.recorded.remember(submission.content, digest, {
        block: receipts,
        index,
      });
      this.#waiting.answer(submission, (_, first) => (first ? answer : asReplayed(answer)));
      this.#parts.metrics.outcome(answer.status);
      // The consensus journal settled it in the batch that made it final, unless the body that it had came from a peer.
      if (submission.lsn > 0 && block.lsns[index] !== submission.lsn) {
        this.#settlements.add(submission.lsn, SettledReason.final);
      }
      this.#forget(submission);
    }
    end();
  }

  refused(batch: RefusedBatch): void {
    const released: string[] = [];
    batch.codes.forEach((code, index) => {
      const submission =
        this.#pending.get(bytesKey(batch.digests, 32 * index)) ?? this.#pending.get(bytesKey(batch.bodies, 32 * index));
      if (submission === undefined) return;
      // Also a duplicate's mark: dedup was away when the first one became final, and the next look-up finds that.
      released.push(ledgerKey(submission));
      if (code === 'duplicate') {
        this.#replayRecorded(submission, batch.heights[index]!, batch.indexes[index]!);
        return;
      }
      const refusal = this.#parts.answers.refusalOfCode(code, batch.details[index]!);
      if (submission.toldDurable) {
        const verdict = JSON.stringify({ status: batch.statuses[index], code, detail: batch.details[index] });
        this.#parts.links.store.tell('reject', { digest: submission.prepared!.digest, verdict });
      }
      this.#refuse(submission, refusal);
    });
    if (released.length > 0) this.#parts.links.dedup.tell('release', { keys: released });
  }

  // --- waiting, answering, forgetting ---

  #answerAsync(submission: Submission): void {
    const answer = () => this.#parts.answers.durable(submission);
    const answered = this.#waiting.answerEarly(submission, ({ respondAsync }) => respondAsync, answer);
    if (answered) submission.toldDurable = true;
  }

  #refuse(submission: Submission, refusal: Refusal, ownsIdempotencyKey = true): void {
    // What depends on the registry may be right once this node has read what its origin has.
    if (submission.origin !== '') {
      if (REGISTRY_SLUGS.has(refusal.slug)) this.#gossiped.forget(submission, refusal.slug);
      else this.#gossiped.refused();
    }
    this.#answerRefusal(submission, refusal);
    this.#done(submission, SettledReason.refused, ownsIdempotencyKey);
  }

  #answerRefusal(submission: Submission, refusal: Refusal): void {
    this.#waiting.answer(submission, ({ requestId }) => this.#parts.answers.problem(refusal, requestId));
  }

  /** Ended without becoming final: the log is told, so that no restart takes it up again. */
  #done(submission: Submission, reason: number, ownsIdempotencyKey = true): void {
    if (submission.lsn > 0) this.#settlements.add(submission.lsn, reason);
    this.#forget(submission, ownsIdempotencyKey);
  }

  #forget(submission: Submission, ownsIdempotencyKey = true): void {
    this.#inHand.delete(submission.lsn);
    this.#sharing?.ended(submission.lsn);
    if (this.#pending.get(submission.content) === submission) this.#pending.take(submission.content);
    if (submission.idempotencyKey !== null && submission.verifiedBy !== null && ownsIdempotencyKey) {
      this.#parts.idempotencyKeys.end(submission.verifiedBy.issuer, submission.idempotencyKey);
    }
  }

  /** Called every few tens of milliseconds: clients whose wait is over, and parked work whose actor is back. */
  sweep(): void {
    const nowMs = this.#parts.clock.monotonic();
    this.#waiting.answerOverdue(nowMs, (waiter, submission) => this.#overdueAnswer(waiter, submission, nowMs));
    this.#sharing?.sweep(nowMs);
    this.#resume('verify');
    this.#resume('recorded');
    if (this.#parts.links.dedup.up) this.#resume('admit');
    if (!this.#parts.links.consensus.up) return;
    this.#resume('propose', this.#room.mayAsk(this.#parked.propose.length, nowMs));
    if (nowMs < this.#overdueLookAtMs) return;
    this.#overdueLookAtMs = nowMs + OVERDUE_MS;
    this.#proposeAgain(nowMs - OVERDUE_MS);
  }

  /** Null while a client whose wait is over has to wait on: it cannot be told yet whether its submission is durable. */
  #overdueAnswer({ limitMs, requestId, untilQuorum }: Waiter, submission: Submission, nowMs: number): Answer | null {
    const { answers } = this.#parts;
    const isFinal = submission.recordedAt !== null;
    if (submission.stage === 'admitted' || submission.stage === 'proposed' || isFinal) {
      submission.toldDurable = true;
      return answers.durable(submission, untilQuorum === true ? 'node' : null);
    }
    if (limitMs > nowMs) return null;
    return answers.problem({ slug: submission.stage === 'verified' ? 'dedup-unavailable' : 'unavailable' }, requestId);
  }

  #park(stage: Parked, list: readonly Submission[], error: unknown): void {
    if (error !== null) this.#parts.log.debug({ err: error, stage, count: list.length }, 'submissions wait');
    this.#parked[stage].push(...list);
  }

  #resume(stage: Parked, count = Number.POSITIVE_INFINITY): void {
    const list = this.#parked[stage].splice(0, count);
    if (list.length === 0) return;
    if (stage === 'verify') this.#signatures.parse(list);
    else if (stage === 'admit') void this.#dedup(list);
    else if (stage === 'propose') void this.#propose(list);
    else for (const each of list) this.#replayRecorded(each, each.recordedAt!.height, each.recordedAt!.index);
  }

  /** Takes up every unsettled inbox entry of the log that nobody here works on. Safe to call at any time. */
  async replay(): Promise<void> {
    // In quarantine what the log holds waits for the repair: nothing of it could become final.
    if (this.#connected && this.#quarantine === null) await this.#replay.run();
  }

  /** Takes nothing new; resolves when every waiting client has its answer. */
  async drain(): Promise<void> {
    this.#accepting = false;
    // What waits for a log that is down has nobody left to bring it: its clients are answered by their deadlines.
    const isBusy = () => this.#waiting.size > 0 || (this.#parts.links['wal-writer'].up && !this.#inbox.idle);
    while (isBusy()) await new Promise((resolve) => setTimeout(resolve, 5));
    this.#settlements.flush();
  }

  /** Whether the submission with this digest is on its way. */
  underway(digest: string): boolean {
    if (this.#pending.has(digest)) return true;
    for (const { prepared } of this.#pending.values()) if (bytesKey(prepared!.digest) === digest) return true;
    return false;
  }

  /** Digest of the submission of this name (ledgerKey) that is on its way, if any. */
  underwayAs(name: string): Buffer | null {
    for (const submission of this.#pending.values())
      if (ledgerKey(submission) === name) return submission.prepared!.digest;
    return null;
  }

  stats(): Record<string, number> {
    const parked = Object.values(this.#parked).reduce((sum, list) => sum + list.length, 0);
    return { waiting: this.#waiting.size, pending: this.#pending.size, inHand: this.#inHand.size, parked };
  }
}

function asReplayed(answer: Answer): Answer {
  return { ...answer, headers: { ...answer.headers, 'idempotent-replayed': 'true' } };
}
