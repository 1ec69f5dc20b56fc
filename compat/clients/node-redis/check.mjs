// node-redis against a server: connecting, strings, transactions, documents, pub/sub and client.json, under RESP2 and RESP3.
//
//   node check.mjs HOST PORT
//
// A file has the checks of one kind as a table, by what is checked.
import { createClient } from 'redis';
import { check, complaints, equal, holds, host, own, port, refusal, version } from '../../checks.mjs';
import { strings } from './strings.mjs';
import { transactions } from './transactions.mjs';
import { pubsub } from './pubsub.mjs';
import { json } from './json.mjs';

version(import.meta.url, 'redis');

/** A client that is connected; what it emits as an error is kept as a complaint. */
function opener(RESP) {
  const opened = [];
  const open = async (options = {}) => {
    const client = createClient({ RESP, socket: { host, port }, ...options });
    client.on('error', (error) => complaints.push(`error event: ${error.message}`));
    opened.push(client);
    return client.connect();
  };
  const close = () => opened.forEach((client) => client.isOpen && client.destroy());
  return { open, close };
}

const connections = (open, client) => ({
  'connects with a name and a database': async () => {
    const named = await open({ name: 'compat', database: 3 });
    equal(await named.clientGetName(), 'compat');
    holds((await named.clientInfo()).db === 3, 'database 3 is not selected');
    holds(/^db\d+:|^$/m.test(await named.info('keyspace')), 'INFO keyspace');
    await named.close();
  },
  'connects without HELLO 3 being asked for': async () => {
    const plain = createClient({ url: `redis://${host}:${port}/2` });
    await plain.connect();
    equal(await plain.ping(), 'PONG');
    await plain.close();
  },
  'asks what the server is': async () => {
    const info = await client.info();
    holds(/^redis_version:\d+\.\d+/m.test(info) && /^role:master\r$/m.test(info), info.slice(0, 200));
    equal(await client.configGet('databases'), { databases: '16' });
    holds((await client.clientId()) > 0 && (await client.time()) !== null, 'CLIENT ID, TIME');
  },
  'duplicates itself': async () => {
    const other = await client.duplicate().connect();
    holds((await other.clientId()) !== (await client.clientId()), 'the same connection');
    await other.close();
  },
  'takes connections from a pool': async () => {
    const pool = client.createPool({ minimum: 1, maximum: 4 });
    await pool.connect();
    const key = own('pool');
    await Promise.all(Array.from({ length: 100 }, () => pool.incr(key)));
    equal(await pool.getDel(key), '100');
    await pool.close();
  },
  'answers in order in one pipeline': async () => {
    const key = own('order');
    const replies = await Promise.all(Array.from({ length: 1000 }, () => client.incr(key)));
    equal(replies, Array.from({ length: 1000 }, (_, at) => at + 1));
    await client.del(key);
  },
  'goes on after an error': async () => {
    const error = await refusal(client.sendCommand(['NO.SUCH', 'a']));
    holds(error.message.startsWith("ERR unknown command 'NO.SUCH'"), error.message);
    equal(await client.ping(), 'PONG');
  },
});

const documents = (client) => {
  const name = `compat_node_${process.pid}`;
  const run = (...words) => client.sendCommand(words.map(String));
  return {
    'documents by sendCommand': async () => {
      await run('DOC.DROP', name);
      equal(await run('DOC.INSERT', name, '{"_id":"a","n":1}'), ['a']);
      equal(await run('DOC.SET', name, 'a', '{"n":2}', 'IFVER', 1), 2);
      equal(await run('DOC.GET', name, 'a', 'WITHVER'), [2, '{"_id":"a","n":2}']);
      equal(await run('DOC.GET', name, 'none'), null);
      const updated = await run('DOC.UPDATE', name, '{}', '{"$inc":{"n":5}}');
      // RESP2 has no maps, and sendCommand knows no command.
      const expected = { matched: 1, modified: 1, upserted: null };
      equal(Array.isArray(updated) ? updated : { ...updated }, Array.isArray(updated) ? Object.entries(expected).flat() : expected);
      equal(await run('DOC.FIND', name, '{"n":7}'), ['{"_id":"a","n":7}']);
      equal(await run('DOC.AGGREGATE', name, '[{"$count":"all"}]'), ['{"all":1}']);
    },
    'errors of documents': async () => {
      holds((await refusal(run('DOC.FIND', name, '{"a":{"$no":1}}'))).message.startsWith('BADFILTER '), 'BADFILTER');
      holds((await refusal(run('DOC.SET', name, 'a', '{}', 'IFVER', 9))).message.startsWith('CONFLICT '), 'CONFLICT');
      equal(await run('DOC.DROP', name), 1);
    },
    'documents in MULTI': async () => {
      const replies = await client
        .multi()
        .addCommand(['DOC.SET', name, 'm', '{"n":1}'])
        .addCommand(['DOC.GET', name, 'm', '$.n'])
        .exec();
      equal(replies, [1, '[1]']);
      equal(await run('DOC.DROP', name), 1);
    },
  };
};

for (const RESP of [2, 3]) {
  const { open, close } = opener(RESP);
  const client = await open();
  const title = `RESP${RESP}`;
  await check(title, connections(open, client));
  await check(title, strings(client));
  await check(title, transactions(open, client));
  await check(title, pubsub(open, client, RESP));
  await check(title, documents(client));
  await check(title, json(client));
  await check(title, {
    'leaves nothing behind': async () => equal(await client.keys(own('*')), []),
    'neither warns nor emits an error': async () => equal(complaints.splice(0), []),
  });
  close();
}
process.exit();
