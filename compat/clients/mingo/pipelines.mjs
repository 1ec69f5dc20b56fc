// Pipelines: what comes out of one to five stages.
//
// What is asked keeps to what both can be asked. Operands of operators that want one type are guarded ($isNumber,
// $isArray, $type), because mingo takes what MongoDB refuses. Other things are not generated for the reasons that stand
// beside their place.
import { Aggregator, ProcessingMode } from 'mingo';
import { filter } from './filters.mjs';
import { path as anyPath, scalar, value } from './random.mjs';
import { alone, explain, isObject, leaves, meet } from './deviations.mjs';
import { Refused } from './server.mjs';

export const name = 'pipelines';
const MANUAL = 'https://www.mongodb.com/docs/manual/reference/operator/aggregation';
const isArray = Array.isArray;
const FIELDS = ['a', 'b', 'c'];

// ---- Expressions ----
//
// `scope` holds what an expression can read: paths, and variables by the type that they are known to have.

/**
 * A path, or a variable of any type. No path has a number (to mingo it is an index, in MongoDB's expressions a name:
 * https://www.mongodb.com/docs/manual/core/field-paths/), and none goes into a variable that may be no object.
 */
function read(random, scope) {
  if (scope.any?.length && random.oneIn(2)) return random.pick(scope.any);
  const first = random.pick(scope.fields);
  return `$${random.oneIn(12) ? `${first}.${random.pick(FIELDS)}` : first}`;
}

/** A number. Numbers stay small, so that they are exact in whatever order they are summed. */
function number(random, scope, depth) {
  if (scope.numbers?.length && random.oneIn(2)) return random.pick(scope.numbers);
  if (depth <= 0 || random.oneIn(5)) {
    if (random.oneIn(4)) return random.pick([-2, -1, 0, 1, 2, 3, 0.5]);
    const from = read(random, scope);
    return { $cond: [{ $isNumber: from }, from, random.pick([0, 1, 5])] };
  }
  const one = () => number(random, scope, depth - 1);
  switch (random.below(20)) {
    case 0: case 1: return { $add: [one(), one(), ...random.list(1, one)] };
    case 2: return { $subtract: [one(), one()] };
    case 3: return { $multiply: [one(), one()] };
    // A division by zero is refused by both; the quotients are exact.
    case 4: return { $divide: [one(), random.pick([2, 4, -2, 0.5])] };
    case 5: return { $mod: [one(), random.pick([2, 3, -2, 0.5])] };
    case 6: return { [random.pick(['$abs', '$floor', '$ceil'])]: one() };
    case 7: return { [random.pick(['$round', '$trunc'])]: [one(), 0] };
    case 8: case 9: return { $size: list(random, scope, depth - 1) };
    case 10: return { $strLenCP: text(random, scope, depth - 1) };
    case 11: return { $cond: [truth(random, scope, depth - 1), one(), one()] };
    case 12: return { $ifNull: [{ $arrayElemAt: [numbers(random, scope, depth - 1), random.pick([0, 1, -1, 5])] }, one()] };
    case 13: return { [random.pick(['$sum', '$max', '$min', '$avg'])]: [one(), one(), ...random.list(1, one)] };
    case 14: return { $sum: numbers(random, scope, depth - 1) };
    // mingo binds $$this once in whatever is nested, so that nothing is nested in a $reduce.
    case 15: return { $reduce: { input: numbers(random, scope, depth - 1), initialValue: one(), in: { [random.pick(['$add', '$subtract', '$max', '$min'])]: ['$$value', '$$this'] } } };
    case 16: return { $size: sets(random, scope, depth - 1) };
    case 17: return { $indexOfArray: [list(random, scope, depth - 1), random.oneIn(2) ? one() : { $literal: scalar(random) }] };
    case 18: return { $switch: { branches: [{ case: truth(random, scope, depth - 1), then: one() }, { case: truth(random, scope, depth - 1), then: one() }], default: one() } };
    default: return { $let: { vars: { v: one() }, in: number(random, { ...scope, numbers: [...(scope.numbers ?? []), '$$v'] }, depth - 1) } };
  }
}

function text(random, scope, depth) {
  if (scope.texts?.length && random.oneIn(2)) return random.pick(scope.texts);
  if (depth <= 0 || random.oneIn(4)) {
    if (random.oneIn(4)) return random.pick(['', 'a', 'B', 'xy', ' a ']);
    const from = read(random, scope);
    return { $cond: [{ $eq: [{ $type: from }, 'string'] }, from, random.pick(['', 'no'])] };
  }
  const one = () => text(random, scope, depth - 1);
  switch (random.below(9)) {
    case 0: case 1: return { $concat: [one(), one()] };
    case 2: return { [random.pick(['$toUpper', '$toLower'])]: one() };
    case 3: return { $substrCP: [one(), random.below(3), random.below(3)] };
    case 4: return { $cond: { if: truth(random, scope, depth - 1), then: one(), else: one() } };
    // Whole numbers, of which none is less than zero and zero: of those MongoDB writes the sign, of others mingo all digits.
    case 5: return { $toString: random.oneIn(2) ? truth(random, scope, depth - 1) : { $add: [{ $floor: number(random, scope, depth - 1) }, 0] } };
    case 6: return { [random.pick(['$trim', '$ltrim', '$rtrim'])]: { input: one(), chars: random.pick(['a', ' ', 'ab']) } };
    case 7: return { [random.pick(['$replaceOne', '$replaceAll'])]: { input: one(), find: random.pick(['a', 'b', 'xy']), replacement: one() } };
    default: return { $reduce: { input: texts(random, scope, depth - 1), initialValue: one(), in: { $concat: ['$$value', '$$this'] } } };
  }
}

