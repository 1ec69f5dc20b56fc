// Strings, keys and their expiry, and the iterator of SCAN.
import { RESP_TYPES } from 'redis';
import { equal, holds, own, until } from '../../checks.mjs';

export const strings = (client) => {
  const [key, other] = [own('string'), own('other')];
  return {
    'SET and GET': async () => {
      equal(await client.get(key), null);
      equal(await client.set(key, 'é\u0000\u{1f600}'), 'OK');
      equal(await client.get(key), 'é\u0000\u{1f600}');
      equal(await client.set(key, 'b', { condition: 'NX' }), null);
      equal(await client.set(key, 'b', { condition: 'XX', GET: true }), 'é\u0000\u{1f600}');
      equal(await client.setNX(other, 'c'), 1);
      equal(await client.mGet([key, own('nothing'), other]), ['b', null, 'c']);
      equal(await client.exists([key, other, own('nothing')]), 2);
      equal(await client.type(key), 'string');
      equal(await client.del([key, other]), 2);
    },
    'any bytes': async () => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const raw = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      await client.set(key, bytes);
      holds(bytes.equals(await raw.getDel(key)), 'other bytes');
    },
    'a megabyte': async () => {
      const text = 'x'.repeat(1 << 20);
      await client.set(key, text);
      equal(await client.strLen(key), text.length);
      holds((await client.getDel(key)) === text, 'another text');
    },
    'parts of strings and numbers': async () => {
      equal(await client.append(key, 'Hello'), 5);
      equal(await client.append(key, ' World'), 11);
      equal(await client.getRange(key, -5, -1), 'World');
      equal(await client.setRange(key, 6, 'Redis'), 11);
      equal(await client.getDel(key), 'Hello Redis');
      equal([await client.incr(key), await client.incrBy(key, 41), await client.decr(key), await client.decrBy(key, 1)], [1, 42, 41, 40]);
      equal(await client.incrByFloat(key, 0.5), '40.5');
      equal(await client.getEx(key, { type: 'PERSIST' }), '40.5');
      equal(await client.mSetNX({ [key]: 'a', [other]: 'b' }), 0);
      equal(await client.mSet({ [key]: 'a', [other]: 'b' }), 'OK');
      equal(await client.rename(other, key), 'OK');
      equal([await client.get(key), await client.unlink(key)], ['b', 1]);
    },
    expiry: async () => {
      await client.set(key, 'a', { expiration: { type: 'EX', value: 100 } });
      const left = await client.pTTL(key);
      holds(left > 90_000 && left <= 100_000, `PTTL is ${left}`);
      equal(await client.set(key, 'b', { expiration: 'KEEPTTL' }), 'OK');
      equal(await client.ttl(key), 100);
      equal(await client.persist(key), 1);
      equal([await client.ttl(key), await client.ttl(own('nothing'))], [-1, -2]);
      const at = Math.floor(Date.now() / 1000) + 50;
      equal(await client.expireAt(key, at), 1);
      equal(await client.expireTime(key), at);
      equal([await client.expire(key, 10, 'GT'), await client.expire(key, 10, 'LT')], [0, 1]);
      equal(await client.getEx(key, { type: 'PX', value: 20 }), 'b');
      await until(async () => (await client.get(key)) === null);
      equal(await client.exists(key), 0);
      await client.setEx(key, 100, 'c');
      equal(await client.pExpire(key, -1), 1);
      equal(await client.get(key), null);
    },
    'the iterator of SCAN': async () => {
      const names = Array.from({ length: 300 }, (_, at) => own(`scan:${at}`));
      await client.mSet(names.map((name) => [name, '1']));
      const seen = new Set();
      for await (const batch of client.scanIterator({ MATCH: own('scan:*'), COUNT: 50, TYPE: 'string' })) {
        batch.forEach((name) => seen.add(name));
      }
      equal([...seen].sort(), names.sort());
      equal((await client.keys(own('scan:?'))).length, 10);
      equal(await client.del(names), 300);
    },
  };
};
