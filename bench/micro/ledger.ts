// Micro benches of what a finalized block costs each of its entries: executing it, header and hash, receipts; and of
// checking one receipt offline. Called by run.ts. Blocks of 64 entries, as 64 connections fill them.
// It must never time a block with refused entries or a receipt that does not verify: both are checked before.
import { FINALIZE, voteSignBytes } from '../../protocol/consensus/vote.js';
import { createGenesis, type Genesis } from '../../protocol/genesis.js';
import { parseStrict } from '../../protocol/json.js';
import type { Entry, LedgerView } from '../../protocol/ledger/apply.js';
import { BlockReceipts, type StoredBlock, storedBlock } from '../../protocol/ledger/block.js';
import { decodeBlock, encodeBlock } from '../../protocol/ledger/block-codec.js';
import { type BlockResult, executeBlock } from '../../protocol/ledger/execute.js';
import { blockHash, genesisTip, headerText, makeHeader } from '../../protocol/ledger/header.js';
import { verifyReceipt } from '../../protocol/receipt-verify.js';
import { NO_ROUNDS } from '../../protocol/rounds/round.js';
import { prepareEnvelope } from '../../protocol/submission.js';
import { firstEpoch, validatorSetJson } from '../../protocol/validators.js';
import type { Bench } from './harness.js';
import { cycle, makeSamples, SAMPLE_COUNT, type Samples } from './samples.js';

const BLOCK_ENTRIES = 64;
const NODE_ID = 'node_bench';
const PROPOSAL = { view: 1, proposer: NODE_ID };

export async function ledgerStage(): Promise<readonly Bench[]> {
  const samples = await makeSamples();
  const genesis = makeGenesis(samples);
  const view = emptyLedger(genesis);
  const blocks = entriesOf(samples);
  const timeMs = Date.now();
  const made = blocks.map((entries) => finalize(samples, genesis, view, executeBlock(view, entries, timeMs), timeMs));
  const receipts = made.map(({ block, result }) => new BlockReceipts(block, result.tree));
  checkReceipt(samples, genesis, receipts[0]?.text(1) ?? '');

  const entries = cycle(blocks);
  const item = cycle(made);
  const writer = cycle(receipts);
  const encoded = cycle(made.map(({ block }) => encodeBlock(block)));
  const index = cycle(Array.from({ length: BLOCK_ENTRIES }, (_, place) => place));
  const receipt = cycle(receipts.map((block, place) => parseStrict(Buffer.from(block.text(place % BLOCK_ENTRIES)))));
  const validators = validatorSetJson(firstEpoch(genesis.chainIdHex, genesis.validators));
  const perEntry = { operations: BLOCK_ENTRIES };
  return [
    { name: 'ledger executeBlock, an entry of 64', ...perEntry, run: () => executeBlock(view, entries(), timeMs) },
    {
      name: 'ledger header and hash, a block',
      run: () => blockHash(headerText(makeHeader(view.tip, { ...PROPOSAL, timestampMs: timeMs }, item().result))),
    },
    { name: 'ledger encodeBlock, an entry of 64', ...perEntry, run: () => encodeBlock(item().block) },
    { name: 'ledger decodeBlock, an entry of 64', ...perEntry, run: () => decodeBlock(encoded()) },
    {
      name: 'receipt shared text, a block',
      run: () => {
        const { block, result } = item();
        return new BlockReceipts(block, result.tree);
      },
    },
    { name: 'receipt text', run: () => writer().text(index()) },
    { name: 'receipt verifyReceipt', run: () => verifyReceipt(receipt(), validators, samples.ed25519).valid },
  ];
}

function makeGenesis(samples: Samples): Genesis {
  const publicKey = samples.publicKey.toString('hex');
  return createGenesis({
    createdAtMs: Date.now(),
    validators: [{ nodeId: NODE_ID, publicKey: Buffer.from(samples.ed25519.keyPair(Buffer.alloc(32, 9)).publicKey) }],
    clients: [
      {
        issuer: samples.issuer,
        roles: ['submit'],
        keys: [{ key_id: samples.issuer, alg: 'ed25519', public_key: publicKey }],
      },
    ],
  });
}

function emptyLedger(genesis: Genesis): LedgerView {
  const tip = genesisTip(genesis.chainIdHex, genesis.validatorsHash, genesis.validators.length);
  return { chain: genesis.chain, tip, registry: genesis.registry, rounds: NO_ROUNDS, find: () => undefined };
}

function entriesOf({ bodies, issuer, publicKey }: Samples): Entry[][] {
  const entries = bodies.map((raw): Entry => {
    const key = { keyId: issuer, alg: 'ed25519', publicKey } as const;
    return { prepared: prepareEnvelope(raw), raw, issuer, key, attestation: null };
  });
  return Array.from({ length: SAMPLE_COUNT / BLOCK_ENTRIES }, (_, block) =>
    entries.slice(block * BLOCK_ENTRIES, (block + 1) * BLOCK_ENTRIES),
  );
}

function finalize(
  samples: Samples,
  genesis: Genesis,
  view: LedgerView,
  result: BlockResult,
  timestampMs: number,
): { block: StoredBlock; result: BlockResult } {
  const [refused] = result.refused;
  if (refused !== undefined) throw new Error(`a good entry was refused: ${refused.refusal.detail}`);
  const header = makeHeader(view.tip, { ...PROPOSAL, timestampMs }, result);
  const hash = blockHash(headerText(header));
  const { secretKey } = samples.ed25519.keyPair(Buffer.alloc(32, 9));
  const signed = voteSignBytes(genesis.chainId, header.epoch, FINALIZE, header.view, hash);
  const signatures = [Buffer.from(samples.ed25519.sign(signed, secretKey)).toString('base64')];
  const certificate = { epoch: header.epoch, view: header.view, signers: [NODE_ID], signatures };
  return { block: storedBlock(header, hash.toString('hex'), certificate, [], result), result };
}

function checkReceipt(samples: Samples, genesis: Genesis, text: string): void {
  const validators = validatorSetJson(firstEpoch(genesis.chainIdHex, genesis.validators));
  const verdict = verifyReceipt(parseStrict(Buffer.from(text)), validators, samples.ed25519);
  const failed = verdict.checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);
  if (!verdict.valid) throw new Error(`a receipt of the bench does not verify: ${failed.join('; ')}`);
}
