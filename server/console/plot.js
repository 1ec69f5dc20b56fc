// Lines over time, drawn as they come in: axes with their values, and the last value of each line.

import { bytes } from './figures.js';
import { el, svg } from './parts.js';

/** Moments that a line keeps. */
export const MOMENTS = 120;

const HEIGHT = 132;
const EDGE = { left: 58, right: 12, top: 10, bottom: 20 };

/** A line that forgets what is older than that many moments. */
export class Series {
  constructor(name, kind) {
    Object.assign(this, { name, kind, values: [] });
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > MOMENTS) this.values.shift();
  }

  get last() {
    return this.values.at(-1) ?? null;
  }
}

/** The least round number that is not below: of bytes one of KiB, MiB and so on. */
function ceiling(value, isBytes) {
  if (!(value > 0)) return 1;
  const thousand = isBytes ? 1024 ** Math.floor(Math.log2(value) / 10) : 1;
  const unit = thousand * 10 ** Math.floor(Math.log10(value / thousand));
  return [1, 2, 2.5, 5, 10].map((step) => step * unit).find((step) => step >= value) ?? value;
}

/** A drawing of these lines; `draw()` shows what they hold now. `format` writes a value. */
export function plot(title, series, format, every = 1) {
  const view = svg('svg', { class: 'plot', role: 'img', height: HEIGHT });
  const legend = el('div', { class: 'legend' });
  const node = el('figure', { class: 'figure' }, legend, view);
  let width = 0;

  function draw() {
    if (width === 0) return;
    const [right, bottom] = [width - EDGE.right, HEIGHT - EDGE.bottom];
    const most = ceiling(Math.max(0, ...series.flatMap(({ values }) => values.filter((value) => value !== null))), format === bytes);
    const x = (at, length) => right - ((length - 1 - at) / (MOMENTS - 1)) * (right - EDGE.left);
    const y = (value) => bottom - (value / most) * (bottom - EDGE.top);
    view.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    view.setAttribute('aria-label', `${title}: ${series.map(({ name, last }) => `${name} ${format(last)}`).join(', ')}`);
    const grid = [0, 0.5, 1].flatMap((part) => [
      svg('line', { class: part === 0 ? 'axis' : 'grid', x1: EDGE.left, x2: right, y1: y(most * part), y2: y(most * part) }),
      svg('text', { class: 'tick', x: EDGE.left - 8, y: y(most * part) + 4, 'text-anchor': 'end' }, format(most * part)),
    ]);
    const times = [
      svg('text', { class: 'tick', x: EDGE.left, y: HEIGHT - 4 }, `−${Math.round((MOMENTS * every) / 60)} min`),
      svg('text', { class: 'tick', x: right, y: HEIGHT - 4, 'text-anchor': 'end' }, 'now'),
    ];
    const lines = series.flatMap(({ values, kind }) => {
      let [path, pen] = ['', 'M'];
      values.forEach((value, at) => {
        if (value === null) return (pen = 'M');
        path += `${pen}${x(at, values.length).toFixed(1)} ${y(value).toFixed(1)}`;
        return (pen = 'L');
      });
      const end = values.findLastIndex((value) => value !== null);
      const dot = end >= 0 && svg('circle', { class: `dot ${kind}`, cx: x(end, values.length), cy: y(values[end]), r: 3 });
      return [path && svg('path', { class: `stroke ${kind}`, d: path }), dot].filter(Boolean);
    });
    view.replaceChildren(...grid, ...times, ...lines);
    legend.replaceChildren(
      ...series.map(({ name, kind, last }) =>
        el('span', { class: `key ${kind}` }, `${name} `, el('strong', {}, format(last))),
      ),
    );
  }

  new ResizeObserver(([entry]) => {
    width = Math.floor(entry.contentRect.width);
    draw();
  }).observe(node);
  return { node, draw };
}
