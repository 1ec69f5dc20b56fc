// Sorts: in which order documents stand. Each two neighbours in the server's answer are put in order by mingo too.
import { Query } from 'mingo';
import { Refused } from './server.mjs';
import { path } from './random.mjs';
import { isObject, meet } from './deviations.mjs';

export const name = 'sorts';
const MANUAL = 'https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/';

// MongoDB promises no order of documents that are equal; here they stay in natural order, mingo may turn them round:
// https://www.mongodb.com/docs/manual/reference/method/cursor.sort/#sort-consistency
const TURNED = 'equal values, descending';

const DEVIATIONS = [
  {
    name: 'arrays in sorts',
    what: 'In MongoDB an array stands for its least element, descending for its greatest, and an empty one comes before null',
    link: `${MANUAL}#arrays`,
    holds: (a, b) => [a, b].some((met) => met.array || met.values.some(Array.isArray)),
  },
  {
    name: 'null and missing in sorts',
    what: 'MongoDB sorts a missing field as null',
    link: `${MANUAL}#non-existent-fields`,
    holds: (a, b) => [a, b].some((met) => met.missing) && [a, b].some((met) => met.values[0] === null),
  },
  {
    name: 'objects in sorts',
    what: 'MongoDB compares the members one by one, type before name before value',
    link: `${MANUAL}#objects`,
    holds: (a, b) => isObject(a.values[0]) && isObject(b.values[0]),
  },
];

export function make(random) {
  const keys = {};
  for (let left = 1 + random.below(2); left > 0; left--) keys[path(random)] = random.pick([1, -1]);
  return keys;
}

export async function compare(server, collection, documents, question) {
  const order = async (sort, ids) => {
    const found = await server.send('DOC.FIND', collection, { _id: { $in: ids } }, 'SORT', sort, 'PROJECT', { _id: 1 });
    return found instanceof Refused ? found : found.map((text) => JSON.parse(text)._id);
  };
  const all = documents.map((document) => document._id);
  const ours = await order(question, all);
  if (ours instanceof Refused) {
    // Keys of two arrays have no order between them, in MongoDB neither:
    // https://www.mongodb.com/docs/manual/reference/method/cursor.sort/#sort-by-an-array-field
    const parallel = documents.some((document) => {
      const arrays = Object.keys(question).map((key) => meet(document, key));
      return arrays.filter((met) => met.array || met.values.some(Array.isArray)).length > 1;
    });
    const known = parallel ? 'keys that are parallel arrays' : undefined;
    return { asked: 1, differences: [{ question, ours: ours.message, theirs: 'an order', known }] };
  }
  const differences = [];
  // Which of two comes first by mingo, as they are handed over.
  const first = (pair, sort) => new Query({}).find(pair).sort(sort).all()[0]._id;
  for (let at = 0; at + 1 < ours.length; at++) {
    const pair = [ours[at], ours[at + 1]].sort((a, b) => a - b).map((id) => documents[id]);
    const theirs = first(pair, question);
    if (theirs === ours[at]) continue;
    let known;
    for (const [key, direction] of Object.entries(question)) {
      const [a, b] = pair.map((document) => meet(document, key));
      known = DEVIATIONS.find((deviation) => deviation.holds(a, b))?.name ?? known;
      if (known && known !== TURNED) break;
      // Equal are those that stay in natural order in either direction, and to mingo as they were handed over.
      const ids = pair.map((document) => document._id);
      const [up, down] = [(await order({ [key]: 1 }, ids))[0], (await order({ [key]: -1 }, ids))[0]];
      const [here, there] = [first(pair, { [key]: 1 }), first(pair.toReversed(), { [key]: 1 })];
      const [mine, other] = [up === down ? undefined : up, here === there ? here : undefined];
      if (mine !== other) known = undefined;
      if (mine !== undefined || other !== undefined) break;
      if (direction < 0) known = TURNED;
    }
    differences.push({ question, document: pair, ours: ours[at], theirs, known });
  }
  return { asked: ours.length - 1, differences };
}
