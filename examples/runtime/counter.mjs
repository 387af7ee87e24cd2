// An actor that does its work: it keeps a count, and never fails.
import { defineActor } from 'quorate/runtime';

export default defineActor({
  policies: {
    tell: {},
    ask: { add: { max: 64, reason: 'past 64 unanswered calls the caller is told so at once' } },
  },
  init: () => ({ count: 0 }),
  tell: {},
  ask: {
    add(state, { by }) {
      state.count += by;
      return state.count;
    },
  },
  stop() {},
});