function truth(random, scope, depth) {
  if (depth <= 0) return random.oneIn(4) ? random.oneIn(2) : { [random.pick(['$isNumber', '$isArray'])]: read(random, scope) };
  const one = () => truth(random, scope, depth - 1);
  switch (random.below(12)) {
    case 0: case 1: case 2: {
      // Of one type, and no arrays: mingo compares the elements of an array, and finds no order between types.
      const of = random.pick([number, number, text]);
      return { [random.pick(['$eq', '$ne', '$gt', '$gte', '$lt', '$lte'])]: [of(random, scope, depth - 1), of(random, scope, depth - 1)] };
    }
    case 3: {
      // Of any types, but arrays and objects only now and then: those mingo compares otherwise.
      const of = random.oneIn(6) ? any : key;
      return { $gt: [{ $cmp: [of(random, scope, depth - 1), of(random, scope, depth - 1)] }, random.pick([0, -1])] };
    }
    case 4: return { [random.pick(['$eq', '$ne'])]: [any(random, scope, depth - 1), any(random, scope, depth - 1)] };
    case 5: {
      if (!random.oneIn(6)) return { $ne: [any(random, scope, depth - 1), key(random, scope, depth - 1)] };
      return { [random.pick(['$gt', '$gte', '$lt', '$lte'])]: [any(random, scope, depth - 1), any(random, scope, depth - 1)] };
    }
    case 6: return { [random.pick(['$and', '$or'])]: random.list(3, () => (random.oneIn(2) ? one() : any(random, scope, depth - 1))) };
    case 7: return { $not: [random.oneIn(2) ? one() : number(random, scope, depth - 1)] };
    case 8: return { $in: [any(random, scope, depth - 1), list(random, scope, depth - 1)] };
    case 9: return { [random.pick(['$anyElementTrue', '$allElementsTrue'])]: [list(random, scope, depth - 1)] };
    case 10: return { [random.pick(['$setEquals', '$setIsSubset'])]: [list(random, scope, depth - 1), list(random, scope, depth - 1)] };
    // Not whether a number is an int: to mingo every whole number is one.
    default: return { $eq: [{ $type: read(random, scope) }, random.pick(['string', 'bool', 'null', 'object', 'array', 'missing'])] };
  }
}

/** An array of anything. */
function list(random, scope, depth) {
  if (depth <= 0 || random.oneIn(4)) {
    if (random.oneIn(5)) return { $literal: random.list(3, () => value(random, 1)) };
    const from = read(random, scope);
    return { $cond: [{ $isArray: [from] }, from, random.oneIn(2) ? [] : [1, 'a']] };
  }
  const one = () => list(random, scope, depth - 1);
  switch (random.below(11)) {
    case 0: case 1: return { $concatArrays: [one(), one()] };
    case 2: return { $slice: [one(), random.pick([1, 2, -1, -2])] };
    case 3: return { $slice: [one(), random.pick([0, 1, -1, -2]), random.pick([1, 2])] };
    case 4: return { $reverseArray: one() };
    case 5: return { $filter: { input: one(), as: 'e', cond: truth(random, within(scope, 'e', 'any'), depth - 1), ...(random.oneIn(3) && { limit: 1 + random.below(2) }) } };
    // What is missing becomes null in MongoDB, and no element in what mingo goes on with.
    case 6: return { $map: { input: one(), as: 'm', in: { $ifNull: [any(random, within(scope, 'm', 'any'), depth - 1), null] } } };
    case 7: return { $map: { input: numbers(random, scope, depth - 1), as: 'n', in: number(random, within(scope, 'n', 'numbers'), depth - 1) } };
    case 8: return numbers(random, scope, depth - 1);
    case 9: return texts(random, scope, depth - 1);
    default: return { $range: [random.below(3), random.below(5)] };
  }
}

function numbers(random, scope, depth) {
  const found = { $filter: { input: list(random, scope, depth - 1), as: 'f', cond: { $isNumber: '$$f' } } };
  if (depth > 0 && random.oneIn(3)) return { $sortArray: { input: found, sortBy: random.pick([1, -1]) } };
  return found;
}

function texts(random, scope, depth) {
  if (depth > 0 && random.oneIn(2)) return { $split: [text(random, scope, depth - 1), random.pick(['a', 'b', ' '])] };
  return { $filter: { input: list(random, scope, depth - 1), as: 't', cond: { $eq: [{ $type: '$$t' }, 'string'] } } };
}

/** Arrays whose elements MongoDB promises no order of: only their sizes and, sorted, their numbers are looked at. */
function sets(random, scope, depth) {
  return { [random.pick(['$setUnion', '$setIntersection', '$setDifference'])]: [list(random, scope, depth), list(random, scope, depth)] };
}

function any(random, scope, depth) {
  switch (random.below(depth > 0 ? 10 : 4)) {
    case 0: case 1: case 2: return read(random, scope);
    case 3: return { $literal: value(random, 1) };
    case 4: return number(random, scope, depth - 1);
    case 5: return text(random, scope, depth - 1);
    case 6: return truth(random, scope, depth - 1);
    case 7: return list(random, scope, depth - 1);
    case 8: return { $ifNull: [read(random, scope), any(random, scope, depth - 1)] };
    default: return { a: any(random, scope, depth - 1), b: number(random, scope, depth - 1) };
  }
}

