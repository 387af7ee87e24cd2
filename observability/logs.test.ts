// What a log line looks like, what may never be in one, and that a broken destination stops nobody.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { EVENTS, type EventName, event } from './events.js';
import { createLog, levelForStatus, maskFingerprint, maskToken, openLog, redact, wantsPretty } from './logs.js';

type Line = Record<string, unknown>;

function capture(level: 'trace' | 'debug' | 'info' = 'info', base: Line = {}) {
  const lines: Line[] = [];
  const log = createLog(level, base, { write: (text: string) => void lines.push(JSON.parse(text) as Line) });
  return { log, lines };
}

test('OB-5: a line has level as a word, RFC 3339 time and the base of its thread', (t) => {
  const { log, lines } = capture('info', { actor: 'store', incarnation: 3 });
  log.info({ height: 7 }, 'hello');
  t.like(lines[0], { level: 'info', actor: 'store', incarnation: 3, height: 7, msg: 'hello' });
  t.regex(String(lines[0]?.time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
});

test('ID-8: secrets are redacted at every depth, in children, arrays and query strings', (t) => {
  const { log, lines } = capture();
  const canary = 'c4n4ry';
  log.info({
    authorization: canary,
    req: { headers: { Authorization: canary, cookie: canary, 'set-cookie': [canary] } },
  });
  log.info({ envelope: { id: 'a', sig: canary }, keys: [{ secret: canary, secret_hex: canary, seed: canary }] });
  log
    .child({ token: canary })
    .child({ req: { sig: canary } })
    .info({ url: `/v1/stream?from=1&token=${canary}&x=2` }, 'child');
  log.info({ QUORATE_SIGNING_KEY: canary, password: { deep: canary } });
  t.false(JSON.stringify(lines).includes(canary));
  t.is(lines.length, 4);
  t.like(lines[1], { envelope: { id: 'a' } }, 'what is no secret stays');
  t.is(lines[2]?.url, '/v1/stream?from=1&token=[redacted]&x=2');
});

test('ID-8: property: wherever a secret stands, down to the depth that is shown, it is not shown', (t) => {
  const names = fc.constantFrom('a', 'headers', 'req', 'list', 'x');
  const secrets = fc.constantFrom('authorization', 'Authorization', 'sig', 'secret', 'token', 'private_key', 'SEED');
  fc.assert(
    fc.property(fc.array(names, { maxLength: 8 }), secrets, fc.boolean(), (path, secret, asList) => {
      const inner: Line = { [secret]: 'c4n4ry' };
      const whole = path.reduceRight<Line>((value, name) => ({ [name]: asList ? [value] : value }), inner);
      return !JSON.stringify(redact(whole)).includes('c4n4ry');
    }),
  );
  t.pass();
});

test('OB-5: redaction leaves the caller’s object alone and copies only when it must', (t) => {
  const clean = { a: 1, nested: { b: [1, 2] } };
  t.is(redact(clean), clean);
  const dirty = { sig: 'x', nested: { token: 'y', b: 1 } };
  t.deepEqual(redact(dirty), { sig: '[redacted]', nested: { token: '[redacted]', b: 1 } });
  t.is(dirty.nested.token, 'y');
});

test('OB-5: bytes are counted, not printed; cycles end', (t) => {
  const { log, lines } = capture();
  const cycle: Line = { name: 'loop' };
  cycle.self = cycle;
  log.info({ body: Buffer.alloc(70_000), cycle });
  t.is(lines[0]?.body, '<70000 bytes>');
  t.true(JSON.stringify(lines[0]).length < 1000);
});

test('ID-8: an error shows type, message, code, stack and cause, and nothing a library hung on it', (t) => {
  const { log, lines } = capture();
  const error = Object.assign(new Error('failed', { cause: new Error('deeper') }), {
    code: 'EIO',
    config: { headers: { authorization: 'c4n4ry' } },
  });
  log.error({ err: error }, 'x');
  log.error(error);
  for (const line of lines) {
    t.like(line.err as object, { type: 'Error', message: 'failed', code: 'EIO', cause: { message: 'deeper' } });
  }
  t.false(JSON.stringify(lines).includes('c4n4ry'));
});

test('OB-5: fingerprints and tokens are masked so that they can be recognised and not reused', (t) => {
  t.is(maskFingerprint(`sha256:${'ab'.repeat(32)}`), 'sha256:abababab...abababab');
  t.is(maskFingerprint('short'), '***');
  t.is(maskToken('0123456789'), '01234567...');
  t.is(maskToken('01234567'), '***');
});

test('OB-5: level by status class; readable lines on a terminal only', (t) => {
  t.deepEqual([200, 202, 401, 429, 500, 503].map(levelForStatus), ['debug', 'debug', 'info', 'info', 'error', 'error']);
  t.deepEqual(
    [wantsPretty('auto', true), wantsPretty('auto', false), wantsPretty('json', true), wantsPretty('pretty', false)],
    [true, false, false, true],
  );
});

test('OB-5: a log file is written at once, and reopened after it was rotated away', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-logs-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'made', 'node.log');
  const { log, reopen } = openLog({ level: 'info', pretty: false, file }, {});
  log.info('before');
  t.true(readFileSync(file, 'utf8').includes('before'));
  renameSync(file, `${file}.1`);
  reopen();
  log.info('after');
  t.true(existsSync(file));
  t.true(readFileSync(file, 'utf8').includes('after'));
  t.false(readFileSync(`${file}.1`, 'utf8').includes('after'));
});

