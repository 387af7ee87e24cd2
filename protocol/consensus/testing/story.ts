// Runs a story: a text file of commands to a small cluster, each followed by what the cores gave out.
// Used by stories.test.ts, which compares the output with the file or rewrites it.
// Must never do anything that a command did not say: time, delivery, disk and crashes are all in the text.
import { Buffer } from 'node:buffer';
import type { Certificate } from '../certificate.js';
import { signedBytes } from '../certificate.js';
import type { Effect, Output, Want } from '../effect.js';
import type { Evidence } from '../evidence.js';
import type { Input } from '../input.js';
import type { JournalRecord } from '../journal.js';
import type { BlockRef, Message, Status, Vote } from '../message.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from '../vote.js';
import { GENESIS, Host } from './host.js';
import { GENESIS_HASH, mockContext, mockDigest } from './random.js';

interface Packet {
  readonly from: number;
  readonly to: number;
  readonly message: Message;
}

type Arguments = ReadonlyMap<string, string>;

const KIND_NAMES: ReadonlyMap<string, VoteKind> = new Map([
  ['notarize', NOTARIZE],
  ['nullify', NULLIFY],
  ['finalize', FINALIZE],
]);

/**
 * Commands: `cluster n=`, `submit entries= nodes=`, `flush node=`, `run [only=]` (flush, answer and deliver until quiet),
 * `deliver|drop [from=] [to=] [type=]`, `time ms=`, `crash node= keep=`, `restart node= [lag=]`, `state node=`,
 * `block name= view= parent= by= [height=] [parentView=] [entries=]`, and what a liar sends with keys that are not its
 * own to judge: `vote kind= view= [block=] signers= to= [from=] [epoch=] [key=]`, `certificate kind= view= [block=] signers= to=`,
 * `propose block= to= [signer=]`, `evidence rule= view= signer= blocks= to= [key=]` (two notarize votes). Links and doubt:
 * `peer node= peer= connected=yes|no`, `serve node=` (give it the bodies it asked for, from anywhere), `wipe node=` (crash, and the disk is gone), `recover node= nonce=`.
 */
export class Story {
  private hosts: Host[] = [];
  private packets: Packet[] = [];
  private lines: string[] = [];
  private now = 0;
  private readonly names = new Map<string, string>([[GENESIS_HASH, 'genesis']]);
  private readonly blocks = new Map<string, BlockRef>();
  /** Effects that wait for an answer of the host itself, by node. */
  private asked: { readonly node: number; readonly effect: Extract<Effect, { type: 'build' | 'validate' }> }[] = [];

  /** Runs one command line and returns what it printed. */
  run(line: string): string {
    this.lines = [];
    const [command, ...words] = line.split(' ');
    const given = new Map(words.map((word) => word.split('=') as [string, string]));
    const handler = this.handlers[command!];
    if (handler === undefined) throw new Error(`unknown command ${command}`);
    handler(given);
    return this.lines.length === 0 ? 'nothing' : this.lines.join('\n');
  }

