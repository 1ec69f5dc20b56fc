// Updates: what becomes of each document.
import { isDeepStrictEqual } from 'node:util';
import { updateOne } from 'mingo/updater';
import { Refused } from './server.mjs';
import { path, scalar, value } from './random.mjs';
import { isObject } from './deviations.mjs';

export const name = 'updates';
const MANUAL = 'https://www.mongodb.com/docs/manual/reference/operator/update';
const isArray = Array.isArray;

/** Where a path of an update leads: to a value, to a place where none is, or into a value that has no such members; and whether through an array. */
function place(document, path) {
  let at = document;
  let array = false;
  for (const step of path.split('.')) {
    if (at === undefined) continue;
    array ||= isArray(at);
    if (isObject(at)) at = Object.hasOwn(at, step) ? at[step] : undefined;
    else if (isArray(at) && /^[0-9]+$/.test(step)) at = at[Number(step)];
    else return { blocked: true, array };
  }
  return { blocked: false, array, missing: at === undefined, value: at };
}

/** What an operator has to find where there is something. */
const NEEDS = {
  $inc: (value) => typeof value === 'number',
  $mul: (value) => typeof value === 'number',
  $bit: (value) => Number.isInteger(value),
  $push: isArray,
  $addToSet: isArray,
  $pull: isArray,
  $pullAll: isArray,
  $pop: isArray,
};

const repeats = (list) => new Set(list.map((value) => JSON.stringify(value))).size < list.length;

const DEVIATIONS = [
  {
    name: 'a value of another type',
    what: 'MongoDB refuses to change a value of a type that the operator is not for; mingo leaves it',
    link: `${MANUAL}/`,
    holds: ({ operator, at, refused }) => refused && !at.blocked && !at.missing && NEEDS[operator]?.(at.value) === false,
  },
  {
    name: 'a path into a value without members',
    what: 'MongoDB refuses to make members of a scalar, of null, or by name of an array; mingo leaves them, makes them or goes into the elements',
    link: `${MANUAL}-field/`,
    holds: ({ at }) => at.blocked,
  },
  {
    name: '$rename inside an array',
    what: 'MongoDB refuses it',
    link: `${MANUAL}/rename/#behavior`,
    holds: ({ operator, at, refused }) => operator === '$rename' && refused && at.array,
  },
  {
    name: '$slice of an array that was not there',
    what: 'MongoDB cuts the new array as any other',
    link: `${MANUAL}/slice/`,
    holds: ({ operator, operand, at }) => operator === '$push' && at.missing && operand?.$slice !== undefined,
  },
  {
    name: '$addToSet to an array with duplicates',
    what: 'MongoDB leaves them; mingo takes them out, and then may think that nothing was added',
    link: `${MANUAL}/addToSet/#behavior`,
    holds: ({ operator, at }) => operator === '$addToSet' && isArray(at.value) && repeats(at.value),
  },
  {
    name: '$addToSet of duplicates to what was not there',
    what: 'MongoDB adds each value once',
    link: `${MANUAL}/addToSet/`,
    holds: ({ operator, operand, at }) => operator === '$addToSet' && at.missing && isObject(operand) && isArray(operand.$each) && repeats(operand.$each),
  },
  {
    name: '$pull and $pullAll of what is in arrays in the array',
    what: 'MongoDB removes elements that are equal to one of the values',
    link: `${MANUAL}/pull/#behavior`,
    holds: ({ operator, operand, at }) =>
      (operator === '$pullAll' || (operator === '$pull' && !isObject(operand))) && isArray(at.value) && at.value.some(isArray),
  },
  {
    name: '$min and $max of an array',
    what: 'MongoDB compares the array as a whole, by its type where the other is none; mingo compares its elements',
    link: `${MANUAL}/min/#behavior`,
    holds: ({ operator, at }) => ['$min', '$max'].includes(operator) && isArray(at.value),
  },
];

