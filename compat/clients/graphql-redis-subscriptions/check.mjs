// graphql-redis-subscriptions against a server: the PubSub that GraphQL servers hand their subscriptions to.
//
//   node check.mjs HOST PORT
import { GraphQLObjectType, GraphQLSchema, GraphQLString, parse, subscribe } from 'graphql';
import subscriptions from 'graphql-redis-subscriptions';
import { withFilter } from 'graphql-subscriptions';
import { Redis } from 'ioredis';
import { Inbox, check, complaints, equal, host, own, port, refusal, until, version } from '../../checks.mjs';

const { RedisPubSub } = subscriptions;
version(import.meta.url, 'graphql-redis-subscriptions');

const asker = new Redis({ host, port });
const subscribers = async (channel) => (await asker.pubsub('NUMSUB', channel))[1];
const listening = (channel, count) => until(async () => (await subscribers(channel)) === count);

/** Does something with a PubSub of its own. */
async function using(run, options = {}) {
  const pubsub = new RedisPubSub({ connection: { host, port }, connectionListener: (error) => error && complaints.push(error.message), ...options });
  await run(pubsub, new Inbox());
  equal(await pubsub.close(), ['OK', 'OK']);
}

const trigger = own('trigger');

await check('PubSub', {
  'publish and subscribe': () =>
    using(async (pubsub, inbox) => {
      const id = await pubsub.subscribe(trigger, inbox.put);
      await pubsub.publish(trigger, { text: 'é', list: [1, null] });
      equal(await inbox.next(), [{ text: 'é', list: [1, null] }]);
      pubsub.unsubscribe(id);
      await listening(trigger, 0);
    }),
  'several subscribers of one trigger': () =>
    using(async (pubsub, inbox) => {
      const others = [new Inbox(), new Inbox()];
      const first = await pubsub.subscribe(trigger, inbox.put);
      await Promise.all(others.map((other) => pubsub.subscribe(trigger, other.put)));
      equal(await subscribers(trigger), 1);
      await pubsub.publish(trigger, 1);
      equal([await inbox.next(), await others[0].next(), await others[1].next()], [[1], [1], [1]]);
      pubsub.unsubscribe(first);
      await pubsub.publish(trigger, 2);
      equal([await others[0].next(), await others[1].next(), inbox.size], [[2], [2], 0]);
    }),
  'two processes as one': () =>
    using((one, inbox) =>
      using(async (two) => {
        await one.subscribe(trigger, inbox.put);
        await two.subscribe(trigger, inbox.put);
        await two.publish(trigger, 'to both');
        equal(await inbox.count(2), [['to both'], ['to both']]);
      }),
    ),
  'a pattern': () =>
    using(async (pubsub, inbox) => {
      const id = await pubsub.subscribe(own('news.*'), inbox.put, { pattern: true });
      await pubsub.publish(own('news.sport'), 1);
      await pubsub.publish(own('other'), 2);
      await pubsub.publish(own('news.'), 3);
      equal(await inbox.count(2), [[1], [3]]);
      pubsub.unsubscribe(id);
      await until(async () => (await asker.publish(own('news.sport'), '4')) === 0);
      equal(inbox.size, 0);
    }),
  'unsubscribing and subscribing again': () =>
    using(async (pubsub, inbox) => {
      for (const round of [1, 2, 3]) {
        const id = await pubsub.subscribe(trigger, inbox.put);
        await pubsub.publish(trigger, round);
        equal(await inbox.next(), [round]);
        pubsub.unsubscribe(id);
      }
      await listening(trigger, 0);
      equal((await refusal((async () => pubsub.unsubscribe(0))())).message, 'There is no subscription of id "0"');
    }),
  'subscribing while another does': () =>
    using(async (pubsub, inbox) => {
      await Promise.all(Array.from({ length: 50 }, () => pubsub.subscribe(trigger, inbox.put)));
      await pubsub.publish(trigger, 'x');
      equal(await inbox.count(50), Array.from({ length: 50 }, () => ['x']));
    }),
  'an iterator of several triggers': () =>
    using(async (pubsub) => {
      const iterator = pubsub.asyncIterableIterator([trigger, own('second')]);
      const first = iterator.next();
      await Promise.all([listening(trigger, 1), listening(own('second'), 1)]);
      await pubsub.publish(trigger, 'a');
      equal(await first, { value: 'a', done: false });
      await pubsub.publish(own('second'), 'b');
      equal(await iterator.next(), { value: 'b', done: false });
      await iterator.return();
      await Promise.all([listening(trigger, 0), listening(own('second'), 0)]);
    }),
  'bytes, with messageBuffer': () => {
    const connections = { publisher: new Redis({ host, port }), subscriber: new Redis({ host, port }) };
    return using(
      async (pubsub, inbox) => {
        const bytes = Buffer.from([0, 10, 13, 128, 255]);
        await pubsub.subscribe(trigger, inbox.put);
        await pubsub.publish(trigger, bytes);
        equal(await inbox.next(), [bytes]);
      },
      { ...connections, messageEventName: 'messageBuffer', pmessageEventName: 'pmessageBuffer' },
    );
  },
  'a subscription of GraphQL, filtered': () =>
    using(async (pubsub) => {
      const said = {
        type: GraphQLString,
        subscribe: withFilter(() => pubsub.asyncIterableIterator(trigger), ({ said }) => said !== 'secret'),
      };
      const query = new GraphQLObjectType({ name: 'Query', fields: { any: { type: GraphQLString } } });
      const schema = new GraphQLSchema({ query, subscription: new GraphQLObjectType({ name: 'Subscription', fields: { said } }) });
      const results = await subscribe({ schema, document: parse('subscription { said }') });
      const first = results.next();
      await listening(trigger, 1);
      for (const text of ['secret', 'hello']) await pubsub.publish(trigger, { said: text });
      equal(JSON.stringify((await first).value), '{"data":{"said":"hello"}}');
      await results.return();
      await listening(trigger, 0);
    }),
  'a connection that was killed subscribes again': () =>
    using(async (pubsub, inbox) => {
      const id = await pubsub.getSubscriber().client('ID');
      await pubsub.subscribe(trigger, inbox.put);
      equal(await asker.client('KILL', 'ID', id), 1);
      await listening(trigger, 0);
      await listening(trigger, 1);
      await pubsub.publish(trigger, 'again');
      equal(await inbox.next(), ['again']);
    }),
  'nobody warns': async () => equal(complaints.splice(0), []),
});
process.exit();
