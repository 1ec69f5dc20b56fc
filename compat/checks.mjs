// What the clients in JavaScript share: checks with a time limit, messages that are awaited, and what was complained of.
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual, inspect } from 'node:util';

const SECONDS_MAX = 10;

export const [host, port] = [process.argv[2], Number(process.argv[3])];

/** What a name begins with that nobody else uses. */
export const own = (name) => `compat:${process.pid}:${name}`;

/** Prints the version of a package that the lock file of a client, by its `import.meta.url`, has. */
export function version(client, name) {
  const lock = JSON.parse(readFileSync(new URL('package-lock.json', client), 'utf8'));
  console.log(`version ${lock.packages[`node_modules/${name}`].version}`);
}

export function equal(got, expected) {
  if (!isDeepStrictEqual(got, expected)) throw new Error(`expected ${inspect(expected)}, got ${inspect(got)}`);
}

export function holds(condition, what) {
  if (!condition) throw new Error(what);
}

/** The error that a promise is rejected with. */
export async function refusal(promise) {
  const value = await promise.catch((error) => error);
  holds(value instanceof Error, `expected an error, got ${inspect(value)}`);
  return value;
}

/** Waits until a condition holds; the limit is that of the check. */
export async function until(condition) {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

function limited(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end in ${SECONDS_MAX} seconds`)), SECONDS_MAX * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Does the checks of a table, one after the other: `{'what is checked': async () => ..}`. */
export async function check(title, table) {
  for (const [what, run] of Object.entries(table)) {
    try {
      await limited(run());
      console.log(`ok ${title} ${what}`);
    } catch (error) {
      console.log(`FAIL ${title} ${what}: ${String(error?.message ?? error).split('\n').join(' ')}`);
    }
  }
}

/** A listener that keeps what it is called with; `next` takes the oldest, `count` waits for that many and takes them. */
export class Inbox {
  #kept = [];
  #arrived = () => {};

  put = (...message) => {
    this.#kept.push(message);
    this.#arrived();
  };

  async count(number) {
    while (this.#kept.length < number) await new Promise((resolve) => (this.#arrived = resolve));
    return this.#kept.splice(0, number);
  }

  async next() {
    return (await this.count(1))[0];
  }

  get size() {
    return this.#kept.length;
  }
}

/** What the process said on its own account: warnings, and whatever the client logs. */
export const complaints = [];
process.on('warning', (warning) => complaints.push(String(warning)));
process.on('unhandledRejection', (error) => complaints.push(`unhandled: ${error?.message ?? error}`));
for (const level of ['warn', 'error']) console[level] = (...words) => complaints.push(words.join(' '));
