import test from 'ava';
import { InboxRoute } from '../../protocol/wal-record.js';
import { type Answer, emptySubmission, type Submission, type Waiter } from './submission.js';
import { WaitingClients } from './waiting-clients.js';

function newSubmission(): Submission {
  return emptySubmission(InboxRoute.envelope, new Uint8Array(), 'r', null);
}

/** A client that notes its answers. */
function client(requestId: string, times: Partial<Pick<Waiter, 'deadlineMs' | 'limitMs' | 'respondAsync'>> = {}) {
  const answers: string[] = [];
  const settle = ({ body }: Answer) => void answers.push(body);
  return { requestId, deadlineMs: 10, limitMs: 20, respondAsync: false, ...times, settle, answers };
}

const isHasty = ({ respondAsync }: Waiter) => respondAsync;
const saying = (body: string): Answer => ({ status: 200, headers: {}, body });

test('each client is answered once, and it is known who came first', (t) => {
  const waiting = new WaitingClients();
  const submission = newSubmission();
  const [a, b] = [client('a'), client('b')];
  waiting.add(submission, a);
  waiting.add(submission, b);
  t.is(waiting.size, 2);
  const answer = ({ requestId }: Waiter, first: boolean) => saying(`${requestId} ${first}`);
  waiting.answer(submission, answer);
  waiting.answer(submission, answer);
  t.deepEqual([a.answers, b.answers], [['a true'], ['b false']]);
  t.is(waiting.size, 0);
});

test('those who asked not to wait are answered, the others wait on', (t) => {
  const waiting = new WaitingClients();
  const submission = newSubmission();
  const [patient, hasty] = [client('patient'), client('hasty', { respondAsync: true })];
  waiting.add(submission, patient);
  t.false(waiting.answerEarly(submission, isHasty, () => saying('durable')));
  waiting.add(submission, hasty);
  t.true(waiting.answerEarly(submission, isHasty, () => saying('durable')));
  t.false(waiting.answerEarly(submission, isHasty, () => saying('durable')));
  waiting.answer(submission, (_, first) => saying(`final ${first}`));
  t.deepEqual([patient.answers, hasty.answers], [['final true'], ['durable']]);
});

test('who comes later with the same content waits for the earlier one; who was answered meanwhile does not', (t) => {
  const waiting = new WaitingClients();
  const [earlier, later] = [newSubmission(), newSubmission()];
  const [first, gone, joined] = [client('first'), client('gone', { respondAsync: true }), client('joined')];
  waiting.add(earlier, first);
  waiting.add(later, gone);
  waiting.add(later, joined);
  waiting.answerEarly(later, isHasty, () => saying('durable'));
  waiting.move(later, earlier);
  t.deepEqual(later.waiters, []);
  const seen: Submission[] = [];
  waiting.answerOverdue(10, (_, submission) => {
    seen.push(submission);
    return null;
  });
  t.deepEqual(seen, [earlier, earlier]);
  waiting.answer(earlier, ({ requestId }) => saying(requestId));
  t.deepEqual([first.answers, gone.answers, joined.answers], [['first'], ['durable'], ['joined']]);
});

test('whose wait is over is shown until it is answered', (t) => {
  const waiting = new WaitingClients();
  const submission = newSubmission();
  const [soon, late] = [client('soon', { deadlineMs: 10 }), client('late', { deadlineMs: 30 })];
  waiting.add(submission, soon);
  waiting.add(submission, late);
  const shown: string[] = [];
  const look = (nowMs: number, answer: Answer | null) =>
    waiting.answerOverdue(nowMs, ({ requestId }) => {
      shown.push(`${requestId} at ${nowMs}`);
      return answer;
    });
  look(9, saying('early'));
  look(10, null);
  look(11, saying('over'));
  look(30, saying('over'));
  look(31, saying('again'));
  t.deepEqual(shown, ['soon at 10', 'soon at 11', 'late at 30']);
  t.deepEqual([soon.answers, late.answers], [['over'], ['over']]);
});
