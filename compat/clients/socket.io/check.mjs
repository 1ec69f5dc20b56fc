// Socket.IO's adapters for Redis against a server: two Socket.IO servers, each with one client, that share nothing else.
//
//   node check.mjs HOST PORT
//
// The same checks for both adapters, over both libraries that they take.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { Server } from 'socket.io';
import { io as connect } from 'socket.io-client';
import { Inbox, check, complaints, equal, holds, host, own, port, until, version } from '../../checks.mjs';

version(import.meta.url, '@socket.io/redis-adapter');

const complain = (error) => complaints.push(`error event: ${error.message}`);
const asker = await createClient({ socket: { host, port } }).connect();

/** How many subscribe to a channel, of the kind that an adapter uses. */
const subscribers = async (sharded, channel) => (await asker[sharded ? 'pubSubShardNumSub' : 'pubSubNumSub'](channel))[channel];

/** Pairs of connections, one to publish and one to subscribe. */
const PAIRS = {
  async 'node-redis'() {
    const publisher = createClient({ socket: { host, port } }).on('error', complain);
    const subscriber = publisher.duplicate().on('error', complain);
    await Promise.all([publisher.connect(), subscriber.connect()]);
    return { publisher, subscriber, end: () => Promise.all([publisher.close(), subscriber.close()]) };
  },
  async ioredis() {
    const publisher = new Redis({ host, port }).on('error', complain);
    const subscriber = publisher.duplicate().on('error', complain);
    await Promise.all([publisher.ping(), subscriber.ping()]);
    return { publisher, subscriber, end: () => Promise.all([publisher.quit(), subscriber.quit()]) };
  },
};

/** A Socket.IO server with one client. */
async function node(pair, sharded, prefix) {
  const redis = await PAIRS[pair]();
  const http = createServer().listen(0, '127.0.0.1');
  await once(http, 'listening');
  const make = sharded ? createShardedAdapter : createAdapter;
  const io = new Server(http, { adapter: make(redis.publisher, redis.subscriber, sharded ? { channelPrefix: prefix } : { key: prefix }) });
  const client = connect(`http://127.0.0.1:${http.address().port}`, { transports: ['websocket'], forceNew: true });
  const [[socket]] = await Promise.all([once(io, 'connection'), once(client, 'connect')]);
  const inbox = new Inbox();
  client.onAny(inbox.put);
  const close = async () => {
    client.disconnect();
    await io.close();
    await redis.end();
  };
  return { io, client, socket, inbox, close };
}

