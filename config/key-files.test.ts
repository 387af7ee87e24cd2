// Node keys: every form that is read, every mode that is refused, and that one data directory keeps one key.
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import { ConfigError } from './errors.js';
import {
  checkNodeKey,
  createNodeKey,
  type KeyPlaces,
  nodeKeyFile,
  openNodeKey,
  SIGNING_KEY_VARIABLE,
} from './key-files.js';
import { parseSigningKey, SigningKeyError } from './signing-key.js';

const ed25519 = await loadEd25519();

/** RFC 8032 section 7.1, test 1. */
const SEED = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
const PUBLIC = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';
const DER = `302e020100300506032b657004220420${SEED}`;
const DER_V2 = `3051020101300506032b657004220420${SEED}812100${PUBLIC}`;

function base64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}

function pem(hex: string, label = 'PRIVATE KEY'): string {
  return `-----BEGIN ${label}-----\n${base64(hex).replaceAll(/(.{64})/g, '$1\n')}\n-----END ${label}-----\n`;
}

function places(t: ExecutionContext, mode: KeyPlaces['mode'] = 'development', key?: string): KeyPlaces {
  const dataDir = mkdtempSync(join(tmpdir(), 'quorate-keys-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  return {
    mode,
    dataDir,
    keysDir: join(dataDir, 'keys'),
    env: key === undefined ? {} : { [SIGNING_KEY_VARIABLE]: key },
  };
}

function writeKey(at: KeyPlaces, text: string, mode = 0o600): void {
  mkdirSync(at.keysDir, { mode: 0o700 });
  writeFileSync(nodeKeyFile(at.keysDir), text);
  chmodSync(nodeKeyFile(at.keysDir), mode);
}

function refusal(t: ExecutionContext, run: () => unknown): ConfigError {
  const error = t.throws(run, { instanceOf: ConfigError })!;
  t.is(error.exitCode, 78);
  t.false(error.message.includes(SEED), 'no error shows the key');
  t.false(error.message.includes(base64(DER)));
  return error;
}

const FORMS: [name: string, text: string][] = [
  ['64 hex digits', SEED],
  ['64 hex digits, upper case and a line end', `${SEED.toUpperCase()}\n`],
  ['PKCS#8 PEM', pem(DER)],
  ['PKCS#8 PEM with CRLF', pem(DER).replaceAll('\n', '\r\n')],
  ['PKCS#8 PEM in one line, as environment variables carry it', pem(DER).replaceAll('\n', '\\n')],
  ['PKCS#8 PEM version 2 with the public key', pem(DER_V2)],
  ['DER in base64', base64(DER)],
];

for (const [name, text] of FORMS) {
  test(`ID-1: a node key is read from a file and from the environment: ${name}`, (t) => {
    const fromFile = places(t);
    writeKey(fromFile, text);
    const key = openNodeKey(fromFile, ed25519);
    t.is(key.publicKey.toString('hex'), PUBLIC);
    t.is(key.secretKey.toString('hex'), SEED + PUBLIC);
    t.is(key.nodeId, 'node_d75a980182b10ab7');
    t.is(key.origin, 'file');
    const fromEnvironment = openNodeKey(places(t, 'production', text), ed25519);
    t.is(fromEnvironment.publicKey.toString('hex'), PUBLIC);
    t.like(fromEnvironment, { origin: 'environment', file: null });
  });
}

test('ID-1: keys that other tools make are read (openssl’s form, by way of node:crypto)', (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const text = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  t.deepEqual(openNodeKey(places(t, 'production', text), ed25519).publicKey, Buffer.from(raw));
});

const WRONG: [name: string, text: string, found: RegExp][] = [
  ['half a seed', SEED.slice(32), /32 hex digits/],
  ['a seed with its public key behind it', SEED + PUBLIC, /128 hex digits.*first 64/],
  ['words', 'correct horse battery staple!', /neither hex nor PEM nor base64/],
  ['random base64', base64('00112233'), /not a PKCS#8/],
  ['an encrypted PEM', pem(DER, 'ENCRYPTED PRIVATE KEY'), /encrypted key/],
  ['an OpenSSH PEM', pem(DER, 'OPENSSH PRIVATE KEY'), /OPENSSH PRIVATE KEY/],
  ['a public key', pem(PUBLIC, 'PUBLIC KEY'), /"PUBLIC KEY"/],
  ['two PEM blocks', pem(DER) + pem(DER), /more than one/],
  ['a truncated DER', base64(DER.slice(0, -2)), /not a PKCS#8/],
  ['a DER with bytes behind it', base64(`${DER}00`), /bytes behind its end/],
  ['X25519', base64(DER.replace('2b6570', '2b656e')), /another algorithm/],
  ['a stated public key that is not the seed’s', base64(`${DER_V2.slice(0, -2)}00`), /public key of another/],
  ['32 zeros', '00'.repeat(32), /32 equal bytes/],
  ['32 times one byte, in a PEM', pem(DER.replace(SEED, 'ab'.repeat(32))), /32 equal bytes/],
];

for (const [name, text, found] of WRONG) {
  test(`ID-1: a node key that is none is refused without showing it: ${name}`, (t) => {
    const error = refusal(t, () => openNodeKey(places(t, 'development', text), ed25519));
    t.regex(error.message, found);
    t.is(error.problems[0]?.file, 'environment QUORATE_SIGNING_KEY');
    const at = places(t);
    writeKey(at, text);
    t.is(refusal(t, () => openNodeKey(at, ed25519)).problems[0]?.file, nodeKeyFile(at.keysDir));
  });
}

test('ID-1: keys of other algorithms are refused', (t) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const text = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  t.regex(refusal(t, () => openNodeKey(places(t, 'development', text), ed25519)).message, /another algorithm/);
});

test('ID-1: property: no text crashes the reader', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.uint8Array({ maxLength: 80 }).map((b) => Buffer.from(b).toString('base64')),
      ),
      (text) => {
        try {
          parseSigningKey(text);
        } catch (error) {
          if (!(error instanceof SigningKeyError)) throw error;
        }
      },
    ),
  );
  t.pass();
});

