// The connections, and an end to any of them.

import { attempt, badge, button, confirmed, el, notice, put, table } from './parts.js';
import { repeat, run } from './server.js';
import { bytes, pairs, span } from './figures.js';
import { visible } from './json.js';

export const title = 'Clients';
export const about = 'Who is connected, and what each last asked for.';
export const icon = 'M9 11a4 4 0 1 0 0-8 4 4 0 1 0 0 8m-7 10c0-9 14-9 14 0m0-10a4 4 0 0 0 0-8m6 18c0-4-2-6-5-7';

export async function show(view, _args, signal, who) {
  const [place, trouble, list] = [el('div', { class: 'place' }), el('div', { class: 'place' }), el('div')];
  put(view, place, trouble, list);

  async function kill(client) {
    if (!(await confirmed(`Close the connection ${client.id} of ${visible(client.addr)}?`, 'Close it'))) return;
    if ((await attempt(place, null, () => run('CLIENT', 'KILL', 'ID', client.id))) !== undefined) await look(true);
  }

  async function look(always) {
    let clients;
    try {
      clients = String(await run('CLIENT', 'LIST')).split('\n').filter(Boolean).map((line) => pairs(line, ' '));
      put(trouble);
    } catch (error) {
      if (signal.aborted) throw error;
      put(trouble, notice('error', error.message));
      return;
    }
    // What somebody is about to press must not be taken away.
    if (signal.aborted || (!always && list.contains(document.activeElement))) return;
    const end = (client) => (Number(client.id) === who.client ? badge('this page', 'good') : button('Close', 'small danger', () => kill(client), { 'aria-label': `Close ${client.id}` }));
    put(list, table('Clients', [
      { title: 'Id', kind: 'number', cell: (client) => client.id },
      { title: 'Address', kind: 'mono', cell: (client) => visible(client.addr) },
      { title: 'Name', cell: (client) => visible(client.name || '–') },
      { title: 'User', cell: (client) => visible(client.user) },
      { title: 'Last command', kind: 'mono', cell: (client) => visible(client.cmd) },
      { title: 'Age', kind: 'number', cell: (client) => span(client.age) },
      { title: 'Idle', kind: 'number', cell: (client) => span(client.idle) },
      { title: 'Db', kind: 'number', cell: (client) => client.db },
      { title: 'Memory', kind: 'number', cell: (client) => bytes(client['tot-mem']) },
      { title: 'Library', cell: (client) => visible([client['lib-name'], client['lib-ver']].filter(Boolean).join(' ') || '–') },
      { title: '', kind: 'end', cell: end },
    ], clients, 'Nobody is connected.'));
  }

  await repeat(2000, signal, () => look(false));
}
