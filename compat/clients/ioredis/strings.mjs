// Strings, keys and their expiry, and the stream of SCAN.
import { equal, holds, own, until } from '../../checks.mjs';

export const strings = (client) => {
  const [key, other] = [own('string'), own('other')];
  return {
    'SET and GET': async () => {
      equal(await client.get(key), null);
      equal(await client.set(key, 'é\u0000\u{1f600}'), 'OK');
      equal(await client.get(key), 'é\u0000\u{1f600}');
      equal(await client.set(key, 'b', 'NX'), null);
      equal(await client.set(key, 'b', 'XX', 'GET'), 'é\u0000\u{1f600}');
      equal(await client.setnx(other, 'c'), 1);
      equal(await client.mget(key, own('nothing'), other), ['b', null, 'c']);
      equal(await client.exists(key, key, own('nothing')), 2);
      equal(await client.type(key), 'string');
      equal(await client.del(key, other), 2);
    },
    'any bytes': async () => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const name = Buffer.concat([Buffer.from(key), bytes]);
      await client.set(name, bytes);
      equal(await client.getdelBuffer(name), bytes);
    },
    'parts of strings and numbers': async () => {
      equal(await client.append(key, 'Hello'), 5);
      equal(await client.append(key, ' World'), 11);
      equal([await client.strlen(key), await client.getrange(key, -5, -1)], [11, 'World']);
      equal(await client.setrange(key, 6, 'Redis'), 11);
      equal(await client.getset(key, '1'), 'Hello Redis');
      equal([await client.incr(key), await client.incrby(key, 40), await client.decr(key), await client.decrby(key, 1)], [2, 42, 41, 40]);
      equal(await client.incrbyfloat(key, 0.5), '40.5');
      equal(await client.msetnx(key, 'a', other, 'b'), 0);
      equal(await client.mset({ [key]: 'a', [other]: 'b' }), 'OK');
      equal([await client.renamenx(other, key), await client.rename(other, key)], [0, 'OK']);
      equal([await client.get(key), await client.unlink(key)], ['b', 1]);
    },
    expiry: async () => {
      await client.set(key, 'a', 'EX', 100);
      const left = await client.pttl(key);
      holds(left > 90_000 && left <= 100_000, `PTTL is ${left}`);
      equal([await client.set(key, 'b', 'KEEPTTL'), await client.ttl(key)], ['OK', 100]);
      equal([await client.persist(key), await client.ttl(key), await client.ttl(own('nothing'))], [1, -1, -2]);
      const at = Math.floor(Date.now() / 1000) + 50;
      equal([await client.expireat(key, at), await client.expiretime(key), await client.pexpiretime(key)], [1, at, at * 1000]);
      equal([await client.expire(key, 10, 'GT'), await client.expire(key, 10, 'LT')], [0, 1]);
      equal(await client.getex(key, 'PX', 20), 'b');
      await until(async () => (await client.get(key)) === null);
      equal(await client.psetex(key, 100_000, 'c'), 'OK');
      equal([await client.pexpire(key, -1), await client.exists(key)], [1, 0]);
    },
    'the stream of SCAN': async () => {
      const names = Array.from({ length: 300 }, (_, at) => own(`scan:${at}`));
      await client.mset(...names.flatMap((name) => [name, '1']));
      const seen = new Set();
      for await (const batch of client.scanStream({ match: own('scan:*'), count: 50 })) {
        batch.forEach((name) => seen.add(name));
      }
      equal([...seen].sort(), names.sort());
      equal((await client.keys(own('scan:?'))).length, 10);
      equal(await client.del(names), 300);
    },
  };
};