const within = (scope, name, type) => ({ ...scope, [type]: [...(scope[type] ?? []), `$$${name}`] });

/** A scalar that is there: what groups and orders can be made by without arrays, null and objects in the way. */
function key(random, scope, depth) {
  return random.pick([number, number, text, truth])(random, scope, depth);
}

// ---- Stages ----
//
// `state` is what is known of the rows: the fields that can be read; the keys that put them in an order without ties (null
// if there are none); whether they stand in such an order. Names tell what may be compared: an array in a member that
// begins with `set` has no order that MongoDB promises.

let made = 0;
const fresh = (prefix) => `${prefix}${(made += 1)}`;

/** A sort without ties, by a computed member now and then. */
function order(random, state) {
  const keys = {};
  if (state.fresh?.length && random.oneIn(2)) keys[random.pick(state.fresh)] = random.pick([1, -1]);
  for (const each of state.total) keys[each] ??= random.pick([1, 1, -1]);
  return keys;
}

function accumulators(random, state) {
  const outputs = {};
  const fields = [];
  const scalars = [];
  for (let left = 1 + random.below(3); left > 0; left--) {
    const made = fresh('g');
    const choice = random.below(state.sorted && state.total ? 16 : 9);
    const scope = state;
    switch (choice) {
      case 0: case 1: outputs[made] = { $sum: random.oneIn(3) ? 1 : random.oneIn(3) ? read(random, scope) : number(random, scope, 2) }; break;
      case 2: outputs[made] = { $avg: random.oneIn(3) ? read(random, scope) : number(random, scope, 2) }; break;
      case 3: outputs[made] = { [random.pick(['$min', '$max'])]: key(random, scope, 2) }; break;
      case 4: outputs[made] = { $count: {} }; break;
      // Of numbers only: of none MongoDB makes null, mingo what is no number.
      case 5: outputs[made] = { $stdDevPop: number(random, scope, 2) }; break;
      case 6: outputs[made] = { [random.pick(['$maxN', '$minN'])]: { n: 1 + random.below(3), input: number(random, scope, 2) } }; fields.push(made); continue;
      // mingo adds null for what is missing.
      case 7: outputs[fresh('set')] = { $addToSet: key(random, scope, 2) }; continue;
      case 8: outputs[fresh('set')] = { $push: random.oneIn(4) ? '$$ROOT' : { $ifNull: [any(random, scope, 2), null] } }; continue;
      case 9: case 10: outputs[made] = { [random.pick(['$first', '$last'])]: any(random, scope, 2) }; fields.push(made); continue;
      case 11: case 12: outputs[made] = { $push: random.oneIn(4) ? '$$ROOT' : { $ifNull: [any(random, scope, 2), null] } }; fields.push(made); continue;
      case 13: outputs[made] = { [random.pick(['$firstN', '$lastN'])]: { n: 1 + random.below(3), input: any(random, scope, 2) } }; fields.push(made); continue;
      // mingo makes an array of one of $top and $bottom.
      case 14: outputs[made] = { [random.pick(['$topN', '$bottomN'])]: { n: 1 + random.below(2), sortBy: order(random, state), output: any(random, scope, 2) } }; fields.push(made); continue;
      // mingo merges the documents whatever the operand is.
      default: outputs[made] = { $mergeObjects: '$$ROOT' }; fields.push(made); continue;
    }
    fields.push(made);
    scalars.push(made);
  }
  return { outputs, fields, scalars };
}

/** Members of a window's rows. Windows end no earlier than at the row before: mingo counts those from the end. */
function windows(random, state, single) {
  const window = () => ({ documents: random.pick([['unbounded', 'current'], [-1, 1], [0, 1], [-2, 0], ['current', 'unbounded'], ['unbounded', 'unbounded'], [-2, -1], [1, 2]]) });
  const output = {};
  const fields = [];
  for (let left = 1 + random.below(2); left > 0; left--) {
    const made = fresh('w');
    switch (random.below(single ? 8 : 6)) {
      case 0: case 1: output[made] = { [random.pick(['$sum', '$avg'])]: number(random, state, 2), window: window() }; break;
      case 2: output[made] = { [random.pick(['$min', '$max'])]: number(random, state, 2), window: window() }; break;
      case 3: output[made] = { $push: { $ifNull: [any(random, state, 1), null] }, window: window() }; break;
      // Not over windows without rows: there mingo evaluates the operand over nothing.
      case 4: output[made] = { [random.pick(['$first', '$last'])]: any(random, state, 1), window: { documents: random.pick([['unbounded', 'current'], [-1, 1], ['current', 2]]) } }; break;
      case 5: output[made] = { $shift: { output: any(random, state, 1), by: random.pick([-2, -1, 1, 2]), default: random.pick([null, 0, 'none']) } }; break;
      case 6: output[made] = { $documentNumber: {} }; break;
      default: output[made] = { [random.pick(['$rank', '$denseRank'])]: {} }; break;
    }
    fields.push(made);
  }
  return { output, fields };
}

function match(random, state) {
  if (random.oneIn(3)) return { $expr: truth(random, state, 3) };
  const at = () => (random.oneIn(2) ? random.pick(state.fields) : anyPath(random));
  if (random.oneIn(4)) return filter(random, 1);
  return { [at()]: { [random.pick(['$gt', '$gte', '$lt', '$lte', '$ne', '$eq'])]: random.pick([-1, 0, 1, 2, 'a', true]) } };
}

