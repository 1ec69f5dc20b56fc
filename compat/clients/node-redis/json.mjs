// client.json, node-redis's interface to RedisJSON.
import { equal, holds, own, refusal } from '../../checks.mjs';

export const json = (client) => {
  const [key, other] = [own('json'), own('json:other')];
  const value = { name: 'Ada', n: 1, list: [1, 2, 3], in: { n: 2.5, on: true, none: null, text: 'é"\n' } };
  const at = (path) => client.json.get(key, { path });
  return {
    'json: set and get': async () => {
      equal(await client.json.get(key), null);
      equal(await client.json.set(key, '$', value), 'OK');
      equal(await client.json.get(key), value);
      equal(await at('$..n'), [1, 2.5]);
      equal(await at('.name'), 'Ada');
      equal(await at(['$.n', '$.list[-1:]']), { '$.n': [1], '$.list[-1:]': [3] });
      equal(await client.json.set(key, '$', 1, { condition: 'NX' }), null);
      equal(await client.json.set(key, '$.in.more', 'x', { condition: 'NX' }), 'OK');
      equal(await client.json.set(key, '$.nothing', 'x', { condition: 'XX' }), null);
      equal(await client.type(key), 'ReJSON-RL');
    },
    'json: mSet, mGet and merge': async () => {
      const items = [{ key, path: '$', value }, { key: other, path: '$', value: { n: 7 } }];
      equal(await client.json.mSet(items), 'OK');
      equal(await client.json.mGet([key, other, own('nothing')], '$.n'), [[1], [7], null]);
      equal(await client.json.merge(other, '$', { a: { b: 1 }, n: null }), 'OK');
      equal(await client.json.get(other), { a: { b: 1 } });
      equal(await client.del(other), 1);
    },
    'json: numbers, booleans and types': async () => {
      equal(await client.json.numIncrBy(key, '$..n', 1.5), [2.5, 4]);
      equal(await client.json.numMultBy(key, '$.n', 2), [5]);
      equal(await client.json.toggle(key, '$.in.on'), [0]);
      equal(await client.json.type(key, { path: '$..n' }), ['number', 'number']);
      equal(await client.json.type(key, { path: '$.*' }), ['string', 'number', 'array', 'object']);
    },
    'json: arrays': async () => {
      equal(await client.json.arrAppend(key, '$.list', 4, 'five'), [5]);
      equal(await client.json.arrInsert(key, '$.list', 0, 0), [6]);
      equal(await client.json.arrLen(key, { path: '$.list' }), [6]);
      equal(await client.json.arrIndex(key, '$.list', 3), [3]);
      equal(await client.json.arrPop(key, { path: '$.list', index: -1 }), ['five']);
      equal(await client.json.arrTrim(key, '$.list', 1, 2), [2]);
      equal(await at('$.list'), [[1, 2]]);
    },
    'json: strings and objects': async () => {
      equal(await client.json.strAppend(key, '!', { path: '$.name' }), [4]);
      equal(await client.json.strLen(key, { path: '$.name' }), [4]);
      equal(await client.json.objKeys(key, { path: '$.in' }), [['n', 'on', 'none', 'text']]);
      equal(await client.json.objLen(key, { path: '$' }), [4]);
      equal(await client.json.clear(key, { path: '$.list' }), 1);
      equal(await client.json.del(key, { path: '$..n' }), 2);
      equal(await at('$'), [{ name: 'Ada!', list: [], in: { on: false, none: null, text: 'é"\n' } }]);
    },
    'json: errors': async () => {
      await client.set(other, 'a string');
      const wrong = await refusal(client.json.get(other));
      equal(await client.del(other), 1);
      holds(/wrong Redis type|WRONGTYPE/.test(wrong.message), wrong.message);
      const missing = await refusal(client.json.set(own('nothing'), '$.a', 1));
      holds(missing.message.startsWith('ERR new objects must be created at the root'), missing.message);
    },
    'json: in MULTI, and deleted at the root': async () => {
      equal(await client.multi().json.set(key, '$', { n: 1 }).json.numIncrBy(key, '$.n', 1).json.get(key).exec(), ['OK', [2], { n: 2 }]);
      equal(await client.json.del(key), 1);
      equal(await client.exists(key), 0);
    },
  };
};
