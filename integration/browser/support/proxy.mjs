// A network that can be cut.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** Passes connections on to a server; `cut` breaks them off, and new ones are passed on again. */
export async function startProxy(base) {
  const { hostname, port } = new URL(base);
  const sockets = new Set();
  const proxy = createServer((client) => {
    const server = connect(Number(port), hostname);
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ]) {
      sockets.add(socket);
      socket.pipe(other);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const cut = () => {
    for (const socket of sockets) {
      socket.resetAndDestroy();
    }
  };
  return {
    base: `http://127.0.0.1:${proxy.address().port}`,
    cut,
    async stop() {
      proxy.close();
      cut();
    },
  };
}
