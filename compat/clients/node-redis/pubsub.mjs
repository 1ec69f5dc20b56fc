// Pub/sub: channels, patterns, sharded channels, any bytes, reconnecting, and keyspace notifications.
import { Inbox, complaints, equal, holds, own, until } from '../../checks.mjs';

const numbers = (count) => Array.from({ length: count }, (_, at) => at);

export const pubsub = (open, client, RESP) => {
  const channel = own('news');
  /** Does something with a connection of its own that subscribes. */
  const subscribing = async (run) => {
    const subscriber = await open();
    await run(subscriber, new Inbox()).finally(() => subscriber.destroy());
  };
  return {
    SUBSCRIBE: () =>
      subscribing(async (subscriber, inbox) => {
        equal(await client.publish(channel, 'nobody listens'), 0);
        await subscriber.subscribe(channel, inbox.put);
        equal(await client.publish(channel, 'é'), 1);
        equal(await inbox.next(), ['é', channel]);
        equal({ ...(await client.pubSubNumSub(channel)) }, { [channel]: 1 });
        equal(await client.pubSubChannels(own('*')), [channel]);
        await subscriber.unsubscribe(channel);
        equal(await client.publish(channel, 'nobody listens'), 0);
      }),
    'two listeners of one channel': () =>
      subscribing(async (subscriber, inbox) => {
        const second = new Inbox();
        await subscriber.subscribe(channel, inbox.put);
        await subscriber.subscribe(channel, second.put);
        equal(await client.publish(channel, 'a'), 1);
        equal([await inbox.next(), await second.next()], [['a', channel], ['a', channel]]);
        await subscriber.unsubscribe(channel, second.put);
        await client.publish(channel, 'b');
        equal([await inbox.next(), second.size], [['b', channel], 0]);
      }),
    PSUBSCRIBE: () =>
      subscribing(async (subscriber, inbox) => {
        await subscriber.pSubscribe([own('n?ws'), own('[a-c]*')], inbox.put);
        await subscriber.subscribe(channel, inbox.put);
        const before = await client.pubSubNumPat();
        holds(before >= 2, `${before} patterns`);
        equal(await client.publish(channel, 'both'), 2);
        equal(await client.publish(own('b'), 'pattern'), 1);
        equal(await client.publish(own('d'), 'none'), 0);
        equal(await inbox.count(3), [['both', channel], ['both', channel], ['pattern', own('b')]]);
        await subscriber.pUnsubscribe();
        equal(await client.publish(channel, 'channel'), 1);
        equal(await inbox.next(), ['channel', channel]);
      }),
    'SSUBSCRIBE and SPUBLISH': () =>
      subscribing(async (subscriber, inbox) => {
        const plain = new Inbox();
        await subscriber.sSubscribe(channel, inbox.put);
        await subscriber.subscribe(channel, plain.put);
        equal(await client.sPublish(channel, 'sharded'), 1);
        equal(await client.publish(channel, 'plain'), 1);
        equal([await inbox.next(), await plain.next()], [['sharded', channel], ['plain', channel]]);
        equal({ ...(await client.pubSubShardNumSub(channel)) }, { [channel]: 1 });
        equal(await client.pubSubShardChannels(own('*')), [channel]);
        await subscriber.sUnsubscribe(channel);
        equal(await client.sPublish(channel, 'nobody listens'), 0);
        equal(await client.publish(channel, 'plain'), 1);
      }),
    'channels and messages of any bytes': () =>
      subscribing(async (subscriber, inbox) => {
        const bytes = Buffer.from(numbers(256));
        const name = Buffer.concat([Buffer.from(own('bytes')), Buffer.from([0, 255, 13, 10])]);
        await subscriber.pSubscribe(own('bytes*'), inbox.put, true);
        equal(await client.publish(name, bytes), 1);
        const [message, from] = await inbox.next();
        holds(bytes.equals(message) && name.equals(from), 'other bytes');
        await client.publish(name, '');
        equal((await inbox.next())[0].length, 0);
      }),
    'a thousand channels': () =>
      subscribing(async (subscriber, inbox) => {
        const channels = numbers(1000).map((at) => own(`many:${at}`));
        await subscriber.subscribe(channels, inbox.put);
        const delivered = await Promise.all(channels.map((each) => client.publish(each, each)));
        equal(delivered, channels.map(() => 1));
        equal(await inbox.count(1000), channels.map((each) => [each, each]));
        await subscriber.unsubscribe();
        equal(await client.publish(channels[0], 'nobody listens'), 0);
        equal(String(await subscriber.ping()), 'PONG');
      }),
    'ten thousand messages in order': () =>
      subscribing(async (subscriber, inbox) => {
        await subscriber.subscribe(channel, inbox.put);
        await Promise.all(numbers(10_000).map((at) => client.publish(channel, String(at))));
        equal(await inbox.count(10_000), numbers(10_000).map((at) => [String(at), channel]));
      }),
    'PING while subscribed': () =>
      subscribing(async (subscriber, inbox) => {
        await subscriber.subscribe(channel, inbox.put);
        // Under RESP2 the answer is an array, `pong` and an empty text, and a subscriber may not publish.
        equal(String(await subscriber.ping()), RESP === 2 ? 'pong' : 'PONG');
        const publisher = RESP === 2 ? client : subscriber;
        equal(await publisher.publish(channel, 'to itself'), 1);
        equal(await inbox.next(), ['to itself', channel]);
      }),
    'a connection that was killed subscribes again': () =>
      subscribing(async (subscriber, inbox) => {
        const id = await subscriber.clientId();
        await subscriber.subscribe(channel, inbox.put);
        await subscriber.pSubscribe(own('p*'), inbox.put);
        await subscriber.sSubscribe(channel, inbox.put);
        const ready = new Promise((resolve) => subscriber.once('ready', resolve));
        equal(await client.clientKill({ filter: 'ID', id }), 1);
        await ready;
        await until(async () => (await client.pubSubShardNumSub(channel))[channel] === 1);
        equal([await client.publish(channel, 'a'), await client.publish(own('p'), 'b'), await client.sPublish(channel, 'c')], [1, 1, 1]);
        equal((await inbox.count(3)).map(([message]) => message), ['a', 'b', 'c']);
        // The one error event that was asked for.
        equal(complaints.splice(0).length, 1);
      }),
    'keyspace notifications': () =>
      subscribing(async (subscriber, inbox) => {
        const { 'notify-keyspace-events': before } = await client.configGet('notify-keyspace-events');
        await client.configSet('notify-keyspace-events', 'KEA');
        const key = own('watched');
        const events = new Inbox();
        await subscriber.subscribe(`__keyspace@0__:${key}`, inbox.put);
        await subscriber.pSubscribe('__keyevent@0__:*', (name, from) => name === key && events.put(from));
        await client.set(key, '1', { expiration: { type: 'PX', value: 100_000 } });
        await client.incr(key);
        await client.append(key, '0');
        await client.persist(key);
        await client.pExpire(key, 1);
        const expected = ['set', 'expire', 'incrby', 'append', 'persist', 'expire', 'expired'];
        equal((await inbox.count(expected.length)).map(([event]) => event), expected);
        await client.set(key, '1');
        await client.del(key);
        equal((await inbox.count(2)).map(([event]) => event), ['set', 'del']);
        equal((await events.count(9)).flat(), [...expected, 'set', 'del'].map((event) => `__keyevent@0__:${event}`));
        await client.configSet('notify-keyspace-events', before);
        await client.set(key, '1');
        await client.del(key);
        // Messages are in order, so one that comes now says that the two gave none.
        await client.publish(`__keyspace@0__:${key}`, 'the end');
        equal((await inbox.next())[0], 'the end');
      }),
  };
};
