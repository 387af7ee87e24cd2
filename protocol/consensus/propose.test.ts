// The leader's choice of a parent (R2): what it may build on, and what it asks for before.
// Run by ava.
import test from 'ava';
import type { Certificate } from './certificate.js';
import { signedBytes } from './certificate.js';
import type { Effect } from './effect.js';
import { createState } from './state.js';
import { step } from './step.js';
import { GENESIS } from './testing/host.js';
import { mockContext } from './testing/random.js';
import { NULLIFY } from './vote.js';

function nullification(view: number): Certificate {
  const signers = [0, 1, 2];
  const signatures = signers.map((signer) => {
    const context = mockContext(4, signer);
    return context.sign(signedBytes(context, NULLIFY, view, null));
  });
  return { kind: NULLIFY, view, hash: null, signers, signatures };
}

test('R2: a leader that jumped over a view asks what became of it, and builds nothing until it knows', (t) => {
  const context = mockContext(4, 3);
  const state = createState(context, { finalized: GENESIS });
  const hear = (view: number): readonly Effect[] => {
    const message = { type: 'certificate', epoch: context.epoch, certificate: nullification(view) } as const;
    return step(context, state, { type: 'message', now: 2, from: 0, message }).effects;
  };
  step(context, state, { type: 'start', now: 0 });
  step(context, state, { type: 'pending', now: 1, count: 1 });
  const jumped = hear(2);
  t.is(state.view, 3);
  t.false(jumped.some(({ type }) => type === 'build'));
  t.true(jumped.some((effect) => effect.type === 'fetch' && effect.want.view === 1));
  const told = hear(1);
  t.true(told.some((effect) => effect.type === 'build' && effect.view === 3 && effect.parentView === 0));
});
