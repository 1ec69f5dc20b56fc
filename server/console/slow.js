// Commands that took long.

import { attempt, button, confirmed, el, field, notice, put, select, table } from './parts.js';
import { run } from './server.js';
import { duration, moment } from './figures.js';
import { visible } from './json.js';

export const title = 'Slow queries';
export const about = 'Commands that took longer than slowlog-log-slower-than, the latest first.';
export const icon = 'M12 7v6l4 2m5-3a9 9 0 1 1-18 0 9 9 0 0 1 18 0';

export async function show(view, _args, signal) {
  const [place, list, limit] = [el('div', { class: 'place' }), el('div'), el('span', { class: 'sub' })];
  const number = select([['25', '25'], ['100', '100'], ['-1', 'all']], '25', () => look());
  const again = button('Look again', 'main', () => look());
  const forget = button('Forget all', 'danger', async () => {
    if (!(await confirmed('Forget all slow queries?', 'Forget them'))) return;
    if ((await attempt(place, forget, () => run('SLOWLOG', 'RESET'))) !== undefined) await look();
  });
  put(view, el('div', { class: 'row' }, field('Show', number), again, forget, limit), place, list);
  const slower = await run('CONFIG', 'GET', 'slowlog-log-slower-than').catch(() => null);
  const micros = slower?.['slowlog-log-slower-than'];
  limit.textContent = micros === undefined ? '' : Number(micros) < 0 ? 'None are kept: slowlog-log-slower-than is negative.' : `Kept from ${duration(Number(micros))} on.`;
  await look();

  async function look() {
    const rows = await attempt(place, again, () => run('SLOWLOG', 'GET', number.value, 'FULL'));
    if (rows === undefined || signal.aborted) return;
    const words = (request) => request.map((word) => (typeof word === 'string' ? visible(word) : `base64:${word.base64}`)).join(' ');
    const text = (value) => (typeof value === 'string' ? visible(value) : '–');
    const looked = (more) => (more?.plan === undefined ? '–' : `${more['keys-examined']} / ${more['docs-examined']}`);
    put(list, rows.length === 0 ? notice('info', 'Nothing took that long.') : table('Slow queries', [
      { title: 'When', cell: ([, at]) => moment(at * 1000) },
      { title: 'Took', kind: 'number', cell: ([, , took]) => duration(took) },
      { title: 'Command', kind: 'wide mono', cell: ([, , , request]) => words(request) },
      { title: 'Plan', kind: 'mono', cell: ([, , , , , , more]) => text(more?.plan || undefined) },
      { title: 'Entries / documents looked at', kind: 'number', cell: ([, , , , , , more]) => looked(more) },
      { title: 'Client', kind: 'mono', cell: ([, , , , address]) => text(address) },
      { title: 'Name', cell: ([, , , , , name]) => text(name || '–') },
      { title: 'Request', kind: 'mono', cell: ([, , , , , , more]) => text(more?.['request-id']) },
    ], rows, ''));
  }
}