  private readonly handlers: Readonly<Record<string, (given: Arguments) => void>> = {
    cluster: (given) => {
      const n = Number(given.get('n'));
      this.hosts = [...Array(n).keys()].map((self) => new Host(mockContext(n, self)));
      // What they say at first is not shown, and is lost: every story begins with all of them idle.
      for (const host of this.hosts) {
        host.input({ type: 'start', now: this.now });
        host.flush();
      }
    },
    submit: (given) => {
      for (const node of numbers(given.get('nodes'))) {
        for (const entry of given.get('entries')!.split(',')) this.hosts[node]!.known.add(entry);
        this.feed(node, { type: 'pending', now: this.now, count: this.hosts[node]!.pendingCount });
      }
    },
    flush: (given) => {
      this.flush(Number(given.get('node')));
      this.answer();
    },
    run: (given) => this.runUntilQuiet(given.has('only') ? numbers(given.get('only')) : [...this.hosts.keys()]),
    deliver: (given) => {
      for (const { from, to, message } of this.take(given))
        this.feed(to, { type: 'message', now: this.now, from, message });
    },
    drop: (given) => {
      for (const { from, to, message } of this.take(given))
        this.lines.push(`lost ${from}→${to} ${this.message(message)}`);
    },
    time: (given) => {
      this.now += Number(given.get('ms'));
      for (const [node, { state }] of this.hosts.entries()) {
        if (state.wakeAtMs !== null && state.wakeAtMs <= this.now) this.feed(node, { type: 'tick', now: this.now });
      }
    },
    crash: (given) => {
      const node = Number(given.get('node'));
      this.hosts[node]!.crash(Number(given.get('keep')));
      this.asked = this.asked.filter((asked) => asked.node !== node);
      this.lines.push(`node ${node} crashed`);
    },
    restart: (given) => {
      const node = Number(given.get('node'));
      const effects = this.hosts[node]!.restart(Number(given.get('lag') ?? 0));
      for (const effect of effects) {
        this.lines.push(`replay: ${this.effect(effect)}`);
        this.carryOut(node, effect);
      }
      this.lines.push(`node ${node} is back`);
      this.feed(node, { type: 'start', now: this.now });
    },
    wipe: (given) => {
      const node = Number(given.get('node'));
      this.hosts[node]!.crash(0);
      this.hosts[node]!.wipe();
      this.asked = this.asked.filter((asked) => asked.node !== node);
      this.lines.push(`node ${node} crashed and lost its disk`);
    },
    peer: (given) => {
      const connected = given.get('connected') === 'yes';
      this.feed(Number(given.get('node')), { type: 'peer', now: this.now, peer: Number(given.get('peer')), connected });
    },
    serve: (given) => {
      const node = Number(given.get('node'));
      for (const want of [...this.hosts[node]!.state.wanted.values()]) {
        if (want.type !== 'block') continue;
        const body = this.hosts.map((host) => host.body(want.hash)).find((held) => held !== undefined)!;
        this.hosts[node]!.hold(body);
        this.feed(node, { type: 'block', now: this.now, block: body.block });
      }
    },
    recover: (given) => {
      const nonce = given.get('nonce')!.padEnd(64, '0');
      this.feed(Number(given.get('node')), { type: 'recover', now: this.now, nonce });
    },
    state: (given) => this.describe(Number(given.get('node'))),
    block: (given) => {
      const name = given.get('name')!;
      const parent = given.get('parent')!;
      const parentRef = this.blocks.get(parent) ?? GENESIS;
      const entries = given.get('entries')?.split(',') ?? [];
      const block: BlockRef = {
        hash: mockDigest(Buffer.from(`story ${name}`), 32).toString('hex'),
        height: Number(given.get('height') ?? parentRef.height + 1),
        view: Number(given.get('view')),
        parentView: Number(given.get('parentView') ?? parentRef.view),
        parentHash: parentRef.hash,
        timestamp: this.now,
        entryCount: entries.length,
      };
      this.names.set(block.hash, name);
      this.blocks.set(name, block);
      for (const host of this.hosts) host.hold({ block, entries });
      this.lines.push(`${name}: view ${block.view}, height ${block.height}, on ${parent} of view ${block.parentView}`);
    },
    vote: (given) => {
      const epoch = Number(given.get('epoch') ?? 0);
      for (const vote of this.forge(given)) {
        const from = Number(given.get('from') ?? vote.signer);
        this.inject(given, from, { type: 'vote', epoch, vote });
      }
    },
    certificate: (given) => {
      const votes = this.forge(given);
      const { kind, view, hash } = votes[0]!;
      const signers = votes.map(({ signer }) => signer);
      const certificate = { kind, view, hash, signers, signatures: votes.map(({ signature }) => signature) };
      this.inject(given, Number(given.get('from') ?? signers[0]), { type: 'certificate', epoch: 0, certificate });
    },
    evidence: (given) => {
      this.inject(given, Number(given.get('from')), { type: 'evidence', epoch: 0, evidence: this.accuse(given) });
    },
    propose: (given) => {
      const block = this.blocks.get(given.get('block')!)!;
      const leader = block.view % this.hosts.length;
      const { signature } = this.sign(Number(given.get('signer') ?? leader), NOTARIZE, block.view, block.hash);
      this.inject(given, leader, { type: 'proposal', epoch: 0, proposal: { block, signature, justification: [] } });
    },
  };

