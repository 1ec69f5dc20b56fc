// Where mingo is known to differ from MongoDB, as predicates over one condition at one path of one document.
//
// A difference between the server and mingo is explained only if one of these holds for a condition that the two answer
// differently. Each says what MongoDB does, and where that is documented.

const MANUAL = 'https://www.mongodb.com/docs/manual';

const isArray = Array.isArray;
export const isObject = (value) => value !== null && typeof value === 'object' && !isArray(value);
const isNumber = (value) => typeof value === 'number';
const isIndex = (step) => /^(0|[1-9][0-9]*)$/.test(step);

/**
 * What a path meets in a document by MongoDB's rules: the values at its end, whether one is missing, whether there was an
 * array on the way, whether it went into the elements of one by itself, whether one was an element of an array, and whether
 * a number was the name of a member of an element.
 */
export function meet(document, path) {
  const met = { values: [], missing: false, array: false, crossed: false, nested: false, named: false };
  const walk = (value, steps) => {
    if (steps.length === 0) {
      if (isArray(value) && value.some(isArray)) met.nested = true;
      met.values.push(value);
      return;
    }
    const [step, ...rest] = steps;
    if (isObject(value)) {
      if (Object.hasOwn(value, step)) walk(value[step], rest);
      else met.missing = true;
      return;
    }
    if (!isArray(value)) {
      met.missing = true;
      return;
    }
    met.array = true;
    if (value.some(isArray)) met.nested = true;
    if (isIndex(step)) {
      if (Number(step) < value.length) walk(value[Number(step)], rest);
      if (!value.some(isObject)) return;
      if (value.some((element) => isObject(element) && Object.hasOwn(element, step))) met.named = true;
    }
    met.crossed = true;
    for (const element of value) if (isObject(element)) walk(element, steps);
  };
  walk(document, path.split('.'));
  return met;
}

/** The constants that an operator compares with. */
function constants(operator, operand) {
  return ['$in', '$nin', '$all'].includes(operator) ? operand : [operand];
}

const EQUALITY = ['$eq', '$ne', '$in', '$nin', '$all'];
const RANGE = ['$gt', '$gte', '$lt', '$lte'];
const BITS = ['$bitsAllSet', '$bitsAnyClear'];

const compares = ({ operator }) => EQUALITY.includes(operator) || RANGE.includes(operator);
const against = (at, test) => compares(at) && constants(at.operator, at.operand).some(test);
const asksWhole = (at) => ['$size', '$type', '$all', '$elemMatch'].includes(at.operator) || against(at, isArray);
const asksMissing = (at) => at.operator === '$exists' || against(at, (constant) => constant === null);
/** The values at the end, and the elements of those that are arrays. */
const each = (met) => met.values.flatMap((value) => (isArray(value) ? [value, ...value] : [value]));

