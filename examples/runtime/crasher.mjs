// An actor with a defect: every third piece of work throws where nobody catches it. It asks the counter for a number.
import { defineActor } from 'quorate/runtime';

export default defineActor({
  policies: {
    tell: {},
    ask: { work: { max: 8, reason: 'each takes a while; more than 8 at once is overload' } },
  },
  init: ({ links, incarnation }) => ({ links, incarnation, done: 0 }),
  tell: {},
  ask: {
    async work(state) {
      state.done += 1;
      if (state.done === 3) {
        setImmediate(() => {
          throw new Error('the third piece of work is always too much');
        });
        return new Promise(() => {});
      }
      const count = await state.links.counter.ask('add', { by: 1 });
      return { incarnation: state.incarnation, count };
    },
  },
  stop() {},
});
