// MULTI, EXEC, DISCARD and WATCH.
import { equal, holds, own, refusal, until } from '../../checks.mjs';

export const transactions = (open, client) => {
  const key = own('multi');
  return {
    'MULTI and EXEC in one pipeline': async () => {
      const replies = await client.multi().set(key, '1').incr(key).get(key).del(key).exec();
      equal(replies, [[null, 'OK'], [null, 2], [null, '2'], [null, 1]]);
    },
    'MULTI and EXEC one by one': async () => {
      const single = await open();
      equal(await single.multi({ pipeline: false }), 'OK');
      equal([await single.set(key, '1'), await single.getdel(key)], ['QUEUED', 'QUEUED']);
      equal(await single.exec(), [[null, 'OK'], [null, '1']]);
      single.disconnect();
    },
    'an error inside EXEC does not stop the rest': async () => {
      const [set, incremented, got] = await client.multi().set(key, 'text').incr(key).getdel(key).exec();
      holds(incremented[0].message.startsWith('ERR value is not an integer'), incremented[0].message);
      equal([set, got], [[null, 'OK'], [null, 'text']]);
    },
    'a command that is none aborts EXEC': async () => {
      const error = await refusal(client.multi().set(key, '1').call('NO.SUCH').exec());
      equal(error.message, 'EXECABORT Transaction discarded because of previous errors.');
      holds(error.previousErrors[0].message.startsWith("ERR unknown command 'NO.SUCH'"), error.previousErrors[0].message);
      equal(await client.exists(key), 0);
    },
    DISCARD: async () => {
      const single = await open();
      await single.multi({ pipeline: false });
      await single.set(key, '1');
      equal([await single.discard(), await single.exists(key)], ['OK', 0]);
      const error = await refusal(single.call('EXEC'));
      equal(error.message, 'ERR EXEC without MULTI');
      single.disconnect();
    },
    'WATCH: nobody came between': async () => {
      const watcher = await open();
      equal(await watcher.watch(key, own('other')), 'OK');
      equal(await watcher.multi().set(key, 'mine').getdel(key).exec(), [[null, 'OK'], [null, 'mine']]);
      watcher.disconnect();
    },
    'WATCH: somebody came between': async () => {
      const watcher = await open();
      await watcher.watch(key);
      await client.set(key, 'theirs');
      equal(await watcher.multi().set(key, 'mine').exec(), null);
      equal(await client.getdel(key), 'theirs');
      watcher.disconnect();
    },
    'WATCH: the key expired between': async () => {
      const watcher = await open();
      await client.set(key, 'short', 'PX', 30);
      await watcher.watch(key);
      equal(await watcher.get(key), 'short');
      await until(async () => (await client.exists(key)) === 0);
      equal(await watcher.multi().set(key, 'mine').exec(), null);
      watcher.disconnect();
    },
  };
};
