// One document: read, edited, deleted. It is stored only where it still is the version that was read.

import { attempt, button, confirmed, el, field, input, notice, panel, put } from './parts.js';
import { runIn } from './server.js';
import { block, idOf, pretty, visible } from './json.js';
import { link } from './collections.js';

/** The page of a document; an empty id is a new one. */
export async function edit(view, db, name, id, signal) {
  const place = el('div', { class: 'place' });
  const back = link('collections', db, name);
  const body = el('div');
  const shown = id === '' ? 'new document' : visible(id);
  put(view,
    el('nav', { class: 'crumbs', 'aria-label': 'Where this is' }, el('a', { href: link('collections', db) }, `Database ${db}`), ' / ', el('a', { href: back }, visible(name)), ' / ', el('strong', {}, shown)),
    place, body);
  if (id === '') return put(body, create(db, name, place));
  return load();

  async function load(told) {
    const reply = await attempt(place, null, () => runIn(db, 'DOC.GET', name, id, 'WITHVER'));
    if (reply === undefined || signal.aborted) return;
    if (reply === null) return put(body, notice('info', 'There is no such document.'));
    if (told) put(place, notice('good', told));
    const [version, text] = reply;
    const area = editor(pretty(text));
    const save = button('Save', 'main', () => store(save, version, area.value));
    const drop = button('Delete', 'danger', () => remove(drop, version));
    put(body, el('div', { class: 'two' },
      panel(`As it is, version ${version}`, block(text)),
      panel('Edit', field('Document as JSON', area, 'It is stored only if nobody has changed it since. An expiry is kept.'),
        el('div', { class: 'row' }, save, drop, button('Read again', 'quiet', () => load())))));
  }

  async function store(pressed, version, text) {
    const stored = await attempt(place, pressed, () => runIn(db, 'DOC.SET', name, id, text, 'XX', 'IFVER', version, 'KEEPTTL'));
    if (stored === null) put(place, notice('error', 'It was not stored: the document is gone.'));
    else if (stored !== undefined) await load(`Stored as version ${stored}.`);
  }

  async function remove(pressed, version) {
    if (!(await confirmed(`Delete the document ${visible(id)} of ${visible(name)}?`, 'Delete it'))) return;
    const gone = await attempt(place, pressed, () => runIn(db, 'DOC.DEL', name, id, 'IFVER', version));
    if (gone !== undefined && !signal.aborted) location.hash = back;
  }
}

function editor(text) {
  return el('textarea', { class: 'mono', rows: Math.min(28, Math.max(10, text.split('\n').length + 1)), spellcheck: 'false', value: text });
}

function create(db, name, place) {
  const area = editor('{\n  \n}');
  const called = input({ type: 'text' });
  const save = button('Store', 'main', async () => {
    const insert = () => (called.value === '' ? runIn(db, 'DOC.INSERT', name, area.value) : runIn(db, 'DOC.SET', name, called.value, area.value, 'NX'));
    const made = await attempt(place, save, insert);
    if (made === null) put(place, notice('error', 'It was not stored: there is a document of this id already.'));
    else if (made !== undefined) location.hash = link('collections', db, name, called.value || idText(made));
  });
  return panel('New document', field('Id', called, 'Left empty it is that of the document, or a new one.'), field('Document as JSON', area), el('div', { class: 'row' }, save));
}

/** DOC.INSERT answers the id of what it stored. */
const idText = (made) => (Array.isArray(made) ? String(made[0]) : (idOf(String(made)) ?? String(made)));