test('CF-6, OB-5: a log file that cannot be reopened stays open: no line is lost, and the next reopen closes it once', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-logs-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  // In a process of its own: what is looked at is which descriptors are open, and how many were closed.
  const script = `
    const { mkdirSync, readdirSync, readlinkSync, renameSync, rmdirSync } = await import('node:fs');
    const { openLog } = await import(${JSON.stringify(new URL('./logs.js', import.meta.url).href)});
    const file = ${JSON.stringify(join(folder, 'node.log'))};
    const { log, reopen } = openLog({ level: 'info', pretty: false, file }, {});
    renameSync(file, file + '.1');
    mkdirSync(file);
    for (let attempt = 0; attempt < 3; attempt++) { log.info('before'); reopen(); }
    rmdirSync(file);
    const { default: fs } = await import('node:fs');
    const close = fs.close;
    let closed = 0;
    fs.close = (...args) => { closed += 1; close(...args); };
    reopen();
    log.info('after');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const open = readdirSync('/proc/self/fd').flatMap((fd) => {
      try { return [readlinkSync('/proc/self/fd/' + fd)]; } catch { return []; }
    });
    process.stdout.write(open.filter((target) => target.startsWith(file)).length + ' ' + closed);
  `;
  if (!existsSync('/proc/self/fd')) return t.pass('no /proc here');
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  t.is(run.status, 0, run.stderr);
  t.is(run.stdout, '1 1', 'the new file alone is open, and one descriptor was closed');
  t.is(run.stderr.match(/cannot write the log/g)?.length, 1);
  const lines = (path: string) => readFileSync(path, 'utf8').match(/"msg":"(before|after)"/g);
  t.is(lines(join(folder, 'node.log.1'))?.length, 3);
  t.is(lines(join(folder, 'node.log'))?.length, 1);
});

test('OB-5: a full disk under the log drops lines, says so once, and stops nobody', (t) => {
  if (!existsSync('/dev/full')) return t.pass('no /dev/full here');
  const script = `
    const { openLog } = await import(${JSON.stringify(new URL('./logs.js', import.meta.url).href)});
    const { log } = openLog({ level: 'info', pretty: false, file: '/dev/full' }, {});
    for (let i = 0; i < 2000; i++) log.info({ filler: 'x'.repeat(2000) }, 'line');
    process.stdout.write('still here ' + Math.round(process.memoryUsage().rss / 1048576));
  `;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  t.is(run.status, 0, run.stderr);
  t.true(run.stdout.startsWith('still here'));
  t.is(run.stderr.match(/cannot write the log/g)?.length, 1);
});

test('OB-5: on a terminal the same line is readable, with the actor in front', (t) => {
  const script = `
    const { openLog } = await import(${JSON.stringify(new URL('./logs.js', import.meta.url).href)});
    openLog({ level: 'info', pretty: true, file: null }, { actor: 'store' }).log.warn({ sig: 's3cr3t', height: 4 }, 'words');
  `;
  const env = { ...process.env, NO_COLOR: '1' };
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', env });
  t.regex(run.stdout, /WARN.*\[store\] words/);
  t.true(run.stdout.includes('height: 4'));
  t.false(run.stdout.includes('s3cr3t'));
});

test('OB-8: an event has its name, its fixed wording and its level', (t) => {
  const { log, lines } = capture('debug');
  event(log, 'state.rolled_back', { reason: 'migration_verification_failed', backup_checksum: 'ab' });
  event(log, 'http.answered', {
    request_id: 'r',
    method: 'POST',
    route: '/v1/submissions',
    status: 503,
    duration_ms: 1,
  });
  event(log, 'http.answered', {
    request_id: 'r',
    method: 'POST',
    route: '/v1/submissions',
    status: 200,
    duration_ms: 1,
  });
  t.like(lines[0], { level: 'fatal', event: 'state.rolled_back', msg: EVENTS['state.rolled_back'].wording });
  t.deepEqual(
    lines.map((line) => line.level),
    ['fatal', 'error', 'debug'],
  );
});

test('OB-8: wordings are fixed: no placeholders, none twice', (t) => {
  const wordings = (Object.keys(EVENTS) as EventName[]).map((name) => EVENTS[name].wording as string);
  t.is(new Set(wordings).size, wordings.length);
  for (const wording of wordings) t.false(/[%{}$]/.test(wording), wording);
});
