// What the servers of the test hold: ordinary documents, and those that somebody wrote to harm whoever looks at them.

export const PASSWORD = 'correct horse';
export const VIEWER = 'battery staple';
export const PEOPLE = 400;

const NAMES = ['Ada', 'Grace', 'Edsger', 'Barbara', 'Donald', 'Frances', 'Niklaus', 'Radia'];
const CITIES = ['Amsterdam', 'Lisbon', 'Oslo', 'Turin', 'Vienna'];

/** Marks that would be set if anything of a document were ever executed. */
const BOOM = 'globalThis.boom=1';

const deep = (levels) => (levels === 0 ? `</pre><script>${BOOM}</script>` : { [`<b>${levels}</b>`]: deep(levels - 1) });

export const HOSTILE = {
  _id: `<img src=x onerror="${BOOM}">`,
  markup: [`<img src=x onerror="${BOOM}">`, `</script><script>${BOOM}</script>`, `<svg onload="${BOOM}">`, `"><iframe src="javascript:${BOOM}">`],
  link: `javascript:${BOOM}`,
  template: '${globalThis.boom=1} {{constructor.constructor("globalThis.boom=1")()}}',
  control: 'a\u0000b\u001b[31mred\u0007\u009b',
  bidi: 'user\u202egnp.exe \u2066isolated\u2069 \u200b\ufeff',
  lines: '\u2028\u2029',
  [`<a href="javascript:${BOOM}">`]: 1,
  __proto__x: { __proto__: 'x', constructor: 'y' },
  deep: deep(10),
};

export const HOSTILE_COLLECTION = `<img src=x onerror="${BOOM}">/../\u202e`;

/** A number that JavaScript would round. */
export const LONG = '9007199254740993';

export async function seed(run) {
  for (let at = 0; at < PEOPLE; at += 50) {
    const documents = Array.from({ length: 50 }, (_, of) => {
      const n = at + of;
      return JSON.stringify({ _id: `p${String(n).padStart(3, '0')}`, name: NAMES[n % NAMES.length], age: 20 + (n % 60), city: CITIES[n % CITIES.length], tags: ['a', 'b'].slice(0, n % 3), score: n / 4 });
    });
    for (const document of documents) await run('DOC.INSERT', 'people', document);
  }
  await run('IDX.CREATE', 'people', 'by_age', '{"age":1}');
  await run('IDX.CREATE', 'people', 'by_city_name', '{"city":1,"name":1}');
  await run('DOC.SET', 'people', 'long', `{"long":${LONG},"name":"Long","age":19}`);
  for (let n = 0; n < 40; n += 1) await run('DOC.INSERT', 'orders', JSON.stringify({ item: `item ${n}`, price: n * 1.5, buyer: `p${String(n).padStart(3, '0')}` }));
  await run('DOC.INSERT', 'hostile', JSON.stringify(HOSTILE));
  await run('DOC.INSERT', HOSTILE_COLLECTION, JSON.stringify(HOSTILE));
  await run('ACL', 'SETUSER', 'viewer', 'on', `>${VIEWER}`, '~orders', '+doc.find', '+doc.collections', '+doc.stats', '+doc.get', '+doc.set', '-key.rotate', '+info');
  await run('ACL', 'SETUSER', 'guest', 'on', `>${VIEWER}`, 'resetkeys', '-@all');
}
