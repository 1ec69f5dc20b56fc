// Collections: how large they are, their documents and their indexes.

import { attempt, badge, button, confirmed, el, facts, field, input, notice, panel, put, select, table } from './parts.js';
import { Refused, runIn } from './server.js';
import { bytes, count, moment } from './figures.js';
import { idOf, line, visible } from './json.js';
import { edit } from './document.js';

export const title = 'Collections';
export const about = 'Browse, filter and edit documents, and see how indexes are used.';
export const icon = 'M5 6c0-3 14-3 14 0s-14 3-14 0v12c0 3 14 3 14 0V6M5 12c0 3 14 3 14 0';

/** Documents of a page. */
const PAGE = 25;
/** A query that takes longer is ended by the server. */
export const MAX_TIME = ['MAXTIME', '30000'];
/** Collections that are measured one by one. */
const MEASURED_MAX = 200;

export const link = (...parts) => `#${parts.map(encodeURIComponent).join('/')}`;

/** A choice of the database; the server says how many there are, where it may. */
export async function databases(chosen, change) {
  const shown = await runIn(0, 'CONFIG', 'GET', 'databases').catch((error) => {
    if (error instanceof Refused) return {};
    throw error;
  });
  const number = Math.min(Number(shown?.databases ?? 16), 255);
  return select(Array.from({ length: number }, (_, db) => [String(db), String(db)]), String(chosen), change);
}

/** Collections of a database. */
export const names = (db) => runIn(db, 'DOC.COLLECTIONS');

export async function show(view, [db = '0', name, id], signal) {
  if (id !== undefined) return edit(view, Number(db), name, id, signal);
  if (name !== undefined) return one(view, Number(db), name, signal);
  return all(view, Number(db), signal);
}

async function all(view, db, signal) {
  const rows = [];
  const place = el('div', { class: 'place' });
  const choice = await databases(db, (value) => (location.hash = link('collections', value)));
  if (signal.aborted) return;
  const body = el('div');
  put(view, el('div', { class: 'row' }, field('Database', choice)), place, body);
  const found = await attempt(place, null, () => names(db));
  if (found === undefined || signal.aborted) return;
  for (const name of found.slice(0, MEASURED_MAX)) {
    const stats = await runIn(db, 'DOC.STATS', name).catch((error) => {
      if (error instanceof Refused) return { error: error.message };
      throw error;
    });
    rows.push({ name, ...stats });
    if (signal.aborted) return;
  }
  rows.push(...found.slice(MEASURED_MAX).map((name) => ({ name })));
  const columns = [
    { title: 'Collection', kind: 'wide', cell: ({ name }) => el('a', { href: link('collections', db, name) }, visible(name)) },
    { title: 'Documents', kind: 'number', cell: (row) => (row.error ? badge('refused', 'bad') : count(row.count)) },
    { title: 'Size', kind: 'number', cell: (row) => bytes(row.size) },
    { title: 'Average', kind: 'number', cell: (row) => bytes(row.avgSize) },
    { title: 'On disk', kind: 'number', cell: (row) => bytes(row.storageSize) },
    { title: 'Indexes', kind: 'number', cell: (row) => count(row.indexes) },
    { title: 'Created', cell: (row) => moment(row.created) },
  ];
  put(body, table('Collections', columns, rows, 'There is no collection in this database that you may see.'));
}

