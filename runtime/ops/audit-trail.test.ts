// The node's hand on its audit log: what is asked for is not done unrecorded, what happens is not held up, nothing of both
// is forgotten while the file takes nothing, and no secret gets in.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { AUDIT_EVENTS, type UnsignedAuditEvent } from '../../config/audit-events.js';
import { AUDIT_FILE, AuditFile, type StampedEvent } from '../../config/audit-file.js';
import { redact } from '../../observability/logs.js';
import { pino } from '../../observability/pino.js';
import { Registry } from '../../observability/prom-client.js';
import { auditRecords, checkAudit } from '../../protocol/audit-check.js';
import { AuditTrail, AuditUnwritable } from './audit-trail.js';

const DIED: UnsignedAuditEvent = {
  event: 'actor_died',
  actor: 'dedup',
  incarnation: 3,
  reason: 'crashed',
  exit_code: 1,
  detail: 'boom',
};

function kill(result: 'started' | 'done' | 'failed', reason?: string): UnsignedAuditEvent {
  const why = reason === undefined ? {} : { reason };
  return { event: 'actor_kill', actor: 'dedup', result, request_id: 'r-1', ...why };
}

function made(t: ExecutionContext) {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-trail-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const limits = () => ({ fileBytes: 65_536, filesKept: 2 });
  const real = new AuditFile(directory, limits);
  const registry = new Registry();
  const broken: string[] = [];
  const clock = { ms: Date.parse('2026-11-20T12:00:00Z') };
  let refusal: Error | null = null;
  const trail = new AuditTrail({
    directory,
    limits,
    registry,
    log: pino({ level: 'silent' }),
    now: () => clock.ms,
    onBroken: (reason) => broken.push(reason),
    file: {
      append(nowMs: number, events: readonly StampedEvent[]) {
        if (refusal !== null) throw refusal;
        return real.append(nowMs, events);
      },
      head: () => real.head(),
      newest: (event) => real.newest(event),
    },
  });
  t.teardown(() => trail.close());
  const refuse = (code: string | null, syscall = 'write') => {
    refusal = code === null ? null : Object.assign(new Error(code), { code, syscall });
  };
  const lines = () => {
    const bytes = readFileSync(join(directory, AUDIT_FILE));
    t.is(checkAudit([{ name: AUDIT_FILE, number: 1, bytes }]).fault, null);
    return auditRecords(bytes).map(({ line }) => line);
  };
  const metric = async (name: string, event = '') => {
    const text = await registry.metrics();
    const line = text
      .split('\n')
      .find((one) => one.startsWith(event === '' ? `${name} ` : `${name}{event="${event}"} `));
    return line === undefined ? 0 : Number(line.split(' ').at(-1));
  };
  return { trail, refuse, lines, metric, broken, clock };
}

test('ST-8: an operator’s action is a line before and one with its result, by whom and for which request', async (t) => {
  const { trail, lines, metric } = made(t);
  let before = 0;
  const answer = await trail.around('operator at ::1', kill, () => {
    before = lines().length;
    return 'killed';
  });
  t.is(answer, 'killed');
  t.is(before, 2, 'audit_began, and the line before');
  t.like(lines()[1], { event: 'actor_kill', by: 'operator at ::1', result: 'started', request_id: 'r-1' });
  t.like(lines()[2], { event: 'actor_kill', by: 'operator at ::1', result: 'done' });
  await t.throwsAsync(
    trail.around('operator at ::1', kill, () => Promise.reject(new Error('no such thing'))),
    { message: 'no such thing' },
  );
  t.like(lines().at(-1), { result: 'failed', reason: 'no such thing' });
  t.is(await metric('quorate_audit_events_total', 'actor_kill'), 4);
  t.is(await metric('quorate_audit_last_seq'), 5);
});

test('ST-8: what cannot be recorded is not done; readiness and metrics say why, until it can be', async (t) => {
  const { trail, refuse, lines, metric } = made(t);
  trail.write(kill('started'));
  refuse('ENOSPC');
  let done = false;
  const action = trail.around('operator', kill, () => {
    done = true;
  });
  await t.throwsAsync(action, { instanceOf: AuditUnwritable, message: /ENOSPC.*nothing was done/ });
  t.false(done);
  t.like(trail.check(), { name: 'audit', ok: false });
  t.regex(trail.check().detail, /ENOSPC/);
  t.is(await metric('quorate_audit_writable'), 0);
  refuse(null);
  t.true(trail.flush());
  t.like(trail.check(), { ok: true, detail: '' });
  t.is(await metric('quorate_audit_writable'), 1);
  t.like(lines().at(-1), { event: 'audit_lost', events: 1, reason: 'ENOSPC' });
});

test('ST-8: what happened while the file took nothing is written in order, with its own time', (t) => {
  const { trail, refuse, lines, clock } = made(t);
  refuse('EACCES');
  trail.record(DIED);
  clock.ms += 60_000;
  trail.finish({ event: 'breaker_opened', actor: 'dedup' });
  t.regex(trail.check().detail, /2 events wait/);
  clock.ms += 60_000;
  refuse(null);
  trail.write(kill('started'));
  t.deepEqual(
    lines().map(({ event, timestamp }) => [event, timestamp]),
    [
      ['audit_began', '2026-11-20T12:02:00.000Z'],
      ['actor_died', '2026-11-20T12:00:00.000Z'],
      ['breaker_opened', '2026-11-20T12:01:00.000Z'],
      ['actor_kill', '2026-11-20T12:02:00.000Z'],
    ],
  );
});

test('ST-8, RT-14: what waits is bounded, and what is over the bound is counted in a record', (t) => {
  const { trail, refuse, lines } = made(t);
  refuse('ENOSPC');
  for (let count = 0; count < 1_500; count += 1) trail.record(DIED);
  refuse(null);
  t.true(trail.flush());
  const found = lines();
  t.is(found.filter(({ event }) => event === 'actor_died').length, 1_000);
  t.like(found.at(-1), { event: 'audit_lost', events: 500 });
});

test('ST-8: events of one turn are written together in the next', async (t) => {
  const { trail, lines } = made(t);
  trail.write(kill('started'));
  trail.record(DIED);
  trail.record(DIED);
  t.is(lines().length, 2);
  await new Promise((resolve) => setImmediate(resolve));
  t.is(lines().length, 4);
});

test('ST-8: a failed fsync is told once, as what ends the process', (t) => {
  const { trail, refuse, broken } = made(t);
  refuse('EIO', 'fsync');
  t.throws(() => trail.write(kill('started')), { instanceOf: AuditUnwritable });
  t.false(trail.flush());
  t.deepEqual(broken, ['audit.jsonl: fsync failed (EIO)']);
});

test('ID-8, ST-8: no field of the catalogue has the name of a secret, and secrets by name never reach the file', (t) => {
  for (const [name, { fields }] of Object.entries(AUDIT_EVENTS)) {
    const values = Object.fromEntries(Object.keys(fields).map((field) => [field, 'value']));
    t.is(redact(values), values, name);
  }
  const { trail, lines } = made(t);
  trail.write({ ...DIED, token: 'hunter2', authorization: 'Bearer hunter2' } as UnsignedAuditEvent);
  t.false(JSON.stringify(lines()).includes('hunter2'));
});
