// Proves the response parser: every way to cut the same bytes gives the same responses, and nothing is guessed.
// Run by ava.
import test from 'ava';
import fc from 'fast-check';
import { ResponseError, ResponseParser } from './response.js';

interface Seen {
  readonly status: number;
  readonly body: string;
  readonly close: boolean;
}

function parse(chunks: readonly Buffer[]): { seen: Seen[]; midway: boolean } {
  const seen: Seen[] = [];
  const parser = new ResponseParser((status, body, close) => {
    seen.push({ status, body: body.toString('utf8'), close });
  });
  // One buffer for all reads, as the load generator has: a view that outlives its call would show.
  const shared = Buffer.alloc(64 * 1024);
  for (const chunk of chunks) {
    chunk.copy(shared);
    parser.push(shared.subarray(0, chunk.length));
    shared.fill(0x21, 0, chunk.length);
  }
  return { seen, midway: parser.midway };
}

const ok = (body: string, more = ''): string =>
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${more}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

test('any cut of a stream of responses gives the same responses', (t) => {
  const bodies = fc.array(fc.string({ unit: 'grapheme', maxLength: 60 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(bodies, fc.array(fc.nat(400), { maxLength: 12 }), (texts, cuts) => {
      const stream = Buffer.from(texts.map((text) => ok(text)).join(''));
      const edges = [...new Set([0, ...cuts.map((cut) => cut % stream.length), stream.length])].sort((a, b) => a - b);
      const chunks = edges.slice(1).map((edge, index) => stream.subarray(edges[index], edge));
      const { seen, midway } = parse(chunks);
      t.false(midway);
      t.deepEqual(
        seen,
        texts.map((body) => ({ status: 200, body, close: false })),
      );
    }),
  );
});

test('byte by byte', (t) => {
  const stream = Buffer.from(`${ok('{"state":"final"}')}HTTP/1.1 503 \r\ncontent-length:0\r\n\r\n`);
  const { seen } = parse([...stream].map((byte) => Buffer.from([byte])));
  t.deepEqual(seen, [
    { status: 200, body: '{"state":"final"}', close: false },
    { status: 503, body: '', close: false },
  ]);
});

test('an interim response is skipped, 204 and 304 have no body', (t) => {
  const stream =
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n';
  const { seen } = parse([Buffer.from(stream + ok('x'))]);
  t.deepEqual(
    seen.map(({ status, body }) => [status, body]),
    [
      [204, ''],
      [304, ''],
      [200, 'x'],
    ],
  );
});

test('connection: close is told, in any case and place', (t) => {
  for (const header of ['Connection: close\r\n', 'connection:close\r\n', 'CONNECTION:  Close \r\n']) {
    t.true(parse([Buffer.from(ok('x', header))]).seen[0]?.close, header);
  }
  t.true(parse([Buffer.from('HTTP/1.1 204 \r\nconnection: close\r\n\r\n')]).seen[0]?.close);
  t.false(parse([Buffer.from(ok('x', 'connection: keep-alive\r\nx-connection: close\r\n'))]).seen[0]?.close);
});

test('a cut response is midway, a whole one is not', (t) => {
  const whole = Buffer.from(ok('{"a":1}'));
  t.true(parse([whole.subarray(0, -1)]).midway);
  t.false(parse([whole]).midway);
});

const refused: readonly (readonly [title: string, bytes: string])[] = [
  ['no length', 'HTTP/1.1 200 OK\r\ndate: x\r\n\r\n'],
  ['chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['chunked and a length', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nabc'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd'],
  ['a list of lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\n\r\nabc'],
  ['a negative length', 'HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\nabc'],
  ['a hexadecimal length', 'HTTP/1.1 200 OK\r\ncontent-length: 0x3\r\n\r\nabc'],
  ['no number', 'HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nabc'],
  ['another protocol', 'SSH-2.0-OpenSSH\r\n\r\n'],
  ['another version', 'HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n'],
  ['a status that is none', 'HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n'],
  ['bytes behind the body', `${ok('x')}garbage\r\n\r\n`],
  ['an endless head', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}`],
];

for (const [title, bytes] of refused) {
  test(`refused: ${title}`, (t) => {
    t.throws(() => parse([Buffer.from(bytes)]), { instanceOf: ResponseError });
  });
}
