// A TCP proxy that can hold back data and cut connections.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/**
 * Forwards connections to a server. `hold` holds back the server's data until `cut` closes all
 * connections; new connections are forwarded again.
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