/** One stage, or none where it makes no sense; changes what is known of the rows. */
function stage(random, state, inside) {
  switch (random.below(inside ? 22 : 30)) {
    case 0: case 1: case 2: return [{ $match: match(random, state) }];
    case 3: {
      // Members of members are what projections.mjs asks.
      const keep = random.oneIn(2);
      const shown = {};
      for (const each of state.fields) if (random.oneIn(2)) shown[each] = keep ? 1 : 0;
      if (Object.keys(shown).length === 0) return [];
      if (random.oneIn(5) && !state.total?.includes('_id')) shown._id = 0;
      const left = state.fields.filter((each) => (shown[each] !== undefined) === keep);
      if (!keep && left.length === 0) return [];
      if (state.total?.some((each) => each !== '_id' && !left.includes(each))) state.total = null;
      state.fields = left;
      state.fresh = state.fresh?.filter((each) => left.includes(each));
      return [{ $project: shown }];
    }
    case 4: case 5: {
      const shown = {};
      const fields = [];
      for (const each of state.fields) if (random.oneIn(3)) { shown[each] = 1; fields.push(each); }
      const scalars = [];
      for (let left = 1 + random.below(2); left > 0; left--) {
        const made = fresh('p');
        const scalar = random.oneIn(2);
        // An array of constants is read as one of expressions by both, {a: ..} as members to project.
        shown[made] = scalar ? wrap(key(random, state, 3)) : wrap(any(random, state, 3));
        fields.push(made);
        if (scalar) scalars.push(made);
      }
      if (state.total?.some((each) => each !== '_id' && !fields.includes(each))) state.total = null;
      state.fields = fields;
      state.fresh = scalars;
      return [{ $project: shown }];
    }
    case 6: case 7: case 8: case 9: {
      const set = {};
      const scalars = [];
      for (let left = 1 + random.below(2); left > 0; left--) {
        const scalar = random.oneIn(2);
        const made = random.oneIn(3) && FIELDS.every((each) => state.fields.includes(each)) ? random.pick(FIELDS) : fresh('s');
        // An object would be members to set in what is there.
        if (made in set) continue;
        set[made] = scalar ? key(random, state, 3) : random.oneIn(12) ? '$$REMOVE' : wrap(any(random, state, 3));
        if (scalar) scalars.push(made);
      }
      state.fresh = [...(state.fresh ?? []).filter((each) => !(each in set)), ...scalars];
      state.fields = [...new Set([...state.fields, ...Object.keys(set)])];
      return [{ [random.pick(['$set', '$addFields'])]: set }];
    }
    case 10: {
      const gone = random.pick(state.fields);
      if (state.fields.length < 2 || state.total?.includes(gone)) return [];
      state.fields = state.fields.filter((each) => each !== gone);
      state.fresh = state.fresh?.filter((each) => each !== gone);
      return [{ $unset: random.oneIn(2) ? gone : [gone] }];
    }
    case 11: case 12: case 13: {
      const before = [];
      if (!state.sorted && state.total && random.oneIn(2)) {
        before.push({ $sort: order(random, state) });
        state.sorted = true;
      }
      const by = random.below(5);
      const _id = by === 0 ? null : by === 1 ? read(random, state) : by === 2 ? { x: wrap(key(random, state, 2)), y: wrap(key(random, state, 1)) } : key(random, state, 2);
      const { outputs, fields, scalars } = accumulators(random, state);
      if (fields.length === 0) return [];
      state.fields = [...fields, '_id'];
      state.fresh = scalars;
      state.total = by === 0 || by > 2 ? ['_id'] : null;
      state.sorted = false;
      return [...before, { $group: { _id, ...outputs } }];
    }
    case 14: case 15: case 16: {
      if (!state.total) return [];
      state.sorted = true;
      const cut = random.pick([[], [{ $limit: 1 + random.below(8) }], [{ $skip: random.below(8) }], [{ $skip: random.below(4) }, { $limit: 1 + random.below(6) }]]);
      return [{ $sort: order(random, state) }, ...cut];
    }
    case 17: case 18: {
      const name = random.pick(state.fields);
      if (state.total?.includes(name)) return [];
      const options = { path: `$${name}` };
      if (random.oneIn(2)) options.preserveNullAndEmptyArrays = random.oneIn(2);
      const index = fresh('i');
      if (state.total || random.oneIn(2)) options.includeArrayIndex = index;
      if (options.includeArrayIndex) state.fields = [...state.fields, index];
      state.fresh = state.fresh?.filter((each) => each !== name);
      state.total = state.total && [...state.total, index];
      // mingo drops texts and objects that are empty.
      const before = random.oneIn(12) ? [] : [{ $match: { [name]: { $nin: ['', {}] } } }];
      return [...before, { $unwind: Object.keys(options).length === 1 && random.oneIn(2) ? options.path : options }];
    }
    case 19: {
      const made = fresh('r');
      const row = { ...(state.total && Object.fromEntries(state.total.map((each) => [each, `$${each}`]))), [made]: any(random, state, 3) };
      const merged = random.oneIn(2);
      if (!merged) state.fresh = [];
      state.fields = merged ? [...state.fields, made] : [made, ...(state.total ?? [])];
      return [{ $replaceWith: merged ? { $mergeObjects: ['$$ROOT', row] } : row }];
    }
    case 20: {
      const { outputs, fields } = accumulators(random, state);
      // mingo makes rows of the buckets that are empty as well, and takes a value on a boundary for one of the bucket below:
      // the boundaries lie between the values, and the match that follows drops what is empty.
      const boundaries = [[-1.3, 0.3, 2.7, 50.1], [-7.7, 1.1, 900.3], [0.3, 1.7]][random.below(3)];
      // MongoDB wants a path or an expression.
      const groupBy = { $add: [number(random, state, 2), 0] };
      state.fields = [...fields, 'n'];
      state.fresh = ['n'];
      state.total = ['_id'];
      state.sorted = false;
      return [{ $bucket: { groupBy, boundaries, default: 'other', output: { n: { $sum: 1 }, ...outputs } } }, { $match: { n: { $gt: 0 } } }];
    }
    case 21: {
      const by = random.oneIn(2) ? wrap(key(random, state, 2)) : read(random, state);
      state.total = null;
      state.fields = ['_id', 'count'];
      state.fresh = ['count'];
      state.sorted = false;
      return [{ $sortByCount: by }];
    }
    case 22: {
      // Over no rows MongoDB makes none, mingo one that says 0.
      state.fields = ['n'];
      state.fresh = ['n'];
      state.total = ['n'];
      return [{ $count: 'n' }, { $match: { n: { $gt: 0 } } }];
    }
    case 23: case 24: {
      const as = fresh('set');
      if (random.oneIn(2)) return [{ $lookup: { from: OTHER, localField: random.oneIn(8) ? random.pick(state.fields) : random.pick([...(state.fresh ?? []), '_id']), foreignField: random.pick([...FIELDS, ...FIELDS, '_id', 'a.b']), as } }];
      const vars = { v: any(random, state, 2) };
      const inner = { fields: FIELDS, total: ['_id'], any: ['$$v'] };
      const pipeline = [{ $match: { $expr: truth(random, inner, 2) } }, ...stages(random, { ...inner, sorted: false }, random.below(2))];
      return [{ $lookup: { from: OTHER, let: vars, pipeline, as } }];
    }
    case 25: {
      if (!state.pristine) return [];
      const inner = { fields: FIELDS, total: ['_id'] };
      if (random.oneIn(3)) return [{ $unionWith: OTHER }];
      return [{ $unionWith: { coll: OTHER, pipeline: [{ $match: match(random, inner) }, { $set: { u: any(random, inner, 2) } }] } }];
    }
    case 26: {
      const facets = {};
      for (let left = 1 + random.below(2); left > 0; left--) {
        const inner = { ...state };
        facets[fresh('set')] = stages(random, inner, 1 + random.below(2));
      }
      state.fields = [];
      return [{ $facet: facets }];
    }
    default: {
      if (!state.total) return [];
      const single = random.oneIn(2);
      const sortBy = single && state.fresh?.length ? { [random.pick(state.fresh)]: random.pick([1, -1]) } : order(random, state);
      const { output, fields } = windows(random, state, Object.keys(sortBy).length === 1);
      const ties = Object.keys(sortBy).length === 1 && !state.total.every((each) => each in sortBy);
      if (ties) for (const each of fields) if (!Object.keys(output[each]).some((operator) => operator.endsWith('ank'))) delete output[each];
      if (Object.keys(output).length === 0) return [];
      const partitionBy = random.oneIn(2) ? key(random, state, 2) : undefined;
      state.fields = [...state.fields, ...fields];
      state.sorted = false;
      return [{ $setWindowFields: { ...(partitionBy !== undefined && { partitionBy }), sortBy, output } }];
    }
  }
}

