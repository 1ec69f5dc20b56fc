// How the server does at this moment, and did in the last minutes.

import { el, facts, notice, panel, put } from './parts.js';
import { Refused, repeat, run } from './server.js';
import { buckets, bytes, count, duration, info, moment, percentile, span } from './figures.js';
import { Series, plot } from './plot.js';
import { visible } from './json.js';

export const title = 'Overview';
export const about = 'Figures of this second, and of the last two minutes that this page was open.';
export const icon = 'M4 19V11m5 8V5m6 14v-6m5 6V8';

// Kept when another page is shown and this one again.
const lines = {
  ops: new Series('commands/s', 'a'),
  p50: new Series('p50', 'a'),
  p99: new Series('p99', 'b'),
  memory: new Series('resident', 'a'),
  used: new Series('used', 'b'),
  clients: new Series('clients', 'a'),
  written: new Series('changes/s', 'a'),
  behind: new Series('behind', 'a'),
};
let [calls, lsn] = [null, null];

/** How many changes the furthest replica is behind, or this one behind its primary. */
function lag(fields) {
  if (fields.get('role') === 'slave') {
    return { text: `replica, last heard of its primary ${fields.get('master_last_io_seconds_ago') ?? '–'} s ago`, behind: null };
  }
  const offset = Number(fields.get('master_repl_offset') ?? 0);
  const replicas = [...fields].filter(([name]) => /^slave\d+$/.test(name)).map(([, value]) => value.match(/offset=(\d+)/)?.[1]);
  const behind = replicas.length === 0 ? null : Math.max(0, ...replicas.map((written) => offset - Number(written)));
  return { text: replicas.length === 0 ? 'no replica follows' : replicas.length === 1 ? '1 replica follows' : `${replicas.length} replicas follow`, behind };
}

export async function show(view, _args, signal) {
  const place = el('div', { class: 'place' });
  const plots = [
    ['Throughput', [lines.ops], count],
    ['Latency', [lines.p50, lines.p99], duration],
    ['Memory', [lines.memory, lines.used], bytes],
    ['Clients', [lines.clients], count],
    ['Changes', [lines.written], count],
    ['Replication lag', [lines.behind], count],
  ].map(([name, series, format]) => ({ name, ...plot(name, series, format), value: el('p', { class: 'value' }), sub: el('p', { class: 'sub' }) }));
  const cards = plots.map(({ name, node, value, sub }) =>
    el('section', { class: 'card', 'aria-label': name }, el('h2', {}, name), value, sub, node),
  );
  const about = el('div');
  put(view, place, el('div', { class: 'cards' }, cards), about);

  await repeat(1000, signal, async () => {
    let fields;
    try {
      fields = info(await run('INFO'));
    } catch (error) {
      // What is counted meanwhile is not of one second.
      [calls, lsn] = [null, null];
      if (!(error instanceof Refused) || signal.aborted) throw error;
      put(place, notice('error', error.message));
      await new Promise((resolve) => setTimeout(resolve, 4000));
      return;
    }
    const latency = await run('LATENCY', 'HISTOGRAM').then(buckets).catch((error) => {
      if (error instanceof Refused) return null;
      throw error;
    });
    if (signal.aborted) return;
    put(place, latency === null && notice('info', 'Latency is not shown: LATENCY HISTOGRAM is not allowed to this user.'));
    const number = (name) => Number(fields.get(name) ?? 0);
    const [p50, p99] = [0.5, 0.99].map((part) => (latency && calls ? percentile(calls, latency, part) : null));
    const written = number('log_lsn_written');
    const replicas = lag(fields);
    const values = {
      ops: number('instantaneous_ops_per_sec'), p50, p99, memory: number('used_memory_rss'), used: number('used_memory'),
      clients: number('connected_clients'), written: lsn === null ? null : Math.max(0, written - lsn), behind: replicas.behind,
    };
    for (const [name, value] of Object.entries(values)) lines[name].add(value);
    [calls, lsn] = [latency, written];
    const texts = [
      [count(values.ops), `commands a second; ${count(number('total_commands_processed'))} since the start`],
      [duration(p50), p50 === null ? 'no calls in this second' : `half of the calls of this second; 99 of 100 in ${duration(p99)}`],
      [bytes(values.memory), `of ${bytes(number('total_system_memory'))}; index ${bytes(number('index_memory_bytes'))}, cache ${bytes(number('cache_memory_bytes'))}`],
      [count(values.clients), `of ${count(number('maxclients'))}; ${count(number('blocked_clients'))} wait, ${count(number('pubsub_clients'))} listen`],
      [count(values.written), `changes a second; the log is at LSN ${written}, durable ${number('log_lsn_durable')}, applied ${number('log_lsn_applied')}`],
      [values.behind === null ? '–' : count(values.behind), replicas.behind === null ? replicas.text : `changes behind; ${replicas.text}`],
    ];
    plots.forEach((one, at) => {
      one.value.textContent = texts[at][0];
      one.sub.textContent = texts[at][1];
      one.draw();
    });
    put(about, panel('Server', facts([
      ['Version', visible(fields.get('veddb_version') ?? '–')],
      ['Up for', span(number('uptime_in_seconds'))],
      ['Time there', moment(number('server_time_usec') / 1000)],
      ['Role', fields.get('role') === 'slave' ? 'replica' : 'primary'],
      ['Documents', `${count(number('documents'))} in ${count(number('collections'))} collections`],
      ['On disk', `${bytes(number('engine_disk_bytes'))} and ${bytes(number('log_disk_bytes'))} of log`],
      ['Cipher', visible(fields.get('cipher') ?? '–')],
      ['Data key', `${number('active_key')}, rotation ${fields.get('rotation_state') ?? '–'}`],
      ['Errors answered', count(number('total_error_replies'))],
      ['Audit records', `${count(number('audit_records_written'))}, lost ${count(number('audit_records_lost'))}`],
    ])));
  });
}
