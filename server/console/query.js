// The query pad: a query or a pipeline is run or explained, and any command can be sent.

import { attempt, button, el, field, input, panel, put, select } from './parts.js';
import { runIn } from './server.js';
import { block, textOf, visible } from './json.js';
import { MAX_TIME, databases, names } from './collections.js';
import { tree } from './explain.js';
import { Reader } from './reader.js';

export const title = 'Query';
export const about = 'Ask for documents, and see how the server finds them.';
export const icon = 'M4 6h16M4 12h9m-9 6h6m4-1a3 3 0 1 0 6 0 3 3 0 1 0-6 0m5 2 2 3';

/** Documents that are read at once. */
const PAGE = 50;

const KINDS = {
  find: { name: 'Find', start: '{}', label: 'Filter' },
  aggregate: { name: 'Aggregate', start: '[\n  {"$match": {}},\n  {"$limit": 10}\n]', label: 'Pipeline' },
  command: { name: 'Command', start: 'DOC.COUNT ', label: 'Command' },
};

// What was typed stays when another page is shown and this one again.
const kept = { kind: 'find', db: '0', collection: '', project: '', sort: '', limit: '', text: Object.fromEntries(Object.entries(KINDS).map(([kind, { start }]) => [kind, start])) };

export async function show(view, _args, signal) {
  const place = el('div', { class: 'place' });
  const [form, out] = [el('div'), el('div', { 'aria-live': 'polite' })];
  const reader = new Reader(Number(kept.db), signal);
  const list = el('datalist', { id: 'names-of-collections' });
  let running = false;
  const choice = await databases(kept.db, (db) => ((kept.db = db), suggest()));
  put(view, list, form, place, out);
  draw();
  await suggest();

  async function suggest() {
    const found = await names(Number(kept.db)).catch(() => []);
    put(list, found.slice(0, 1000).map((name) => el('option', { value: name })));
  }

  function draw() {
    const kind = KINDS[kept.kind];
    const typed = (name, properties) => input({ type: 'text', value: kept[name], on: { input: ({ target }) => (kept[name] = target.value) }, ...properties });
    const area = el('textarea', {
      class: 'mono', rows: 6, spellcheck: 'false', value: kept.text[kept.kind],
      on: {
        input: () => (kept.text[kept.kind] = area.value),
        keydown: (event) => {
          if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
          event.preventDefault();
          answer();
        },
      },
    });
    const run = button('Run', 'main', () => answer(), { title: 'Ctrl+Enter' });
    const explain = button('Explain', 'quiet', () => explained());
    const kinds = select(Object.entries(KINDS).map(([key, { name }]) => [key, name]), kept.kind, (value) => ((kept.kind = value), draw(), form.querySelector('select').focus()));
    const collection = typed('collection', { list: list.id, placeholder: 'users' });
    const isCommand = kept.kind === 'command';
    put(form, panel('Query',
      el('div', { class: 'row' }, field('Kind', kinds), field('Database', choice), !isCommand && el('div', { class: 'grow' }, field('Collection', collection))),
      field(kind.label, area, isCommand ? 'Words with spaces stand in quotes, as in redis-cli.' : 'Ctrl+Enter runs it.'),
      kept.kind === 'find' && el('div', { class: 'row' },
        el('div', { class: 'grow' }, field('Projection', typed('project', { class: 'mono', placeholder: '{"name": 1}' }))),
        el('div', { class: 'grow' }, field('Sort', typed('sort', { class: 'mono', placeholder: '{"age": -1}' }))),
        field('Limit', typed('limit', { inputmode: 'numeric', size: 6 }))),
      el('div', { class: 'row' }, run, !isCommand && explain)));

    async function answer() {
      const words = isCommand ? split(kept.text.command) : [...query(), ...MAX_TIME];
      // By the key, or by the button of another kind of question.
      if (running) return;
      running = true;
      const began = performance.now();
      const reply = await attempt(place, run, () => {
        reader.close();
        reader.db = Number(kept.db);
        return isCommand ? runIn(reader.db, ...words) : reader.open(PAGE, ...words);
      });
      running = false;
      if (reply === undefined || signal.aborted) return;
      const took = `${(performance.now() - began).toFixed(0)} ms`;
      if (isCommand) return put(out, panel('Reply', el('p', { class: 'sub' }, took), shown(reply)));
      put(out);
      results(reply, 0, took);
    }

    async function explained() {
      const reply = await attempt(place, explain, () => runIn(Number(kept.db), 'DOC.EXPLAIN', ...explainable(), ...MAX_TIME).then(JSON.parse));
      if (reply !== undefined && !signal.aborted) put(out, panel('How it is found', tree(reply)));
    }
  }

  /** The same as EXPLAIN takes it: without the name's first half. */
  function explainable() {
    const [command, ...words] = query();
    return [command.slice('DOC.'.length), ...words];
  }

  function query() {
    if (kept.kind === 'aggregate') return ['DOC.AGGREGATE', kept.collection, kept.text.aggregate];
    const option = (name, value) => (value.trim() === '' ? [] : [name, value.trim()]);
    return ['DOC.FIND', kept.collection, kept.text.find.trim() || '{}', ...option('PROJECT', kept.project), ...option('SORT', kept.sort), ...option('LIMIT', kept.limit)];
  }

  function results(documents, before, took) {
    const more = button('Read on', 'quiet', async () => {
      const next = await attempt(place, more, () => reader.next(PAGE));
      if (next === undefined || signal.aborted) return;
      more.remove();
      results(next, before + documents.length, undefined);
    });
    const title = before === 0 ? 'Results' : `Results from ${before + 1} on`;
    if (documents.length === 0) return out.append(panel(title, el('p', { class: 'empty' }, 'No document matches.')));
    const said = `${documents.length} documents${took ? `, ${took}` : ''}`;
    return out.append(panel(title, el('p', { class: 'sub' }, said), documents.map(block), reader.hasMore && more));
  }
}

/** A reply: a text that is one of JSON as that, any other text as it is. */
function shown(reply) {
  if (typeof reply !== 'string') return block(textOf(reply));
  try {
    JSON.parse(reply);
    return block(reply);
  } catch {
    return el('pre', { class: 'json', tabindex: 0 }, reply.split('\n').map((one) => `${visible(one.trimEnd())}\n`));
  }
}

/** The words of a line: apart by spaces, or in single or double quotes. */
export function split(text) {
  const words = [];
  for (const [, double, single, bare] of text.matchAll(/"((?:[^"\\]|\\[^])*)"|'((?:[^'\\]|\\[^])*)'|(\S+)/g)) {
    words.push(double?.replace(/\\(["\\])/g, '$1') ?? single?.replace(/\\(['])/g, '$1') ?? bare);
  }
  return words;
}
