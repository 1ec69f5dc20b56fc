// ioredis against a server: connecting, strings, transactions, documents and pub/sub, under RESP2 and RESP3.
//
//   node check.mjs HOST PORT
//
// A file has the checks of one kind as a table, by what is checked.
import { Redis } from 'ioredis';
import { check, complaints, equal, holds, host, own, port, refusal, version } from '../../checks.mjs';
import { strings } from './strings.mjs';
import { transactions } from './transactions.mjs';
import { pubsub } from './pubsub.mjs';
import { tls } from './tls.mjs';

version(import.meta.url, 'ioredis');

/** Connections that keep what they emit as an error as a complaint. */
function opener(protocol) {
  const opened = [];
  const watched = (client) => {
    client.on('error', (error) => complaints.push(`error event: ${error.message}`));
    opened.push(client);
    return client;
  };
  const open = async (options = {}) => {
    const client = watched(new Redis({ host, port, protocol, lazyConnect: true, ...options }));
    await client.connect();
    return client;
  };
  return { open, watched, close: () => opened.forEach((client) => client.disconnect()) };
}

const connections = (open, watched, client) => ({
  'connects with a name and a database': async () => {
    const named = await open({ connectionName: 'compat', db: 3 });
    equal(await named.client('GETNAME'), 'compat');
    holds(/ db=3 /.test(await named.client('INFO')), 'database 3 is not selected');
    equal(await named.quit(), 'OK');
  },
  'connects with nothing but an address': async () => {
    const plain = watched(new Redis(`redis://${host}:${port}/2`));
    equal(await plain.ping(), 'PONG');
    plain.disconnect();
  },
  'asks what the server is': async () => {
    const info = await client.info();
    holds(/^redis_version:\d+\.\d+/m.test(info) && /^role:master\r$/m.test(info), info.slice(0, 200));
    equal(await client.config('GET', 'databases'), ['databases', '16']);
    const known = (await client.command('INFO', 'get'))[0];
    equal([known[0], known[1], known[3], known[4], known[5]], ['get', 2, 1, 1, 1]);
  },
  'duplicates itself': async () => {
    const other = watched(client.duplicate());
    await other.connect();
    holds((await other.client('ID')) !== (await client.client('ID')), 'the same connection');
    other.disconnect();
  },
  'answers in order in pipelines': async () => {
    const [key, pipeline] = [own('order'), client.pipeline()];
    for (let left = 1000; left > 0; left--) pipeline.incr(key);
    equal(await pipeline.exec(), Array.from({ length: 1000 }, (_, at) => [null, at + 1]));
    await client.del(key);
  },
  'pipelines by itself': async () => {
    const automatic = await open({ enableAutoPipelining: true });
    const names = Array.from({ length: 200 }, (_, at) => own(`auto:${at}`));
    equal(await Promise.all(names.map((name) => automatic.set(name, name))), names.map(() => 'OK'));
    equal(await Promise.all(names.map((name) => automatic.getdel(name))), names);
    automatic.disconnect();
  },
  'connects again after it was killed': async () => {
    const killed = await open();
    const again = new Promise((resolve) => killed.once('close', () => killed.once('ready', resolve)));
    equal(await client.client('KILL', 'ID', await killed.client('ID')), 1);
    await again;
    equal(await killed.ping(), 'PONG');
    killed.disconnect();
    complaints.splice(0, Infinity, ...complaints.filter((one) => !/ECONNRESET/.test(one)));
  },
  'goes on after an error': async () => {
    const error = await refusal(client.call('NO.SUCH', 'a'));
    holds(error.message.startsWith("ERR unknown command 'NO.SUCH'"), error.message);
    equal(await client.ping('still'), 'still');
  },
});

const documents = (open, client, protocol) => {
  const name = `compat_ioredis_${process.pid}`;
  return {
    'documents by call': async () => {
      await client.call('DOC.DROP', name);
      equal(await client.call('DOC.INSERT', name, '{"_id":"a","n":1}'), ['a']);
      equal(await client.call('DOC.SET', name, 'a', '{"n":2}', 'IFVER', 1), 2);
      equal(await client.call('DOC.GET', name, 'a', 'WITHVER'), [2, '{"_id":"a","n":2}']);
      equal(await client.call('DOC.GET', name, 'none'), null);
      equal(await client.callBuffer('DOC.GET', name, 'a'), Buffer.from('{"_id":"a","n":2}'));
      equal(await client.call('DOC.UPDATE', name, '{}', '{"$inc":{"n":5}}'), ['matched', 1, 'modified', 1, 'upserted', null]);
      equal(await client.call('DOC.FIND', name, '{"n":7}'), ['{"_id":"a","n":7}']);
      equal(await client.call('DOC.AGGREGATE', name, '[{"$count":"all"}]'), ['{"all":1}']);
    },
    ...(protocol === 3 && {
      'documents, where a map is an object': async () => {
        const mapped = await open({ replyMapping: 'resp3' });
        const updated = await mapped.call('DOC.UPDATE', name, '{}', '{"$inc":{"n":1}}');
        equal({ ...updated }, { matched: 1, modified: 1, upserted: null });
        mapped.disconnect();
      },
    }),
    'errors of documents': async () => {
      for (const [code, ...words] of [
        ['BADFILTER ', 'DOC.FIND', name, '{"a":{"$no":1}}'],
        ['CONFLICT ', 'DOC.SET', name, 'a', '{}', 'IFVER', 99],
        ['DUPKEY ', 'DOC.INSERT', name, '{"_id":"a"}'],
      ]) {
        const error = await refusal(client.call(...words));
        holds(error.message.startsWith(code), error.message);
      }
      equal(await client.call('DOC.DROP', name), 1);
    },
    'documents in MULTI': async () => {
      const replies = await client.multi().call('DOC.SET', name, 'm', '{"n":1}').call('DOC.GET', name, 'm', '$.n').exec();
      equal(replies, [[null, 1], [null, '[1]']]);
      equal(await client.call('DOC.DROP', name), 1);
    },
  };
};

for (const protocol of [2, 3]) {
  const { open, watched, close } = opener(protocol);
  const client = await open();
  const title = `RESP${protocol}`;
  await check(title, connections(open, watched, client));
  await check(title, strings(client));
  await check(title, transactions(open, client));
  await check(title, pubsub(open, client, protocol));
  await check(title, documents(open, client, protocol));
  await check(title, tls(open, client, protocol));
  await check(title, {
    'leaves nothing behind': async () => equal(await client.keys(own('*')), []),
    'neither warns nor emits an error': async () => equal(complaints.splice(0), []),
  });
  close();
}
process.exit();
