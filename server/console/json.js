// JSON as text: shown with colours, set out in lines, and looked into, without a number or a name ever being changed.
//
// `JSON.parse` would round long numbers and drop a name that is there twice, so what is shown and edited is made of the text's own tokens.
// Characters that are not seen or that turn the direction of writing are shown as escapes, which mean the same.

import { el } from './parts.js';

const TOKEN = /\s+|"(?:[^"\\]|\\[^])*"|-?\d[\d.eE+-]*|[a-zA-Z]+|[{}[\],:]|[^]/g;
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Text whose every character can be seen. */
export const visible = (text) =>
  String(text).replace(UNSEEN, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** The tokens of a text without the space between them: `{kind, text}`, a string before a colon being a `key`. */
export function tokens(text) {
  const found = [];
  for (const [piece] of text.matchAll(TOKEN)) {
    if (/^\s/.test(piece)) continue;
    found.push({ kind: kindOf(piece), text: visible(piece) });
    if (piece === ':' && found.at(-2)?.kind === 'string') found.at(-2).kind = 'key';
  }
  return found;
}

function kindOf(piece) {
  if (piece.length > 1 && piece.startsWith('"')) return 'string';
  if (/^-?\d/.test(piece)) return 'number';
  if (/^(true|false|null)$/.test(piece)) return 'word';
  return /^[{}[\],:]$/.test(piece) ? 'sign' : 'other';
}

/** The same in lines, as tokens whose texts have the space within them. */
function setOut(all) {
  const out = [];
  let depth = 0;
  const line = () => out.push({ kind: 'space', text: `\n${'  '.repeat(depth)}` });
  all.forEach((token, at) => {
    const [before, after] = [all[at - 1]?.text, all[at + 1]?.text];
    if ((token.text === '}' || token.text === ']') && before !== '{' && before !== '[') {
      depth = Math.max(0, depth - 1);
      line();
    } else if (token.text === '}' || token.text === ']') {
      depth = Math.max(0, depth - 1);
    }
    out.push(token);
    if (token.text === ':') out.push({ kind: 'space', text: ' ' });
    if (token.text === '{' || token.text === '[') {
      depth += 1;
      if (after !== '}' && after !== ']') line();
    }
    if (token.text === ',') line();
  });
  return out;
}

/** The text in lines. */
export const pretty = (text) => setOut(tokens(text)).map((token) => token.text).join('');

/** The text in one line, and not longer than that. */
export function brief(text, most = 160) {
  let out = '';
  for (const token of tokens(text)) {
    out += token.text === ':' || token.text === ',' ? `${token.text} ` : token.text;
    if (out.length > most) return `${out.slice(0, most)} …`;
  }
  return out;
}

const spans = (all) => all.map(({ kind, text }) => (kind === 'space' ? text : el('span', { class: `j-${kind}` }, text)));

/** Longer texts have no colours: each token is an element, of which a browser bears so many. */
const COLOURED_MAX = 200_000;

/** A block of JSON in colours. */
export const block = (text) =>
  el('pre', { class: 'json', tabindex: 0 }, text.length > COLOURED_MAX ? visible(text) : spans(setOut(tokens(text))));

/** One line of JSON in colours. */
export function line(text, most = 160) {
  const shown = [];
  let length = 0;
  for (const token of tokens(text)) {
    if (length > most) {
      shown.push({ kind: 'sign', text: ' …' });
      break;
    }
    const spaced = token.text === ':' || token.text === ',' ? `${token.text} ` : token.text;
    const cut = spaced.length > most ? `${spaced.slice(0, most)}…` : spaced;
    length += cut.length;
    shown.push({ ...token, text: cut });
  }
  return el('code', { class: 'json line' }, spans(shown));
}

/** The id of a document's text, as commands take it: a name, a number as it stands, or the digits of an ObjectId. */
export function idOf(text) {
  const [member] = text.match(/^\s*\{\s*"_id"\s*:\s*(?:"(?:[^"\\]|\\[^])*"|\{[^}]*\}|[^,}\s]+)/) ?? [];
  const value = member?.slice(member.indexOf(':') + 1).trim() ?? idAnywhere(text);
  if (value === undefined) return undefined;
  if (/^-?\d/.test(value)) return value;
  try {
    const parsed = JSON.parse(value);
    return typeof parsed === 'string' ? parsed : (parsed?.$oid ?? value);
  } catch {
    return undefined;
  }
}

function idAnywhere(text) {
  try {
    const id = JSON.parse(text)._id;
    return id === undefined ? undefined : JSON.stringify(id);
  } catch {
    return undefined;
  }
}

/** A reply of any kind as the text of JSON. */
export const textOf = (reply) => JSON.stringify(reply);
