// A worker thread with a host whose log or store fails as `workerData` says: an incarnation that must end by itself when
// nobody else would end it. Started by host.test.ts only.
import { parentPort, workerData } from 'node:worker_threads';
import { devEntry, makeTestkit } from '../../protocol/ledger/testkit.js';
import type { FakeLink } from '../testing/links.js';
import { Node } from './host-fixture.js';

export interface Failure {
  readonly fails: 'appendJournal' | 'apply';
  readonly code: Parameters<ReturnType<FakeLink<never>['asked']>[0]['fail']>[0];
}

const { fails, code } = workerData as Failure;
const node = await Node.start(await makeTestkit());
const pause = () => new Promise((resolve) => setTimeout(resolve, 5));
if (fails === 'appendJournal') node.log.link.hold('appendJournal');
else node.store.hold('apply');
node.propose(devEntry(node.kit, { id: 'a' }));
const asked = () => (fails === 'appendJournal' ? node.log.link.waiting('appendJournal') : node.store.waiting('apply'));
while (asked().length === 0) {
  await pause();
  node.clock.advance(25);
}
asked()[0]!.fail(code);
await pause();
// Reached only by an incarnation that goes on.
parentPort!.postMessage({ finalized: node.finalized.length });
