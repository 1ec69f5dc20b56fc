// Projections: what is answered of each document.
import { isDeepStrictEqual } from 'node:util';
import { Query } from 'mingo';
import { Refused } from './server.mjs';
import { path, scalar } from './random.mjs';
import { isObject, meet } from './deviations.mjs';

export const name = 'projections';
const MANUAL = 'https://www.mongodb.com/docs/manual';
const isIndex = (step) => /^[0-9]+$/.test(step);

const DEVIATIONS = [
  {
    name: 'null in the way of a path to leave out',
    what: 'MongoDB leaves an element that is no object as it is; mingo stumbles over null',
    link: `${MANUAL}/tutorial/project-fields-from-query-results/`,
    holds: ({ path, asked, met, failed }) => failed && asked === 'leave' && path.includes('.') && met.array,
  },
  {
    name: 'indexes in projections',
    what: 'In MongoDB a number in the path of a projection names a member, never an element',
    link: `${MANUAL}/reference/method/db.collection.find/#projection`,
    holds: ({ path, met }) => path.split('.').some(isIndex) && (met.array || met.values.some(Array.isArray)),
  },
  {
    name: 'values in the way of a projection',
    what: 'MongoDB keeps an object on the way whose member is missing, empty, and the elements of an array that are no objects go',
    link: `${MANUAL}/tutorial/project-fields-from-query-results/#return-specific-fields-in-embedded-documents`,
    holds: ({ path, asked, met }) => path.includes('.') && asked === 'keep' && (met.missing || met.array),
  },
  {
    name: 'arrays in arrays in projections',
    what: 'MongoDB goes into arrays at any depth',
    link: `${MANUAL}/tutorial/project-fields-from-query-results/#project-specific-array-elements-in-the-returned-array`,
    holds: ({ path, met }) => path.includes('.') && met.nested,
  },
  {
    name: '$slice under a path with dots',
    what: 'MongoDB cuts each array at the end of the path where it is; mingo puts what it gathered there',
    link: `${MANUAL}/reference/operator/projection/slice/`,
    holds: ({ path, asked, met }) => asked === '$slice' && path.includes('.') && (met.array || met.missing),
  },
  {
    name: '$slice where no path is kept',
    what: 'In MongoDB a $slice by itself leaves out nothing; to mingo it is a path to keep',
    link: `${MANUAL}/reference/operator/projection/slice/#behavior`,
    holds: ({ question, asked }) => asked === '$slice' && !Object.values(question).includes(1),
  },
  {
    name: '$elemMatch of elements that are no objects',
    what: 'To the filter an array is an object named by indexes and a scalar has no fields; mingo takes a scalar for the value at any path',
    link: `${MANUAL}/reference/operator/projection/elemMatch/`,
    holds: ({ asked, met }) => asked === '$elemMatch' && met.values.flat().some((value) => !isObject(value)),
  },
];

export function make(random) {
  const made = {};
  const keep = random.oneIn(2) ? 1 : 0;
  for (let left = 1 + random.below(3); left > 0; left--) {
    const at = path(random);
    // Two paths of which one is inside the other are refused, as in MongoDB.
    if (Object.keys(made).some((other) => `${other}.`.startsWith(`${at}.`) || `${at}.`.startsWith(`${other}.`))) continue;
    if (keep && random.oneIn(6)) {
      made[at.split('.')[0]] = { $elemMatch: { [random.pick(['a', 'b'])]: { [random.pick(['$eq', '$gt', '$ne'])]: scalar(random) } } };
      break;
    }
    made[at] = random.oneIn(6) ? { $slice: random.pick([1, 2, -1, [1, 1], [-2, 1]]) } : keep;
  }
  const flags = Object.values(made).some((value) => typeof value === 'number');
  // What `_id` by itself says of the rest is another rule in MongoDB and mingo where only operators stand beside it.
  if (flags && random.oneIn(4)) made._id = 0;
  return made;
}

async function ours(server, collection, documents, question) {
  const found = await server.send('DOC.FIND', collection, {}, 'PROJECT', question);
  return found instanceof Refused ? documents.map(() => found.message) : found.map((text) => JSON.parse(text));
}

function theirs(documents, question) {
  return documents.map((document) => {
    try {
      // A member that is undefined is one that is not there.
      return JSON.parse(JSON.stringify(new Query({}).find([structuredClone(document)], question).all()[0]));
    } catch (error) {
      return String(error);
    }
  });
}

export async function compare(server, collection, documents, question) {
  const [mine, other] = [await ours(server, collection, documents, question), theirs(documents, question)];
  const differences = [];
  for (const [at, document] of documents.entries()) {
    if (isDeepStrictEqual(mine[at], other[at])) continue;
    // Whatever the two say of what they refuse.
    const failed = typeof other[at] === 'string';
    if (failed && typeof mine[at] === 'string') continue;
    let known;
    for (const [path, value] of Object.entries(question)) {
      const asked = isObject(value) ? Object.keys(value)[0] : value ? 'keep' : 'leave';
      const met = meet(document, path);
      known ??= DEVIATIONS.find((deviation) => deviation.holds({ question, path, asked, met, failed }))?.name;
    }
    differences.push({ question, document, ours: mine[at], theirs: other[at], known });
  }
  return { asked: documents.length, differences };
}
