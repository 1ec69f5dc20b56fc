// Data keys: which there are, and the rotation from one to the next.

import { attempt, badge, button, confirmed, el, facts, field, input, notice, panel, put, table } from './parts.js';
import { repeat, run } from './server.js';
import { count, moment, span } from './figures.js';
import { Series, plot } from './plot.js';
import { visible } from './json.js';

export const title = 'Keys';
export const about = 'The data keys, and the rotation that brings all that is stored to a new one.';
export const icon = 'M8 14a4 4 0 1 1 3.5-2L21 21m-4-4 2-2m-4-1 2-2';

const rates = new Series('records/s', 'a');

export async function show(view, _args, signal) {
  const [place, trouble, status, list] = [el('div', { class: 'place' }), el('div', { class: 'place' }), el('div'), el('div')];
  const rate = input({ type: 'text', inputmode: 'numeric', size: 10, placeholder: 'no limit' });
  const rotate = el('button', { type: 'submit', class: 'button main' }, 'Rotate the key');
  const act = (pressed, ...words) => attempt(place, pressed, () => run(...words)).then((done) => done !== undefined && look());
  const pause = button('Pause', 'quiet', () => act(null, 'KEY.PAUSE'));
  const resume = button('Resume', 'quiet', () => act(null, 'KEY.RESUME'));
  const cancel = button('Cancel', 'danger', async () => {
    if (await confirmed('Turn the rotation round? Records are brought back to the key that it began with.', 'Turn it round')) await act(null, 'KEY.CANCEL');
  });
  const start = (event) => {
    event.preventDefault();
    return act(rotate, 'KEY.ROTATE', ...(rate.value.trim() === '' ? [] : ['RATE', rate.value.trim()]));
  };
  const drawing = plot('Rotation', [rates], count);
  const bar = el('progress', { max: 100, value: 0, 'aria-label': 'Rotation' });
  const percent = el('span', { class: 'percent' });
  put(view, trouble,
    panel('Rotation', status, el('div', { class: 'progress' }, bar, percent),
      el('form', { class: 'row', on: { submit: start } }, field('Records a second at most', rate), rotate, pause, resume, cancel), place, drawing.node),
    panel('Data keys', list));
  let seen = '';

  async function look() {
    let state;
    try {
      state = await run('KEY.STATUS');
      put(trouble);
    } catch (error) {
      if (signal.aborted) throw error;
      put(trouble, notice('error', error.message));
      return;
    }
    if (signal.aborted) return;
    const isOpen = state.state === 're-encrypting' || state.state === 'failed';
    rotate.disabled = isOpen;
    pause.disabled = state.state !== 're-encrypting' || state.paused;
    resume.disabled = !(isOpen && (state.paused || state.state === 'failed'));
    cancel.disabled = !isOpen || state.cancelled;
    rates.add(isOpen && !state.paused ? Number(state.rate) : 0);
    drawing.draw();
    bar.value = state.state === 'completed' ? 100 : Number(state.percent);
    percent.textContent = state.state === 'idle' ? 'no rotation yet' : `${bar.value.toFixed(1)} %`;
    const kind = { 're-encrypting': 'busy', completed: 'good', failed: 'bad' }[state.state] ?? 'plain';
    put(status, facts([
      ['State', el('span', { id: 'rotation-state' }, badge(state.paused ? 'paused' : state.state, state.paused ? 'busy' : kind), state.cancelled && badge('turned round', 'busy'))],
      ['Keys', state.from === null ? '–' : `${state.from} → ${state.to}`],
      ['Records', `${count(state.done)} of ${count(state.total)}`],
      ['Rate', `${count(state.rate)} a second${state.limit === null ? '' : `, ${count(state.limit)} at most`}`],
      ['Left', state.eta === null ? '–' : span(state.eta)],
      ['Began', moment(state.started)],
      ['Ended', moment(state.ended)],
      ['Step', visible(state.checkpoint ?? '–')],
    ]), state.error !== null && notice('error', visible(state.error)));
    // The list counts records, so it is asked for when something has come to another state.
    const now = `${state.state} ${state.to} ${state.cancelled}`;
    if (now !== seen && (await keys(list))) seen = now;
  }

  await repeat(1000, signal, look);
}

async function keys(list) {
  const all = await attempt(list, null, () => run('KEY.LIST'));
  if (all === undefined) return true;
  put(list, table('Data keys', [
    { title: 'Key', kind: 'number', cell: (key) => String(key.id) },
    { title: 'State', cell: (key) => badge(key.state, key.state === 'active' ? 'good' : 'plain') },
    { title: 'Created', cell: (key) => moment(key.created) },
    { title: 'Records', kind: 'number', cell: (key) => count(key.records) },
  ], all, 'There is no key.'));
  return true;
}
