// The parts that pages are made of. Whatever comes from the server becomes text: there is no way here from a string to markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') {
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    } else if (name === 'value') {
      node.value = value;
    } else if (name === 'href' && !String(value).startsWith('#')) {
      throw new Error('links stay within the page');
    } else {
      node.setAttribute(name, value === true ? '' : String(value));
    }
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element: `el('p', {class: 'note'}, 'text', node, [nodes])`. */
export const el = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);

/** The same of a drawing. */
export const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** Puts these in the place of all that is there. */
export const put = (node, ...children) => {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};

/** A button; `kind` is main, quiet or danger. */
export const button = (text, kind, click, more = {}) =>
  el('button', { type: 'button', class: `button ${kind}`, on: { click }, ...more }, text);

let labels = 0;

/** A field with its label. */
export function field(label, input, hint) {
  labels += 1;
  input.id = `field-${labels}`;
  const note = hint && el('span', { class: 'hint', id: `hint-${labels}` }, hint);
  if (note) input.setAttribute('aria-describedby', note.id);
  return el('div', { class: 'field' }, el('label', { for: input.id }, label), input, note);
}

export const input = (properties) => el('input', { autocomplete: 'off', spellcheck: 'false', ...properties });

export const select = (options, value, change) => {
  const node = el('select', { on: { change: () => change?.(node.value) } });
  for (const [key, text] of options) node.append(el('option', { value: key }, text));
  node.value = value;
  return node;
};

/** What the server refused, or what is to be known. */
export const notice = (kind, text) =>
  el('p', { class: `notice ${kind}`, role: kind === 'error' ? 'alert' : 'status' }, String(text));

/** A part of a page with a heading. */
export const panel = (title, ...children) =>
  el('section', { class: 'panel', 'aria-label': title }, el('h2', {}, title), children);

/** Names and values. */
export const facts = (pairs) =>
  el('dl', { class: 'facts' }, pairs.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value ?? '–'))));

/** A table: columns are `{title, cell(row), kind}`, `kind` being number, mono or wide. */
export function table(title, columns, rows, empty) {
  if (rows.length === 0) return el('p', { class: 'empty' }, empty);
  const head = columns.map(({ title: text, kind }) => el('th', { scope: 'col', class: kind }, text));
  const line = (row) => el('tr', {}, columns.map(({ cell, kind }) => el('td', { class: kind }, cell(row) ?? '–')));
  const body = el('table', {}, el('caption', { class: 'unseen' }, title), el('thead', {}, el('tr', {}, head)));
  body.append(el('tbody', {}, rows.map(line)));
  return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': title }, body);
}

/** Asks before something that cannot be undone; whether it is to be done. */
export function confirmed(question, action) {
  return new Promise((resolve) => {
    const box = el('dialog', { 'aria-label': question, on: { close: () => (box.remove(), resolve(box.returnValue === 'yes')) } });
    box.append(
      el('p', {}, question),
      el('div', { class: 'row end' }, button('Keep as it is', 'quiet', () => box.close()), button(action, 'danger', () => box.close('yes'))),
    );
    document.body.append(box);
    box.showModal();
  });
}

/** Does something for a button: it cannot be pressed meanwhile, and what goes wrong is shown in `place`. */
export async function attempt(place, pressed, work) {
  if (pressed) pressed.disabled = true;
  try {
    const done = await work();
    put(place);
    return done;
  } catch (error) {
    put(place, notice('error', error.message));
    return undefined;
  } finally {
    if (pressed) pressed.disabled = false;
  }
}

/** A state, with a colour. */
export const badge = (text, kind = 'plain') => el('span', { class: `badge ${kind}` }, text);
