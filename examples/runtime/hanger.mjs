// An actor that stands still: once it is told to, it never gives its loop back.
import { defineActor } from 'quorate/runtime';

function spinForEver() {
  for (;;);
}

export default defineActor({
  policies: {
    tell: { spin: { max: 1, reason: 'once is enough' } },
    ask: { ping: { max: 8, reason: 'only looks whether it is there' } },
  },
  init: ({ incarnation }) => ({ incarnation }),
  tell: { spin: spinForEver },
  ask: { ping: (state) => state.incarnation },
  stop() {},
});
