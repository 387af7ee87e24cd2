// An accusation as the ledger takes it: said once, signed by the validator, and only where it could count.
import test from 'ava';
import { apply } from '../../protocol/ledger/apply.js';
import { entryOf, makeTestkit, NOON_MS, type Testkit } from '../../protocol/ledger/testkit.js';
import { ManualClock } from '../../runtime/kernel/clock.js';
import { Accuser } from './accuser.js';

const body = Buffer.from('{}');

function accuser(kit: Testkit, who = kit.validators[0]!) {
  const raws: Buffer[] = [];
  const clock = new ManualClock(NOON_MS);
  const found = new Accuser({
    door: {
      admit({ raw }) {
        raws.push(Buffer.from(raw));
        return null;
      },
    },
    signer: { nodeId: who.name, ed25519: kit.ed25519, secretKey: who.secretKey },
    registry: () => kit.genesis.registry,
    clock,
  });
  return { found, raws };
}

test('CO-5: a validator accuses another one once, in an entry that the ledger takes', async (t) => {
  const kit = await makeTestkit(3);
  const { found, raws } = accuser(kit);
  found.accuse('node_1', 'InvalidSignature', body);
  found.accuse('node_1', 'InvalidSignature', body);
  found.accuse('node_2', 'ProtocolEquivocation', body);
  t.is(raws.length, 2);
  const entry = entryOf(kit.validators[0]!, 'node_0', raws[0]!);
  const applied = apply(kit.view, entry, NOON_MS);
  t.like(applied, { ok: true, outcome: '{"accepted":true,"status":200}' });
  t.like(applied.ok ? applied.rounds : null, { accusations: [{ nodeId: 'node_1', accuser: 'node_0' }], excluded: [] });
});

test('CO-5: nobody accuses alone, itself, a stranger, or without a vote', async (t) => {
  const alone = accuser(await makeTestkit(1));
  alone.found.accuse('node_0', 'InvalidSignature', body);
  const kit = await makeTestkit(3);
  const one = accuser(kit);
  one.found.accuse('node_0', 'InvalidSignature', body);
  one.found.accuse('stranger', 'InvalidSignature', body);
  const relay = accuser(kit, kit.dev);
  relay.found.accuse('node_1', 'InvalidSignature', body);
  t.deepEqual([...alone.raws, ...one.raws, ...relay.raws], []);
});