test('ID-1: property: a damaged DER never gives another key', (t) => {
  const der = Buffer.from(DER, 'hex');
  fc.assert(
    fc.property(fc.nat(der.length - 33), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = Buffer.from(der);
      damaged[at] = damaged[at]! ^ flip;
      try {
        return parseSigningKey(damaged.toString('base64')).seed.toString('hex') === SEED;
      } catch (error) {
        return error instanceof SigningKeyError;
      }
    }),
  );
  t.pass();
});

for (const mode of [0o600, 0o400]) {
  test(`ID-1: a key file of mode 0${mode.toString(8)} is read`, (t) => {
    const at = places(t);
    writeKey(at, SEED, mode);
    t.is(openNodeKey(at, ed25519).nodeId, 'node_d75a980182b10ab7');
  });
}

for (const mode of [0o644, 0o640, 0o604, 0o700, 0o660]) {
  test(`ID-1: a key file of mode 0${mode.toString(8)} is refused with found, wanted and the command that fixes it`, (t) => {
    const at = places(t);
    writeKey(at, SEED, mode);
    const [problem] = refusal(t, () => openNodeKey(at, ed25519)).problems;
    t.like(problem, { file: nodeKeyFile(at.keysDir), found: `mode 0${mode.toString(8)}`, allowed: '0600 or 0400' });
    t.is(problem?.hint, `Fix it: chmod 0600 ${nodeKeyFile(at.keysDir)}`);
  });
}

test('ID-1: a key directory open to others is refused the same way', (t) => {
  const at = places(t);
  writeKey(at, SEED);
  chmodSync(at.keysDir, 0o750);
  const [problem] = refusal(t, () => openNodeKey(at, ed25519)).problems;
  t.like(problem, { file: at.keysDir, found: 'mode 0750', allowed: '0700', hint: `Fix it: chmod 0700 ${at.keysDir}` });
});

test('ID-1: a key file that leads nowhere, or is a directory, is refused and never replaced', (t) => {
  const dangling = places(t);
  mkdirSync(dangling.keysDir, { mode: 0o700 });
  symlinkSync('/nowhere/at/all', nodeKeyFile(dangling.keysDir));
  t.regex(refusal(t, () => openNodeKey(dangling, ed25519)).message, /no such file/);
  const directory = places(t);
  mkdirSync(nodeKeyFile(directory.keysDir), { recursive: true, mode: 0o700 });
  t.regex(refusal(t, () => openNodeKey(directory, ed25519)).message, /no file/);
});