  private accuse(given: Arguments): Evidence {
    const signer = Number(given.get('signer'));
    const key = Number(given.get('key') ?? signer);
    const votes = given
      .get('blocks')!
      .split(',')
      .map((name): Vote => {
        return { ...this.sign(key, NOTARIZE, Number(given.get('view')), this.blocks.get(name)!.hash), signer };
      });
    return { rule: given.get('rule') as Evidence['rule'], first: votes[0]!, second: votes[1]! };
  }

  private inject(given: Arguments, from: number, message: Message): void {
    for (const to of numbers(given.get('to'))) this.feed(to, { type: 'message', now: this.now, from, message });
  }

  private forge(given: Arguments): Vote[] {
    const kind = KIND_NAMES.get(given.get('kind')!)!;
    const hash = kind === NULLIFY ? null : this.blocks.get(given.get('block')!)!.hash;
    const key = given.get('key');
    return numbers(given.get('signers')).map((signer) => ({
      ...this.sign(key === undefined ? signer : Number(key), kind, Number(given.get('view')), hash),
      signer,
    }));
  }

  private sign(signer: number, kind: VoteKind, view: number, hash: string | null): Vote {
    const context = mockContext(this.hosts.length, signer);
    return { kind, view, hash, signer, signature: context.sign(signedBytes(context, kind, view, hash)) };
  }

  private feed(node: number, input: Input): void {
    const output = this.hosts[node]!.input(input);
    const what = input.type === 'message' ? `${input.from}→ ${this.message(input.message)}` : this.input(input);
    if (input.type === 'built' && input.block !== null) this.name(input.block);
    this.print(`node ${node}: ${what}`, output);
  }

  private print(head: string, { records, effects }: Output): void {
    if (records.length === 0 && effects.length === 0) return;
    this.lines.push(head);
    for (const record of records) this.lines.push(`  write ${this.record(record)}`);
    for (const effect of effects) this.lines.push(`  then ${this.effect(effect)}`);
  }

  private flush(node: number): void {
    for (const effect of this.hosts[node]!.flush()) this.carryOut(node, effect);
  }

  private carryOut(node: number, effect: Effect): void {
    const peers = [...this.hosts.keys()].filter((peer) => peer !== node);
    if (effect.type === 'broadcast')
      for (const to of peers) this.packets.push({ from: node, to, message: effect.message });
    else if (effect.type === 'send') this.packets.push({ from: node, to: effect.to, message: effect.message });
    else if (effect.type === 'build' || effect.type === 'validate') this.asked.push({ node, effect });
    else if (effect.type === 'commit') this.hosts[node]!.execute(effect);
  }

  private answer(): void {
    const asked = this.asked;
    this.asked = [];
    for (const { node, effect } of asked) {
      const host = this.hosts[node]!;
      this.feed(node, effect.type === 'build' ? host.build(effect, this.now) : host.validate(effect.block, this.now));
    }
  }

