// Certificates from the command line: what is written, with which modes and names, and a renewal in its two steps.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { authorityIn } from '../config/certificates.js';
import { loadPinsFile } from '../config/pins-file.js';
import { belongTogether, readCertificates, signedBy } from '../protocol/crypto/certificate.js';
import { emptyDirectory, NOW_MS, removeDirectory, run } from './testkit.js';

const YEAR_MS = 365 * 86_400_000;

test('TN-6, NET-9: an authority of ten years, node certificates of one, pins ahead of a renewal and cleared after it', async (t) => {
  const dir = emptyDirectory();
  t.teardown(() => removeDirectory(dir));
  // A small key: making the usual one takes seconds.
  await authorityIn(dir, { nowMs: NOW_MS, authorityBits: 2048 });
  const at = (name: string) => join(dir, name);
  const certificate = (name: string) => readCertificates(readFileSync(at(name), 'utf8'))[0]!;
  const pins = () => loadPinsFile(at('pinned_certs.json')).pins;

  const made = await run(['certs', 'issue', 'node_1', '--dir', dir, '--address', '10.0.0.1,n1.example', '--json']);
  t.is(made.code, 0, made.err);
  const first = certificate('node_1.crt');
  t.deepEqual(first.names, ['node_1', 'quorate-node-1', 'localhost', '127.0.0.1', '10.0.0.1', 'n1.example']);
  t.true(Math.abs(first.notAfterMs - NOW_MS - YEAR_MS) < 1000);
  const authority = certificate('ca.crt');
  t.true(authority.isAuthority && authority.notAfterMs - NOW_MS > 9.99 * YEAR_MS);
  t.true(signedBy(first, authority));
  t.true(belongTogether(first.pem, readFileSync(at('node_1.key'), 'utf8')));
  for (const key of ['ca.key', 'node_1.key']) t.is(statSync(at(key)).mode & 0o777, 0o600, key);
  t.like(JSON.parse(made.out), { node_id: 'node_1', fingerprint: `sha256:${first.fingerprint}` });
  t.deepEqual([...pins()], [['node_1', [first.fingerprint]]]);
  t.is((await run(['certs', 'issue', 'node_1', '--dir', dir])).code, 78, 'never over what is there');

  t.is((await run(['certs', 'renew', 'node_1', '--dir', dir])).code, 0);
  const next = certificate('node_1.next.crt');
  t.deepEqual(next.names, first.names);
  t.deepEqual(pins().get('node_1'), [first.fingerprint, next.fingerprint]);
  t.is(certificate('node_1.crt').fingerprint, first.fingerprint, 'the old one is still in use');
  t.is((await run(['certs', 'renew', 'node_1', '--dir', dir])).code, 78, 'one renewal at a time');

  t.is((await run(['certs', 'renew', 'node_1', '--dir', dir, '--finish'])).code, 0);
  t.is(certificate('node_1.crt').fingerprint, next.fingerprint);
  t.true(belongTogether(next.pem, readFileSync(at('node_1.key'), 'utf8')));
  t.deepEqual(pins().get('node_1'), [next.fingerprint]);

  const shown = await run(['certs', 'show', at('node_1.crt'), '--json']);
  t.like(JSON.parse(shown.out).certificates[0], { fingerprint: `sha256:${next.fingerprint}`, days_left: 365 });
  t.is((await run(['certs', 'show', at('node_1.key')])).code, 78);
  t.is((await run(['certs', 'issue', '../x', '--dir', dir])).code, 64);
});
