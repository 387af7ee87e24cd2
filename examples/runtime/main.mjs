// Three actors in three threads under one supervisor: one works, one crashes, one hangs. Run it: node main.mjs
import { defineSpec, supervise } from 'quorate/runtime';

const actor = (id, links = []) =>
  defineSpec({
    id,
    module: new URL(`./${id}.mjs`, import.meta.url),
    restart: 'immediate',
    links,
    // A thread that shows no sign of life for this long is ended and replaced.
    heartbeatMs: 400,
    configure: (config) => config,
  });

const crashes = [];
const tellCrashes = () => {
  for (const line of crashes.splice(0)) console.log(line);
};
const supervisor = supervise({
  tree: {
    id: 'root',
    strategy: 'one-for-one',
    budget: { intensity: 5, periodMs: 60_000 },
    children: [actor('counter'), actor('crasher', ['counter']), actor('hanger')],
  },
  onCrash: ({ actor, reason, detail, stack }) => {
    const place = /at (\S+) \(.*?([^/]+\.mjs)/.exec(stack ?? '');
    crashes.push(`! ${actor} ${reason}: ${detail}${place === null ? '' : `, at ${place[1]} of ${place[2]}`}`);
  },
});
await supervisor.start();

const crasher = supervisor.link('crasher');
for (let round = 1; round <= 5; round++) {
  try {
    const { incarnation, count } = await crasher.ask('work', {});
    console.log(`crasher ${incarnation} did its work, the counter says ${count}`);
  } catch ({ code, retryable }) {
    // The call settled at the death of its receiver, and says whether to try again.
    console.log(`work failed with ${code}, retryable: ${retryable}`);
    await new Promise((again) => crasher.onUp(again));
    tellCrashes();
  }
}

const hanger = supervisor.link('hanger');
hanger.tell('spin', {});
await new Promise((down) => hanger.onDown(down));
await new Promise((again) => hanger.onUp(again));
tellCrashes();
console.log(`hanger is back as incarnation ${await hanger.ask('ping', {})}`);

await supervisor.stop();
