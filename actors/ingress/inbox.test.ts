import { Buffer } from 'node:buffer';
import test from 'ava';
import { decodeInbox, InboxRoute } from '../../protocol/wal-record.js';
import { unpackBytes } from '../../runtime/kernel/batch.js';
import { FakeLink, turns, until } from '../testing/links.js';
import type { WalWriterContract } from '../wal-writer/contract.js';
import { Inbox } from './inbox.js';
import { emptySubmission, type Submission } from './submission.js';

function makeInbox() {
  const link = new FakeLink<WalWriterContract>('wal-writer', 'outcome_unknown');
  const logged: (readonly Submission[])[] = [];
  const failed: { batch: readonly Submission[]; error: Error }[] = [];
  const inbox = new Inbox(link, () => 42, {
    logged: (batch) => void logged.push(batch),
    failed: (batch, error) => void failed.push({ batch, error }),
  });
  return { link, inbox, logged, failed };
}

function submission(name: string): Submission {
  return emptySubmission(InboxRoute.pcs, Buffer.from(name), `request-${name}`, null);
}

test('IN-1: what came in one turn is one append, as it came, with positions in order', async (t) => {
  const { link, inbox, logged } = makeInbox();
  t.true(inbox.idle);
  for (const name of ['a', 'b', 'c']) inbox.add(submission(name));
  t.false(inbox.idle);
  await until(() => link.waiting('appendInbox').length === 1);
  const [{ request, reply }] = link.waiting('appendInbox') as [ReturnType<typeof link.waiting<'appendInbox'>>[0]];
  t.deepEqual(
    unpackBytes(request.records).map((data) => {
      const { receivedAtMs, route, requestId, body } = decodeInbox(data);
      return [receivedAtMs, route, requestId, Buffer.from(body).toString()];
    }),
    [
      [42, InboxRoute.pcs, 'request-a', 'a'],
      [42, InboxRoute.pcs, 'request-b', 'b'],
      [42, InboxRoute.pcs, 'request-c', 'c'],
    ],
  );
  t.deepEqual(logged, [], 'nothing counts before the answer');
  reply({ firstLsn: 7 });
  await until(() => logged.length === 1);
  t.deepEqual(
    logged[0]!.map(({ lsn }) => lsn),
    [7, 8, 9],
  );
  await until(() => inbox.idle);
});

test('two appends at most are under way; what comes meanwhile waits for one to end, also when it fails', async (t) => {
  const { link, inbox, logged, failed } = makeInbox();
  for (const name of ['a', 'b', 'c', 'd']) {
    inbox.add(submission(name));
    await turns(2);
  }
  t.is(link.asked('appendInbox').length, 2);
  link.waiting('appendInbox')[0]!.fail('overloaded');
  await until(() => link.asked('appendInbox').length === 3);
  t.is(unpackBytes(link.asked('appendInbox')[2]!.request.records).length, 2);
  t.deepEqual(
    failed.map(({ batch, error }) => [batch.map(({ requestId }) => requestId), error.message.split(':')[0]]),
    [[['request-a'], 'overloaded']],
  );
  for (const { reply } of link.waiting('appendInbox')) reply({ firstLsn: 1 });
  await until(() => inbox.idle);
  t.is(logged.length, 2);
});

test('what the log died with is told as failed, and keeps no position', async (t) => {
  const { link, inbox, failed } = makeInbox();
  const one = submission('a');
  inbox.add(one);
  await until(() => link.waiting('appendInbox').length === 1);
  link.goDown();
  await until(() => failed.length === 1);
  t.regex(failed[0]!.error.message, /outcome_unknown/);
  t.is(one.lsn, 0);
  t.true(inbox.idle);
});