/** An expression as it can stand in $project: not a number that would keep, nor an object that would be members. */
function wrap(expression) {
  if (isObject(expression) && Object.keys(expression)[0]?.startsWith('$')) return expression;
  return typeof expression === 'string' && expression.startsWith('$') ? expression : { $ifNull: [expression, null] };
}

function stages(random, state, length, inside = true) {
  const list = [];
  for (let left = length; left > 0; left--) {
    state.pristine = list.length === 0;
    list.push(...stage(random, state, inside));
    if (state.fields.length === 0) break;
  }
  return list;
}

const OTHER = 'other';

export function make(random) {
  const state = { fields: FIELDS, total: ['_id'], sorted: false };
  let pipeline;
  made = 0;
  do pipeline = stages(random, { ...state }, 1 + random.below(5), false);
  while (pipeline.length === 0);
  return pipeline;
}

// ---- Answers ----

/** What is left of a value when MongoDB's freedom is taken out: the order of sets, and the last digits of a number. */
function plain(value, set) {
  if (typeof value === 'number') return Number.isInteger(value) ? value + 0 : Number(value.toPrecision(8));
  if (isArray(value)) {
    const items = value.map((item) => plain(item, false));
    return set ? items.map((item) => JSON.stringify(item)).sort() : items;
  }
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, plain(value[name], name.startsWith('set'))]));
}

/** Whether the rows stand in an order that MongoDB promises: a sort, and after it only what takes rows one by one. */
function ordered(pipeline) {
  const last = pipeline.findLastIndex((stage) => '$sort' in stage);
  const one = ['$match', '$project', '$set', '$addFields', '$unset', '$limit', '$skip', '$unwind', '$replaceWith', '$lookup'];
  return last >= 0 && pipeline.slice(last + 1).every((stage) => one.includes(Object.keys(stage)[0]));
}

function same(mine, other, pipeline) {
  if (mine instanceof Error || other instanceof Error) return mine instanceof Error && other instanceof Error;
  const [a, b] = [mine, other].map((rows) => rows.map((row) => JSON.stringify(plain(row))));
  if (!ordered(pipeline)) [a, b].forEach((rows) => rows.sort());
  return a.length === b.length && a.every((row, at) => row === b[at]);
}

