import test from 'ava';
import { waitOf } from './wait.js';

const LIMITS = { wait_default_ms: 2_000, server_timeout_ms: 5_000 };
const wait = (prefer?: string | string[]) => waitOf(prefer, LIMITS, 100);

test('IN-8: without Prefer a client waits as long as the configuration says', (t) => {
  t.deepEqual(wait(), { deadlineMs: 2_100, limitMs: 2_100, respondAsync: false });
});

test('IN-3: wait=N is taken in seconds, and no longer than the server waits itself', (t) => {
  t.is(wait('wait=4').deadlineMs, 4_100);
  t.is(wait('wait=60').deadlineMs, 5_100);
  t.is(wait('respond-async, wait=3').deadlineMs, 3_100);
  t.is(wait(['handling=lenient', 'wait=1']).deadlineMs, 1_100);
});

test('IN-3: however short a wait is, there is time to become durable', (t) => {
  t.deepEqual(wait('wait=0'), { deadlineMs: 100, limitMs: 2_100, respondAsync: false });
});

test('IN-3: respond-async is found among other preferences, and nowhere else', (t) => {
  for (const prefer of ['respond-async', 'wait=3; respond-async', 'handling=lenient,respond-async']) {
    t.true(wait(prefer).respondAsync, prefer);
  }
  for (const prefer of ['', 'respond-asynchronously', 'x-respond-async', 'wait=3']) {
    t.false(wait(prefer).respondAsync, prefer);
  }
});

test('DECISIONS 32: durable=quorum waits for a quorum, also where respond-async would be content with this node', (t) => {
  t.deepEqual(wait('durable=quorum'), { deadlineMs: 2_100, limitMs: 2_100, respondAsync: false, untilQuorum: true });
  t.like(wait('respond-async, wait=3, durable=quorum'), { deadlineMs: 3_100, respondAsync: false, untilQuorum: true });
  for (const prefer of ['durable', 'durable=node', 'durable=quorums', 'x-durable=quorum']) {
    t.deepEqual(wait(prefer), wait(), prefer);
  }
});

test('what is no preference of ours changes nothing', (t) => {
  for (const prefer of ['wait=-1', 'wait=x', 'await=9', 'wait=1234567', 'return=minimal']) {
    t.deepEqual(wait(prefer), wait(), prefer);
  }
});