export const DEVIATIONS = [
  {
    name: 'what is missing in arrays',
    what: 'MongoDB asks each element that is an object, and one without the field is missing it; where there is no such element nothing is missing',
    link: `${MANUAL}/tutorial/query-for-null-fields/`,
    holds: (at) => asksMissing(at) && at.met.array,
  },
  {
    name: 'values of several elements as one array',
    what: 'MongoDB asks the value of each element; mingo gathers them in an array and asks that',
    link: `${MANUAL}/tutorial/query-array-of-documents/`,
    holds: (at) => at.met.crossed && (asksWhole(at) || (at.met.values.length > 1 && at.met.values.some(isArray))),
  },
  {
    name: 'members of elements that are named by numbers',
    what: 'To MongoDB a number after an array is an index, and the name of a member of its elements as well',
    link: `${MANUAL}/core/document/#dot-notation`,
    holds: (at) => at.met.named,
  },
  {
    name: 'arrays in arrays',
    what: 'MongoDB goes into the elements of an array, not into those of an array inside it; mingo flattens',
    link: `${MANUAL}/tutorial/query-arrays/`,
    holds: (at) => at.met.nested,
  },
  {
    name: 'the remainder of what is no whole number',
    what: 'MongoDB has no remainder of what is no number, and cuts the fraction off; mingo uses the operator % on anything',
    link: `${MANUAL}/reference/operator/query/mod/`,
    holds: (at) => at.operator === '$mod' && (at.met.missing || at.met.values.length === 0 || each(at.met).some((value) => !Number.isInteger(value))),
  },
  {
    name: 'the bits of what is no whole number',
    what: 'MongoDB asks whole numbers and binaries only; mingo makes a number of anything',
    link: `${MANUAL}/reference/operator/query/bitsAllSet/`,
    holds: (at) => BITS.includes(at.operator) && (at.met.missing || at.met.crossed || at.met.values.length === 0 || each(at.met).some((value) => !Number.isInteger(value))),
  },
  {
    name: 'a range to null of what is missing',
    what: 'In MongoDB a missing field is null to $gte and $lte',
    link: `${MANUAL}/reference/bson-type-comparison-order/#non-existent-fields`,
    holds: (at) => ['$gte', '$lte'].includes(at.operator) && at.operand === null && at.met.missing,
  },
  {
    name: 'the type of elements',
    what: 'MongoDB asks the elements of an array for their type as well as the array',
    link: `${MANUAL}/reference/operator/query/type/#arrays`,
    holds: (at) => at.operator === '$type' && at.met.values.some(isArray),
  },
  {
    name: 'an array in a list',
    what: 'MongoDB compares an array with a list as a whole as well; mingo compares its elements only',
    link: `${MANUAL}/reference/operator/query/in/`,
    holds: (at) => ['$in', '$nin', '$all'].includes(at.operator) && at.met.values.some(isArray) && against(at, isArray),
  },
  {
    name: 'null in a list',
    what: 'In MongoDB a field that is null or missing is all of [null]',
    link: `${MANUAL}/reference/operator/query/all/`,
    holds: (at) => at.operator === '$all' && against(at, (constant) => constant === null),
  },
  {
    name: 'all of a list in a value that is no array',
    what: 'In MongoDB { $all: [v] } is { $and: [{ path: v }], ..}, so a value that is no array can match',
    link: `${MANUAL}/reference/operator/query/all/#equivalent-to--and-operation`,
    holds: (at) => at.operator === '$all' && at.met.values.some((value) => !isArray(value)),
  },
  {
    name: 'a range to an array',
    what: 'MongoDB compares arrays as wholes, element by element in their order',
    link: `${MANUAL}/reference/bson-type-comparison-order/#arrays`,
    holds: (at) => RANGE.includes(at.operator) && isArray(at.operand),
  },
  {
    name: 'a range to an object',
    what: 'MongoDB compares the members one by one, type before name before value',
    link: `${MANUAL}/reference/bson-type-comparison-order/#objects`,
    holds: (at) => RANGE.includes(at.operator) && isObject(at.operand),
  },
  {
    name: 'paths into elements that are no objects',
    what: 'To the filter in $elemMatch an array is an object named by indexes and a scalar has no fields; mingo takes a scalar for the value at any path',
    link: `${MANUAL}/reference/operator/query/elemMatch/`,
    holds: (at) => at.operator === '$elemMatch' && !isCondition(at.operand) && each(at.met).flat().some((value) => !isObject(value)),
  },
  {
    name: 'conditions inside $elemMatch',
    what: 'One of these deviations holds for an element',
    link: '',
    holds: (at) => at.operator === '$elemMatch' && each(at.met).filter(isArray).flat().some((element) => inside(at.operand, element)),
  },
];

const TREE = ['$and', '$or', '$nor'];

/** Whether an object is operators on a value, rather than a filter. */
function isCondition(operand) {
  return Object.keys(operand).every((name) => name.startsWith('$') && !TREE.includes(name));
}

function inside(operand, element) {
  const filter = isCondition(operand) ? { element: operand } : operand;
  const document = isCondition(operand) ? { element } : element;
  return leaves(filter).some((leaf) => explain(document, leaf) !== undefined);
}

/** Every single condition in a filter, whatever it is combined by. */
export function leaves(filter) {
  const found = [];
  const condition = (path, operators) => {
    for (const [operator, operand] of Object.entries(operators)) {
      if (operator === '$options') continue;
      if (operator === '$not') condition(path, operand);
      else found.push({ path, operator, operand, beside: operators.$options });
    }
  };
  for (const [name, value] of Object.entries(filter)) {
    if (TREE.includes(name)) found.push(...value.flatMap(leaves));
    else if (isObject(value) && Object.keys(value).some((inner) => inner.startsWith('$'))) condition(name, value);
    else found.push({ path: name, operator: '$eq', operand: value });
  }
  return found;
}

/** A condition as a filter of its own. */
export function alone({ path, operator, operand, beside }) {
  return { [path]: { [operator]: operand, ...(beside !== undefined && { $options: beside }) } };
}

/** The deviation that a condition shows on a document, if it is a known one. */
export function explain(document, leaf) {
  const at = { ...leaf, met: meet(document, leaf.path) };
  return DEVIATIONS.find((deviation) => deviation.holds(at))?.name;
}
