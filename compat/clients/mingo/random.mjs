// Seeded chance, and the documents and values made with it.

/** Numbers that one seed always brings in the same order (mulberry32). */
export class Random {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  below(n) {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  }

  oneIn(n) {
    return this.below(n) === 0;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  list(most, make) {
    return Array.from({ length: this.below(most + 1) }, () => make());
  }
}

const SCALARS = [-2, -1, 0, 1, 2, 3, 4, 1.5, -0.5, 1000, '', 'a', 'b', 'ab', 'Abc', '0', true, false, null, null];
// Objects are made with their names in this order. MongoDB tells objects apart by the order of their members
// (https://www.mongodb.com/docs/manual/tutorial/query-embedded-documents/), mingo does not.
const NAMES = ['0', 'a', 'b', 'c'];

export function scalar(random) {
  return random.pick(SCALARS);
}

/** Any value that plain JSON has. */
export function value(random, depth = 2) {
  const kind = depth === 0 ? 0 : random.below(10);
  if (kind < 5) return scalar(random);
  if (kind < 8) return random.list(3, () => value(random, depth - 1));
  return object(random, depth - 1);
}

export function object(random, depth) {
  const made = {};
  for (const name of NAMES) if (random.oneIn(name === '0' ? 12 : 2)) made[name] = value(random, depth);
  return made;
}

export function document(random, id) {
  return { _id: id, ...object(random, 3) };
}

/** A path of names and, now and then, indexes. */
export function path(random) {
  const steps = [random.pick(['a', 'b', 'c'])];
  while (steps.length < 4 && random.oneIn(2)) steps.push(random.pick(['a', 'b', 'c', '0', '1', 'a', 'b']));
  return steps.join('.');
}
