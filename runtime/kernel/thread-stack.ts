// The JavaScript stack of another thread, taken from outside while it stands still. Called by host-thread.ts for a thread
// that hangs. It must always let go of the thread again: a paused one can neither go on nor, on some versions, be ended.
import { Session } from 'node:inspector';
import { sourcePlace } from './source-places.js';

interface CallFrame {
  readonly functionName: string;
  /** Lines and columns count from 0. */
  readonly location: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber?: number };
}

/** What a thread's inspector sends: a notification with `method`, or an answer. */
interface FromThread {
  readonly method?: string;
  readonly params?: { readonly callFrames?: readonly CallFrame[]; readonly scriptId?: string; readonly url?: string };
}

const FRAMES_MAX = 50;

/**
 * Pauses the main thread's worker of this id through the inspector protocol (domains NodeWorker and Debugger; no flag and
 * no port is needed), reads its stack, lets it go on. Null when it did not pause within `limitMs`: then it runs no
 * JavaScript, such as inside native code. Never rejects.
 */
export function captureStack(threadId: number, limitMs: number): Promise<string | null> {
  const session = new Session();
  const urls = new Map<string, string>();
  let sessionId: string | null = null;
  const tell = (id: number, method: string): void => {
    const message = JSON.stringify({ id, method });
    session.post('NodeWorker.sendMessageToWorker', { sessionId, message });
  };
  return new Promise<string | null>((resolve) => {
    const end = (frames: readonly CallFrame[] | null): void => {
      clearTimeout(timer);
      try {
        if (sessionId !== null) {
          tell(3, 'Debugger.resume');
          tell(4, 'Debugger.disable');
        }
        session.post('NodeWorker.disable');
      } catch {
        // The thread is gone.
      }
      session.disconnect();
      resolve(
        frames === null
          ? null
          : frames
              .slice(0, FRAMES_MAX)
              .map((frame) => frameText(frame, urls))
              .join('\n'),
      );
    };
    const timer = setTimeout(() => end(null), limitMs);
    // Its own numbering is not the thread's id; the title is what names it.
    session.on('NodeWorker.attachedToWorker', ({ params }) => {
      if (!params.workerInfo.title.startsWith(`[worker ${threadId}]`)) return;
      sessionId = params.sessionId;
      tell(1, 'Debugger.enable');
      tell(2, 'Debugger.pause');
    });
    session.on('NodeWorker.receivedMessageFromWorker', ({ params }) => {
      if (params.sessionId !== sessionId) return;
      const { method, params: told } = JSON.parse(params.message) as FromThread;
      // Once for each script that is loaded, before the pause: frames name their scripts by number.
      if (method === 'Debugger.scriptParsed') urls.set(told?.scriptId ?? '', told?.url ?? '');
      else if (method === 'Debugger.paused') end(told?.callFrames ?? []);
    });
    try {
      session.connect();
      session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
    } catch {
      end(null);
    }
  });
}

/** As V8 spells a frame of an Error's stack. */
function frameText({ functionName, location }: CallFrame, urls: ReadonlyMap<string, string>): string {
  const { scriptId, lineNumber, columnNumber = 0 } = location;
  const url = urls.get(scriptId) ?? '';
  const place =
    sourcePlace(url, lineNumber, columnNumber) ?? `${url || '<anonymous>'}:${lineNumber + 1}:${columnNumber + 1}`;
  return functionName === '' ? `    at ${place}` : `    at ${functionName} (${place})`;
}
