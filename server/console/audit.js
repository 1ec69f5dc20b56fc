// The audit log: its latest records, those before them, and whether all of it is as it was written.

import { attempt, badge, button, el, facts, field, notice, put, select, table } from './parts.js';
import { run } from './server.js';
import { moment } from './figures.js';
import { block, line, visible } from './json.js';

export const title = 'Audit';
export const about = 'What was done that is audited, the latest first.';
export const icon = 'M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zm-3 9 2 2 4-4';

/** Records of a page. */
const PAGE = 50;
const KNOWN = ['position', 'at', 'event', 'command', 'user', 'addr', 'outcome'];

function record(text) {
  try {
    const read = JSON.parse(text);
    return { ...read, text };
  } catch {
    return { text };
  }
}

export async function show(view, _args, signal) {
  const [place, list, verified] = [el('div', { class: 'place' }), el('div'), el('div')];
  const shown = select([['', 'everything'], ...['auth', 'denied', 'acl', 'key', 'token', 'config', 'ddl', 'replication', 'read', 'write'].map((event) => [event, event])], '', () => draw());
  const latest = button('Latest', 'main', () => read(latest, ['AUDIT.TAIL', PAGE]));
  const older = button('Older', 'quiet', () => {
    const from = Math.max(1, Number(records[0]?.position ?? 1) - PAGE);
    return read(older, ['AUDIT.TAIL', Math.max(1, Number(records[0]?.position ?? 2) - from), 'FROM', from]);
  });
  const verify = button('Verify all of it', 'quiet', async () => {
    const said = await attempt(place, verify, () => run('AUDIT.VERIFY'));
    if (said === undefined || signal.aborted) return;
    put(verified, notice(said.ok ? 'good' : 'error', said.ok ? 'All of it is as it was written.' : 'It is not as it was written.'),
      facts([['Records', String(said.records)], ['From', String(said.from)], ['To', String(said.to)]]),
      said.bad.length > 0 && block(JSON.stringify(said.bad)));
  });
  let records = [];
  put(view, el('div', { class: 'row' }, field('Show', shown), latest, older, verify), place, verified, list);

  async function read(pressed, words) {
    const texts = await attempt(place, pressed, () => run(...words));
    if (texts === undefined || signal.aborted) return;
    records = texts.map(record);
    draw();
  }

  function draw() {
    const rows = records.filter(({ event }) => shown.value === '' || event === shown.value).reverse();
    const rest = (row) => {
      const left = Object.entries(row).filter(([name]) => name !== 'text' && !KNOWN.includes(name));
      return left.length > 0 ? line(JSON.stringify(Object.fromEntries(left)), 140) : '–';
    };
    const text = (value) => (value === undefined || value === null ? '–' : visible(value));
    older.disabled = !(Number(records[0]?.position) > 1);
    put(list, table('Audit records', [
      { title: 'Position', kind: 'number', cell: (row) => text(row.position) },
      { title: 'When', cell: (row) => moment(row.at) },
      { title: 'Event', cell: (row) => badge(text(row.event), row.event === 'denied' ? 'bad' : 'plain') },
      { title: 'Command', kind: 'mono', cell: (row) => text(row.command) },
      { title: 'User', cell: (row) => text(row.user) },
      { title: 'Address', kind: 'mono', cell: (row) => text(row.addr) },
      { title: 'Outcome', cell: (row) => badge(text(row.outcome), row.outcome === 'ok' ? 'good' : 'bad') },
      { title: 'More', kind: 'wide', cell: rest },
    ], rows, 'No record is there.'));
  }
  await read(latest, ['AUDIT.TAIL', PAGE]);
}
