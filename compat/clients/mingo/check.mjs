// The server and mingo, an implementation of MongoDB's language that nobody here wrote, answer the same random questions.
//
//   node check.mjs HOST PORT
//
// VEDDB_MINGO_PAIRS says how many answers of each kind are compared, VEDDB_SEED repeats a run. A kind of question is a
// module with `name`, `make(random)`, `compare(server, collection, documents, question)`, which says how many answers it
// compared and which of them differ, and perhaps `end(server, collection)`, which takes away what it made besides. A
// difference that is one of mingo's known deviations from MongoDB names it.
import { readFileSync } from 'node:fs';
import { Random, document } from './random.mjs';
import { Refused, Server } from './server.mjs';
import * as filters from './filters.mjs';
import * as pipelines from './pipelines.mjs';
import * as projections from './projections.mjs';
import * as sorts from './sorts.mjs';
import * as updates from './updates.mjs';

const KINDS = [filters, pipelines, projections, sorts, updates];
const DOCUMENTS = 25;
const QUESTIONS = 40;
const SHOWN = 10;

const [host, port] = process.argv.slice(2);
const pairs = Number(process.env.VEDDB_MINGO_PAIRS ?? 20000);
const seed = Number(process.env.VEDDB_SEED ?? Math.floor(Math.random() * 2 ** 31));
const lock = JSON.parse(readFileSync(new URL('package-lock.json', import.meta.url), 'utf8'));
console.log(`version ${lock.packages['node_modules/mingo'].version}`);
console.log(`VEDDB_SEED=${seed} VEDDB_MINGO_PAIRS=${pairs}`);

const server = await Server.connect(host, Number(port));
for (const kind of KINDS) {
  const collection = `compat_mingo_${kind.name}_${process.pid}`;
  // Each kind has its own chance, so that one more kind changes none of the others.
  const random = new Random([...kind.name].reduce((sum, letter) => Math.imul(sum, 31) + letter.charCodeAt(0), seed));
  let asked = 0;
  const known = new Map();
  const wrong = [];
  while (asked < pairs && wrong.length < SHOWN) {
    await server.send('DOC.DROP', collection);
    const documents = Array.from({ length: DOCUMENTS }, (_, id) => document(random, id));
    const stored = await Promise.all(documents.map((each) => server.send('DOC.INSERT', collection, each)));
    const refused = stored.find((reply) => reply instanceof Refused);
    if (refused) throw refused;
    for (let left = QUESTIONS; left > 0 && asked < pairs; left--) {
      const answer = await kind.compare(server, collection, documents, kind.make(random));
      asked += answer.asked;
      for (const difference of answer.differences) {
        if (difference.known) known.set(difference.known, (known.get(difference.known) ?? 0) + 1);
        else wrong.push(difference);
      }
    }
  }
  await server.send('DOC.DROP', collection);
  await kind.end?.(server, collection);
  const excused = [...known.values()].reduce((sum, count) => sum + count, 0);
  if (wrong.length === 0) {
    console.log(`ok ${kind.name}: ${asked} answers, ${excused} of them where mingo is known to differ from MongoDB`);
  } else {
    console.log(`FAIL ${kind.name}: of ${asked} answers ${wrong.length} differ without a reason`);
    for (const difference of wrong.slice(0, SHOWN)) console.log(`  ${JSON.stringify(difference)}`);
  }
  for (const [name, count] of [...known].sort((a, b) => b[1] - a[1])) console.log(`  ${count} ${name}`);
}
server.close();