/** The second collection: some of the documents, turned round. */
const joined = new WeakMap();
async function second(server, collection, documents) {
  if (joined.has(documents)) return joined.get(documents);
  const other = documents.slice(0, 8).map(({ _id, a, b, c }) => JSON.parse(JSON.stringify({ _id: _id % 2 ? _id : _id + 100, a: c, b: a, c: b })));
  // None of them has the _id of a document, so that a union can be put in order by it.
  for (const document of other) document._id += document._id < 100 ? 200 : 0;
  await server.send('DOC.DROP', `${collection}_${OTHER}`);
  for (const document of other) await server.send('DOC.INSERT', `${collection}_${OTHER}`, document);
  joined.set(documents, other);
  return other;
}

/** Takes away what the questions needed besides the collection. */
export async function end(server, collection) {
  await server.send('DOC.DROP', `${collection}_${OTHER}`);
}

async function ours(server, collection, pipeline) {
  const named = JSON.stringify(pipeline).replaceAll(`"from":"${OTHER}"`, `"from":"${collection}_${OTHER}"`)
    .replaceAll(`"coll":"${OTHER}"`, `"coll":"${collection}_${OTHER}"`).replaceAll(`"$unionWith":"${OTHER}"`, `"$unionWith":"${collection}_${OTHER}"`);
  const rows = await server.send('DOC.AGGREGATE', collection, named);
  return rows instanceof Refused ? rows : rows.map((row) => JSON.parse(row));
}

function theirs(documents, other, pipeline) {
  try {
    const options = { processingMode: ProcessingMode.CLONE_INPUT, collectionResolver: () => structuredClone(other) };
    // A member that is undefined is one that is not there, and an element that is, null.
    return JSON.parse(JSON.stringify(new Aggregator(structuredClone(pipeline), options).run(documents)));
  } catch (error) {
    return error;
  }
}

export async function compare(server, collection, documents, question) {
  const other = await second(server, collection, documents);
  const asked = ours(server, collection, question);
  const answer = theirs(documents, other, question);
  const mine = await asked;
  // Each row that comes out is an answer. Of a pipeline that differs none is compared.
  const rows = Math.max(1, mine.length ?? 0);
  if (same(mine, answer, question)) return { asked: rows, differences: [] };
  const found = await reduce(server, collection, documents, other, question);
  return { asked: rows, differences: found.known ? Array(rows).fill(found) : [found] };
}

// ---- Differences ----

/** A stage, with the match that drops the rows that only mingo makes. */
const unit = (stage) => ('$bucket' in stage || '$count' in stage ? [stage, { $match: { n: { $gt: 0 } } }] : [stage]);

/** Both answers of a pipeline over rows that are written in it. */
async function both(at, rows, pipeline) {
  const asked = ours(at.server, at.collection, [{ $documents: { $literal: rows } }, ...pipeline]);
  const answer = theirs(rows, at.other, pipeline);
  return [await asked, answer];
}

const differ = async (at, rows, pipeline) => !same(...(await both(at, rows, pipeline)), pipeline);

/** What both make of an expression over a row, each as `[value]`, or `[]` where there is none. */
async function values(at, row, expression) {
  const made = await both(at, [row], [{ $replaceWith: { v: expression } }]);
  return made.map((answer) => (answer instanceof Error ? answer : 'v' in answer[0] ? [answer[0].v] : []));
}

/** An expression with a value in the place of a variable. */
function put(expression, name, value) {
  if (expression === `$$${name}`) return value.length ? { $literal: value[0] } : '$$REMOVE';
  if (isArray(expression)) return expression.map((each) => put(each, name, value));
  if (!isObject(expression)) return expression;
  return Object.fromEntries(Object.entries(expression).map(([key, each]) => [key, put(each, name, value)]));
}

/** The innermost expression that the two answer differently over a row: its operator, and the values of its operands. */
async function blame(at, row, expression) {
  if (isArray(expression)) {
    for (const each of expression) {
      const found = await blame(at, row, each);
      if (found) return found;
    }
    return undefined;
  }
  if (!isObject(expression) && !(typeof expression === 'string' && expression.startsWith('$'))) return undefined;
  const [mine, other] = await values(at, row, expression);
  const refused = [mine, other].map((answer) => answer instanceof Error);
  if (refused[0] || refused[1] ? refused[0] && refused[1] : same([{ v: mine }], [{ v: other }], [])) return undefined;
  const answers = { row, expression, ours: shown(mine), theirs: shown(other) };
  if (!isObject(expression)) return { operator: 'path', path: expression.slice(1), operands: [], ...answers };
  const operator = Object.keys(expression)[0];
  if (!operator?.startsWith('$')) return blame(at, row, Object.values(expression));
  if (operator === '$literal') return { operator, operands: [], ...answers };
  const operand = expression[operator];
  let parts = isArray(operand) ? operand : isObject(operand) && !Object.keys(operand)[0]?.startsWith('$') ? Object.values(operand) : [operand];
  if (['$map', '$filter'].includes(operator)) {
    const found = await blame(at, row, operand.input);
    if (found) return found;
    const [input] = await values(at, row, operand.input);
    for (const element of input[0] ?? []) {
      const inner = await blame(at, row, put(operand.in ?? operand.cond, operand.as, [element]));
      if (inner) return inner;
    }
    parts = [operand.input];
  } else if (operator === '$let') {
    for (const [name, bound] of Object.entries(operand.vars)) {
      const found = await blame(at, row, bound);
      if (found) return found;
      return blame(at, row, put(operand.in, name, (await values(at, row, bound))[0]));
    }
  } else if (operator === '$switch') {
    parts = [...operand.branches.flatMap((branch) => [branch.case, branch.then]), operand.default];
  } else if (operator === '$reduce') {
    parts = [operand.input, operand.initialValue];
  }
  const found = await blame(at, row, parts);
  if (found) return found;
  const operands = [];
  for (const part of parts) {
    const [value] = await values(at, row, part);
    operands.push(value instanceof Error ? [] : value);
  }
  return { operator, operands, ...answers };
}

