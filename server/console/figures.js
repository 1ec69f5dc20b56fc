// Figures as people read them, and the texts of INFO and CLIENT LIST as figures.

const round = (value) => String(Number(value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)));

/** 1.2 k, 3.4 M. */
export function count(value) {
  if (value === null || value === undefined || Number.isNaN(Number(value))) return '–';
  const number = Number(value);
  if (Math.abs(number) < 10_000) return Number.isInteger(number) ? String(number) : round(number);
  const units = ['k', 'M', 'G', 'T'];
  let [shown, at] = [number, -1];
  while (Math.abs(shown) >= 1000 && at < units.length - 1) [shown, at] = [shown / 1000, at + 1];
  return `${round(shown)} ${units[at]}`;
}

/** 1.2 KiB, 3.4 MiB. */
export function bytes(value) {
  let [shown, at] = [Number(value ?? 0), 0];
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  while (shown >= 1024 && at < units.length - 1) [shown, at] = [shown / 1024, at + 1];
  return `${at === 0 ? shown : round(shown)} ${units[at]}`;
}

/** Of microseconds. */
export function duration(micros) {
  if (micros === null || micros === undefined) return '–';
  if (micros < 1000) return `${round(micros)} µs`;
  return micros < 1_000_000 ? `${round(micros / 1000)} ms` : `${round(micros / 1_000_000)} s`;
}

/** Of seconds. */
export function span(seconds) {
  const s = Math.max(0, Math.round(Number(seconds)));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** A moment, of milliseconds since 1970. */
export function moment(ms) {
  if (ms === null || ms === undefined) return '–';
  const at = new Date(Number(ms));
  if (Number.isNaN(at.getTime())) return '–';
  const two = (value) => String(value).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** The fields of INFO. */
export function info(text) {
  const found = new Map();
  for (const line of String(text).split('\n')) {
    const at = line.indexOf(':');
    if (at > 0 && !line.startsWith('#')) found.set(line.slice(0, at), line.slice(at + 1).trimEnd());
  }
  return found;
}

/** `a=1,b=2` as an object; a map of names that anyone may have chosen, so one without a prototype. */
export function pairs(text, between) {
  const found = Object.create(null);
  for (const pair of String(text).split(between)) {
    const at = pair.indexOf('=');
    if (at > 0) found[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return found;
}

/** Buckets of LATENCY HISTOGRAM of all commands but those by which it is looked at: calls by their longest time. */
export function buckets(reply) {
  const found = new Map();
  for (const [name, command] of Object.entries(reply ?? {})) {
    if (name === 'info' || name === 'latency|histogram') continue;
    let below = 0;
    for (const [micros, calls] of Object.entries(command.histogram_usec ?? {})) {
      found.set(Number(micros), (found.get(Number(micros)) ?? 0) + calls - below);
      below = calls;
    }
  }
  return found;
}

/** The time within which this part of the calls between two looks was done; null where there were none. */
export function percentile(before, after, part) {
  const calls = [...after].map(([micros, number]) => [micros, number - (before.get(micros) ?? 0)]);
  const sorted = calls.filter(([, number]) => number > 0).sort(([a], [b]) => a - b);
  let left = sorted.reduce((sum, [, number]) => sum + number, 0) * part;
  for (const [micros, number] of sorted) {
    left -= number;
    if (left <= 0) return micros;
  }
  return null;
}
