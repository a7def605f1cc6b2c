// A server as one writes it with ws on Node: one process, no compression, a set as the room.
//
// One process, as a room over several (cluster) needs a bus between them that ws does not have. It
// recognises the few messages of a session by comparing text, so it is spared the work of a protocol
// above WebSocket. The backlog is set as for the other servers.

import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const session = JSON.parse(process.argv[2]);
const members = new Set();

function handleText(socket, text) {
  if (text.startsWith(session.shout_push_head)) {
    // Encoded once: ws sends the bytes of a buffer as they are.
    const payload = text.slice(session.shout_push_head.length);
    const shout = Buffer.from(session.shout_head + payload);
    for (const member of members) member.send(shout, { binary: false });
  } else if (text === session.echo_push) {
    socket.send(session.echo_reply);
  } else if (text === session.join) {
    members.add(socket);
    socket.send(session.joined);
  }
}

const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false });
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => {
    if (!isBinary) handleText(socket, data.toString());
  });
  socket.on('close', () => members.delete(socket));
  // A connection that fails costs itself; the crowd counts what it did not get.
  socket.on('error', () => {});
});
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  const { address, port } = server.address();
  console.log(`listening on ${address}:${port}`);
});