const shown = (answer) => (answer instanceof Error ? answer.message : answer);

/** The expressions that a stage evaluates over each of its rows. */
function expressions(operator, operand) {
  const accumulated = (outputs) => Object.values(outputs).flatMap((each) => {
    const [name, input] = Object.entries(each).find(([key]) => key !== 'window');
    if (name === '$count' || name === '$mergeObjects' || (isObject(input) && Object.keys(input).length === 0)) return [];
    return isObject(input) ? ('input' in input ? [input.input] : 'output' in input ? [input.output] : [input]) : [input];
  });
  switch (operator) {
    case '$match': return operand.$expr === undefined ? [] : [operand.$expr];
    case '$project': return Object.values(operand).filter((each) => typeof each !== 'number');
    case '$set': case '$addFields': return Object.values(operand);
    case '$replaceWith': case '$sortByCount': return [operand];
    case '$group': { const { _id, ...outputs } = operand; return [_id, ...accumulated(outputs)]; }
    case '$bucket': return [operand.groupBy, ...accumulated(operand.output)];
    case '$setWindowFields': return [operand.partitionBy ?? null, ...accumulated(operand.output)];
    case '$lookup': return Object.values(operand.let ?? {});
    default: return [];
  }
}

/** A difference as small as it gets, and whether it is one that is known. */
async function reduce(server, collection, documents, other, question) {
  const at = { server, collection, other };
  for (let length = 0; length < question.length; ) {
    const before = question.slice(0, length);
    const stage = question[length];
    const prefix = [...before, ...unit(stage)];
    length = prefix.length;
    if (same(await ours(server, collection, prefix), theirs(documents, other, prefix), prefix)) continue;
    return { question, ...(await smallest(at, await ours(server, collection, before), stage, prefix)) };
  }
  return { question };
}

async function smallest(at, given, stage, prefix) {
  let rows = given;
  if (!(await differ(at, rows, unit(stage)))) {
    const [mine, answer] = await both(at, rows, unit(stage));
    return { prefix, stage, rows, ours: shown(mine), theirs: shown(answer) };
  }
  const [operator, operand] = Object.entries(stage)[0];
  // Inside first: a pipeline in a stage is one of its own.
  const nested = async (over, pipeline) => {
    for (let length = 0; length < pipeline.length; ) {
      const [stage, before] = [pipeline[length], pipeline.slice(0, length)];
      const prefix = [...before, ...unit(stage)];
      length = prefix.length;
      if (await differ(at, over, prefix)) return smallest(at, (await both(at, over, before))[0], stage, prefix);
    }
    return undefined;
  };
  if (operator === '$facet') {
    for (const pipeline of Object.values(operand)) {
      const found = await nested(rows, pipeline);
      if (found) return found;
    }
  }
  const blamed = [];
  for (const expression of expressions(operator, operand)) {
    const [mine, answer] = await both(at, rows, [{ $replaceWith: { v: expression } }]);
    const whole = mine instanceof Error || answer instanceof Error;
    const suspects = rows.filter((_, index) => whole || !same([mine[index]], [answer[index]], []));
    blamed.push(...(await Promise.all(suspects.map((row) => blame(at, row, expression)))).filter(Boolean));
  }
  if (operator === '$lookup' && operand.pipeline && blamed.length === 0) {
    for (const row of rows) {
      if (!(await differ(at, [row], [stage]))) continue;
      let pipeline = operand.pipeline;
      for (const [name, bound] of Object.entries(operand.let)) pipeline = put(pipeline, name, (await values(at, row, bound))[0]);
      const found = await nested(at.other, pipeline);
      if (found) return found;
    }
  }
  if (operator === '$unionWith' && operand.pipeline) {
    const found = await nested(at.other, operand.pipeline);
    if (found) return found;
  }
  if (blamed.length > 0) {
    const known = blamed.map((found) => EXPRESSIONS.find((deviation) => deviation.holds(found))?.name);
    const unknown = known.indexOf(undefined);
    return { ...blamed[Math.max(unknown, 0)], known: unknown < 0 ? known[0] : undefined };
  }
  const single = await Promise.all(rows.map((row) => differ(at, [row], unit(stage))));
  if (single.includes(true)) {
    // Each of the rows that the two answer differently by themselves has to be known.
    const judged = await Promise.all(rows.filter((_, index) => single[index]).map((row) => judge(at, [row], stage)));
    return judged.find((each) => !each.known) ?? judged[0];
  }
  // Each row without which they still differ goes.
  for (let index = rows.length - 1; index >= 0; index--) {
    const fewer = rows.toSpliced(index, 1);
    if (await differ(at, fewer, unit(stage))) rows = fewer;
  }
  return judge(at, rows, stage);
}