async function one(view, db, name, signal) {
  const place = el('div', { class: 'place' });
  const [head, list, indexes] = [el('div'), el('div'), el('div')];
  const filter = input({ type: 'text', class: 'mono', value: '{}', placeholder: '{"age": {"$gt": 30}}' });
  const sort = input({ type: 'text', class: 'mono', placeholder: '{"age": -1}' });
  const size = select([['10', '10'], ['25', '25'], ['100', '100']], String(PAGE));
  const find = el('button', { type: 'submit', class: 'button main' }, 'Find');
  const form = el('form', { class: 'row', on: { submit: (event) => (event.preventDefault(), look(0)) } },
    el('div', { class: 'grow' }, field('Filter', filter)), field('Sort', sort), field('A page has', size), find,
    button('New document', 'quiet', () => (location.hash = link('collections', db, name, ''))));
  put(view,
    el('nav', { class: 'crumbs', 'aria-label': 'Where this is' }, el('a', { href: link('collections', db) }, `Database ${db}`), ' / ', el('strong', {}, visible(name))),
    head, panel('Documents', form, place, list), indexes);

  // By SKIP, not by a cursor: one that nobody closes would hold back storage and the end of a rotation.
  async function look(skip = 0, pressed = find) {
    const most = Number(size.value);
    const option = (name, value) => (value === '' ? [] : [name, value]);
    const options = [...option('SORT', sort.value.trim()), ...option('SKIP', skip || ''), 'LIMIT', most + 1, 'WITHVER', ...MAX_TIME];
    const found = await attempt(place, pressed, () => runIn(db, 'DOC.FIND', name, filter.value.trim() || '{}', ...options));
    if (found !== undefined && !signal.aborted) page(pairsOf(found), skip, most);
  }

  function page(found, skip, most) {
    const pairs = found.slice(0, most);
    const columns = [
      { title: 'Id', kind: 'mono id', cell: ([, text]) => opener(text) },
      { title: 'Document', kind: 'wide', cell: ([, text]) => line(text, 220) },
      { title: 'Version', kind: 'number', cell: ([version]) => String(version) },
    ];
    const before = button('Previous page', 'quiet', () => look(Math.max(0, skip - most), before));
    const after = button('Next page', 'quiet', () => look(skip + most, after));
    before.disabled = skip === 0;
    after.disabled = found.length <= most;
    put(list, table('Documents', columns, pairs, 'No document matches.'),
      pairs.length > 0 && el('div', { class: 'row' }, before, after, el('span', { class: 'sub' }, `Documents ${skip + 1} to ${skip + pairs.length}`)));
  }

  const opener = (text) => {
    const id = idOf(text);
    return id === undefined ? '–' : el('a', { href: link('collections', db, name, id) }, visible(id));
  };

  await Promise.all([look(), measure(head, db, name), showIndexes(indexes, db, name, signal)]);
}

/** Pairs of version and document, in a list of them or one after the other. */
const pairsOf = (documents) =>
  documents.every(Array.isArray) ? documents : documents.flatMap((_, at) => (at % 2 === 0 ? [documents.slice(at, at + 2)] : []));

async function measure(head, db, name) {
  const stats = await attempt(head, null, () => runIn(db, 'DOC.STATS', name));
  if (!stats) return;
  put(head, facts([
    ['Documents', count(stats.count)], ['Size', bytes(stats.size)], ['On disk', bytes(stats.storageSize)],
    ['Indexes', `${count(stats.indexes)}, ${bytes(stats.indexSize)}`], ['Last change', `LSN ${stats.version}`], ['Created', moment(stats.created)],
  ]));
}

async function showIndexes(view, db, name, signal) {
  const place = el('div', { class: 'place' });
  const body = el('div');
  const keys = input({ type: 'text', class: 'mono', placeholder: '{"age": 1}', required: true });
  const called = input({ type: 'text', placeholder: 'by_age', required: true });
  const make = el('button', { type: 'submit', class: 'button quiet' }, 'Create index');
  const create = async (event) => {
    event.preventDefault();
    if ((await attempt(place, make, () => runIn(db, 'IDX.CREATE', name, called.value, keys.value))) !== undefined) await look();
  };
  put(view, panel('Indexes', body, place, el('form', { class: 'row', on: { submit: create } }, field('Name', called), field('Keys', keys), make)));

  async function drop(index) {
    if (!(await confirmed(`Drop the index ${visible(index)}?`, 'Drop it'))) return;
    if ((await attempt(place, null, () => runIn(db, 'IDX.DROP', name, index))) !== undefined) await look();
  }

  async function look() {
    const list = await attempt(place, null, () => runIn(db, 'IDX.LIST', name));
    if (list === undefined || signal.aborted) return;
    const kinds = (row) => [row.unique && 'unique', row.sparse && 'sparse', row.partial && 'partial', row.expireAfter !== null && `expires after ${row.expireAfter} s`].filter(Boolean).join(', ');
    const state = (row) => badge(row.state === 'building' ? `building ${Math.round(row.progress * 100)} %` : row.state, row.state === 'ready' ? 'good' : row.state === 'failed' ? 'bad' : 'busy');
    put(body, table('Indexes', [
      { title: 'Index', cell: (row) => visible(row.name) },
      { title: 'Keys', cell: (row) => line(row.keys) },
      { title: 'Kind', cell: (row) => kinds(row) || 'plain' },
      { title: 'State', cell: state },
      { title: 'Entries', kind: 'number', cell: (row) => count(row.entries) },
      { title: 'Size', kind: 'number', cell: (row) => bytes(row.size) },
      { title: 'Queries', kind: 'number', cell: (row) => count(row.hits) },
      { title: 'Last used', cell: (row) => moment(row.lastUsed) },
      { title: '', kind: 'end', cell: (row) => button('Drop', 'small danger', () => drop(row.name), { 'aria-label': `Drop ${visible(row.name)}` }) },
    ], list, 'There is no index but the one on _id.'));
    const failed = list.find((row) => row.error);
    if (failed) body.append(notice('error', `${visible(failed.name)}: ${visible(failed.error)}`));
  }
  await look();
}
