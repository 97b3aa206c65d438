// A network that can be held up and cut.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/**
 * Passes connections on to a server. `hold` keeps back what the server says, until `cut` breaks all
 * connections off; new ones are passed on again.
 */
export async function startProxy(base) {
  const { hostname, port } = new URL(base);
  const sockets = new Set();
  const servers = new Set();
  let held = false;
  const proxy = createServer((client) => {
    const server = connect(Number(port), hostname);
    servers.add(server);
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ]) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        servers.delete(socket);
        other.destroy();
      });
    }
    client.pipe(server);
    server.on('data', (bytes) => client.write(bytes));
    server.on('end', () => client.end());
    if (held) {
      server.pause();
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const hold = () => {
    held = true;
    for (const server of servers) {
      server.pause();
    }
  };
  const cut = () => {
    held = false;
    for (const socket of sockets) {
      socket.resetAndDestroy();
    }
  };
  return {
    base: `http://127.0.0.1:${proxy.address().port}`,
    hold,
    cut,
    async stop() {
      proxy.close();
      cut();
    },
  };
}