  private runUntilQuiet(nodes: readonly number[]): void {
    for (let round = 0; ; round++) {
      if (round > 100) throw new Error('the cluster does not come to rest');
      for (const node of nodes) this.flush(node);
      const packets = this.packets.filter(({ from, to }) => nodes.includes(from) && nodes.includes(to));
      if (this.asked.length === 0 && packets.length === 0) return;
      this.answer();
      this.packets = this.packets.filter((packet) => !packets.includes(packet));
      for (const { from, to, message } of packets) {
        if (message.type === 'proposal') this.hosts[to]!.hold(this.hosts[from]!.body(message.proposal.block.hash));
        this.feed(to, { type: 'message', now: this.now, from, message });
      }
    }
  }

  private take(given: Arguments): Packet[] {
    const from = given.has('from') ? numbers(given.get('from')) : null;
    const to = given.has('to') ? numbers(given.get('to')) : null;
    const matches = (packet: Packet): boolean =>
      (from?.includes(packet.from) ?? true) &&
      (to?.includes(packet.to) ?? true) &&
      this.message(packet.message).startsWith(given.get('type')?.replace('_', ' ') ?? '');
    const taken = this.packets.filter(matches);
    this.packets = this.packets.filter((packet) => !taken.includes(packet));
    for (const { from: sender, to: receiver, message } of taken) {
      if (message.type === 'proposal')
        this.hosts[receiver]!.hold(this.hosts[sender]!.body(message.proposal.block.hash));
    }
    return taken;
  }

  private describe(node: number): void {
    const { state, ledger, disk } = this.hosts[node]!;
    const { view, height, hash } = state.finalized;
    this.lines.push(`view ${state.view}, final ${this.hash(hash)} of view ${view} and height ${height}`);
    const blocks = ledger.map(({ block, entries }) => `${this.hash(block.hash)}(${entries.join()})`);
    this.lines.push(`ledger: ${blocks.length === 0 ? 'empty' : blocks.join(' ')}`);
    this.lines.push(
      `kept: views ${[...state.views.keys()].join() || 'none'}; blocks ${state.blocks.size}; disk ${disk.length} records`,
    );
    this.lines.push(`wakes: ${state.wakeAtMs === null ? 'never' : `in ${state.wakeAtMs - this.now} ms`}`);
    if (state.wanted.size > 0)
      this.lines.push(`wants: ${[...state.wanted.values()].map((want) => this.want(want)).join(', ')}`);
    if (state.quarantined !== null) this.lines.push(`quarantined: ${state.quarantined}`);
    if (state.halted !== null) this.lines.push(`halted: ${state.halted}`);
  }

  /** Blocks are called b<view>, a second one of a view b<view>', in order of appearance. */
  private name(block: BlockRef): void {
    if (this.names.has(block.hash)) return;
    let name = `b${block.view}`;
    while (this.blocks.has(name)) name += "'";
    this.names.set(block.hash, name);
    this.blocks.set(name, block);
  }

  private hash(hash: string | null): string {
    return hash === null ? '' : (this.names.get(hash) ?? hash.slice(0, 8));
  }

  private input(input: Exclude<Input, { type: 'message' }>): string {
    switch (input.type) {
      case 'pending':
        return `pending ${input.count}`;
      case 'built':
        if (input.block !== null) this.name(input.block);
        return `built ${input.block === null ? 'nothing' : `${this.hash(input.block.hash)} with ${input.block.entryCount}`}`;
      case 'validated':
        return `${input.valid ? 'valid' : 'invalid'} ${this.hash(input.hash)}`;
      case 'block':
        return `fetched ${this.hash(input.block.hash)}`;
      default:
        return input.type;
    }
  }

  private record(record: JournalRecord): string {
    switch (record.type) {
      case 'block':
        return `block ${this.hash(record.block.hash)}`;
      case 'vote':
        return this.vote(record.vote);
      case 'certificate':
        return this.certificate(record.certificate);
      case 'finalization':
        return `height ${record.height} ${this.certificate(record.certificate)}`;
      case 'floor':
      case 'rejoin':
        return `${record.type} ${record.view}`;
      case 'evidence':
        return `evidence ${record.evidence.rule} against ${record.evidence.first.signer}`;
      default:
        return `${record.type}: ${record.reason}`;
    }
  }

