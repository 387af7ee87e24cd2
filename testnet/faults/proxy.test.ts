// The faults of the proxy do what they say.
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { FaultyProxy } from './proxy.js';

/** A server that sends back what it hears, and remembers it. */
async function echo(t: ExecutionContext) {
  const sockets = new Set<Socket>();
  let heard = '';
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (data) => {
      heard += data.toString();
      socket.write(data);
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const proxy = await FaultyProxy.open({ host: '127.0.0.1', port: (server.address() as { port: number }).port });
  t.teardown(async () => {
    await proxy.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { proxy, heard: () => heard, sockets };
}

function client(t: ExecutionContext, port: number) {
  const socket = connect({ host: '127.0.0.1', port });
  const state = { heard: '', closed: false };
  socket.on('data', (data) => {
    state.heard += data.toString();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    state.closed = true;
  });
  t.teardown(() => socket.destroy());
  return { socket, state };
}

async function eventually(condition: () => boolean, what: string): Promise<void> {
  const endMs = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > endMs) throw new Error(`${what} did not come true`);
    await sleep(5);
  }
}

test('bytes pass, and a stall holds them one way only', async (t) => {
  const { proxy, heard } = await echo(t);
  const { socket, state } = client(t, proxy.port);
  socket.write('one');
  await eventually(() => state.heard === 'one', 'the echo');
  proxy.stall('backward');
  socket.write('two');
  await eventually(() => heard() === 'onetwo', 'the way there is open');
  t.is(state.heard, 'one');
  proxy.stall();
  socket.write('three');
  await sleep(50);
  t.is(heard(), 'onetwo');
  proxy.heal();
  await eventually(() => state.heard === 'onetwothree', 'everything comes in order');
});

test('a delay holds every byte back, and order stays', async (t) => {
  const { proxy } = await echo(t);
  const { socket, state } = client(t, proxy.port);
  proxy.delay(60);
  const startMs = Date.now();
  socket.write('a');
  socket.write('b');
  await eventually(() => state.heard === 'ab', 'the echo');
  t.true(Date.now() - startMs >= 110, 'both ways');
});

test('a throttle lets through what its rate allows', async (t) => {
  const { proxy } = await echo(t);
  const { socket, state } = client(t, proxy.port);
  proxy.throttle(1000);
  socket.write('x'.repeat(100));
  await eventually(() => state.heard.length === 100, 'the first');
  const startMs = Date.now();
  socket.write('y'.repeat(10));
  await eventually(() => state.heard.length === 110, 'the second');
  t.true(Date.now() - startMs >= 50, 'the line was busy with the first');
});

test('refused connections are reset, and heal again', async (t) => {
  const { proxy } = await echo(t);
  const first = client(t, proxy.port);
  first.socket.write('x');
  await eventually(() => first.state.heard === 'x', 'the echo');
  proxy.refuse();
  await eventually(() => first.state.closed, 'the reset');
  const second = client(t, proxy.port);
  await eventually(() => second.state.closed, 'the refusal');
  proxy.heal();
  const third = client(t, proxy.port);
  third.socket.write('y');
  await eventually(() => third.state.heard === 'y', 'the echo again');
  t.is(proxy.accepted, 3);
});

test('half-open: the far end is gone, and this one is not told', async (t) => {
  const { proxy, sockets } = await echo(t);
  const { socket, state } = client(t, proxy.port);
  socket.write('x');
  await eventually(() => state.heard === 'x', 'the echo');
  proxy.halfOpen();
  await eventually(() => sockets.size === 0, 'the far end is closed');
  socket.write('y');
  await sleep(50);
  t.false(state.closed);
  t.is(state.heard, 'x');
});
