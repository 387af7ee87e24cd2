// Evidence as a node keeps it for whoever asks: each document once, and its author accused.
import test from 'ava';
import { EvidenceBook } from './evidence.js';

test('CO-5: what consensus has proved is listed once, in its order, and put forward against its author', (t) => {
  const accused: string[] = [];
  const book = new EvidenceBook({ accuse: (nodeId, reason) => void accused.push(`${nodeId} ${reason}`) });
  t.is(book.text(), '{"evidence":[]}');
  const documents = ['{"signer":"node_1","view":3}', '{"signer":"node_2","view":4}'];
  book.add(documents);
  book.add(documents.slice(1));
  t.is(book.text(), `{"evidence":[${documents.join(',')}]}`);
  t.deepEqual([...new Set(accused)], ['node_1 ProtocolEquivocation', 'node_2 ProtocolEquivocation']);
  book.add(Array.from({ length: 2_000 }, (_, view) => `{"signer":"node_3","view":${view}}`));
  t.is((JSON.parse(book.text()) as { evidence: unknown[] }).evidence.length, 1_024, 'bounded');
});