  private effect(effect: Effect): string {
    switch (effect.type) {
      case 'build':
        return `build view ${effect.view} height ${effect.height} on ${this.hash(effect.parentHash)} with ${effect.contents}`;
      case 'validate':
        return `validate ${this.hash(effect.block.hash)}`;
      case 'broadcast':
        return `all ← ${this.message(effect.message)}`;
      case 'send':
        return `${effect.to} ← ${this.message(effect.message)}`;
      case 'fetch':
        return `fetch ${this.want(effect.want)}${effect.holder === null ? '' : ` from ${effect.holder}`}`;
      case 'commit':
        return `commit ${effect.blocks.map((block, i) => `${this.hash(block.hash)}${effect.certificates[i] === null ? '' : '*'}`).join(' ')}`;
      case 'evidence':
        return `evidence ${effect.evidence.rule} against ${effect.evidence.first.signer}`;
      case 'catchup':
        return `catch up from ${effect.peer}: heights ${effect.fromHeight} to ${effect.toHeight}`;
      case 'rejoined':
        return `rejoined above view ${effect.view}`;
      default:
        return `${effect.type}: ${effect.reason}`;
    }
  }

  private message(message: Message): string {
    switch (message.type) {
      case 'vote':
        return this.vote(message.vote);
      case 'certificate':
        return this.certificate(message.certificate);
      case 'proposal': {
        const { block, justification } = message.proposal;
        const because = justification.map((certificate) => this.certificate(certificate)).join(', ');
        return `proposal ${this.hash(block.hash)}${because === '' ? '' : ` because ${because}`}`;
      }
      case 'status':
        return this.status(message.status);
      case 'request':
        return `request ${message.kinds.map(letter).join('|')}${message.view}`;
      case 'recover':
        return `recover ${message.nonce.slice(0, 4)}`;
      case 'recovered':
        return `recovered ${message.nonce.slice(0, 4)} ${message.certificate === null ? 'in view 1' : this.certificate(message.certificate)}`;
      case 'evidence':
        return `evidence ${message.evidence.rule} against ${message.evidence.first.signer}`;
    }
  }

  private want(want: Want): string {
    const what =
      want.type === 'block' ? `block ${this.hash(want.hash)}` : `certificate ${want.kinds.map(letter).join('|')}`;
    return `${what} of view ${want.view}`;
  }

  /** Open views: capital letters for certificates held, small ones for whose votes are: `v2:N v3:n01x2`. */
  private status({ view, finalizedView, finalizedHash, height, open }: Status): string {
    const views = open.map((entry) => {
      const votes = [NOTARIZE, NULLIFY, FINALIZE].map((kind) => {
        const signers = entry.votes[kind - 1]!.join('');
        return signers === '' ? '' : `${letter(kind as VoteKind).toLowerCase()}${signers}`;
      });
      return ` v${entry.view}:${entry.certificates.map(letter).join('')}${votes.join('')}`;
    });
    return `status view ${view}, final ${this.hash(finalizedHash)} of view ${finalizedView} and height ${height};${views.join('')}`;
  }

  private vote({ kind, view, hash, signer }: Vote): string {
    return `vote ${letter(kind)}${view} ${this.hash(hash)}${hash === null ? '' : ' '}by ${signer}`;
  }

  private certificate({ kind, view, hash, signers }: Certificate): string {
    return `cert ${letter(kind)}${view} ${this.hash(hash)}${hash === null ? '' : ' '}by ${signers.join()}`;
  }
}

function letter(kind: VoteKind): string {
  return kind === NOTARIZE ? 'N' : kind === NULLIFY ? 'X' : 'F';
}

function numbers(text: string | undefined): number[] {
  if (text === undefined) throw new Error('the command names no nodes');
  return text.split(',').map(Number);
}
