// Filters: whether each document matches.
import { Query } from 'mingo';
import { Refused } from './server.mjs';
import { alone, explain, leaves } from './deviations.mjs';
import { path, scalar, value } from './random.mjs';

export const name = 'filters';

/** An operator with an operand that it can have. */
function condition(random, depth) {
  const operator = random.pick([
    '$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$in', '$nin', '$exists', '$type', '$regex', '$all', '$size', '$mod',
    '$elemMatch', '$not', '$bitsAllSet', '$bitsAnyClear',
  ]);
  switch (operator) {
    case '$gt': case '$gte': case '$lt': case '$lte':
      return { [operator]: random.oneIn(6) ? value(random, 1) : scalar(random) };
    case '$in': case '$nin':
      return { [operator]: random.list(3, () => value(random, 1)) };
    case '$exists':
      return { $exists: random.oneIn(2) };
    case '$type': {
      const type = () => random.pick(['string', 'int', 'number', 'bool', 'null', 'object', 'array', 2, 10, 'date']);
      return { $type: random.oneIn(3) ? [type(), type()] : type() };
    }
    case '$regex':
      return { $regex: random.pick(['a', '^a', 'b$', '^$', '.b', '[A-Z]', 'x?']), ...(random.oneIn(3) && { $options: 'i' }) };
    case '$all':
      return { $all: random.list(2, () => value(random, 1)) };
    case '$size':
      return { $size: random.below(4) };
    case '$mod':
      return { $mod: [random.pick([2, 3, -2]), random.pick([0, 1, -1])] };
    case '$elemMatch':
      return { $elemMatch: depth === 0 || random.oneIn(2) ? condition(random, 0) : filter(random, depth - 1) };
    case '$not':
      return { $not: depth === 0 ? { $gt: scalar(random) } : condition(random, depth - 1) };
    case '$bitsAllSet': case '$bitsAnyClear':
      return { [operator]: random.oneIn(2) ? random.below(8) : [random.below(4), random.below(4)] };
    default:
      return { [operator]: value(random, 1) };
  }
}

export function filter(random, depth) {
  const made = {};
  for (let left = 1 + random.below(2); left > 0; left--) {
    if (depth > 0 && random.oneIn(4)) {
      made[random.pick(['$and', '$or', '$nor'])] = [filter(random, depth - 1), filter(random, depth - 1)];
    } else if (random.oneIn(5)) {
      made[path(random)] = value(random, 1);
    } else {
      made[path(random)] = condition(random, depth);
    }
  }
  return made;
}

export function make(random) {
  return filter(random, 2);
}

/** What the server says of each document. */
async function ours(server, collection, documents, question) {
  const found = await server.send('DOC.FIND', collection, question, 'PROJECT', { _id: 1 });
  if (found instanceof Refused) return documents.map(() => found.message);
  const ids = new Set(found.map((text) => JSON.parse(text)._id));
  return documents.map((document) => ids.has(document._id));
}

/** What mingo says of each document. */
function theirs(documents, question) {
  try {
    const query = new Query(question);
    return documents.map((document) => query.test(document));
  } catch (error) {
    return documents.map(() => String(error));
  }
}

export async function compare(server, collection, documents, question) {
  const [mine, other] = [await ours(server, collection, documents, question), theirs(documents, question)];
  const differences = [];
  for (const [at, document] of documents.entries()) {
    if (mine[at] === other[at]) continue;
    // Of the conditions that the two answer differently each has to be a known deviation. If there is none, they are
    // combined differently, which nothing excuses.
    let known;
    for (const leaf of leaves(question)) {
      const single = alone(leaf);
      const [a, b] = [(await ours(server, collection, [document], single))[0], theirs([document], single)[0]];
      if (a === b) continue;
      known = explain(document, leaf);
      if (!known) break;
    }
    differences.push({ question, document, ours: mine[at], theirs: other[at], known });
  }
  return { asked: documents.length, differences };
}
