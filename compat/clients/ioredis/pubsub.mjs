// Pub/sub: channels, patterns, sharded channels, any bytes, reconnecting, and keyspace notifications.
import { Inbox, complaints, equal, holds, own, refusal, until } from '../../checks.mjs';

const numbers = (count) => Array.from({ length: count }, (_, at) => at);

export const pubsub = (open, client, protocol) => {
  const channel = own('news');
  /** Does something with a connection of its own that subscribes; the inbox gets what one event brings. */
  const subscribing = async (event, run) => {
    const subscriber = await open();
    const inbox = new Inbox();
    subscriber.on(event, inbox.put);
    await run(subscriber, inbox).finally(() => subscriber.disconnect());
  };
  return {
    SUBSCRIBE: () =>
      subscribing('message', async (subscriber, inbox) => {
        equal(await client.publish(channel, 'nobody listens'), 0);
        equal(await subscriber.subscribe(channel, own('second')), 2);
        equal(await client.publish(channel, 'é'), 1);
        equal(await inbox.next(), [channel, 'é']);
        equal(await client.pubsub('NUMSUB', channel, own('none')), [channel, 1, own('none'), 0]);
        equal((await client.pubsub('CHANNELS', own('*'))).sort(), [channel, own('second')].sort());
        equal(await subscriber.unsubscribe(channel), 1);
        equal(await client.publish(channel, 'nobody listens'), 0);
        equal(await subscriber.unsubscribe(), 0);
        equal(await subscriber.ping(), 'PONG');
      }),
    PSUBSCRIBE: () =>
      subscribing('pmessage', async (subscriber, inbox) => {
        const plain = new Inbox();
        subscriber.on('message', plain.put);
        equal(await subscriber.psubscribe(own('n?ws'), own('[a-c]*')), 2);
        equal(await subscriber.subscribe(channel), 3);
        holds((await client.pubsub('NUMPAT')) >= 2, 'PUBSUB NUMPAT');
        equal(await client.publish(channel, 'both'), 2);
        equal(await client.publish(own('b'), 'pattern'), 1);
        equal(await client.publish(own('d'), 'none'), 0);
        equal(await inbox.count(2), [[own('n?ws'), channel, 'both'], [own('[a-c]*'), own('b'), 'pattern']]);
        equal(await plain.next(), [channel, 'both']);
        equal(await subscriber.punsubscribe(own('n?ws')), 2);
        equal(await client.publish(channel, 'channel'), 1);
      }),
    'SSUBSCRIBE and SPUBLISH': () =>
      subscribing('smessage', async (subscriber, inbox) => {
        const plain = new Inbox();
        subscriber.on('message', plain.put);
        equal(await subscriber.ssubscribe(channel), 1);
        equal(await subscriber.subscribe(channel), 1);
        equal([await client.spublish(channel, 'sharded'), await client.publish(channel, 'plain')], [1, 1]);
        equal([await inbox.next(), await plain.next()], [[channel, 'sharded'], [channel, 'plain']]);
        equal(await client.pubsub('SHARDNUMSUB', channel), [channel, 1]);
        equal(await client.pubsub('SHARDCHANNELS', own('*')), [channel]);
        // Its last: ioredis takes a count of 0 for the end of all, though plain channels are counted apart from sharded ones.
        equal([await subscriber.sunsubscribe(channel), await client.spublish(channel, 'nobody listens')], [0, 0]);
      }),
    'channels and messages of any bytes': () =>
      subscribing('messageBuffer', async (subscriber, inbox) => {
        const bytes = Buffer.from(numbers(256));
        const name = Buffer.concat([Buffer.from(own('bytes')), Buffer.from([0, 255, 13, 10])]);
        await subscriber.subscribe(name);
        equal(await client.publish(name, bytes), 1);
        equal(await inbox.next(), [name, bytes]);
        await client.publish(name, '');
        equal(await inbox.next(), [name, Buffer.alloc(0)]);
      }),
    'a thousand channels': () =>
      subscribing('message', async (subscriber, inbox) => {
        const channels = numbers(1000).map((at) => own(`many:${at}`));
        equal(await subscriber.subscribe(...channels), 1000);
        equal(await Promise.all(channels.map((each) => client.publish(each, each))), channels.map(() => 1));
        equal(await inbox.count(1000), channels.map((each) => [each, each]));
        equal(await subscriber.unsubscribe(), 0);
      }),
    'ten thousand messages in order': () =>
      subscribing('message', async (subscriber, inbox) => {
        await subscriber.subscribe(channel);
        await Promise.all(numbers(10_000).map((at) => client.publish(channel, String(at))));
        equal(await inbox.count(10_000), numbers(10_000).map((at) => [channel, String(at)]));
      }),
    'what a subscriber may do': () =>
      subscribing('message', async (subscriber, inbox) => {
        await subscriber.subscribe(channel);
        if (protocol === 2) {
          equal(await subscriber.ping(), ['pong', '']);
          equal(await subscriber.ping('text'), ['pong', 'text']);
          holds(/subscriber mode/.test((await refusal(subscriber.get(channel))).message), 'GET of a subscriber');
          await client.publish(channel, 'from another');
        } else {
          equal(await subscriber.ping(), 'PONG');
          equal(await subscriber.get(channel), null);
          equal(await subscriber.publish(channel, 'from another'), 1);
        }
        equal(await inbox.next(), [channel, 'from another']);
        equal(await subscriber.quit(), 'OK');
      }),
    'PUBLISH in MULTI': () =>
      subscribing('message', async (subscriber, inbox) => {
        await subscriber.subscribe(channel);
        equal(await client.multi().publish(channel, 'a').publish(channel, 'b').exec(), [[null, 1], [null, 1]]);
        equal(await inbox.count(2), [[channel, 'a'], [channel, 'b']]);
      }),
    'a connection that was killed subscribes again': () =>
      subscribing('message', async (subscriber, inbox) => {
        const others = new Inbox();
        subscriber.on('pmessage', (_, __, message) => others.put(message));
        subscriber.on('smessage', (_, message) => others.put(message));
        const id = await subscriber.client('ID');
        await subscriber.subscribe(channel);
        await subscriber.psubscribe(own('p*'));
        await subscriber.ssubscribe(channel);
        equal(await client.client('KILL', 'ID', id), 1);
        // Sharded channels are the last that it subscribes to again.
        await until(async () => (await client.pubsub('SHARDNUMSUB', channel))[1] === 0);
        await until(async () => (await client.pubsub('SHARDNUMSUB', channel))[1] === 1);
        equal([await client.publish(channel, 'a'), await client.publish(own('p'), 'b'), await client.spublish(channel, 'c')], [1, 1, 1]);
        equal(await inbox.next(), [channel, 'a']);
        equal(await others.count(2), [['b'], ['c']]);
        complaints.splice(0, Infinity, ...complaints.filter((one) => !/ECONNRESET/.test(one)));
      }),
    'keyspace notifications': () =>
      subscribing('pmessage', async (subscriber, inbox) => {
        const [, before] = await client.config('GET', 'notify-keyspace-events');
        await client.config('SET', 'notify-keyspace-events', 'E$gx');
        const key = own('watched');
        await subscriber.psubscribe('__keyevent@0__:*', '__keyspace@0__:*');
        await client.set(key, '1');
        await client.pexpire(key, 1);
        const events = [];
        while (events.at(-1) !== '__keyevent@0__:expired') {
          const [, from, name] = await inbox.next();
          if (name === key) events.push(from);
        }
        equal(events, ['set', 'expire', 'expired'].map((event) => `__keyevent@0__:${event}`));
        await client.config('SET', 'notify-keyspace-events', before);
      }),
  };
};