function change(random) {
  const operator = random.pick([
    '$set', '$unset', '$inc', '$mul', '$min', '$max', '$bit', '$push', '$addToSet', '$pull', '$pullAll', '$pop', '$rename',
  ]);
  switch (operator) {
    case '$set':
      return [operator, value(random, 2)];
    case '$unset':
      return [operator, ''];
    case '$inc': case '$mul':
      return [operator, random.pick([-1, 1, 2, 3, 0.5])];
    case '$min': case '$max':
      return [operator, scalar(random)];
    case '$bit':
      return [operator, { [random.pick(['and', 'or', 'xor'])]: random.below(8) }];
    case '$push': {
      if (random.oneIn(2)) return [operator, value(random, 1)];
      const spec = { $each: random.list(2, () => scalar(random)) };
      if (random.oneIn(2)) spec.$position = random.below(3);
      if (random.oneIn(2)) spec.$slice = random.pick([0, 1, 2, -1, -2]);
      return [operator, spec];
    }
    case '$addToSet':
      return [operator, random.oneIn(2) ? value(random, 1) : { $each: random.list(2, () => value(random, 1)) }];
    case '$pull':
      return [operator, random.oneIn(2) ? scalar(random) : { [random.pick(['$gt', '$lte', '$ne'])]: scalar(random) }];
    case '$pullAll':
      return [operator, random.list(2, () => scalar(random))];
    case '$pop':
      return [operator, random.pick([1, -1])];
    default:
      return [operator, random.pick(['d', 'd.a', 'e'])];
  }
}

export function make(random) {
  const made = {};
  const taken = [];
  for (let left = 1 + random.below(2); left > 0; left--) {
    const at = path(random);
    // Changes that meet are refused, as in MongoDB.
    if (taken.some((other) => `${other}.`.startsWith(`${at}.`) || `${at}.`.startsWith(`${other}.`))) continue;
    const [operator, operand] = change(random);
    if (operator === '$rename' && made.$rename) continue;
    taken.push(at);
    made[operator] = { ...made[operator], [at]: operand };
  }
  return made;
}

/** Each document after the update; the collection is as it was again when this is over. */
async function ours(server, collection, documents, update) {
  const replies = [];
  for (const document of documents) {
    replies.push(server.send('DOC.FINDANDMODIFY', collection, { _id: document._id }, update, 'NEW'));
    server.send('DOC.SET', collection, String(document._id), document);
  }
  return (await Promise.all(replies)).map((reply) => (reply instanceof Refused ? reply : JSON.parse(reply)));
}

function theirs(documents, update) {
  return documents.map((document) => {
    const list = [structuredClone(document)];
    try {
      updateOne(list, { _id: document._id }, structuredClone(update), { cloneMode: 'deep' });
      // A hole in an array is null.
      return JSON.parse(JSON.stringify(list[0]));
    } catch (error) {
      return error;
    }
  });
}

const differ = (mine, other) =>
  mine instanceof Error || other instanceof Error
    ? !(mine instanceof Error && other instanceof Error)
    : !isDeepStrictEqual(mine, other);

export async function compare(server, collection, documents, question) {
  const [mine, other] = [await ours(server, collection, documents, question), theirs(documents, question)];
  const changes = Object.entries(question).flatMap(([operator, fields]) =>
    Object.entries(fields).map(([path, operand]) => ({ operator, path, operand })),
  );
  const differences = [];
  for (const [index, document] of documents.entries()) {
    if (!differ(mine[index], other[index])) continue;
    let known;
    for (const { operator, path, operand } of changes) {
      const single = { [operator]: { [path]: operand } };
      const [[a], [b]] = [await ours(server, collection, [document], single), theirs([document], single)];
      if (!differ(a, b)) continue;
      const at = place(document, path);
      known = DEVIATIONS.find((deviation) => deviation.holds({ operator, operand, path, at, refused: a instanceof Refused }))?.name;
      if (!known) break;
    }
    differences.push({ question, document, ours: text(mine[index]), theirs: text(other[index]), known });
  }
  return { asked: documents.length, differences };
}

const text = (answer) => (answer instanceof Error ? answer.message : answer);