/** A stage with no more than it needs to differ over rows, and the known deviation that it shows. */
async function judge(at, rows, stage) {
  const [operator, operand] = Object.entries(stage)[0];
  let small = stage;
  if (['$group', '$project', '$set', '$addFields', '$match', '$sort'].includes(operator)) {
    for (const name of Object.keys(operand)) {
      if (name === '_id' && operator === '$group') continue;
      const { [name]: _, ...fewer } = small[operator];
      if (Object.keys(fewer).length > 0 && (await differ(at, rows, [{ [operator]: fewer }]))) small = { [operator]: fewer };
    }
  }
  let known;
  if (operator === '$match') {
    for (const leaf of leaves(small.$match)) {
      if (!(await differ(at, rows, [{ $match: alone(leaf) }]))) continue;
      known = explain(rows[0], leaf);
      if (!known) break;
    }
  } else {
    known = STAGES.find((deviation) => deviation.holds({ operator, operand: small[operator], rows, other: at.other }))?.name;
  }
  const [mine, answer] = await both(at, rows, unit(small));
  return { stage: small, rows, ours: shown(mine), theirs: shown(answer), known };
}

const ORDER = 'https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/';
const EQUALITY = ['$eq', '$ne'];
const RANGES = ['$gt', '$gte', '$lt', '$lte'];
const ORDERS = ['$cmp', ...RANGES];
const half = (number) => Math.abs(number) - Math.trunc(Math.abs(number));
const type = (value) => (value.length === 0 ? 'missing' : value[0] === null ? 'null' : isArray(value[0]) ? 'array' : typeof value[0]);

/** The value that a path of one or two names begins with. */
const first = (row, path) => row[path.split('.')[0]];

const EXPRESSIONS = [
  {
    name: 'paths through arrays in arrays',
    what: 'MongoDB goes into the elements of an array that are objects, not into those of an array inside it',
    link: 'https://www.mongodb.com/docs/manual/core/field-paths/',
    holds: ({ operator, path, row }) => operator === 'path' && path.includes('.') && isArray(first(row, path)) && first(row, path).some(isArray),
  },
  {
    name: 'arrays and objects compared',
    what: 'MongoDB compares arrays as wholes, element by element, and the members of objects one by one; mingo compares the elements of an array with the other operand, or sorted',
    link: `${ORDER}#arrays`,
    holds: ({ operator, operands }) => ORDERS.includes(operator) && operands.some(([value]) => isArray(value) || isObject(value)),
  },
  {
    name: 'values of different types compared',
    what: 'MongoDB has an order of all types; mingo holds none of $gt, $gte, $lt and $lte between two',
    link: ORDER,
    holds: ({ operator, operands: [a, b] }) => RANGES.includes(operator) && type(a) !== type(b),
  },
  {
    name: 'null and missing compared',
    what: 'In MongoDB they are two values; mingo takes them for equal',
    link: `${ORDER}#non-existent-fields`,
    holds: ({ operator, operands: [a, b] }) => EQUALITY.includes(operator) && a.length !== b.length && [...a, ...b][0] === null,
  },
  {
    name: 'numbers rounded twice',
    what: 'MongoDB rounds to the nearest whole number, from a half to the even one; mingo rounds to tenths first, and that then',
    link: `${MANUAL}/round/#behavior`,
    holds: ({ operator, operands }) => operator === '$round' && half(operands[0][0]).toFixed(1) === '0.5' && half(operands[0][0]) !== 0.5,
  },
  {
    name: 'an array equal to its element',
    what: 'In expressions MongoDB compares an array as a whole; mingo asks its elements as well, as a filter does',
    link: `${MANUAL}/eq/`,
    holds: ({ operator, operands }) => EQUALITY.includes(operator) && isArray(operands[0][0]),
  },
];

const STAGES = [
  {
    name: '$unwind of an empty text or object',
    what: 'To MongoDB what is no array, null or missing is an array of one; mingo drops what is empty',
    link: `${MANUAL}/unwind/#behavior`,
    holds: ({ operator, operand, rows }) => operator === '$unwind' && rows.every((row) => empty(row[(operand.path ?? operand).slice(1)])),
  },
  {
    name: '$lookup by an array',
    what: 'MongoDB joins what is equal to one of the elements; mingo adds null for those without an equal',
    link: `${MANUAL}/lookup/#use--lookup-with-an-array`,
    holds: ({ operator, operand, rows }) => operator === '$lookup' && operand.localField && rows.every((row) => isArray(row[operand.localField])),
  },
  {
    name: '$lookup in an array with duplicates',
    what: 'MongoDB joins a document once; mingo once for each of its elements that is equal',
    link: `${MANUAL}/lookup/#equality-match-with-a-single-join-condition`,
    holds: ({ operator, operand, other }) => operator === '$lookup' && operand.localField && other.some((document) => repeats(document[operand.foreignField])),
  },
  {
    name: '$lookup by what elements of arrays have',
    what: 'MongoDB joins what the filter { foreignField: value } finds, which asks each element that is an object; mingo gathers what the elements have',
    link: `${MANUAL}/lookup/#equality-match-with-a-single-join-condition`,
    holds: ({ operator, operand, other }) => operator === '$lookup' && operand.foreignField?.includes('.') && other.some((document) => meet(document, operand.foreignField).array),
  },
];

const repeats = (value) => isArray(value) && new Set(value.map((each) => JSON.stringify(each))).size < value.length;
const empty = (value) => value === '' || (isObject(value) && Object.keys(value).length === 0);