test('ID-2: development makes a key once, privately, and keeps it', (t) => {
  const at = places(t);
  const first = openNodeKey(at, ed25519);
  t.is(first.origin, 'generated');
  t.is(first.file, nodeKeyFile(at.keysDir));
  t.is(statSync(nodeKeyFile(at.keysDir)).mode & 0o777, 0o600);
  t.is(statSync(at.keysDir).mode & 0o777, 0o700);
  t.deepEqual(readdirSync(at.keysDir), ['node.key'], 'nothing else is left behind');
  const second = openNodeKey(at, ed25519);
  t.is(second.origin, 'file');
  t.deepEqual(second.publicKey, first.publicKey);
});

test('ID-2: production makes no key: it says where one has to be', (t) => {
  const at = places(t, 'production');
  const [problem] = refusal(t, () => openNodeKey(at, ed25519)).problems;
  t.is(problem?.file, nodeKeyFile(at.keysDir));
  t.regex(problem?.hint ?? '', /quorate keys init/);
  t.deepEqual(readdirSync(at.dataDir), []);
});

test('ID-2: the environment wins over the file and loses its variable', (t) => {
  const at = places(t, 'development', SEED);
  writeKey(at, 'ab'.repeat(16) + 'cd'.repeat(16));
  t.is(openNodeKey(at, ed25519).publicKey.toString('hex'), PUBLIC);
  t.deepEqual(at.env, {});
});

test('ID-2: the public key is remembered: another key on the same data is refused', (t) => {
  const at = places(t, 'development', SEED);
  openNodeKey(at, ed25519);
  t.is(readFileSync(join(at.dataDir, 'node.pub'), 'utf8'), `${PUBLIC}\n`);
  const other = { ...at, env: { [SIGNING_KEY_VARIABLE]: 'ab'.repeat(16) + 'cd'.repeat(16) } };
  const [problem] = refusal(t, () => openNodeKey(other, ed25519)).problems;
  t.is(problem?.file, join(at.dataDir, 'node.pub'));
  t.regex(problem?.allowed ?? '', new RegExp(PUBLIC.slice(0, 16)));
});

test('ID-2: a key that was lost is not replaced by a new one', (t) => {
  const at = places(t);
  openNodeKey(at, ed25519);
  rmSync(at.keysDir, { recursive: true });
  t.regex(refusal(t, () => openNodeKey(at, ed25519)).message, /found no key/);
  t.false(existsSync(at.keysDir));
});

test('CF-8: a damaged memory of the public key is refused, not overwritten', (t) => {
  const at = places(t, 'development', SEED);
  writeFileSync(join(at.dataDir, 'node.pub'), 'x');
  t.regex(refusal(t, () => openNodeKey(at, ed25519)).message, /no public key/);
});

test('CF-2: checking a configuration reads the key and writes nothing', (t) => {
  const fresh = places(t);
  t.is(checkNodeKey(fresh, ed25519), null);
  t.deepEqual(readdirSync(fresh.dataDir), []);
  const configured = places(t, 'production', SEED);
  t.is(checkNodeKey(configured, ed25519)?.nodeId, 'node_d75a980182b10ab7');
  t.deepEqual(readdirSync(configured.dataDir), []);
  refusal(t, () => checkNodeKey(places(t, 'production'), ed25519));
});

test('ID-1: making a key never overwrites one', (t) => {
  const at = places(t);
  const first = createNodeKey(at.keysDir, ed25519, () => Buffer.from(SEED, 'hex'));
  t.is(first.publicKey.toString('hex'), PUBLIC);
  t.regex(refusal(t, () => createNodeKey(at.keysDir, ed25519)).message, /already there/);
  t.is(readFileSync(nodeKeyFile(at.keysDir), 'utf8'), `${SEED}\n`);
  t.deepEqual(readdirSync(at.keysDir), ['node.key']);
});

test('CF-9: a place where no key can be made is named', (t) => {
  const at = places(t);
  writeFileSync(at.keysDir, 'a file where the directory should be');
  refusal(t, () => openNodeKey(at, ed25519));
  const deep = { ...at, keysDir: join(at.keysDir, 'deeper') };
  t.regex(refusal(t, () => openNodeKey(deep, ed25519)).message, /keys/);
});

test('ID-1: the seed that is written is the key that is used', (t) => {
  const at = places(t);
  const key = openNodeKey(at, ed25519);
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), key.seed]);
  const publicKey = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
  t.deepEqual(Buffer.from(publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)), key.publicKey);
});