const checks = (sharded, prefix, here, there) => {
  /** Puts both sockets in a room; a sharded adapter hears of it when the server knows. */
  const join = async (room) => {
    await Promise.all([here.socket.join(room), there.socket.join(room)]);
    if (sharded) await until(async () => (await subscribers(true, `${prefix}#/#${room}#`)) === 2);
  };
  /** The other's socket, as this server sees it. */
  const remote = async () => (await here.io.in(there.socket.id).fetchSockets())[0];
  return {
    'two servers know of each other': async () => {
      const channel = sharded ? `${prefix}#/#` : `${prefix}-request#/#`;
      await until(async () => (await subscribers(sharded, channel)) === 2);
      equal(await here.io.of('/').adapter.serverCount(), 2);
    },
    'a broadcast reaches the clients of both': async () => {
      const bytes = Buffer.from([0, 1, 254, 255]);
      here.io.emit('all', 'é', bytes);
      equal(await here.inbox.next(), ['all', 'é', bytes]);
      equal(await there.inbox.next(), ['all', 'é', bytes]);
    },
    'a client to all others': async () => {
      there.socket.broadcast.emit('others', 1);
      equal(await here.inbox.next(), ['others', 1]);
      equal(there.inbox.size, 0);
    },
    rooms: async () => {
      await join('room');
      there.io.to('room').emit('in', { room: 'room' });
      equal([await here.inbox.next(), await there.inbox.next()], [['in', { room: 'room' }], ['in', { room: 'room' }]]);
      here.io.to('room').except(here.socket.id).emit('but', 1);
      equal(await there.inbox.next(), ['but', 1]);
      here.io.to(['room', 'none']).emit('either', 1);
      equal([await here.inbox.next(), await there.inbox.next()], [['either', 1], ['either', 1]]);
    },
    fetchSockets: async () => {
      there.socket.data.name = 'there';
      const found = await here.io.fetchSockets();
      equal(found.map(({ id }) => id).sort(), [here.socket.id, there.socket.id].sort());
      const other = await remote();
      equal([other.data, [...other.rooms].sort()], [{ name: 'there' }, [there.socket.id, 'room'].sort()]);
    },
    'remote join and leave': async () => {
      here.io.in(there.socket.id).socketsJoin('far');
      await until(() => there.socket.rooms.has('far'));
      if (sharded) await until(async () => (await subscribers(true, `${prefix}#/#far#`)) === 1);
      here.io.to('far').emit('joined');
      equal(await there.inbox.next(), ['joined']);
      here.io.in('far').socketsLeave('far');
      await until(() => !there.socket.rooms.has('far'));
      equal(await here.io.in('far').fetchSockets(), []);
    },
    'an emit to a remote socket': async () => {
      (await remote()).emit('you', 1);
      equal(await there.inbox.next(), ['you', 1]);
    },
    serverSideEmit: async () => {
      const heard = new Inbox();
      there.io.once('question', (text, answer) => {
        heard.put(text);
        answer('an answer');
      });
      equal(await here.io.serverSideEmitWithAck('question', 'a question'), ['an answer']);
      equal(await heard.next(), ['a question']);
      there.io.once('notice', heard.put);
      here.io.serverSideEmit('notice', 1, 'two');
      equal(await heard.next(), [1, 'two']);
    },
    'a broadcast that is answered': async () => {
      here.client.once('sum', (a, b, answer) => answer(a + b));
      there.client.once('sum', (a, b, answer) => answer(a * b));
      equal((await here.io.timeout(5000).emitWithAck('sum', 3, 4)).sort(), [12, 7].sort());
      await here.inbox.next();
      await there.inbox.next();
    },
    'a thousand broadcasts in order': async () => {
      const numbers = Array.from({ length: 1000 }, (_, at) => at);
      for (const at of numbers) here.io.emit('many', at);
      equal(await there.inbox.count(1000), numbers.map((at) => ['many', at]));
      equal(await here.inbox.count(1000), numbers.map((at) => ['many', at]));
    },
    'a remote socket is disconnected': async () => {
      const gone = once(there.client, 'disconnect');
      here.io.in(there.socket.id).disconnectSockets();
      equal((await gone)[0], 'io server disconnect');
      equal((await here.io.fetchSockets()).map(({ id }) => id), [here.socket.id]);
    },
  };
};

for (const sharded of [false, true]) {
  for (const pair of Object.keys(PAIRS)) {
    const title = `${sharded ? 'sharded' : 'plain'} over ${pair}:`;
    const prefix = own(`${pair}${sharded}`);
    let here, there;
    await check(title, {
      'two servers start': async () => {
        [here, there] = await Promise.all([node(pair, sharded, prefix), node(pair, sharded, prefix)]);
        holds(here.client.connected && there.client.connected, 'a client is not connected');
      },
    });
    if (!there) continue;
    await check(title, checks(sharded, prefix, here, there));
    await check(title, {
      'the channels are left': async () => {
        await Promise.all([here.close(), there.close()]);
        await until(async () => (await asker.pubSubChannels(`${prefix}*`)).length + (await asker.pubSubShardChannels(`${prefix}*`)).length === 0);
      },
      'nobody warns': async () => equal(complaints.splice(0), []),
    });
  }
}
process.exit();
