// A Socket.IO server on a free port, which it prints. When stdin ends it prints what it has heard, and ends.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const heard = {};
const count = (what) => {
  heard[what] = (heard[what] ?? 0) + 1;
};
const http = createServer();
const [pingInterval, pingTimeout] = process.argv.slice(2).map(Number);
const io = new Server(http, { pingInterval, pingTimeout });

function serve(socket) {
  const where = socket.nsp.name;
  count(`connect ${where}`);
  count(`transport ${socket.conn.transport.name}`);
  for (const [name, value] of Object.entries(socket.handshake.query)) {
    if (!['EIO', 'transport', 'sid', 't'].includes(name)) count(`query ${name}=${value}`);
  }
  const header = socket.handshake.headers['x-token'];
  if (header) count(`header x-token: ${header}`);
  socket.conn.on('heartbeat', () => count('pong'));
  socket.conn.on('packetCreate', ({ type }) => type === 'ping' && count('ping'));
  socket.on('disconnect', (reason) => count(`${reason} ${where}`));
  socket.onAny((name, ...args) => {
    const plain = args.filter((one) => typeof one !== 'function');
    count(`${where} ${name} ${JSON.stringify(plain)}`);
  });
  socket.on('echo', (...args) => {
    const ack = typeof args.at(-1) === 'function' ? args.pop() : () => {};
    ack(...args);
    socket.emit('noise', 1);
    socket.emit('echoed', ...args);
  });
  socket.on('pieces', (...args) => args.forEach((one) => socket.emit('piece', one)));
  socket.on('picture', (ack) => {
    socket.emit('drawn', Buffer.from([1, 2, 3]), { name: 'a cat' });
    ack({ name: 'a dog' }, new Uint8Array([4]), new Uint8Array([5]));
  });
  socket.on('say', (...args) => args.at(-1)({ status: 'ok', id: 7 }));
  socket.on('user', (_, ack) => ack({ name: 'Ada', id: 7 }));
  socket.on('kick', () => socket.disconnect());
  socket.on('drop', () => socket.disconnect(true));
  // The server says nothing more and waits for nothing, as on a machine that hangs.
  socket.on('hang', () => {
    socket.conn.sendPacket = () => {};
    socket.conn.resetPingTimeout = () => {};
  });
}

io.on('connection', serve);
io.of('/chat').on('connection', serve);
io.of('/door').use((socket, next) => {
  next(socket.handshake.auth.token === 'sesame' ? undefined : new Error('not today'));
});
io.of('/door').on('connection', serve);

http.listen(0, '127.0.0.1', () => console.log(http.address().port));
process.stdin.resume();
process.stdin.on('end', () => {
  console.log(JSON.stringify(heard));
  process.exit(0);
});
