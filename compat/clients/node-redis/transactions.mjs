// MULTI, EXEC, DISCARD and WATCH.
import { WatchError } from 'redis';
import { equal, holds, own, refusal } from '../../checks.mjs';

export const transactions = (open, client) => {
  const key = own('multi');
  return {
    'MULTI and EXEC': async () => {
      equal(await client.multi().set(key, '1').incr(key).get(key).ping().exec(), ['OK', 2, '2', 'PONG']);
      equal(await client.multi().del(key).exec(), [1]);
    },
    'an error inside EXEC does not stop the rest': async () => {
      const error = await refusal(client.multi().set(key, 'text').incr(key).get(key).exec());
      equal(error.errorIndexes, [1]);
      holds(error.replies[1].message.startsWith('ERR value is not an integer'), error.replies[1].message);
      equal([error.replies[0], error.replies[2], await client.getDel(key)], ['OK', 'text', 'text']);
    },
    'a command that is none aborts EXEC': async () => {
      const error = await refusal(client.multi().set(key, '1').addCommand(['NO.SUCH']).exec());
      // node-redis gives the error that came first, that of the command.
      holds(/unknown command|EXECABORT/.test(error.message), error.message);
      equal(await client.exists(key), 0);
    },
    'WATCH: nobody came between': async () => {
      const watcher = await open();
      await watcher.watch([key, own('other')]);
      equal(await watcher.multi().set(key, 'mine').exec(), ['OK']);
      equal(await watcher.getDel(key), 'mine');
      await watcher.close();
    },
    'WATCH: somebody came between': async () => {
      const watcher = await open();
      await watcher.watch(key);
      await client.set(key, 'theirs');
      const error = await refusal(watcher.multi().set(key, 'mine').exec());
      holds(error instanceof WatchError, error.message);
      equal(await client.getDel(key), 'theirs');
      await watcher.close();
    },
    UNWATCH: async () => {
      const watcher = await open();
      await watcher.watch(key);
      await client.set(key, 'theirs');
      await watcher.unwatch();
      equal(await watcher.multi().getDel(key).exec(), ['theirs']);
      await watcher.close();
    },
    'WATCH again and again loses no increment': async () => {
      const add = async () => {
        const mine = await open();
        for (let left = 20; left > 0; ) {
          await mine.watch(key);
          const value = Number(await mine.get(key));
          const done = await mine.multi().set(key, value + 1).exec().catch((error) => error);
          if (!(done instanceof Error)) left -= 1;
          else if (!(done instanceof WatchError)) throw done;
        }
        await mine.close();
      };
      await Promise.all([add(), add(), add()]);
      equal(await client.getDel(key), '60');
    },
  };
};
