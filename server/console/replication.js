// Whom this server follows, and who follows it.

import { attempt, badge, el, facts, notice, panel, put, table } from './parts.js';
import { Refused, repeat, run } from './server.js';
import { count, info, span } from './figures.js';
import { visible } from './json.js';

export const title = 'Replication';
export const about = 'Whom this server follows, who follows it, and how far behind they are.';
export const icon = 'M4 7h11m0 0-3-3m3 3-3 3M20 17H9m0 0 3-3m-3 3 3 3';

export async function show(view, _args, signal) {
  const [trouble, role, place, list, rest] = [el('div', { class: 'place' }), el('div'), el('div', { class: 'place' }), el('div'), el('div')];
  put(view, trouble, panel('This server', role), panel('Replicas', place, list), panel('All that INFO says', rest));
  await repeat(2000, signal, async () => {
    let fields;
    try {
      fields = info(await run('INFO', 'replication'));
      put(trouble);
    } catch (error) {
      if (signal.aborted || !(error instanceof Refused)) throw error;
      put(trouble, notice('error', error.message));
      return;
    }
    const replicas = await attempt(place, null, () => run('REPLICA.LIST')).catch((error) => {
      if (error instanceof Refused) return undefined;
      throw error;
    });
    if (signal.aborted) return;
    const at = Number(fields.get('master_repl_offset') ?? 0);
    put(role, facts(fields.get('role') === 'slave' ? following(fields) : leading(fields)));
    put(list, replicas && table('Replicas', [
      { title: 'Replica', cell: (one) => `${visible(one.ip)}:${one.port}` },
      { title: 'State', cell: (one) => badge(one.state, one.state === 'online' ? 'good' : 'busy') },
      { title: 'Written', kind: 'number', cell: (one) => String(one.written) },
      { title: 'On disk', kind: 'number', cell: (one) => String(one.synced) },
      { title: 'Behind', kind: 'number', cell: (one) => count(Math.max(0, at - Number(one.written))) },
      { title: 'Last heard of', kind: 'number', cell: (one) => span(one.lag) },
    ], replicas, 'No replica follows this server.'));
    put(rest, facts([...fields].map(([name, value]) => [visible(name), el('span', { class: 'mono' }, visible(value))])));
  });
}

const leading = (fields) => [
  ['Role', badge('primary', 'good')],
  ['Position', `LSN ${fields.get('master_repl_offset')}`],
  ['On disk', `LSN ${fields.get('lsn_synced')}`],
  ['Term', fields.get('term')],
  ['Replicas', fields.get('connected_slaves')],
  ['Failover', visible(fields.get('master_failover_state') ?? '–')],
];

const following = (fields) => [
  ['Role', badge('replica')],
  ['Primary', visible(`${fields.get('master_host')}:${fields.get('master_port')}`)],
  ['Link', badge(fields.get('master_link_status') ?? '–', fields.get('master_link_status') === 'up' ? 'good' : 'bad')],
  ['Last heard of it', span(fields.get('master_last_io_seconds_ago') ?? 0)],
  ['Position', `LSN ${fields.get('slave_repl_offset')}`],
  ['Trouble', visible(fields.get('master_link_error') ?? '–')],
];
