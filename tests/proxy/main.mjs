// A proxy by others on a free port, for `user:password` or for anybody. A line for each tunnel that is asked for.
import { createServer } from 'node:http';
import { createProxy } from 'proxy';

const wanted = process.argv[2];
const server = createProxy(createServer());
if (wanted) {
  const proof = `Basic ${Buffer.from(wanted).toString('base64')}`;
  server.authenticate = (request) => request.headers['proxy-authorization'] === proof;
}
server.on('connect', ({ url, headers, socket }) => {
  console.log(`connect ${url} host ${headers.host} from ${socket.remoteAddress}`);
});
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
